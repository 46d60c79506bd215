"""Training of batched networks: any cell, number of layers, batch size and optimizer, on one thread or on several."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba.dropout import make_masks, mask_recurrent, pack_recurrent, select_mask
from elman.engine.numba.kernels import Window, run_window, select_workspace, set_state
from elman.engine.numba.layout import W, pack_part, unflatten
from elman.engine.numba.muon import update_hidden
from elman.engine.numba.optimizer import RATE, SHRINK, FlatOptimizer, clip_scale, reduce_gradients, update_range
from elman.engine.numba.prior import read_prior, select_prior
from elman.engine.numba.simd import aligned_zeros
from elman.engine.numba.threads import barrier, make_team, work_alone
from elman.engine.numba.workspace import BatchedNetwork, Batches
from elman.engine.protocol import Callback, Indices, TrainState, run_in_chunks, training_folds
from elman.jit import UNUSED, KernelPointer, call_pointer, kernel, kernel_pointer
from elman.network.optimizer import Optimizer
from elman.network.parameters import LossAndGradients, Parameters
from elman.network.state import State
from elman.ngram.kernels import NONE
from elman.text import Windows

_MAX_UPDATES, _SECONDS = 16, 0.01
"""Updates of one call at most, and how long they should take: much longer than waking a thread, but short, because each
plan is tried in several calls.
"""


class Steps(NamedTuple):
    """Pointers to the kernels that an update calls, except for the kernels of the window."""

    pack: KernelPointer
    mask: KernelPointer  # of recurrent matrices, as is their packing
    pack_masked: KernelPointer
    reduce: KernelPointer
    update: KernelPointer


class Training:
    """The training of one kind of network: workspaces, and room for the numbers of a state in the kernels' layout.

    Making one is as slow as some updates, so that it is kept while `is_for` holds.
    """

    def __init__(self, state: TrainState, windows: Windows, optimizer: Optimizer, mixed_precision: bool) -> None:
        self.state, self.parameters, self.windows = state, state.parameters, windows
        T, B = windows.seq_length, windows.batch_size
        self.network = network = BatchedNetwork(
            state.parameters, T, B, backward=True, mixed_precision=mixed_precision, grows=state.hidden.grows
        )
        self.optimizer = flat = FlatOptimizer(network, optimizer)
        self.squares = np.empty(len(flat.ranges))
        theta, gradients, s = network.net.theta, network.workspaces.gradient, network.sizes
        masks, pack_masked, size = UNUSED, UNUSED, 0
        if optimizer.weight_dropout is not None:
            size = s.recurrent_blocks * s.m_row**2
            off, thread = make_masks(None, range(1), s.layers), make_team(1)[0]
            masks = kernel_pointer(mask_recurrent, theta, 0, theta, 0, s, off, 0, 0, thread)
            pack_masked = kernel_pointer(pack_recurrent, network.net, 0, theta)
        self.dropped = aligned_zeros(s.layers * size, network.dtype).reshape(s.layers, size)
        self.steps = Steps(
            kernel_pointer(pack_part, network.net, True, 0, 1),
            masks,
            pack_masked,
            kernel_pointer(reduce_gradients, gradients, 0, 0, 1.0, self.squares, 0),
            kernel_pointer(update_range, flat.rule, np.zeros(5), 1.0, theta, flat.moments, gradients[0], 0, 0),
        )

    def is_for(self, state: TrainState, windows: Windows, optimizer: Optimizer, mixed_precision: bool) -> bool:
        """Return whether it can continue from this state, whose numbers may have been changed."""
        network, before = self.network, self.optimizer.optimizer
        return (
            state is self.state
            and state.parameters is self.parameters
            and (windows.seq_length, windows.batch_size) == (network.T, network.B)
            and state.parameters.prior.is_on == network.priors.values.is_on
            and replace(optimizer, last_update=before.last_update) == before
            and mixed_precision == (network.packed_dtype != network.dtype)
        )

    def advance(
        self, windows: Windows, updates: int, optimizer: Optimizer, callback: Callback | None
    ) -> NDArray[np.float64]:
        """See `elman.engine.Engine.advance`."""
        state, self.windows, self.optimizer.optimizer = self.state, windows, optimizer
        self.network.set_parameters(state.parameters)
        self.network.set_state(state.hidden.reshape(windows.batch_size))
        self.optimizer.read_from(state)
        losses = run_in_chunks(updates, state.update, self.advance_chunk, callback)
        self.optimizer.write_to(state, self.network.net.theta)
        state.hidden = self.hidden_state()
        return losses

    def hidden_state(self) -> State:
        """Return the state after the last window, with the axes that it has in a training state."""
        return self.network.state().reshape(*self.state.hidden.recurrent.shape[:-1])

    def advance_chunk(self, losses: NDArray[np.float64]) -> State:
        """Perform `len(losses)` updates, and fill in their losses; return the hidden state."""
        rates = self.optimizer.optimizer.learning_rates(self.state.update, len(losses)).tolist()
        first = 0
        while first < len(losses):
            last = first + min(_MAX_UPDATES, self.network.team.steps_within(_SECONDS))
            self._run(rates[first:last], losses[first:last])
            first = last
        return self.hidden_state()

    def _run(self, rates: list[float], losses: NDArray[np.float64]) -> None:
        """Perform an update at each of the learning rates by one call of a kernel."""
        network, state, flat = self.network, self.state, self.optimizer
        numbers = range(state.update + 1, state.update + len(rates) + 1)
        batches, position = self._read_batches(len(rates))
        masks, weight_masks = (
            make_masks(dropout, numbers, network.sizes.layers)
            for dropout in (flat.optimizer.dropout, flat.optimizer.weight_dropout)
        )
        network.reserve_counts(len(rates) * network.T * network.B)
        network.run(
            run_updates, batches, masks, weight_masks, self.dropped, self.steps, flat.rule,
             flat.steps(numbers, rates), flat.moments, flat.ranges, flat.hidden, self.squares,
            steps=len(rates),
        )  # fmt: skip
        for n, window in enumerate(batches.losses):
            sums = (row[: network.T * R].sum() for row, R in zip(window, network.rows, strict=True))
            losses[n] = float(sum(sums)) / network.B
        state.update, state.position = numbers[-1], position
        state.epoch = state.update // self.windows.per_epoch

    def _read_batches(self, updates: int) -> tuple[Batches, int]:
        """Return the next windows of the text, and the position after them."""
        network, windows, position = self.network, self.windows, self.state.position
        batches, T = network.make_batches(updates), network.T
        for n in range(updates):
            if windows.begins_epoch(position):
                position, batches.begins_epoch[n] = 0, True
            x, y = windows.at(position)
            network.split_rows(x.reshape(T, -1), batches.indices[n])
            network.split_rows(y.reshape(T, -1), batches.targets[n])
            folds = training_folds(self.state.parameters, windows, position)
            if folds is not None:
                network.split_rows(folds.reshape(T, -1), batches.folds[n])
            position += T
        return batches, position


def loss_and_gradients(parameters: Parameters, state: State, x: Indices, y: Indices) -> LossAndGradients:
    """See `elman.engine.Engine.loss_and_gradients`."""
    T, B = len(x), x.size // max(1, len(x))
    network, batch = BatchedNetwork(parameters, T, B, backward=True), state.recurrent.shape[:-1]
    network.set_state(state.reshape(B))
    pack_part(network.net, True, 0, 1)
    losses = evaluate_window(network, x.reshape(T, B), y.reshape(T, B))
    gradient = network.workspaces.gradient
    reduce_gradients(gradient, 0, network.layout.theta_size, 1 / B, np.empty(1), 0)
    gradients = {name: np.empty_like(array) for name, array in parameters.items()}
    unflatten(network.layout, gradient[0], gradients)
    dh0 = (network.dh0() / B).reshape(state.recurrent.shape)
    return LossAndGradients(float(losses.sum()) / B, gradients, dh0, network.state().reshape(*batch))


def evaluate_window(network: BatchedNetwork, x: NDArray[np.integer], y: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the losses (T, B) of one window of a network; with `network.backward`, its gradients are computed."""
    batches, off = network.make_batches(1), make_masks(None, range(1), network.sizes.layers)
    network.split_rows(x, batches.indices[0])
    network.split_rows(y, batches.targets[0])
    network.reserve_counts(x.size)
    steps = 0 if network.backward else x.size  # training has timings of its own
    network.run(run_groups, batches, 0, off, off, UNUSED, network.backward, steps=steps)
    losses: NDArray[np.float64] = network.join_rows(batches.losses[0])[:, :, 0]
    return losses


