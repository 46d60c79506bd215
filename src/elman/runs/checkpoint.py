"""Checkpoints of a run and files of a single network: tensors and a JSON description in safetensors, no code.

A run's tensors are those of `TrainState`: the parameters by name; ``M.U`` …, ``N.U`` … and ``average.U`` … where the
optimizer has these moments and average; ``h``; and, where there is a best network, ``best.U`` … and ``best.h``. With an
n-gram prior, ``ngrams.strings`` … are its table and, of a fine-tuned run, ``pretrained.ngrams.strings`` … that of the
model it started from, both as in `elman.inference.network_file`, and so are the arrays of independent lines. The
description contains the configuration, the alphabet, the numbers of the state and NumPy's state of the generator of
samples. A network's file is that of `elman.inference.network_file`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.config import Config
from elman.engine import TrainState
from elman.errors import ElmanError, quote
from elman.inference.network_file import (
    FORMAT,
    NGRAMS,
    NO_LINE_DATA,
    LineData,
    ModelFile,
    NetworkSnapshot,
    describe_model,
    describe_network,
    describe_ngrams,
    network_tensors,
    ngram_tensors,
    pop_ngram_tensors,
    restore_ngrams,
)
from elman.network.ngram import NgramModel
from elman.network.optimizers import OPTIMIZERS
from elman.network.parameters import Architecture, Array, Arrays, Parameters, shapes
from elman.storage.atomic import replace_file
from elman.storage.tensors import corrupt_checkpoint_error, read_tensors, save_tensors, serialize_with_digest
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
from elman.text.lines import find_line_feed

_INTEGERS = ("position", "update", "epoch", "minimum_at")
_FLOATS = ("smooth_loss", "minimum_smooth_loss", "seconds", "overhead")
"""Numbers of the state, which the description has under ``state``."""
_PRETRAINED = "pretrained." + NGRAMS


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The contents of a run's checkpoint: the training state, its settings and text, and the best network so far."""

    config: Config
    alphabet: Alphabet
    corpus_sha256: str
    state: TrainState
    best: NetworkSnapshot | None = None
    """The network with the lowest validation loss."""
    last_loss: float | None = None
    """The validation loss of the last network, where the run has ended and that network is better than `best`."""
    lines: LineData = NO_LINE_DATA
    whole_loss: float | None = None
    """The validation loss of the selected network on the whole validation set, where validations read a part of it."""

    @property
    def selected(self) -> NetworkSnapshot:
        """The network selected for use: the best, or the last where that is better or nothing was held out."""
        network = self.best if self.best is not None and self.last_loss is None else self.last
        return network if self.whole_loss is None else replace(network, validation_loss=self.whole_loss)

    @property
    def last(self) -> NetworkSnapshot:
        """The network of the current state."""
        return NetworkSnapshot(self.state.eval_parameters, self.state.final_hidden, self.state.update, self.last_loss)


# --- Saving ---


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint atomically: at every instant one complete checkpoint exists."""
    replace_file(path, serialize_checkpoint(checkpoint))


def serialize_checkpoint(checkpoint: Checkpoint) -> bytes:
    """Return the bytes of a checkpoint's file."""
    state, best = checkpoint.state, checkpoint.best
    groups: dict[str, Arrays] = {
        "": {**state.parameters, "h": state.h},
        "M.": state.M,
        "N.": state.N,
        "average.": state.average,
        "best.": {} if best is None else {**best.parameters, "h": best.h},
    }
    tensors: dict[str, NDArray[Any]] = {
        prefix + name: array for prefix, arrays in groups.items() for name, array in arrays.items()
    }
    numbers = {name: getattr(state, name) for name in (*_INTEGERS, *_FLOATS)}
    description = _describe_run(checkpoint) | {
        "state": {name: None if math.isnan(value) else value for name, value in numbers.items()},
        "best": None if best is None else describe_network(best),
        "last_loss": checkpoint.last_loss,
        "whole_loss": checkpoint.whole_loss,
        "sample_generator": state.sample_generator.bit_generator.state,
    }
    ngrams = state.parameters.ngrams
    tensors |= ngram_tensors(ngrams)
    if ngrams is not None and ngrams.pretrained is not None:
        description["pretrained"] = describe_ngrams(ngrams.pretrained)
        tensors |= ngram_tensors(ngrams.pretrained, _PRETRAINED)
    return serialize_with_digest(json.dumps(description), tensors | checkpoint.lines.tensors())


