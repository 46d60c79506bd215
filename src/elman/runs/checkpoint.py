"""Checkpoints of a run, and the reader of checkpoints and of files with a single network.

A file has tensors and a JSON description in safetensors, no code. A run's tensors are the arrays of `TrainState`:

- the parameters by name;
- ``M.U`` …, ``N.U`` … and ``average.U`` … if the optimizer has these moments and this average;
- ``h`` and, with an n-gram prior, ``history``, the last characters read;
- ``best.U`` … and ``best.h`` if there is a best network;
- ``ngrams.strings`` …, the arrays of the prior, and in a fine-tuned run ``pretrained.ngrams.strings`` …, the arrays of
  the model that it started from, both described in `elman.ngram.model`;
- the arrays of independent lines, described in `elman.runs.snapshot`.

The description contains the configuration, the alphabet, the numbers of the state and the state of NumPy's random
generator for samples.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.config import Config
from elman.engine import TrainState
from elman.errors import ElmanError, VersionError, quote
from elman.network.optimizers import OPTIMIZERS
from elman.network.parameters import Architecture, Array, Arrays, Parameters
from elman.network.state import State
from elman.ngram.model import PREFIX, NgramModel, describe_ngrams, ngram_tensors, pop_ngram_tensors, restore_ngrams
from elman.runs.snapshot import NO_LINE_DATA, LineData, Snapshot, check_format, describe_model
from elman.storage.files import (
    parse_strict_json,
    require_finite,
    require_int,
    require_sha256,
    require_str,
    safe_message,
)
from elman.storage.tensors import read_tensors, serialize_tensors
from elman.text import Alphabet

_INTEGERS = ("position", "update", "epoch", "minimum_at", "prior_since")
_FLOATS = ("smooth_loss", "minimum_smooth_loss", "seconds", "spent")
"""Numbers of the state, which are under ``state`` in the description."""
_LOSSES = ("last_loss", "whole_loss", "counts_loss")
_PRETRAINED = "pretrained." + PREFIX


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The contents of a run's checkpoint: the training state, its settings and text, and the best network so far."""

    config: Config
    alphabet: Alphabet
    corpus_sha256: str
    state: TrainState
    best: Snapshot | None = None
    """The network with the lowest validation loss."""
    last_loss: float | None = None
    """The validation loss of the last network if the run has ended and this network is better than `best`."""
    lines: LineData = NO_LINE_DATA
    whole_loss: float | None = None
    """The validation loss of the selected network on the whole validation set, if validations read only a part of
    it."""
    counts_loss: float | None = None
    """The validation loss of the counts of the n-gram prior alone."""

    @property
    def selected(self) -> Snapshot:
        """The network selected for use: the best network, or the last one if it is better or nothing was held out."""
        network = self.best if self.best is not None and self.last_loss is None else self.last
        loss = network.validation_loss if self.whole_loss is None else self.whole_loss
        return replace(network, validation_loss=loss, lines=self.lines)

    @property
    def last(self) -> Snapshot:
        """The network of the current state."""
        return take_snapshot(self.config, self.alphabet, self.state, self.last_loss, self.lines)


def take_snapshot(
    config: Config, alphabet: Alphabet, state: TrainState, loss: float | None = None, lines: LineData = NO_LINE_DATA
) -> Snapshot:
    """Return the current network of a training state, with its validation loss; arrays are not copied.

    The recurrent state is zero: the state of training would reveal the last characters that it read.
    """
    parameters = state.eval_parameters
    h = parameters.architecture.zero_state(state.hidden.recurrent.dtype).recurrent
    return Snapshot(config, alphabet, parameters, h, state.update, loss, lines)


# --- Saving ---


