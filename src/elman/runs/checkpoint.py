"""Checkpoints of a run, and the reader of these and of the files of single networks.

A file has tensors and a JSON description in safetensors, no code. A run's tensors are those of `TrainState`: the
parameters by name; ``M.U`` …, ``N.U`` … and ``average.U`` … where the optimizer has these moments and average; ``h``
and, with an n-gram prior, ``history``, the last characters read; and, where there is a best network, ``best.U`` … and
``best.h``. ``ngrams.strings`` … are the arrays of the prior and, of a fine-tuned run, ``pretrained.ngrams.strings`` …
those of the model it started from, both as in `elman.ngram.file`; the arrays of independent lines are those of
`elman.inference.snapshot`. The description contains the configuration, the alphabet, the numbers of the state and
NumPy's state of the generator of samples.
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
from elman.inference.snapshot import FORMAT, NO_LINE_DATA, LineData, Snapshot, describe_model
from elman.network.optimizers import OPTIMIZERS
from elman.network.parameters import Array, Arrays, Parameters
from elman.network.state import State
from elman.ngram.file import PREFIX, describe_ngrams, ngram_tensors, pop_ngram_tensors, restore_ngrams
from elman.ngram.model import NgramModel
from elman.storage.atomic import replace_file
from elman.storage.tensors import corrupt_checkpoint_error, read_tensors, serialize_with_digest
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

_INTEGERS = ("position", "update", "epoch", "minimum_at", "prior_since")
_FLOATS = ("smooth_loss", "minimum_smooth_loss", "seconds", "spent")
"""Numbers of the state, which the description has under ``state``."""
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
    """The validation loss of the last network, where the run has ended and that network is better than `best`."""
    lines: LineData = NO_LINE_DATA
    whole_loss: float | None = None
    """The validation loss of the selected network on the whole validation set, where validations read a part of it."""

    @property
    def selected(self) -> Snapshot:
        """The network selected for use: the best, or the last where that is better or nothing was held out."""
        network = self.best if self.best is not None and self.last_loss is None else self.last
        loss = network.validation_loss if self.whole_loss is None else self.whole_loss
        return replace(network, validation_loss=loss, lines=self.lines)

    @property
    def last(self) -> Snapshot:
        """The network of the current state."""
        return take_snapshot(self.config, self.alphabet, self.state, self.last_loss, self.lines)


def take_snapshot(
    config: Config,
    alphabet: Alphabet,
    state: TrainState,
    validation_loss: float | None = None,
    lines: LineData = NO_LINE_DATA,
) -> Snapshot:
    """Return the current network of a training state, whose arrays are not copied."""
    h = state.final_hidden.recurrent
    return Snapshot(config, alphabet, state.eval_parameters, h, state.update, validation_loss, lines)


# --- Saving ---


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint atomically: at every instant one complete checkpoint exists."""
    replace_file(path, serialize_checkpoint(checkpoint))


def serialize_checkpoint(checkpoint: Checkpoint) -> bytes:
    """Return the bytes of a checkpoint's file."""
    state, best = checkpoint.state, checkpoint.best
    groups: dict[str, Arrays] = {
        "": {**state.parameters, "h": state.hidden.recurrent},
        "M.": state.M,
        "N.": state.N,
        "average.": state.average,
        "best.": {} if best is None else {**best.parameters, "h": best.h},
    }
    tensors: dict[str, NDArray[Any]] = {
        prefix + name: array for prefix, arrays in groups.items() for name, array in arrays.items()
    }
    numbers = {name: getattr(state, name) for name in (*_INTEGERS, *_FLOATS)}
    description = describe_model(checkpoint.config, checkpoint.alphabet, state.parameters) | {
        "corpus_sha256": checkpoint.corpus_sha256,
        "state": {name: None if math.isnan(value) else value for name, value in numbers.items()},
        "best": None if best is None else best.describe(),
        "last_loss": checkpoint.last_loss,
        "whole_loss": checkpoint.whole_loss,
        "sample_generator": state.sample_generator.bit_generator.state,
    }
    if (ngrams := state.parameters.ngrams) is not None:
        tensors |= {"history": state.hidden.history, **ngram_tensors(ngrams)}
        if ngrams.pretrained is not None:
            description["pretrained"] = describe_ngrams(ngrams.pretrained)
            tensors |= ngram_tensors(ngrams.pretrained, _PRETRAINED)
    return serialize_with_digest(json.dumps(description), tensors | checkpoint.lines.tensors())


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


def load_network(path: Path) -> Snapshot:
    """Load the network of a file of its own, or the last network of a checkpoint."""
    contents = _read(path)
    with _readable_errors(path):
        return contents.restore_network() if contents.is_network else contents.restore_checkpoint().last


