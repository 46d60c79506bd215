"""Several updates of a batched network in one call of a kernel, on one thread or on several.

Between two steps of an update the threads wait for one another at a barrier, for less than a microsecond; to wake a
sleeping thread takes a hundred. Networks with an n-gram prior, Muon and weight dropout have steps of other kinds; their
updates are made of several calls, see `elman.engine.numba.batched.engine`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba.batched.dropout import make_masks, select_mask
from elman.engine.numba.batched.kernels import Workspace, reset_state
from elman.engine.numba.batched.network import UPDATE_RANGES, CompiledNetwork
from elman.engine.numba.batched.optimizer import FlatOptimizer, Step, clip_scale, reduce_gradients, update_range
from elman.engine.numba.batched.packing import pack_part
from elman.engine.numba.batched.team import barrier, make_team, release_barriers
from elman.engine.numba.jit import inlined, kernel
from elman.engine.numba.pointers import KernelPointer, call_pointer, kernel_pointer
from elman.engine.numba.thread_pool import Mode
from elman.engine.state import TrainState
from elman.network.optimizer import Optimizer
from elman.network.parameters import Parameters
from elman.text import Windows

_MAX_UPDATES, _SECONDS = 16, 0.01
"""Updates of one call at most, and how long they should take: much longer than to wake a thread, but short, as the
thread pool tries each mode in several calls.
"""


class Batches(NamedTuple):
    """The windows of some updates; those of one group of batch rows are contiguous."""

    first_rows: NDArray[np.intp]  # of the groups, in the batch
    rows: NDArray[np.intp]  # batch rows of each group
    indices: NDArray[np.intp]  # (updates, groups, T R)
    targets: NDArray[np.intp]
    losses: NDArray[np.float64]
    begins_epoch: NDArray[np.bool_]  # (updates,)


class UpdatePointers(NamedTuple):
    """Pointers to the kernels of the steps of an update.

    A copy of such a kernel in the one that calls it might round otherwise, see `elman.engine.numba.jit.inlined`.
    """

    window: KernelPointer
    reduce: KernelPointer
    update: KernelPointer


def supports_updates(parameters: Parameters, optimizer: Optimizer) -> bool:
    """Whether `UpdateRunner` can train a network with these parameters."""
    return parameters.ngrams is None and optimizer.name != "muon" and optimizer.weight_dropout is None


class UpdateRunner:
    """Performs updates of a network, in any mode of its thread pool.

    Parameters
    ----------
    network : CompiledNetwork
    optimizer : FlatOptimizer
    """

    def __init__(self, network: CompiledNetwork, optimizer: FlatOptimizer) -> None:
        self.network, self.optimizer = network, optimizer
        tasks = min(network.pool.workers, max(UPDATE_RANGES, len(network.rows)))
        self.threads = {
            Mode.SERIAL: [network.single],
            Mode.TASKS: make_team(tasks, network.sizes.m_row, 1),
            Mode.TEAM: network.team,
        }
        self.ranges = np.array(optimizer.ranges)
        self.squares = np.empty(len(self.ranges))
        arrays = (network.theta, optimizer.M, optimizer.N, optimizer.average, network.gradients[0])
        self.pointers = UpdatePointers(
            network.window_pointer(),
            kernel_pointer(reduce_gradients, network.gradients, 0, 0, 1.0, self.squares, 0),
            kernel_pointer(update_range, optimizer.rule, optimizer.step(1, 0.0), 1.0, *arrays, 0, 0),
        )

    @property
    def updates_per_call(self) -> int:
        """Updates that should be made in the next call of `run`."""
        return min(_MAX_UPDATES, self.network.pool.timings.steps_within(_SECONDS))

    def run(self, state: TrainState, windows: Windows, rates: Sequence[float], losses: NDArray[np.float64]) -> None:
        """Perform an update at each of the learning rates, from the position of the state on; fill `losses`."""
        network, optimizer, mode = self.network, self.optimizer, self.network.pool.mode
        numbers = range(state.update + 1, state.update + len(rates) + 1)
        batches, position = self._read_batches(state.position, windows, len(rates))
        steps = np.array([optimizer.step(number, rate) for number, rate in zip(numbers, rates, strict=True)])
        masks = make_masks(optimizer.optimizer.dropout, numbers, network.sizes.layers)
        arguments = (
            self.pointers, network.single, mode is Mode.TEAM, network.theta, network.packed_weights, network.offsets,
            network.sizes, network.stacked, network.priors[0].values, batches, network.T, network.B, masks, optimizer.M,
            optimizer.N, optimizer.average, optimizer.rule, optimizer.max_norm, steps, self.ranges, self.squares,
        )  # fmt: skip
        threads = self.threads[mode]
        network.pool.run_team(
            lambda thread: _run_updates(thread, *arguments), threads, partial(release_barriers, threads)
        )
        for n, window in enumerate(batches.losses):
            losses[n] = network.mean_loss(window)
        state.update, state.position = numbers[-1], position
        state.epoch = state.update // windows.per_epoch

    def _read_batches(self, position: int, windows: Windows, updates: int) -> tuple[Batches, int]:
        """Return the windows of the text from a position on, and the position behind them."""
        network, T = self.network, self.network.T
        indices, targets = np.zeros((2, updates, len(network.rows), T * max(network.rows)), np.intp)
        begins_epoch = np.zeros(updates, np.bool_)
        for n in range(updates):
            if windows.begins_epoch(position):
                position, begins_epoch[n] = 0, True
            for array, window in zip((indices, targets), windows.at(position), strict=True):
                batch = window.reshape(T, -1)
                for row, R, group in zip(array[n], network.rows, network.groups, strict=True):
                    row[: T * R] = batch[:, group].ravel()
            position += T
        first_rows = np.array([group.start for group in network.groups])
        losses = np.empty(indices.shape)
        return Batches(first_rows, np.array(network.rows), indices, targets, losses, begins_epoch), position


@kernel
def _run_updates(
    thread, pointers, single, is_team, theta, packed_weights, offsets, sizes, stacked, prior, batches, T, B,
    masks, M, N, average, rule, max_norm, steps, ranges, squares,
):  # fmt: skip
    """Perform an update for every row of `steps`; all threads call this kernel.

    If `is_team`, the threads compute every group together; otherwise each of them computes some groups by itself.
    """
    worker, gradients = thread if is_team else single, stacked.gradient
    for n in range(len(steps)):
        for g in range(len(batches.rows)):
            if is_team or g % thread.size == thread.rank:
                _run_group(
                    n, g, pointers.window, theta, packed_weights, offsets, sizes, stacked, prior, batches, T, B, masks,
                    worker,
                )  # fmt: skip
        barrier(thread)
        for k in range(thread.rank, len(ranges), thread.size):
            call_pointer(pointers.reduce, (gradients, ranges[k, 0], ranges[k, 1], 1 / B, squares, k))
        barrier(thread)
        scale = clip_scale(squares, max_norm)
        step = Step(steps[n, 0], steps[n, 1], steps[n, 2], steps[n, 3], steps[n, 4])
        for k in range(thread.rank, len(ranges), thread.size):
            call_pointer(
                pointers.update,
                (rule, step, scale, theta, M, N, average, gradients[0], ranges[k, 0], ranges[k, 1]),
            )
        barrier(thread)
        pack_part(theta, packed_weights, offsets, sizes, True, thread.rank, thread.size)
        barrier(thread)


@inlined
def _run_group(
    n, g, window_pointer, theta, packed_weights, offsets, sizes, stacked, prior, batches, T, B, masks, worker
):  # fmt: skip
    """Run the window of group g in update n: its losses and gradients."""
    R, workspace = batches.rows[g], _select(stacked, g)
    if batches.begins_epoch[n]:
        reset_state(T, R, sizes, workspace, worker)
        barrier(worker)
    mask = select_mask(masks, n, batches.first_rows[g], B)
    call_pointer(
        window_pointer,
        (
            theta, packed_weights, offsets, sizes, workspace, prior, batches.indices[n, g], batches.targets[n, g], T, R,
            mask, masks.is_on, True, worker,
        ),
    )  # fmt: skip
    for row in range(T * R if worker.rank == 0 else 0):
        batches.losses[n, g, row] = workspace.losses[row]


@inlined
def _select(stacked, g):
    """The workspace of a group."""
    return Workspace(
        stacked.h[g], stacked.s[g], stacked.tanh_s[g], stacked.gates[g], stacked.y[g], stacked.inputs[g], stacked.dy[g],
        stacked.ds[g], stacked.g[g], stacked.losses[g], stacked.dh0[g], stacked.gradient[g], stacked.panels[g],
        stacked.zeros[g], stacked.dy_before[g], stacked.products,
    )  # fmt: skip
