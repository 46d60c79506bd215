"""Data parallel training: process 0 runs the training loop, and the other processes of torchrun follow it.

Process 0 alone reads the text, validates, prints and writes. It sends the others what one call of `Engine.advance`
needs: the text and the training state once, then only the number of updates and the optimizer's settings.
"""

from __future__ import annotations

import json
import signal
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from safetensors.numpy import load, save

from elman.engine.callbacks import StepCallback
from elman.engine.state import TrainState
from elman.engine.torch.collectives import broadcast_bytes, join_processes
from elman.engine.torch.device import find_device
from elman.engine.torch.state_versions import COUNTS, LastState
from elman.engine.torch.step import StepCache
from elman.engine.torch.training import advance
from elman.network.dropout import Dropout, WeightDropout
from elman.network.ngram import NgramModel
from elman.network.optimizer import Optimizer
from elman.network.parameters import Array, Parameters
from elman.text import Windows

_MESSAGE = "message"
_KINDS = ("parameters", "M", "N", "average")
_NGRAM_FIELDS = ("K", "order", "discount", "folds", "offset")
_WINDOW_FIELDS = ("seq_length", "batch_size", "cross_fit")

_in_advance = False
"""Whether process 0 is in the middle of a call that the others take part in."""


class Leader:
    """Process 0. Remembers what the others have, and sends them what has changed.

    Parameters
    ----------
    device : torch.device
    mixed_precision : bool
        See `elman.engine.torch.engine.TorchEngine`.
    """

    def __init__(self, device: torch.device, mixed_precision: bool) -> None:
        self.device, self.mixed_precision = device, mixed_precision
        self.windows: Windows | None = None
        self.last_state = LastState()
        self.steps: StepCache | None = None

    def advance(
        self, state: TrainState, windows: Windows, updates: int, optimizer: Optimizer, callback: StepCallback
    ) -> NDArray[np.float64]:
        """See `elman.engine.Engine.advance`."""
        global _in_advance
        steps = self.steps = self.steps or StepCache(self.device, self.mixed_precision, join_processes())
        message: dict[str, Any] = {
            "updates": updates,
            "optimizer": asdict(optimizer),
            "device": self.device.type,
            "mixed_precision": self.mixed_precision,
        }
        arrays: dict[str, Any] = {}
        if windows is not self.windows:
            message["windows"], arrays["windows.indices"] = _fields(windows, _WINDOW_FIELDS), windows.indices
        if self.last_state.differs_from(state):
            message["state"] = _describe_state(state)
            arrays |= _state_arrays(state)
        _in_advance = True
        _send(message, arrays)

        def agreed(h: Array, losses: NDArray[np.float64]) -> bool:
            return steps.collectives.agree(callback(h, losses))

        losses = advance(state, windows, updates, optimizer, agreed, steps)
        _in_advance = False
        self.windows = windows
        self.last_state.remember(state)
        return losses


def release_followers() -> None:
    """Let the other processes end. Where process 0 fails in the middle of a call, its closed connection ends them."""
    if dist.is_initialized():
        if not _in_advance:
            _send({"updates": 0}, {})
        dist.destroy_process_group()


def follow() -> int:
    """Take part in the training that process 0 runs, until it ends; return the exit code."""
    collectives = join_processes()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # process 0 decides
    state: TrainState | None = None
    windows: Windows | None = None
    steps: StepCache | None = None
    while True:
        message, arrays = _receive()
        if not message["updates"]:
            dist.destroy_process_group()
            return 0
        if "windows" in message:
            windows = Windows(arrays["windows.indices"], **message["windows"])
        if "state" in message:
            state = _restore_state(message["state"], arrays)
        assert state is not None
        assert windows is not None
        steps = steps or StepCache(find_device(message["device"]), message["mixed_precision"], collectives)
        _advance_as_told(message, state, windows, steps)


def _advance_as_told(message: dict[str, Any], state: TrainState, windows: Windows, steps: StepCache) -> None:
    settings = dict(message["optimizer"])
    dropout, weight_dropout = settings.pop("dropout"), settings.pop("weight_dropout")
    optimizer = Optimizer(
        **settings,
        dropout=dropout and Dropout(**dropout),
        weight_dropout=weight_dropout and WeightDropout(**weight_dropout),
    )

    def agreed(h: Array, losses: NDArray[np.float64]) -> bool:
        return steps.collectives.agree(False)

    advance(state, windows, message["updates"], optimizer, agreed, steps)


def _send(message: dict[str, Any], arrays: dict[str, Any]) -> None:
    text = np.frombuffer(json.dumps(message).encode(), np.uint8)
    broadcast_bytes(save({_MESSAGE: text} | {name: np.ascontiguousarray(array) for name, array in arrays.items()}))


def _receive() -> tuple[dict[str, Any], dict[str, Any]]:
    arrays = load(broadcast_bytes())
    return json.loads(arrays.pop(_MESSAGE).tobytes()), arrays


def _fields(value: object, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(value, name) for name in names}


def _describe_state(state: TrainState) -> dict[str, Any]:
    ngrams = state.parameters.ngrams
    described = None if ngrams is None else _fields(ngrams, _NGRAM_FIELDS)
    names = list(state.parameters)
    return {"cell": state.parameters.cell, "names": names, "counts": _fields(state, COUNTS), "ngrams": described}


def _state_arrays(state: TrainState) -> dict[str, Any]:
    arrays: dict[str, Any] = {"h": state.h}
    for kind in _KINDS:
        arrays |= {f"{kind}.{name}": array for name, array in getattr(state, kind).items()}
    if state.parameters.ngrams is not None:
        arrays["ngrams.text"] = state.parameters.ngrams.text
    return arrays


def _restore_state(description: dict[str, Any], arrays: dict[str, Any]) -> TrainState:
    """Return the training state that process 0 has described; its generator is not used."""
    # In the order of process 0: safetensors sorts by name, and sums over all parameters must be the same everywhere.
    of_kind = {
        kind: {name: arrays[f"{kind}.{name}"] for name in description["names"] if f"{kind}.{name}" in arrays}
        for kind in _KINDS
    }
    described = description["ngrams"]
    ngrams = None if described is None else NgramModel(arrays["ngrams.text"], **described)
    return TrainState(
        Parameters(description["cell"], of_kind["parameters"], ngrams),
        of_kind["M"],
        arrays["h"],
        np.random.default_rng(0),
        of_kind["N"],
        of_kind["average"],
        **description["counts"],
    )
