"""The `Engine` calls of batched networks: any cell, number of layers, batch size and optimizer."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.engine.callbacks import StepCallback, no_callback, run_in_chunks
from elman.engine.numba.batched.layout import pack_part, unflatten
from elman.engine.numba.batched.network import BatchedNetwork
from elman.engine.numba.batched.optimizer import reduce_gradients
from elman.engine.numba.batched.session import NumbaSession
from elman.engine.numba.batched.training import UpdateRunner, run_window
from elman.engine.protocol import Indices
from elman.engine.state import TrainState
from elman.network.model import LossAndGradients
from elman.network.optimizer import Optimizer
from elman.network.parameters import Array, Parameters
from elman.network.sampling import SamplingParams
from elman.text import Windows


def advance(
    state: TrainState, windows: Windows, updates: int, optimizer: Optimizer, callback: StepCallback = no_callback
) -> NDArray[np.float64]:
    """See `elman.engine.Engine.advance`."""
    network = BatchedNetwork(state.parameters, windows.seq_length, windows.batch_size, backward=True)
    network.set_state(state.h.reshape(windows.batch_size, -1))
    runner = UpdateRunner(network, state, windows, optimizer)

    def advance_chunk(losses: NDArray[np.float64]) -> Array:
        """Perform `len(losses)` updates; return the state h."""
        rates = optimizer.learning_rates(state.update, len(losses)).tolist()
        first = 0
        while first < len(losses):
            part = slice(first, first + runner.updates_per_call)
            network.team.run_timed(partial(runner.run, state, rates[part], losses[part]), len(losses[part]))
            first = part.stop
        return network.state().reshape(state.h.shape)

    losses = run_in_chunks(updates, state.update, advance_chunk, callback)
    runner.write_to(state)
    return losses


def loss(parameters: Parameters, h0: Array, x: Indices, y: Indices) -> tuple[Any, Array]:
    """See `elman.engine.Engine.loss`."""
    batch = (array.reshape(len(array), -1) for array in (x, y))
    losses, h = NumbaSession(parameters).losses(h0.reshape(-1, h0.shape[-1]), *batch)
    total = losses.sum(axis=0)
    return (float(total[0]) if h0.ndim == 1 else total), h.reshape(h0.shape)


def loss_and_gradients(parameters: Parameters, h0: Array, x: Indices, y: Indices) -> LossAndGradients:
    """See `elman.engine.Engine.loss_and_gradients`."""
    T, B = len(x), x.size // max(1, len(x))
    network = BatchedNetwork(parameters, T, B, backward=True)
    network.set_state(h0.reshape(B, -1))
    pack_part(network.theta, network.packed_weights, network.offsets, network.sizes, True, 0, 1)
    losses = run_window(network, x.reshape(T, B), y.reshape(T, B))
    gradient = network.workspaces.gradient
    reduce_gradients(gradient, 0, network.layout.theta_size, 1 / B, np.empty(1), 0)
    gradients = {name: np.empty_like(array) for name, array in parameters.items()}
    unflatten(network.layout, gradient[0], gradients)
    dh0 = (network.dh0() / B).reshape(h0.shape)
    return LossAndGradients(float(losses.sum()) / B, gradients, dh0, network.state().reshape(h0.shape))


def generate(
    parameters: Parameters, h: Array, x: int, uniforms: NDArray[np.float64], sampling: SamplingParams
) -> tuple[NDArray[np.intp], Array]:
    """See `elman.engine.Engine.generate`."""
    session = NumbaSession(parameters)
    characters, states = session.generate(h[None], np.array([x]), uniforms[:, None], [sampling])
    return characters[:, 0], states[0]