@contextmanager
def _readable_errors(path: Path) -> Iterator[None]:
    """Turn any error in the description into one line."""
    try:
        yield
    except (ElmanError, LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise corrupt_checkpoint_error(path, f"its description is invalid ({safe_message(error)})") from error


def _read(path: Path) -> _Contents:
    json_text, tensors = read_tensors(path, PREFIX)
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
        self.net = self.config.architecture(self.alphabet)
        self.is_network = "network" in description
        self.lines = LineData.pop(tensors, self.config)
        self.ngrams = self._restore_ngrams(tensors)
        self.tensors = tensors

    def _restore_ngrams(self, tensors: dict[str, Array]) -> NgramModel | None:
        """Return the n-gram model, or None if the network has no prior; its tensors are removed from the others."""
        if not self.net.order:
            return None
        description, network = self.description, (self.net.K, self.net.order, self.net.reset_at)
        own, before = pop_ngram_tensors(tensors), pop_ngram_tensors(tensors, _PRETRAINED)
        ngrams = restore_ngrams(description["ngrams"], own, *network)
        if "pretrained" not in description:
            return ngrams
        return replace(ngrams, pretrained=restore_ngrams(description["pretrained"], before, *network, _PRETRAINED))

    def restore_network(self) -> Snapshot:
        """Return the network of a file of its own."""
        self._check_tensors(self.net.shapes() | {"h": (self.net.state_size,)})
        return self._snapshot(self.tensors, self.description["network"], loss_required=False)

    def restore_checkpoint(self) -> Checkpoint:
        """Return the checkpoint of a run."""
        config, description, parameters = self.config, self.description, self.net.shapes()
        best = description.get("best")
        groups = {
            "": parameters,
            "M.": parameters if "M" in OPTIMIZERS[config.optimizer].moments else {},
            "N.": parameters if "N" in OPTIMIZERS[config.optimizer].moments else {},
            "average.": parameters if config.ema_decay > 0 else {},
            "best.": {} if best is None else parameters | {"h": (self.net.state_size,)},
        }
        expected = {prefix + name: shape for prefix, group in groups.items() for name, shape in group.items()}
        batch = () if config.batch_size == 1 else (config.batch_size,)
        history = self._restore_history(batch)
        self._check_tensors(expected | {"h": (*batch, self.net.state_size)})
        arrays = {prefix: {name: self.tensors[prefix + name] for name in group} for prefix, group in groups.items()}
        state = TrainState(
            parameters=self._parameters(arrays[""]),
            M=arrays["M."],
            hidden=State(self.tensors["h"], history),
            N=arrays["N."],
            average=arrays["average."],
            sample_generator=_restore_generator(description["sample_generator"]),
            **_restore_numbers(description["state"]),
        )
        snapshot = None if best is None else self._snapshot(arrays["best."], best, loss_required=True)
        if snapshot is not None and snapshot.update > state.update:
            raise ValueError("the best network is from a later update than the state")
        last_loss, whole_loss = (
            None if description[name] is None else require_finite(description[name], name)
            for name in ("last_loss", "whole_loss")
        )
        sha256 = require_sha256(description["corpus_sha256"])
        return Checkpoint(config, self.alphabet, sha256, state, snapshot, last_loss, self.lines, whole_loss)

    def _restore_history(self, batch: tuple[int, ...]) -> NDArray[np.int32]:
        """Return the last characters read, see `State`; they are removed from the other tensors."""
        nothing = np.zeros((*batch, self.net.order), np.int32)
        codes: NDArray[Any] = self.tensors.pop("history") if self.net.order else nothing
        is_read = (codes > 0).astype(np.int8)  # from some position on
        if (
            (codes.dtype, codes.shape) != (nothing.dtype, nothing.shape)
            or codes.min(initial=0) < 0
            or codes.max(initial=0) > self.net.K
            or (np.diff(is_read) < 0).any()
        ):
            raise ElmanError("the history is not one of characters")
        return codes

    def _check_tensors(self, expected: dict[str, tuple[int, ...]]) -> None:
        if {name: array.shape for name, array in self.tensors.items()} != expected:
            raise ElmanError("array shapes do not match the configuration")
        for name, array in self.tensors.items():
            if array.dtype != self.config.dtype or not np.isfinite(array).all():
                raise ElmanError(f"{name} is not an array of finite {self.config.dtype} values")

    def _parameters(self, arrays: Arrays) -> Parameters:
        return Parameters(self.net, {name: array for name, array in arrays.items() if name != "h"}, self.ngrams)

    def _snapshot(self, arrays: Arrays, description: dict[str, Any], *, loss_required: bool) -> Snapshot:
        """Return a network; one that was imported has no validation loss."""
        update, loss = require_int(description["update"], "update"), description["validation_loss"]
        if loss is not None or loss_required:
            loss = require_finite(loss, "validation_loss")
        return Snapshot(self.config, self.alphabet, self._parameters(arrays), arrays["h"], update, loss, self.lines)


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