@kernel
def run_updates(
    thread, groups, batches, masks, weight_masks, dropped, pointers, rule, steps, moments,
    ranges, hidden, squares,
):  # fmt: skip
    """Perform an update for every row of `steps`; all threads call this kernel."""
    net, gradients, B = groups.net, groups.workspaces.gradient, batches.B
    theta, sizes = net.theta, net.sizes
    for n in range(len(steps)):
        call_pointer(pointers.pack, (net, True, thread.rank, thread.size))
        if weight_masks.is_on:
            for layer in range(sizes.layers):
                call_pointer(
                    pointers.mask,
                    (dropped[layer], 0, theta, net.offsets[layer, W], sizes, weight_masks, n, layer, thread),
                )
            barrier(thread)
            for layer in range(thread.rank, sizes.layers, thread.size):
                call_pointer(pointers.pack_masked, (net, layer, dropped[layer]))
        barrier(thread)
        run_groups(thread, groups, batches, n, masks, weight_masks, pointers.mask, True)
        barrier(thread)
        for k in range(thread.rank, len(ranges), thread.size):
            call_pointer(pointers.reduce, (gradients, ranges[k, 0], ranges[k, 1], 1 / B, squares, k))
        barrier(thread)
        scale = clip_scale(squares, rule.max_norm)
        if hidden is not None:
            update_hidden(
                thread, hidden, steps[n, RATE], steps[n, SHRINK], scale, rule.grad_clip, theta, moments.N, gradients[0]
            )  # fmt: skip
            barrier(thread)
        for k in range(thread.rank, len(ranges), thread.size):
            call_pointer(
                pointers.update, (rule, steps[n], scale, theta, moments, gradients[0], ranges[k, 0], ranges[k, 1])
            )  # fmt: skip
        barrier(thread)