def save_network(path: Path, checkpoint: Checkpoint, network: NetworkSnapshot) -> None:
    """Write a network of a run to a file of its own, atomically."""
    description = _describe_run(checkpoint) | {"network": describe_network(network)}
    save_tensors(path, description, network_tensors(network) | checkpoint.lines.tensors())


def _describe_run(checkpoint: Checkpoint) -> dict[str, Any]:
    description = describe_model(checkpoint.config, checkpoint.alphabet, checkpoint.state.parameters.ngrams)
    return description | {"corpus_sha256": checkpoint.corpus_sha256}


# --- Loading ---


def load_checkpoint(path: Path) -> Checkpoint:
    """Load a checkpoint written by `save_checkpoint`.

    Raises
    ------
    ElmanError
        If it does not exist, is truncated, altered or of an unknown format, or contains only a network.
    """
    contents = _read(path)
    if contents.is_network:
        raise ElmanError(
            f"{quote(path)} contains only a network, not a run that can be resumed; pass a run's checkpoint"
        )
    with _readable_errors(path):
        return contents.restore_checkpoint()


def load_network(path: Path) -> ModelFile:
    """Load the network of a file written by `save_network`, or the last network of a checkpoint."""
    contents = _read(path)
    with _readable_errors(path):
        network = contents.restore_network() if contents.is_network else contents.restore_checkpoint().last
    return ModelFile(contents.config, contents.alphabet, network, contents.lines)


def load_selected(path: Path) -> ModelFile:
    """Load the network of a checkpoint that is selected for use."""
    checkpoint = load_checkpoint(path)
    return ModelFile(checkpoint.config, checkpoint.alphabet, checkpoint.selected, checkpoint.lines)


def reset_at(alphabet: Alphabet, config: Config) -> int | None:
    """Return the character before which a network with these settings resets its state, if there is one."""
    return find_line_feed(alphabet) if config.lines else None


