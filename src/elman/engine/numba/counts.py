"""Inference with a model of n-gram counts alone: a network without hidden units, whose logits are c + alpha log q.

T  number of characters, B  batch size, K  size of the alphabet
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elman.engine.numpy_engine import sample_characters
from elman.engine.protocol import WORST, Indices, SegmentLosses
from elman.network import output
from elman.network.parameters import Array, Parameters
from elman.network.sampling import SamplingParams
from elman.network.state import PriorValues, State
from elman.ngram.language_model import read_compiled

MAX_LOGITS = 1 << 22
"""Approximate number of logits that are in memory at once."""


@dataclass(frozen=True)
class CountsSession:
    """See `elman.engine.InferenceSession`; only the counts are read by compiled code."""

    parameters: Parameters

    def prior(self, state: State, x: Indices) -> PriorValues:
        """See `elman.engine.InferenceSession.prior`."""
        model = self.parameters.prior.model_of(state)
        assert model is not None
        log_q, matched, _ = read_compiled(model, state.history, x, dtype=state.recurrent.dtype)
        return PriorValues(log_q, matched)

    def logits(self, state: State, x: Indices, ngram_weight: float | Array = 1.0) -> tuple[Array, State]:
        """See `elman.engine.InferenceSession.logits`."""
        values: PriorValues | None
        h, prior = np.zeros((*x.shape, 0), state.recurrent.dtype), self.parameters.prior
        if len(x) == 1 and (model := prior.model_of(state)):  # as in `Model.step`, where every microsecond counts
            log_q, matched, history = read_compiled(model, state.history, x, dtype=h.dtype)
            values, histories = PriorValues(log_q, matched), history[None]
        else:
            values, histories = self.prior(state, x) if prior.is_on else None, prior.histories(state.history, x)[1:]
        return output.logits(self.parameters, h, values, ngram_weight), State(h, histories, state.counts)

    def losses(self, state: State, x: Indices, y: Indices) -> tuple[NDArray[np.float64], State]:
        """See `elman.engine.InferenceSession.losses`."""
        T, B = x.shape
        steps = max(1, MAX_LOGITS // (B * self.parameters.architecture.K))
        losses = np.empty((T, B))
        for part in (slice(first, first + steps) for first in range(0, T, steps)):
            o, states = self.logits(state, x[part])
            losses[part], state = output.losses(o, y[part]), states.select(-1)
        return losses, state

    def segment_losses(
        self, state: State, text: Indices, starts: NDArray[np.intp], lengths: NDArray[np.intp]
    ) -> SegmentLosses:
        """See `elman.engine.InferenceSession.segment_losses`; segments of one length are a batch."""
        result, state = SegmentLosses.zeros(len(starts)), state.freeze()
        for T in np.unique(lengths[lengths > 0]).tolist():
            same, rows = np.flatnonzero(lengths == T), max(1, MAX_LOGITS // (T * self.parameters.architecture.K))
            for batch in (same[first : first + rows] for first in range(0, len(same), rows)):
                segments = text[np.arange(T + 1)[:, None] + starts[batch]]
                losses, _ = self.losses(state.tile(len(batch)), segments[:-1], segments[1:])
                highest = -np.sort(-losses, axis=0)[:WORST].T
                result.nats[batch], result.worst[batch] = losses.sum(axis=0), losses.argmax(axis=0)
                result.worst_nats[batch, : highest.shape[1]] = highest
        return result

    def generate(
        self, state: State, x: NDArray[np.integer], uniforms: NDArray[np.float64], sampling: Sequence[SamplingParams]
    ) -> tuple[NDArray[np.intp], State]:
        """See `elman.engine.InferenceSession.generate`."""

        def step(state: State, x: Indices, weights: Array) -> tuple[Array, State]:
            o, states = self.logits(state, x, weights)
            return o, states.select(-1)

        return sample_characters(step, state, x, uniforms, sampling)