def serialize_checkpoint(checkpoint: Checkpoint) -> list[bytes | memoryview]:
    """Return the pieces of a checkpoint's file."""
    state, best = checkpoint.state, checkpoint.best
    groups: dict[str, Arrays] = {
        "": {**state.parameters, "h": state.hidden.recurrent}, "M.": state.M, "N.": state.N, "average.": state.average,
        "best.": {} if best is None else {**best.parameters, "h": best.h},
    }  # fmt: skip
    tensors: dict[str, NDArray[Any]] = {
        prefix + name: array for prefix, arrays in groups.items() for name, array in arrays.items()
    }
    numbers = {name: getattr(state, name) for name in (*_INTEGERS, *_FLOATS)}
    description = describe_model(checkpoint.config, checkpoint.alphabet, state.parameters) | {
        "corpus_sha256": checkpoint.corpus_sha256,
        "state": {name: None if math.isnan(value) else value for name, value in numbers.items()},
        "best": None if best is None else best.describe(),
        **{name: getattr(checkpoint, name) for name in _LOSSES},
        "sample_generator": state.sample_generator.bit_generator.state,
    }
    if (ngrams := state.parameters.ngrams) is not None:
        tensors |= {"history": state.hidden.history, **ngram_tensors(ngrams)}
        if ngrams.pretrained is not None:
            description["pretrained"] = describe_ngrams(ngrams.pretrained)
            tensors |= ngram_tensors(ngrams.pretrained, _PRETRAINED)
    return serialize_tensors(json.dumps(description), tensors | checkpoint.lines.tensors())


# --- Loading ---


def load_checkpoint(path: Path) -> Checkpoint:
    """Load the checkpoint of a run."""
    loaded = _load(path)
    if isinstance(loaded, Checkpoint):
        return loaded
    raise ElmanError(f"{quote(path)} contains only a network, not a run that can be resumed; pass a run's checkpoint")


def load_network(path: Path) -> Snapshot:
    """Load the network of a file with a single network, or the last network of a checkpoint."""
    loaded = _load(path)
    return loaded if isinstance(loaded, Snapshot) else loaded.last


def _load(path: Path) -> Checkpoint | Snapshot:
    """Return the checkpoint of a run, or the network of a file with a single network."""
    json_text, tensors = read_tensors(path)
    try:
        description = dict(parse_strict_json(json_text))
        check_format(path, description)
        return _restore(description, tensors)
    except VersionError:
        raise
    except (ElmanError, LookupError, TypeError, ValueError, ArithmeticError) as error:
        problem = f"is not damaged, but not in the format that this version of Elman reads ({safe_message(error)})"
        raise ElmanError(
            f"checkpoint {quote(path)} {problem}; use the version that wrote it, or train again"
        ) from error


def _restore(description: dict[str, Any], tensors: dict[str, Array]) -> Checkpoint | Snapshot:
    require_int(description["format"], "format")
    config = Config(**description["config"])
    if config.layers > len(tensors):  # checked before the shapes of so many layers are listed
        raise ElmanError(f"too few arrays for {config.layers} layers")
    alphabet = Alphabet(require_str(description["alphabet"], "alphabet"), has_unknown=config.min_count > 0)
    net, lines = config.architecture(alphabet), LineData.pop(tensors, config)
    parameters = Parameters(net, {}, _restore_ngrams(description, net, tensors) if net.context_length else None)
    empty = Snapshot(config, alphabet, parameters, np.zeros(0), lines=lines)
    if "network" not in description:
        return _restore_run(description, tensors, empty)
    _check_tensors(tensors, net.shapes() | {"h": (net.state_size,)}, config)
    return _restore_network(empty, tensors, description["network"])


def _restore_ngrams(description: dict[str, Any], net: Architecture, tensors: dict[str, Array]) -> NgramModel:
    """Remove the tensors of the n-gram model, and return the model."""
    own, before = pop_ngram_tensors(tensors), pop_ngram_tensors(tensors, _PRETRAINED)
    ngrams = restore_ngrams(description["ngrams"], own, net.ngram_spec)
    if "pretrained" not in description:
        return ngrams
    return replace(ngrams, pretrained=restore_ngrams(description["pretrained"], before, net.ngram_spec, _PRETRAINED))


