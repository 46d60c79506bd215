"""Checkpoints of a run and files of a single network: tensors and a JSON description in safetensors, no code.

A run's tensors are those of `TrainState`: the parameters by name; ``M.U`` …, ``N.U`` … and ``average.U`` … where the
optimizer has these moments and average; ``h``; and, where there is a best network, ``best.U`` … and ``best.h``. With an
n-gram prior, ``ngram.text`` is the text that is counted, as indices. Of independent lines, ``line_hashes`` are the
hashes of the training lines, see `elman.text.lines`. The description contains the configuration, the alphabet, the
counters and the states of both random generators. A network's file is that of `elman.inference.network_file`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from elman.config import Config
from elman.engine import TrainState
from elman.errors import ElmanError, quote
from elman.inference.network_file import FORMAT as FORMAT
from elman.inference.network_file import (
    LINE_HASHES,
    describe_model,
    describe_network,
    line_tensors,
    network_tensors,
    ngram_tensors,
)
from elman.inference.network_file import NGRAM_TEXT as NGRAM_TEXT
from elman.inference.network_file import NetworkSnapshot as NetworkSnapshot
from elman.inference.network_file import SavedNetwork as SavedNetwork
from elman.network.ngram import NgramModel, usable_folds
from elman.network.optimizer import HAS_FIRST_MOMENT, HAS_SECOND_MOMENT
from elman.network.parameters import Architecture, Array, Arrays, Parameters, shapes
from elman.runs.rng_state import decode_initial_rng, decode_sample_rng, encode_initial_rng
from elman.storage.tensors import corrupt_checkpoint_error, read_tensors, save_tensors
from elman.storage.untrusted import (
    parse_strict_json,
    require_bounded_ints,
    require_finite,
    require_int,
    require_sha256,
    require_str,
    safe_message,
)
from elman.text import Alphabet
from elman.text.lines import LineHashes, find_line_feed

_READ = (1, FORMAT)
"""Format 1 is format 2 without the keys added later."""

_T = TypeVar("_T")
_INT_FIELDS = ("position", "update", "epoch", "minimum_at")
_FLOAT_FIELDS = ("smooth_loss", "minimum_smooth_loss", "seconds")
"""Fields of the state, and their keys under ``counters`` and ``figures`` in the file."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The contents of a run's checkpoint: the training state, its configuration and text, and the best network so far.

    Parameters
    ----------
    config : Config
    alphabet : Alphabet
    corpus_sha256 : str
    state : TrainState
    best : NetworkSnapshot or None
        The network with the lowest validation loss.
    last_loss : float or None
        The validation loss of the last network, where the run has ended and that network is better than `best`.
    line_hashes : ndarray of uint64 or None
    """

    config: Config
    alphabet: Alphabet
    corpus_sha256: str
    state: TrainState
    best: NetworkSnapshot | None = None
    last_loss: float | None = None
    line_hashes: LineHashes | None = None

    @property
    def selected(self) -> NetworkSnapshot:
        """The network selected for use: the best, or the last where that is better or nothing was held out."""
        return self.best if self.best is not None and self.last_loss is None else self.last

    @property
    def last(self) -> NetworkSnapshot:
        """The network of the current state."""
        return NetworkSnapshot(self.state.eval_parameters, self.state.final_hidden, self.state.update, self.last_loss)


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint atomically: at every instant one complete checkpoint exists."""
    save_tensors(path, _describe_checkpoint(checkpoint), _tensors(checkpoint))


def save_network(path: Path, checkpoint: Checkpoint, network: NetworkSnapshot) -> None:
    """Write a network of a run to a file of its own, atomically."""
    description = _describe_run(checkpoint) | {"network": describe_network(network)}
    save_tensors(path, description, network_tensors(network) | line_tensors(checkpoint.line_hashes))


def load_checkpoint(path: Path) -> Checkpoint:
    """Load a checkpoint written by `save_checkpoint`.

    Raises
    ------
    ElmanError
        If it does not exist, is truncated, altered or of an unknown format, or contains only a network.
    """
    description, tensors = _read(path)
    if "network" in description:
        raise ElmanError(
            f"{quote(path)} contains only a network, not a run that can be resumed; pass a run's checkpoint"
        )
    return _restoring(path, lambda: _restore(description, tensors))


def load_network(path: Path) -> SavedNetwork:
    """Load the network of a file written by `save_network`, or the last network of a checkpoint.

    Raises
    ------
    ElmanError
        If it does not exist, is truncated, altered or of an unknown format.
    """
    description, tensors = _read(path)
    if "network" in description:
        return _restoring(path, lambda: _restore_network(description, tensors))
    checkpoint = _restoring(path, lambda: _restore(description, tensors))
    return SavedNetwork(checkpoint.config, checkpoint.alphabet, checkpoint.last, checkpoint.line_hashes)


