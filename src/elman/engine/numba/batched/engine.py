"""The `Engine` calls of the batched path."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.engine.callbacks import StepCallback, no_callback, run_in_chunks
from elman.engine.numba.batched.layout import unflatten
from elman.engine.numba.batched.network import CompiledNetwork, IndexArray
from elman.engine.numba.batched.optimizer import FlatOptimizer, reduce_gradients
from elman.engine.numba.batched.session import NumbaSession
from elman.engine.numba.batched.updates import UpdateRunner, supports_updates
from elman.engine.numba.batched.weight_dropout import DroppedWeights
from elman.engine.protocol import Indices
from elman.engine.state import TrainState, training_folds
from elman.network.model import LossAndGradients
from elman.network.optimizer import Optimizer
from elman.network.parameters import Array, Parameters
from elman.network.sampling import SamplingParams
from elman.text import Windows


def _as_batch(indices: Indices) -> IndexArray:
    """Return the indices (T,) or (T, B) as (T, B)."""
    return indices.reshape(len(indices), -1).astype(np.intp)


def advance(
    state: TrainState, windows: Windows, updates: int, optimizer: Optimizer, callback: StepCallback = no_callback
) -> NDArray[np.float64]:
    """See `elman.engine.Engine.advance`."""
    T, B = windows.seq_length, windows.batch_size
    uses_runner = supports_updates(state.parameters, optimizer)
    network = CompiledNetwork(state.parameters, T, B, backward=True, uses_team=uses_runner)
    flat_optimizer = FlatOptimizer(network, state, optimizer)
    weights = None if optimizer.weight_dropout is None else DroppedWeights(network, optimizer.weight_dropout)
    runner = UpdateRunner(network, flat_optimizer) if uses_runner else None
    network.set_state(state.h.reshape(B, -1))

    def update(rates: list[float], losses: NDArray[np.float64]) -> None:
        """Perform one update, by a call for each of its steps."""
        if windows.begins_epoch(state.position):
            state.position = 0
            network.set_state(np.zeros((B, network.architecture.state_size), network.dtype))
        x, y = windows.at(state.position)
        folds = training_folds(state.parameters, windows, state.position)
        if folds is not None:
            network.set_folds(folds.reshape(T, B))
        number = state.update + 1
        dropout_masks = network.dropout_masks(optimizer.dropout, number) if optimizer.dropout else None
        if weights is not None:
            weights.pack(number)
        network.run_window(_as_batch(x), _as_batch(y), dropout_masks)
        losses[0] = network.mean_loss(network.stacked.losses)
        if weights is not None:
            weights.mask_gradients(number)
        flat_optimizer.update(number, rates[0])
        state.update, state.position = number, state.position + T
        state.epoch = number // windows.per_epoch

    def advance_chunk(losses: NDArray[np.float64]) -> Array:
        """Perform `len(losses)` updates; return the state h."""
        rates = optimizer.learning_rates(state.update, len(losses)).tolist()
        first = 0
        while first < len(losses):
            part = slice(first, first + (1 if runner is None else runner.updates_per_call))
            run = update if runner is None else partial(runner.run, state, windows)
            network.pool.run_timed(partial(run, rates[part], losses[part]), len(losses[part]))
            first = part.stop
        return network.state().reshape(state.h.shape)

    with network.pool:
        losses = run_in_chunks(updates, state.update, advance_chunk, callback)
    flat_optimizer.write_to(state)
    state.h = network.state().reshape(state.h.shape)
    return losses


def loss(parameters: Parameters, h0: Array, x: Indices, y: Indices) -> tuple[Any, Array]:
    """See `elman.engine.Engine.loss`."""
    batch = (array.reshape(len(array), -1) for array in (x, y))
    losses, h = NumbaSession(parameters).losses(h0.reshape(-1, h0.shape[-1]), *batch)
    total = losses.sum(axis=0)
    return (float(total[0]) if h0.ndim == 1 else total), h.reshape(h0.shape)


def loss_and_gradients(parameters: Parameters, h0: Array, x: Indices, y: Indices) -> LossAndGradients:
    """See `elman.engine.Engine.loss_and_gradients`."""
    indices, targets = _as_batch(x), _as_batch(y)
    T, B = indices.shape
    network = CompiledNetwork(parameters, T, B, backward=True)
    network.set_state(h0.reshape(B, -1))
    with network.pool:
        network.run_window(indices, targets)
    reduce_gradients(network.gradients, 0, network.layout.theta_size, 1 / B, np.empty(1), 0)
    gradients = {name: np.empty_like(array) for name, array in parameters.items()}
    unflatten(network.layout, network.gradients[0], gradients)
    loss = float(network.losses().sum()) / B
    dh0 = (network.dh0() / B).reshape(h0.shape)
    return LossAndGradients(loss, gradients, dh0, network.state().reshape(h0.shape))


def generate(
    parameters: Parameters, h: Array, x: int, uniforms: NDArray[np.float64], sampling: SamplingParams
) -> tuple[NDArray[np.intp], Array]:
    """See `elman.engine.Engine.generate`."""
    session = NumbaSession(parameters)
    characters, states = session.generate(h[None], np.array([x]), uniforms[:, None], [sampling])
    return characters[:, 0], states[0]