def _restore_network(empty: Snapshot, arrays: Arrays, description: dict[str, Any]) -> Snapshot:
    """Return a network with the arrays of a file, once they are valid, in place of its placeholders."""
    return replace(
        empty,
        parameters=empty.parameters.with_arrays({name: array for name, array in arrays.items() if name != "h"}),
        h=arrays["h"],
        update=require_int(description["update"], "update"),
        validation_loss=_restore_loss(description, "validation_loss"),
    )


def _restore_run(description: dict[str, Any], tensors: dict[str, Array], empty: Snapshot) -> Checkpoint:
    config, net = empty.config, empty.parameters.architecture
    best, moments, shapes = description.get("best"), OPTIMIZERS[config.optimizer].moments, net.shapes()
    groups = {
        "": shapes, "M.": shapes if "M" in moments else {}, "N.": shapes if "N" in moments else {},
        "average.": shapes if config.ema_decay > 0 else {},
        "best.": {} if best is None else shapes | {"h": (net.state_size,)},
    }  # fmt: skip
    batch = () if config.batch_size == 1 else (config.batch_size,)
    history = _restore_history(net, batch, tensors)
    expected = {prefix + name: shape for prefix, group in groups.items() for name, shape in group.items()}
    _check_tensors(tensors, expected | {"h": (*batch, net.state_size)}, config)
    arrays = {prefix: {name: tensors[prefix + name] for name in group} for prefix, group in groups.items()}
    parameters, hidden = empty.parameters.with_arrays(arrays[""]), State(tensors["h"], history)
    generator, numbers = _restore_generator(description["sample_generator"]), _restore_numbers(description["state"])
    state = TrainState(parameters, arrays["M."], hidden, generator, arrays["N."], arrays["average."], **numbers)
    snapshot = None if best is None else _restore_network(empty, arrays["best."], best)
    if snapshot is not None:
        require_finite(snapshot.validation_loss, "validation_loss")
        if snapshot.update > state.update:
            raise ValueError("the best network is from a later update than the state")
    losses = {name: _restore_loss(description, name) for name in _LOSSES}
    sha256 = require_sha256(description["corpus_sha256"])
    return Checkpoint(config, empty.alphabet, sha256, state, snapshot, lines=empty.lines, **losses)


def _restore_history(net: Architecture, batch: tuple[int, ...], tensors: dict[str, Array]) -> NDArray[np.int32]:
    """Remove the last characters read, see `State`, from the tensors, and return them."""
    shape = (*batch, net.context_length)
    codes: NDArray[Any] = tensors.pop("history") if net.context_length else np.zeros(shape, np.int32)
    is_read = (codes > 0).astype(np.int8)  # from some position on
    is_of_type = codes.dtype == np.int32 and codes.shape == shape
    if not is_of_type or codes.min(initial=0) < 0 or codes.max(initial=0) > net.K or (np.diff(is_read) < 0).any():
        raise ElmanError("the history is not one of characters")
    return codes


def _check_tensors(tensors: dict[str, Array], expected: dict[str, tuple[int, ...]], config: Config) -> None:
    if {name: array.shape for name, array in tensors.items()} != expected:
        raise ElmanError("array shapes do not match the configuration")
    for name, array in tensors.items():
        if array.dtype != config.dtype or not np.isfinite(array).all():
            raise ElmanError(f"{name} is not an array of finite {config.dtype} values")


def _restore_loss(description: dict[str, Any], name: str) -> float | None:
    return None if description[name] is None else require_finite(description[name], name)


def _restore_generator(state: Any) -> np.random.Generator:
    generator = np.random.Generator(np.random.PCG64())
    generator.bit_generator.state = state
    if generator.bit_generator.state != state:  # NumPy truncates numbers that are too large
        raise ValueError("the state of the sample generator is not one of PCG64")
    return generator


def _restore_numbers(numbers: dict[str, Any]) -> dict[str, Any]:
    integers = {name: require_int(numbers[name], name) for name in _INTEGERS}
    if integers["minimum_at"] > integers["update"]:
        raise ValueError("minimum_at is later than the update of the state")
    losses = {name: _restore_loss(numbers, name) for name in _FLOATS}
    return integers | {name: math.nan if value is None else value for name, value in losses.items()}