@contextmanager
def _readable_errors(path: Path) -> Iterator[None]:
    """Turn any error in the description into one line."""
    try:
        yield
    except (ElmanError, LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise corrupt_checkpoint_error(path, f"its description is invalid ({safe_message(error)})") from error


def _read(path: Path) -> _Contents:
    json_text, tensors = read_tensors(path, NGRAMS)
    with _readable_errors(path):
        return _Contents(parse_strict_json(json_text), tensors)


class _Contents:
    """A file that was read: its description, its settings, and its tensors, which are checked when restored."""

    def __init__(self, description: dict[str, Any], tensors: dict[str, Array]) -> None:
        if description["format"] != FORMAT:
            raise ElmanError(f"format {description['format']}, but this version reads {FORMAT}")
        self.description, self.config = description, Config(**require_bounded_ints(description["config"]))
        if self.config.layers > len(tensors):  # before the shapes of so many layers are listed
            raise ElmanError(f"too few arrays for {self.config.layers} layers")
        characters = require_str(description["alphabet"], "alphabet")
        self.alphabet = Alphabet(characters, has_unknown=self.config.min_count > 0)
        self.is_network = "network" in description
        self.lines = LineData.pop(tensors, self.config)
        self.ngrams = self._restore_ngrams(tensors)
        self.tensors = tensors

    def _restore_ngrams(self, tensors: dict[str, Array]) -> NgramModel | None:
        """Return the n-gram model, or None if the network has no prior; its tensors are removed from the others."""
        config, description = self.config, self.description
        if not config.ngram_order:
            return None
        network = len(self.alphabet), config.ngram_order, reset_at(self.alphabet, config)
        own, before = pop_ngram_tensors(tensors), pop_ngram_tensors(tensors, _PRETRAINED)
        ngrams = restore_ngrams(description["ngrams"], own, *network)
        if "pretrained" not in description:
            return ngrams
        return replace(ngrams, pretrained=restore_ngrams(description["pretrained"], before, *network, _PRETRAINED))

    def restore_network(self) -> NetworkSnapshot:
        """Return the network of a file of its own."""
        self._check_tensors(self._network_shapes())
        network, parameters = self.description["network"], self._parameters(self.tensors)
        return _snapshot(parameters, self.tensors, network, loss_required=False)

    def restore_checkpoint(self) -> Checkpoint:
        """Return the checkpoint of a run."""
        config, description = self.config, self.description
        best = description.get("best")
        network = self._network_shapes()
        parameters = {name: shape for name, shape in network.items() if name != "h"}
        groups = {
            "": parameters,
            "M.": parameters if "M" in OPTIMIZERS[config.optimizer].moments else {},
            "N.": parameters if "N" in OPTIMIZERS[config.optimizer].moments else {},
            "average.": parameters if config.ema_decay > 0 else {},
            "best.": {} if best is None else network,
        }
        expected = {prefix + name: shape for prefix, group in groups.items() for name, shape in group.items()}
        h = network["h"] if config.batch_size == 1 else (config.batch_size, *network["h"])
        self._check_tensors(expected | {"h": h})
        arrays = {prefix: {name: self.tensors[prefix + name] for name in group} for prefix, group in groups.items()}
        state = TrainState(
            parameters=self._parameters(arrays[""]),
            M=arrays["M."],
            h=self.tensors["h"],
            N=arrays["N."],
            average=arrays["average."],
            sample_generator=_restore_generator(description["sample_generator"]),
            **_restore_numbers(description["state"]),
        )
        snapshot = None if best is None else _snapshot(state.parameters, arrays["best."], best, loss_required=True)
        if snapshot is not None and snapshot.update > state.update:
            raise ValueError("the best network is from a later update than the state")
        last_loss, whole_loss = (
            None if description[name] is None else require_finite(description[name], name)
            for name in ("last_loss", "whole_loss")
        )
        sha256 = require_sha256(description["corpus_sha256"])
        return Checkpoint(config, self.alphabet, sha256, state, snapshot, last_loss, self.lines, whole_loss)

    def _network_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every parameter and of h (D,)."""
        config, K = self.config, len(self.alphabet)
        network = Architecture(config.cell, config.layers, K, config.hidden_size, config.ngram_order)
        parameters = shapes(K, config.hidden_size, config.cell, config.layers, config.ngram_order)
        return parameters | {"h": (network.state_size,)}

    def _check_tensors(self, expected: dict[str, tuple[int, ...]]) -> None:
        if {name: array.shape for name, array in self.tensors.items()} != expected:
            raise ElmanError("array shapes do not match the configuration")
        for name, array in self.tensors.items():
            if array.dtype != self.config.dtype or not np.isfinite(array).all():
                raise ElmanError(f"{name} is not an array of finite {self.config.dtype} values")
        if self.ngrams is not None:
            for name in {"h", "best.h"} & self.tensors.keys():
                _check_history(name, self.tensors[name], self.ngrams)

    def _parameters(self, arrays: Arrays) -> Parameters:
        arrays = {name: array for name, array in arrays.items() if name != "h"}
        return Parameters(self.config.cell, arrays, self.ngrams, reset_at(self.alphabet, self.config))


def _snapshot(like: Parameters, arrays: Arrays, description: dict[str, Any], *, loss_required: bool) -> NetworkSnapshot:
    """Return a network with the prior of another; one that was imported has no validation loss."""
    parameters = like.with_arrays({name: array for name, array in arrays.items() if name != "h"})
    update, loss = require_int(description["update"], "update"), description["validation_loss"]
    if loss is not None or loss_required:
        loss = require_finite(loss, "validation_loss")
    return NetworkSnapshot(parameters, arrays["h"], update, loss)


def _check_history(name: str, h: Array, ngrams: NgramModel) -> None:
    """Check the characters that end a state with an n-gram prior; see `elman.network.parameters`."""
    codes = h[..., -ngrams.order :]
    is_read = (codes > 0).astype(np.int8)  # from some position on
    in_range = np.array_equal(codes, np.rint(codes)) and codes.min() >= 0 and codes.max() <= ngrams.K
    if not in_range or (np.diff(is_read) < 0).any():
        raise ElmanError(f"{name} ends with numbers that are not characters")


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
    floats = {name: numbers[name] for name in _FLOATS}
    return integers | {
        name: math.nan if value is None else require_finite(value, name) for name, value in floats.items()
    }
