"""The engine's four calls for any network on any number of streams."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.engine.callbacks import StepCallback, no_callback, run_in_chunks
from elman.engine.numba.batched import optimizer_kernels
from elman.engine.numba.batched.layout import unflatten
from elman.engine.numba.batched.network import Codes, LaidOut
from elman.engine.numba.batched.optimizer import Updating
from elman.engine.numba.session import NumbaSession
from elman.engine.protocol import Indices
from elman.engine.state import TrainState
from elman.network.model import LossAndGradients
from elman.network.optimizer import Optimizer
from elman.network.parameters import Array, Parameters
from elman.network.sampling import SamplingParams
from elman.text import Windows


def _codes(array: Indices) -> Codes:
    """Characters (T,) or (T, B) as (T, B)."""
    return array.reshape(len(array), -1).astype(np.intp)


def advance(
    state: TrainState, windows: Windows, updates: int, optimizer: Optimizer, callback: StepCallback = no_callback
) -> NDArray[np.float64]:
    """See `elman.engine.Engine.advance`."""
    T, B = windows.seq_length, windows.batch_size
    net = LaidOut(state.parameters, T, B, backward=True)
    updating = Updating(net, state, optimizer)
    net.put_state(state.h.reshape(B, -1))

    def update(losses: NDArray[np.float64], n: int, rate: float) -> None:
        """Carry out the n-th update of a stretch."""
        if windows.begins_epoch(state.position):
            state.position = 0
            net.put_state(np.zeros((B, net.network.state_size), net.dtype))
        x, y = windows.at(state.position)
        number = state.update + 1
        net.window(_codes(x), _codes(y), net.dropping(optimizer.dropout, number) if optimizer.dropout else None)
        losses[n] = sum(room.losses.sum() for room in net.rooms) / B
        updating.update(number, rate)
        state.update, state.position = number, state.position + T
        state.epoch = number // windows.per_epoch

    def stretch(losses: NDArray[np.float64]) -> Array:
        """Do as many updates as `losses` is long; return the state h."""
        for n, rate in enumerate(optimizer.learning_rates(state.update, len(losses)).tolist()):
            net.crew.timed(partial(update, losses, n, rate))
        return net.state().reshape(state.h.shape)

    with net.crew:
        losses = run_in_chunks(updates, state.update, stretch, callback)
    updating.put_back(state)
    state.h = net.state().reshape(state.h.shape)
    return losses


def loss(parameters: Parameters, h0: Array, x: Indices, y: Indices) -> tuple[Any, Array]:
    """See `elman.engine.Engine.loss`."""
    streams = (array.reshape(len(array), -1) for array in (x, y))
    losses, h = NumbaSession(parameters).losses(h0.reshape(-1, h0.shape[-1]), *streams)
    total = losses.sum(axis=0)
    return (float(total[0]) if h0.ndim == 1 else total), h.reshape(h0.shape)


def loss_and_gradients(parameters: Parameters, h0: Array, x: Indices, y: Indices) -> LossAndGradients:
    """See `elman.engine.Engine.loss_and_gradients`."""
    codes, targets = _codes(x), _codes(y)
    T, B = codes.shape
    net = LaidOut(parameters, T, B, backward=True)
    net.put_state(h0.reshape(B, -1))
    with net.crew:
        net.window(codes, targets)
    optimizer_kernels.combine(net.gradients, 0, net.layout.theta, 1 / B)
    gradients = {name: np.empty_like(array) for name, array in parameters.items()}
    unflatten(net.layout, net.gradients[0], gradients)
    loss = float(net.losses().sum()) / B
    return LossAndGradients(loss, gradients, (net.dh0() / B).reshape(h0.shape), net.state().reshape(h0.shape))


def generate(
    parameters: Parameters, h: Array, x: int, uniforms: NDArray[np.float64], sampling: SamplingParams
) -> tuple[NDArray[np.intp], Array]:
    """See `elman.engine.Engine.generate`."""
    characters, states = NumbaSession(parameters).generate(h[None], np.array([x]), uniforms[:, None], [sampling])
    return characters[:, 0], states[0]