def load_selected(path: Path) -> SavedNetwork:
    """Load the network of a checkpoint that is selected for use.

    Raises
    ------
    ElmanError
        As `load_checkpoint`.
    """
    checkpoint = load_checkpoint(path)
    return SavedNetwork(checkpoint.config, checkpoint.alphabet, checkpoint.selected, checkpoint.line_hashes)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return the description and the arrays of a file."""
    json_text, tensors = read_tensors(path)
    return _restoring(path, lambda: _require_known_format(parse_strict_json(json_text))), tensors


def _restoring(path: Path, restore: Callable[[], _T]) -> _T:
    """Return the result of `restore`; any error in the description becomes one line."""
    try:
        return restore()
    except (ElmanError, LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise corrupt_checkpoint_error(path, f"its description is invalid ({safe_message(error)})") from error


def _require_known_format(description: dict[str, Any]) -> dict[str, Any]:
    if description["format"] not in _READ:
        supported = " and ".join(str(number) for number in _READ)
        raise ElmanError(f"format {description['format']}, but this version reads {supported}")
    return description


def _tensors(checkpoint: Checkpoint) -> dict[str, NDArray[Any]]:
    state, best = checkpoint.state, checkpoint.best
    groups: dict[str, Arrays] = {
        "": {**state.parameters, "h": state.h},
        "M.": state.M,
        "N.": state.N,
        "average.": state.average,
    }
    if best is not None:
        groups["best."] = {**best.parameters, "h": best.h}
    tensors = {prefix + name: array for prefix, arrays in groups.items() for name, array in arrays.items()}
    return tensors | ngram_tensors(state.parameters) | line_tensors(checkpoint.line_hashes)


def _describe_run(checkpoint: Checkpoint) -> dict[str, Any]:
    description = describe_model(checkpoint.config, checkpoint.alphabet) | {"corpus_sha256": checkpoint.corpus_sha256}
    ngrams = checkpoint.state.parameters.ngrams
    return description if ngrams is None else description | {"ngram_offset": ngrams.offset}


def _describe_checkpoint(checkpoint: Checkpoint) -> dict[str, Any]:
    state, best = checkpoint.state, checkpoint.best
    return _describe_run(checkpoint) | {
        "counters": {name: getattr(state, name) for name in _INT_FIELDS},
        "figures": {name: _nan_to_none(getattr(state, name)) for name in _FLOAT_FIELDS},
        "best": None if best is None else describe_network(best),
        "last_loss": checkpoint.last_loss,
        "initial_generator": encode_initial_rng(state.initial_generator),
        "sample_generator": state.sample_generator.bit_generator.state,
    }


def _nan_to_none(value: float) -> float | None:
    """Return a number that JSON can represent."""
    return None if math.isnan(value) else value


def _restore(description: dict[str, Any], tensors: dict[str, Array]) -> Checkpoint:
    config, alphabet = _config_and_alphabet(description, tensors)
    ngrams, line_hashes = _pop_ngrams(description, tensors, config, alphabet), _pop_line_hashes(tensors, config)
    best, last_loss = description.get("best"), description.get("last_loss")
    group_shapes = _group_shapes(config, alphabet, best is not None)
    expected = {prefix + name: shape for prefix, group in group_shapes.items() for name, shape in group.items()}
    D, B = _network_shapes(config, alphabet)["h"][0], config.batch_size
    _check_tensors(expected | {"h": (D,) if B == 1 else (B, D)}, tensors, config)
    _check_histories({name: tensors[name] for name in ("h", "best.h") if name in tensors}, ngrams)
    groups = {prefix: {name: tensors[prefix + name] for name in group} for prefix, group in group_shapes.items()}
    state = TrainState(
        parameters=Parameters(config.cell, groups[""], ngrams, reset_at(alphabet, config)),
        M=groups.get("M.", {}),
        h=tensors["h"],
        N=groups.get("N.", {}),
        average=groups.get("average.", {}),
        initial_generator=decode_initial_rng(description["initial_generator"]),
        sample_generator=decode_sample_rng(description["sample_generator"]),
        **_restore_numbers(description),
    )
    network = None if best is None else _snapshot(state.parameters, groups["best."], best, loss_required=True)
    if network is not None and network.update > state.update:
        raise ValueError("the best network is from a later update than the state")
    last_loss = None if last_loss is None else require_finite(last_loss, "last_loss")
    sha256 = require_sha256(description["corpus_sha256"])
    return Checkpoint(config, alphabet, sha256, state, network, last_loss, line_hashes)


def _config_and_alphabet(description: dict[str, Any], tensors: dict[str, Array]) -> tuple[Config, Alphabet]:
    config = Config(**require_bounded_ints(description["config"]))
    if config.layers > len(tensors):  # before the shapes of so many layers are listed
        raise ElmanError(f"too few arrays for {config.layers} layers")
    return config, Alphabet(require_str(description["alphabet"], "alphabet"), has_unknown=config.min_count > 0)


def _group_shapes(config: Config, alphabet: Alphabet, best: bool) -> dict[str, dict[str, tuple[int, ...]]]:
    """Return the shapes of each group of tensors, by the prefix of their names, without the hidden state h."""
    network = _network_shapes(config, alphabet)
    parameters = {name: shape for name, shape in network.items() if name != "h"}
    present = {
        "": True,
        "M.": config.optimizer in HAS_SECOND_MOMENT,
        "N.": config.optimizer in HAS_FIRST_MOMENT,
        "average.": config.ema_decay > 0,
    }
    groups = {prefix: parameters for prefix, is_present in present.items() if is_present}
    return groups | ({"best.": network} if best else {})


def _restore_network(description: dict[str, Any], tensors: dict[str, Array]) -> SavedNetwork:
    config, alphabet = _config_and_alphabet(description, tensors)
    ngrams, line_hashes = _pop_ngrams(description, tensors, config, alphabet), _pop_line_hashes(tensors, config)
    _check_tensors(_network_shapes(config, alphabet), tensors, config)
    _check_histories({"h": tensors["h"]}, ngrams)
    parameters = Parameters(config.cell, tensors, ngrams, reset_at(alphabet, config))
    network = _snapshot(parameters, tensors, description["network"], loss_required=False)
    return SavedNetwork(config, alphabet, network, line_hashes)


def reset_at(alphabet: Alphabet, config: Config) -> int | None:
    """Return the character before which a network with these settings resets its state, if there is one."""
    return find_line_feed(alphabet) if config.lines else None


def _pop_line_hashes(tensors: dict[str, Array], config: Config) -> LineHashes | None:
    """Remove the hashes of the training lines from the tensors; an imported model has none."""
    hashes: NDArray[Any] | None = tensors.pop(LINE_HASHES, None)
    if hashes is not None and not (config.lines and hashes.ndim == 1 and hashes.dtype == np.uint64):
        raise ValueError(f"{LINE_HASHES} is not the array of a text of independent lines")
    return hashes


def _pop_ngrams(
    description: dict[str, Any], tensors: dict[str, Array], config: Config, alphabet: Alphabet
) -> NgramModel | None:
    """Remove the counted text from the tensors; return the n-gram model, or None if the network has none."""
    text: NDArray[Any] | None = tensors.pop(NGRAM_TEXT, None)
    if not config.ngram_order:
        if text is not None:
            raise ValueError(f"{NGRAM_TEXT} is present, but the order of the n-gram prior is 0")
        return None
    K = len(alphabet)
    if text is None or text.ndim != 1 or text.dtype.kind != "u" or not len(text) or text.max() >= K:
        raise ValueError(f"{NGRAM_TEXT} is not an array of indices below {K}")
    offset = require_int(description.get("ngram_offset", 0), "ngram_offset", minimum=-len(text))
    folds = usable_folds(text, config.ngram_folds)
    line_feed = reset_at(alphabet, config)
    return NgramModel(text, K, config.ngram_order, config.ngram_discount, folds, offset, reset_at=line_feed)


def _snapshot(
    like: Parameters, tensors: dict[str, Array], description: dict[str, Any], *, loss_required: bool
) -> NetworkSnapshot:
    """Return a network with the cell and prior of another; one that was imported has no validation loss."""
    parameters = like.with_arrays({name: array for name, array in tensors.items() if name != "h"})
    update, loss = require_int(description["update"], "update"), description["validation_loss"]
    if loss is not None or loss_required:
        loss = require_finite(loss, "validation_loss")
    return NetworkSnapshot(parameters, tensors["h"], update, loss)


def _network_shapes(config: Config, alphabet: Alphabet) -> dict[str, tuple[int, ...]]:
    """Return the shape of every parameter and of h (D,)."""
    K, m, order = len(alphabet), config.hidden_size, config.ngram_order
    D = Architecture(config.cell, config.layers, K, m, order).state_size
    return shapes(K, m, config.cell, config.layers, order) | {"h": (D,)}


def _check_tensors(expected: dict[str, tuple[int, ...]], tensors: dict[str, Array], config: Config) -> None:
    if {name: array.shape for name, array in tensors.items()} != expected:
        raise ElmanError("array shapes do not match the configuration")
    for name, array in tensors.items():
        if array.dtype != config.dtype or not np.isfinite(array).all():
            raise ElmanError(f"{name} is not an array of finite {config.dtype} values")


def _check_histories(states: dict[str, Array], ngrams: NgramModel | None) -> None:
    """Check the characters that end a state with an n-gram prior; see `elman.network.parameters`."""
    if ngrams is not None:
        for name, h in states.items():
            codes = h[..., -ngrams.order :]
            is_read = (codes > 0).astype(np.int8)  # from some position on
            in_range = np.array_equal(codes, np.rint(codes)) and codes.min() >= 0 and codes.max() <= ngrams.K
            if not in_range or (np.diff(is_read) < 0).any():
                raise ElmanError(f"{name} ends with numbers that are not characters")


def _restore_numbers(description: dict[str, Any]) -> dict[str, Any]:
    counters = {name: require_int(description["counters"][name], name) for name in _INT_FIELDS}
    if counters["minimum_at"] > counters["update"]:
        raise ValueError("minimum_at is later than the update of the state")
    floats = {name: description["figures"][name] for name in _FLOAT_FIELDS}
    return counters | {
        name: math.nan if value is None else require_finite(value, name) for name, value in floats.items()
    }
