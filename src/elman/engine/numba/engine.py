"""The compiled kernels behind the door that every engine fits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.engine.callbacks import StepCallback, no_callback, run_in_chunks
from elman.engine.numba import sampling as draw_kernels
from elman.engine.numba.batched import engine
from elman.engine.numba.fused import large_alphabet as wide_rnn
from elman.engine.numba.fused import rnn
from elman.engine.numba.fused.packing import is_wide, pack_squares, pack_weights, scratch, strip, unpack, zeros
from elman.engine.numba.session import NumbaSession
from elman.engine.protocol import Indices
from elman.engine.state import TrainState
from elman.network.model import LossAndGradients
from elman.network.optimizer import EPSILON, Optimizer
from elman.network.parameters import Array, Parameters, architecture
from elman.network.sampling import SamplingParams
from elman.text import Windows

_LOSS_WINDOW = 128
"""Characters whose logits exist at once while a text is scored."""


class NumbaEngine:
    """Compiled with Numba; float32 or float64, as the parameters are.

    Parameters are copied into padded rows when a call begins and back when it ends, which many updates in one
    call make cheap.
    """

    name = "numba"

    def advance(
        self,
        state: TrainState,
        windows: Windows,
        updates: int,
        optimizer: Optimizer,
        callback: StepCallback = no_callback,
    ) -> NDArray[np.float64]:
        """See `elman.engine.Engine.advance`."""
        if not (_vanilla(state.parameters) and windows.batch_size == 1 and _is_references(optimizer)):
            return engine.advance(state, windows, updates, optimizer, callback)
        T, (m, K) = windows.seq_length, state.parameters["U"].shape
        width = state.h.dtype.type
        wide = is_wide(state.parameters)
        weights, squares = pack_weights(state.parameters, wide=wide), pack_squares(state.M, wide=wide)
        room = scratch(weights, state.h, T)
        largest = float(np.finfo(width).max)
        numbers = rnn.AdagradScalars(
            *(width(min(number, largest)) for number in (optimizer.learning_rate, optimizer.clip, EPSILON))
        )

        def stretch(losses: NDArray[np.float64]) -> Array:
            """Do as many updates as `losses` is long; return the state h."""
            place = (numbers, windows.indices, state.position, T, m, K, losses)
            if wide:
                state.position = wide_rnn.advance(weights, squares, room, strip(weights), *place)
            else:
                state.position = rnn.advance(weights, squares, room, *place)
            return room.h[:m]

        losses = run_in_chunks(updates, state.update, stretch, callback)
        unpack(weights, state.parameters, wide=wide)
        unpack(squares, state.M, wide=wide)
        state.h = room.h[:m].copy()
        state.update += len(losses)
        state.epoch = state.update // windows.per_epoch
        return losses

    def loss(self, parameters: Parameters, h0: Array, x: Indices, y: Indices) -> tuple[Any, Array]:
        """See `elman.engine.Engine.loss`."""
        if x.ndim > 1 or not _vanilla(parameters):
            return engine.loss(parameters, h0, x, y)
        T, m = min(_LOSS_WINDOW, max(len(x), 1)), len(h0)
        weights = pack_weights(parameters)
        room = scratch(weights, h0, T)
        loss = rnn.loss(weights, room, x, y, T, m)
        return loss, room.h[:m].copy()

    def loss_and_gradients(self, parameters: Parameters, h0: Array, x: Indices, y: Indices) -> LossAndGradients:
        """See `elman.engine.Engine.loss_and_gradients`."""
        if x.ndim > 1 or not _vanilla(parameters):
            return engine.loss_and_gradients(parameters, h0, x, y)
        T, (m, K) = len(x), parameters["U"].shape
        weights = pack_weights(parameters)
        room = scratch(weights, h0, T)
        dW, dV = (zeros(len(array), h0.dtype) for array in (weights.W, weights.V))
        loss = rnn.gradients(weights, room, dW, dV, x, y, m, K)
        gradients = {name: np.empty_like(array) for name, array in parameters.items()}
        unpack(rnn.Squares(room.dU, dW, dV, room.db, room.dc), gradients)
        m_row = len(weights.b)
        return LossAndGradients(loss, gradients, room.da[:m].copy(), room.h[T * m_row : T * m_row + m].copy())

    def generate(
        self,
        parameters: Parameters,
        h: Array,
        x: int,
        uniforms: NDArray[np.float64],
        sampling: SamplingParams,
    ) -> tuple[NDArray[np.intp], Array]:
        """See `elman.engine.Engine.generate`."""
        if not _vanilla(parameters):
            return engine.generate(parameters, h, x, uniforms, sampling)
        m, K = parameters["U"].shape
        weights = pack_weights(parameters)
        room = scratch(weights, h, 1)
        characters = np.empty(len(uniforms), np.intp)
        numbers = (weights, room, x, uniforms, m, K, float(sampling.temperature))
        if sampling.truncates:
            limits = (min(sampling.top_k or K, K), float(sampling.top_p), float(sampling.min_p))
            draw_kernels.generate_among_likely(*numbers, *limits, characters)
        else:
            draw_kernels.generate(*numbers, characters)
        return characters, room.h[:m].copy()

    def session(self, parameters: Parameters) -> NumbaSession:
        """See `elman.engine.Engine.session`."""
        return NumbaSession(parameters)


def _vanilla(parameters: Parameters) -> bool:
    """Whether it is the network of the reference experiment, which has kernels of its own."""
    network = architecture(parameters)
    return network.cell == "rnn" and network.layers == 1


def _is_references(optimizer: Optimizer) -> bool:
    """Whether its update is the reference experiment's."""
    plain = Optimizer(optimizer.learning_rate, optimizer.clip)
    return optimizer == replace(
        plain, end=optimizer.end, beta1=optimizer.beta1, beta2=optimizer.beta2, final_rate=optimizer.final_rate
    )
