"""The ``numpy`` engine: runs `elman.network` as written, one window at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from elman.engine.protocol import WORST, Callback, Indices, SegmentLosses, TrainState, run_in_chunks, training_folds
from elman.network import bptt, output
from elman.network.optimizer import Optimizer
from elman.network.parameters import Array, Arrays, LossAndGradients, Parameters
from elman.network.sampling import SamplingParams
from elman.network.state import PriorValues, State, stack_states
from elman.text import Windows

_CHUNK = 256
"""Characters of a segment for which the logits are in memory at once."""


class NumpyEngine:
    """The reference implementation, readable rather than fast."""

    name = "numpy"

    def advance(
        self, state: TrainState, windows: Windows, updates: int, optimizer: Optimizer, callback: Callback | None = None
    ) -> NDArray[np.float64]:
        """See `elman.engine.Engine.advance`."""

        def run_chunk(losses: NDArray[np.float64]) -> State:
            """Make as many updates as `losses` is long; return the hidden state."""
            for n in range(len(losses)):
                if windows.begins_epoch(state.position):
                    state.position, state.hidden = 0, state.hidden.reset()
                x, y = windows.at(state.position)
                state.update += 1
                masks, folds = _masks(optimizer, state, x), training_folds(state.parameters, windows, state.position)
                dropout = optimizer.weight_dropout
                weight_masks = dropout.masks(state.update, state.parameters) if dropout else {}
                parameters = state.parameters.with_arrays(_multiply(state.parameters, weight_masks))
                losses[n], gradients, _, state.hidden = bptt.loss_and_gradients(
                    parameters, state.hidden, x, y, masks, folds
                )
                gradients = _multiply(gradients, weight_masks)
                optimizer.update(state.update, state.parameters, state.M, state.N, state.average, gradients)
                state.position += windows.seq_length
                state.epoch = state.update // windows.per_epoch
            return state.hidden

        return run_in_chunks(updates, state.update, run_chunk, callback)

    def loss_and_gradients(self, parameters: Parameters, state: State, x: Indices, y: Indices) -> LossAndGradients:
        """See `elman.engine.Engine.loss_and_gradients`."""
        return bptt.loss_and_gradients(parameters, state, x, y)

    def session(self, parameters: Parameters) -> NumpySession:
        """See `elman.engine.Engine.session`."""
        return NumpySession(parameters)


@dataclass(frozen=True)
class NumpySession:
    """See `elman.engine.InferenceSession`."""

    parameters: Parameters

    def losses(self, state: State, x: Indices, y: Indices) -> tuple[NDArray[np.float64], State]:
        """See `elman.engine.InferenceSession.losses`."""
        o, state = bptt.logits(self.parameters, state, x)
        return output.losses(o, y).astype(np.float64), state

    def logits(self, state: State, x: Indices) -> tuple[Array, State]:
        """See `elman.engine.InferenceSession.logits`."""
        logits, states = list[Array](), list[State]()
        for t in range(len(x)):
            o, state = bptt.logits(self.parameters, state, x[t : t + 1])
            logits.append(o[0])
            states.append(state)
        return np.stack(logits), stack_states(states)

    def prior(self, state: State, x: Indices) -> PriorValues:
        """See `elman.engine.InferenceSession.prior`."""
        values, _ = self.parameters.prior.read(state, x)
        assert values is not None
        return values

    def segment_losses(
        self, state: State, text: Indices, starts: NDArray[np.intp], lengths: NDArray[np.intp]
    ) -> SegmentLosses:
        """See `elman.engine.InferenceSession.segment_losses`."""
        result, state = SegmentLosses.zeros(len(starts)), state.freeze()
        for n in np.flatnonzero(lengths):
            losses = self._char_losses(state, text[starts[n] : starts[n] + lengths[n] + 1])
            highest = np.sort(losses)[::-1][:WORST]
            result.nats[n], result.worst[n] = losses.sum(), losses.argmax()
            result.worst_nats[n, : len(highest)] = highest
        return result

    def _char_losses(self, state: State, text: Indices) -> NDArray[np.float64]:
        """Return -log p of every character of a text except the first."""
        states, chunks = state.reshape(1), []
        for first in range(0, len(text) - 1, _CHUNK):
            chunk = text[first : first + _CHUNK + 1, None]
            losses, states = self.losses(states, chunk[:-1], chunk[1:])
            chunks.append(losses[:, 0])
        return np.concatenate(chunks)

    def generate(
        self, state: State, x: NDArray[np.integer], uniforms: NDArray[np.float64], sampling: Sequence[SamplingParams]
    ) -> tuple[NDArray[np.intp], State]:
        """See `elman.engine.InferenceSession.generate`."""
        return sample_characters(partial(bptt.logits, self.parameters), state, x, uniforms, sampling)


def sample_characters(
    step: Callable[..., tuple[Array, State]],
    state: State,
    x: NDArray[np.integer],
    uniforms: NDArray[np.float64],
    sampling: Sequence[SamplingParams],
) -> tuple[NDArray[np.intp], State]:
    """Generate as a session does; `step` feeds characters (1, B) with the prior's weights (B,)."""
    characters = np.empty(uniforms.shape, np.intp)
    weights = np.array([params.ngram_weight for params in sampling])
    for n, row in enumerate(uniforms):
        o, state = step(state, x[None].astype(np.uint32), weights)
        characters[n] = [params.sample(*pair) for params, *pair in zip(sampling, o[0], row, strict=True)]
        x = characters[n]
    return characters, state


def _masks(optimizer: Optimizer, state: TrainState, x: Indices) -> list[Array] | None:
    """Return the dropout mask of every layer for update `state.update` on x (T,) or (T, B); None without dropout."""
    if optimizer.dropout is None:
        return None
    network, B = state.parameters.architecture, x.shape[1] if x.ndim == 2 else None
    return optimizer.dropout.masks(state.update, network.layers, len(x), B, network.m, state.hidden.recurrent.dtype)


def _multiply(arrays: Mapping[str, Array], masks: Arrays) -> Arrays:
    """Return parameters or gradients; arrays that have a mask are multiplied by it."""
    return {**arrays, **{name: arrays[name] * mask for name, mask in masks.items()}}