@kernel
def run_groups(thread, groups, batches, n, masks, weight_masks, mask, is_training):
    """Run the n-th window: the losses and, if `is_training`, the gradients of each group.

    `mask` points to `mask_recurrent`.

    If the threads share units, they compute every group together; otherwise each of them computes some groups alone.
    """
    net, sizes, T, B = groups.net, groups.net.sizes, batches.T, batches.B
    worker = thread if thread.last > thread.first else work_alone(thread, sizes.m_row)
    for g in range(len(batches.rows)):
        if worker.size > 1 or g % thread.size == thread.rank:
            R, workspace, prior = (
                batches.rows[g],
                select_workspace(groups.workspaces, g),
                select_prior(groups.priors, g),
            )
            if batches.begins_epoch[n]:
                set_state(T, R, sizes, workspace, worker, workspace.zeros, workspace.zeros, 0, 0, 0)
                if worker.rank == 0:
                    prior.history[:], prior.bases[:, 0] = 0, NONE
            if sizes.context_length > 0 and worker.rank == 0:
                read_prior(
                    sizes, prior, batches.indices[n, g], batches.folds[n, g], T, R
                )  # fmt: skip
            barrier(worker)
            window = Window(batches.indices[n, g], T, R, select_mask(masks, n, batches.first_rows[g], B))
            run_window(groups, workspace, prior.values, window, batches.targets[n, g], is_training, worker)
            if is_training and weight_masks.is_on:
                barrier(worker)
                for layer in range(sizes.layers):
                    call_pointer(
                        mask,
                        (
                            workspace.gradient, net.offsets[layer, W], workspace.gradient, net.offsets[layer, W], sizes,
                            weight_masks, n, layer, worker,
                        ),
                    )  # fmt: skip
            for row in range(T * R if worker.rank == 0 else 0):
                batches.losses[n, g, row] = workspace.losses[row]
