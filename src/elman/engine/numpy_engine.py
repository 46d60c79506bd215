"""The ``numpy`` engine: runs `elman.network` as written, one window at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.engine.protocol import (
    WORST,
    Indices,
    SegmentLosses,
    StepCallback,
    TrainState,
    no_callback,
    run_in_chunks,
    training_folds,
)
from elman.network import model, ngram, output
from elman.network.optimizer import Optimizer
from elman.network.output import Prior
from elman.network.parameters import Array, Arrays, LossAndGradients, Parameters, architecture
from elman.network.sampling import SamplingParams
from elman.text import Windows

_CHUNK = 256
"""Characters of a segment whose logits are in memory at once."""


class NumpyEngine:
    """The reference implementation, readable rather than fast."""

    name = "numpy"

    def advance(
        self,
        state: TrainState,
        windows: Windows,
        updates: int,
        optimizer: Optimizer,
        callback: StepCallback = no_callback,
    ) -> NDArray[np.float64]:
        """See `elman.engine.Engine.advance`."""

        def run_chunk(losses: NDArray[np.float64]) -> Array:
            """Make as many updates as `losses` is long; return the hidden state h."""
            for n in range(len(losses)):
                if windows.begins_epoch(state.position):
                    state.position, state.h = 0, np.zeros_like(state.h)
                x, y = windows.at(state.position)
                state.update += 1
                masks, folds = _masks(optimizer, state, x), training_folds(state.parameters, windows, state.position)
                weight_masks = _weight_masks(optimizer, state)
                parameters = state.parameters.with_arrays(_multiply(state.parameters, weight_masks))
                losses[n], gradients, _, state.h = model.loss_and_gradients(parameters, state.h, x, y, masks, folds)
                gradients = _multiply(gradients, weight_masks)
                optimizer.update(state.update, state.parameters, state.M, state.N, state.average, gradients)
                state.position += windows.seq_length
                state.epoch = state.update // windows.per_epoch
            return state.h

        return run_in_chunks(updates, state.update, run_chunk, callback)

    def loss(self, parameters: Parameters, h0: Array, x: Indices, y: Indices) -> tuple[Any, Array]:
        """See `elman.engine.Engine.loss`."""
        return model.loss(parameters, h0, x, y)

    def loss_and_gradients(self, parameters: Parameters, h0: Array, x: Indices, y: Indices) -> LossAndGradients:
        """See `elman.engine.Engine.loss_and_gradients`."""
        return model.loss_and_gradients(parameters, h0, x, y)

    def session(self, parameters: Parameters) -> NumpySession:
        """See `elman.engine.Engine.session`."""
        return NumpySession(parameters)


@dataclass(frozen=True)
class NumpySession:
    """See `elman.engine.InferenceSession`."""

    parameters: Parameters

    def losses(self, h: Array, x: Indices, y: Indices) -> tuple[NDArray[np.float64], Array]:
        """See `elman.engine.InferenceSession.losses`."""
        o, h = model.logits(self.parameters, h, x)
        return output.losses(o, y).astype(np.float64), h

    def logits(self, h: Array, x: Indices) -> tuple[Array, Array]:
        """See `elman.engine.InferenceSession.logits`."""
        pairs = []
        for t in range(len(x)):
            o, h = model.logits(self.parameters, h, x[t : t + 1])
            pairs.append((o[0], h))
        o, states = (np.stack(arrays) for arrays in zip(*pairs, strict=True))
        return o, states

    def prior(self, h: Array, x: Indices) -> Prior:
        """See `elman.engine.InferenceSession.prior`."""
        assert self.parameters.ngrams is not None
        assert self.parameters.uses_prior
        history = h[:, architecture(self.parameters).recurrent_size :]
        log_q, matched, _ = ngram.read(self.parameters.ngrams, history, x, dtype=h.dtype)
        return Prior(log_q, matched)

    def segment_losses(
        self, h: Array, text: Indices, starts: NDArray[np.intp], lengths: NDArray[np.intp]
    ) -> SegmentLosses:
        """See `elman.engine.InferenceSession.segment_losses`."""
        if self.parameters.counts_reading:
            return NumpySession(self.parameters.frozen()).segment_losses(h, text, starts, lengths)
        result = SegmentLosses.zeros(len(starts))
        for n in np.flatnonzero(lengths):
            losses = self._char_losses(h, text[starts[n] : starts[n] + lengths[n] + 1])
            highest = np.sort(losses)[::-1][:WORST]
            result.nats[n], result.worst[n] = losses.sum(), losses.argmax()
            result.worst_nats[n, : len(highest)] = highest
        return result

    def _char_losses(self, h: Array, text: Indices) -> NDArray[np.float64]:
        """Return -log p of every character of a text but the first."""
        states, chunks = h[None], []
        for first in range(0, len(text) - 1, _CHUNK):
            chunk = text[first : first + _CHUNK + 1, None]
            losses, states = self.losses(states, chunk[:-1], chunk[1:])
            chunks.append(losses[:, 0])
        return np.concatenate(chunks)

    def generate(
        self, h: Array, x: NDArray[np.integer], uniforms: NDArray[np.float64], sampling: Sequence[SamplingParams]
    ) -> tuple[NDArray[np.intp], Array]:
        """See `elman.engine.InferenceSession.generate`."""
        characters = np.empty(uniforms.shape, np.intp)
        weights = np.array([params.ngram_weight for params in sampling])
        for n, row in enumerate(uniforms):
            o, h = model.logits(self.parameters, h, x[None].astype(np.uint32), weights)
            characters[n] = [params.sample(*pair) for params, *pair in zip(sampling, o[0], row, strict=True)]
            x = characters[n]
        return characters, h


def _masks(optimizer: Optimizer, state: TrainState, x: Indices) -> list[Array] | None:
    """Return the dropout mask of every layer for update `state.update` on x (T,) or (T, B); None without dropout."""
    if optimizer.dropout is None:
        return None
    network, B = architecture(state.parameters), x.shape[1] if x.ndim == 2 else None
    return optimizer.dropout.masks(state.update, network.layers, len(x), B, network.m, state.h.dtype)


def _weight_masks(optimizer: Optimizer, state: TrainState) -> Arrays:
    """Return the masks of weight dropout for update `state.update`, by the names of the matrices they multiply."""
    return {} if optimizer.weight_dropout is None else optimizer.weight_dropout.masks(state.update, state.parameters)


def _multiply(arrays: Mapping[str, Array], masks: Arrays) -> Arrays:
    """Return parameters or gradients, those that have a mask multiplied by it."""
    return {**arrays, **{name: arrays[name] * mask for name, mask in masks.items()}}
