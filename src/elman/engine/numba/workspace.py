"""A network packed for the batched kernels, with workspaces for its batch and the team of threads that runs them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba import kernels
from elman.engine.numba.cells import CELLS, Arrays, Step
from elman.engine.numba.dropout import NO_DROPOUT
from elman.engine.numba.layout import Layout, Network, flatten, make_layout, pack_part, row_multiple
from elman.engine.numba.panels import (
    TERMS,
    Panels,
    Ranges,
    Scratch,
    multiply_panels,
    scratch_size,
    sum_outer_products,
)
from elman.engine.numba.prior import PriorValues, make_priors, prior_pointer
from elman.engine.numba.simd import aligned_zeros
from elman.engine.numba.threads import Team, make_team
from elman.engine.numba.tile import Matrix
from elman.engine_registry import require_cell
from elman.jit import UNUSED, KernelPointer, Packed, call_kernel, is_recording, kernel_pointer, pack
from elman.network.parameters import Array, Parameters
from elman.network.state import State
from elman.ngram.kernels import NONE
from elman.ngram.language_model import NgramReader, reader
from elman.ngram.model import NgramModel

IndexArray = NDArray[np.intp]

INFERENCE_GROUP = 24
"""Batch rows per group of a large batch without gradients, which are sums over a group: full tiles of rows."""

MIN_UNITS = 32
"""Units of a layer that justify a thread."""


class Passes(NamedTuple):
    """The kernels of a window, and the kernels that they call."""

    pointers: kernels.Pointers
    forward: KernelPointer
    backward: KernelPointer


_PASSES: dict[tuple[Any, ...], Passes] = {}
"""The kernels of each kind of network: finding out which they are is slower than running a small one."""


def split_batch(B: int, backward: bool) -> list[slice]:
    """Return the groups that B batch rows are split into. They depend on B only: no result may depend on the cores."""
    count = 1 if B < 8 else 2 if B < 64 else 4 if backward else max(4, B // INFERENCE_GROUP)
    return [slice(first, last) for first, last in pairwise(B * n // count for n in range(count + 1))]


def max_batch_size(B: int) -> int:
    """Return the size of the largest batch without gradients that has as many groups, and the same layout, as B."""
    return B if B < 4 else 7 if B < 8 else 63 if B < 64 else (max(4, B // INFERENCE_GROUP) + 1) * INFERENCE_GROUP - 1


class Batches(NamedTuple):
    """Consecutive windows, split into the groups of batch rows."""

    T: int
    B: int
    first_rows: IndexArray  # of the groups, in the batch
    rows: IndexArray  # batch rows of each group
    indices: IndexArray  # (windows, groups, T R)
    targets: IndexArray
    folds: IndexArray  # the folds left out of the counts of the n-gram prior, if there is one
    losses: NDArray[np.float64]
    begins_epoch: NDArray[np.bool_]  # (windows,)


class BatchedNetwork:
    """A network in the layout of the kernels, and their workspaces for windows (T, B); with `backward`, for gradients.

    The attribute `T` may be set to fewer characters, and `set_batch_size` to fewer rows; then the state must be set
    again. If one of the networks `like` this one has the same parameters and layout, they are not copied. With `grows`,
    the states that are set have counts that grow: their rows are read together, step by step.
    """

    def __init__(
        self,
        parameters: Parameters,
        T: int,
        B: int,
        *,
        backward: bool,
        mixed_precision: bool = False,
        like: Iterable[BatchedNetwork] = (),
        grows: bool = False,
    ) -> None:
        self.architecture, self.prior = parameters.architecture, parameters.prior
        require_cell("numba", self.architecture.cell)
        self.dtype, self.T, self.B, self.backward = parameters["V"].dtype, T, B, backward
        self.packed_dtype = np.dtype(np.uint32) if mixed_precision else self.dtype
        self.groups = [slice(0, B)] if grows else split_batch(B, backward)
        self.rows = [group.stop - group.start for group in self.groups]
        self.layout: Layout = make_layout(self.architecture, self.dtype, min(self.rows), mixed_precision)
        self.sizes = s = self.layout.sizes
        if shared := [network.net for network in like if network.sizes == s]:
            self.net: Network = shared[0]
        else:
            theta = aligned_zeros(self.layout.theta_size, self.dtype)
            packed = aligned_zeros(self.layout.packed_size, self.packed_dtype)
            added = aligned_zeros(self.layout.added_size, self.dtype)
            self.net = Network(theta, packed, added, self.layout.offsets, s)
            self.set_parameters(parameters)
            if not backward:  # training packs the weights before every update
                call_kernel(pack_part, self.net, False, 0, 1)
        kind = self.architecture, T, B, backward, self.dtype, self.packed_dtype
        sharers = max(1, s.m_row // MIN_UNITS) if backward else 1
        self.team = Team(kind, len(self.rows), sharers, (s.m_row, row_multiple(self.dtype)))
        self.ngrams: NgramReader | None = None  # of the state that was set last
        self.priors = make_priors(s, self.prior.is_on, len(self.rows), T, max(self.rows), self.dtype)
        self._read_with(self.prior.model, grows=False)
        self.counts: NgramModel | None = None
        self.workspaces = self._make_workspaces()
        self.passes = self._find_passes()
        self.workspaces = self.workspaces._replace(pointers=self.passes.pointers)
        if s.context_length:
            self.priors = self.priors._replace(read=prior_pointer(self.priors))
        self._window: dict[tuple[int, int, int], Batches] = {}
        self._packed: dict[int, Packed] = {}  # the arguments of the last run; the next one has most of them, too

    def _make_workspaces(self) -> kernels.Workspace:
        """Return arrays with one row for each group, as long as the largest group needs."""
        s, T, R, backward, groups = self.sizes, self.T, max(self.rows), int(self.backward), len(self.rows)
        state, steps, has_s = s.layers * (T + 1) * R * s.m_row, s.layers * T * R, s.state_vectors - 1
        scratch, slots = scratch_size(max(s.gates_row, s.K_row)), max(groups, self.team.max_threads)

        def zeros(size: int, dtype: np.dtype[Any] = self.dtype) -> Array:
            return aligned_zeros(groups * size, dtype).reshape(groups, size)

        return kernels.Workspace(
            h=zeros(state + s.m_row),
            s=zeros(has_s * (state + s.m_row)),
            tanh_s=zeros(has_s * steps * s.m_row),
            gates=zeros(steps * s.gates_row),
            y=zeros(backward * steps * s.m_row),
            inputs=zeros(int(s.layers > 1) * T * R * s.input_blocks * s.m_row),
            dy=zeros(backward * (T + 1) * R * s.m_row),
            ds=zeros(R * s.m_row),
            g=zeros(T * R * s.K_row),
            losses=np.zeros((groups, T * R)),
            dh0=zeros(backward * s.layers * s.state_vectors * R * s.m_row),
            gradient=zeros(backward * self.layout.theta_size),
            panels=zeros(backward * self.team.max_threads * TERMS * s.m_row, self.packed_dtype),
            zeros=zeros(max(s.gates_row, s.K_row)),
            dy_before=zeros(backward * int(s.reset_at >= 0) * R * s.m_row),
            scratch=None if self.packed_dtype == self.dtype else aligned_zeros(slots * scratch, self.packed_dtype),
            scratch_start=0,
            scratch_size=scratch,
            pointers=kernels.Pointers(),
        )

    def set_batch_size(self, B: int) -> None:
        """Read only B batch rows: as many as are split into the same number of groups, and no more than before."""
        self.B, self.groups = B, split_batch(B, self.backward)
        self.rows = [group.stop - group.start for group in self.groups]

    def _read_with(self, ngrams: NgramModel | None, grows: bool) -> None:
        """Read the next windows with an n-gram model."""
        self.ngrams, before = None if ngrams is None else reader(ngrams), self.priors
        if self.ngrams is not None:
            table, added = self.ngrams.table, self.ngrams.added
            if not (before.table is table and before.added is added and before.grows == grows):
                self.priors = before._replace(table=table, added=added, grows=grows)

    def reserve_counts(self, characters: int) -> None:
        """Make room in the counts of a model that grows."""
        if self.ngrams is not None and self.priors.grows:
            self.ngrams.reserve(characters)
            self.priors = self.priors._replace(added=self.ngrams.added)

    def run(self, kernel: Callable[..., None], *arguments: object, steps: int = 0) -> None:
        """Call a kernel with the groups of the network and these arguments; see `Team.run`."""
        used = (self.net, self.workspaces, self.priors, self.passes.forward, self.passes.backward, *arguments)
        before = self._packed
        self._packed = {id(each): before[id(each)] if id(each) in before else pack(each) for each in used}
        parts: list[Any] = [self._packed[id(each)] for each in used]
        self.team.call(kernel, kernels.Groups(*parts[:5]), *parts[5:], steps=steps)

    def _find_passes(self) -> Passes:
        """Return the kernels for this kind of network."""
        kind = CELLS[self.architecture.cell], self.dtype, self.packed_dtype, self.backward
        passes = _PASSES.get(kind) or self._compile()
        if not is_recording():
            _PASSES[kind] = passes
        return passes

    def _compile(self) -> Passes:
        """Return pointers to the kernels of a window, compiled if they are not yet."""
        *arrays, scratch, start, size, _ = self.workspaces
        x, panels, cell = self.workspaces.h[0], self.workspaces.panels[0], CELLS[self.architecture.cell]
        indices, step, ranges = np.zeros(0, np.intp), Step(0, 0, 0, 0, 0, 0, False, *[0] * 11), Ranges(0, 0, 0, 0)
        matrix = Matrix(x, 0, 0)
        of_cell = Arrays(x, x, x, x, x, x, x, x, indices)
        pointers = kernels.Pointers(
            multiply=kernel_pointer(
                multiply_panels, matrix, matrix, matrix, Panels(self.net.packed, 0, 0), 0, 0, 0, ranges, scratch, 0
            ),
            forward_cell=kernel_pointer(cell.forward, of_cell, step),
        )
        if self.backward:
            pointers = pointers._replace(
                sum_outer=kernel_pointer(
                    sum_outer_products, matrix, matrix, matrix, Scratch(panels, 0), x, 0, 0, ranges, scratch, 0
                ),
                backward_cell=kernel_pointer(cell.backward, of_cell, step),
            )
        workspace = kernels.Workspace._make([*(array[0] for array in arrays), scratch, start, size, pointers])
        values = self.priors.values
        values = PriorValues(values.is_on, values.matched[0], values.log_q[0], values.weights[0])
        window = self.net, workspace, values, kernels.Window(indices, 1, 1, NO_DROPOUT), make_team(1)[0]
        forward = kernel_pointer(kernels.forward, *window)
        return Passes(pointers, forward, kernel_pointer(kernels.backward, *window) if self.backward else UNUSED)

    # --- Batches and states ---

    def make_batches(self, windows: int) -> Batches:
        """Return an empty batch for each of some windows of T characters."""
        groups, size = len(self.rows), self.T * max(self.rows)
        indices, targets, folds = np.zeros((3, windows, groups, size), np.intp)
        folds[...] = self.priors.table.folds
        first_rows = np.array([group.start for group in self.groups])
        losses = np.zeros(indices.shape)  # they are read even if kernels are recorded and do not run
        begins_epoch = np.zeros(windows, np.bool_)
        return Batches(
            self.T, self.B, first_rows, np.array(self.rows), indices, targets, folds, losses, begins_epoch
        )  # fmt: skip

    def make_window(self) -> Batches:
        """Return a batch of one window, which is the last one that was made while T, B and the folds are the same.

        A step of a few sequences is a fifth faster if its batch need not be made and packed.
        """
        kind = self.T, self.B, int(self.priors.table.folds)
        if kind not in self._window:
            self._window = {kind: self.make_batches(1)}
        return self._window[kind]

    def split_rows(self, array: NDArray[np.integer], into: IndexArray) -> None:
        """Write an array (T, B) into one of groups, (groups, T R)."""
        for row, R, group in zip(into, self.rows, self.groups, strict=True):
            row[: self.T * R] = array[:, group].ravel()

    def join_rows(self, array: NDArray[Any], width: int = 1) -> NDArray[Any]:
        """Return an array of groups, whose rows hold `width` numbers for each step and batch row, as (T, B, width)."""
        rows = [row[: self.T * R * width].reshape(self.T, R, width) for row, R in zip(array, self.rows, strict=True)]
        return np.concatenate(rows, axis=1)

    def set_parameters(self, parameters: Parameters) -> None:
        """Copy parameters of the same shapes; only training packs them again."""
        flatten(self.layout, parameters, self.net.theta)

    def set_state(self, state: State) -> None:
        """Set the initial states of the next window, the states of B sequences."""
        for states, rows, columns in self._states():
            states[0] = state.recurrent[rows, columns]
        for history, R, group in zip(self.priors.history, self.rows, self.groups, strict=True):
            history[:R] = state.history[group]
        self._read_with(self.prior.model_of(state), state.grows)
        self.priors.bases[..., 0] = NONE  # the previous nodes belong to different histories
        self.counts = state.counts

    def release_counts(self) -> None:
        """Drop the counts of the last state, so that they are freed with it."""
        if self.counts is not None:
            self._read_with(self.prior.model, grows=False)
            self.counts = None

    def state(self) -> State:
        """Return the initial states of the next window, which are the final states of the last one."""
        recurrent = np.empty((self.B, self.architecture.state_size), self.dtype)
        for states, rows, columns in self._states():
            recurrent[rows, columns] = states[0]
        return State(recurrent, self.histories(), self.counts)

    def states(self) -> Array:
        """Return the recurrent states (T, B, …) after each step of the last window, before any other is read."""
        h = np.empty((self.T, self.B, self.architecture.state_size), self.dtype)
        for states, rows, columns in self._states():
            h[:, rows, columns] = states[1:]
        return h

    def histories(self) -> NDArray[np.int32]:
        """Return the codes (B, n) of the last characters that the n-gram prior has read."""
        return np.concatenate([history[:R] for history, R in zip(self.priors.history, self.rows, strict=True)])

    def _states(self) -> Iterator[tuple[Array, slice, slice]]:
        """Yield views (T + 1, R, m) of the kernels' state vectors, and their batch rows and columns in a state."""
        s, T = self.sizes, self.T
        for g, (R, rows) in enumerate(zip(self.rows, self.groups, strict=True)):
            column, size = 0, (T + 1) * R * s.m_row
            for layer in range(s.layers):
                for array in (self.workspaces.h, self.workspaces.s)[: s.state_vectors]:
                    states = array[g, layer * size : (layer + 1) * size].reshape(T + 1, R, s.m_row)
                    yield states[:, :, : s.m], rows, slice(column, column + s.m)
                    column += s.m

    def dh0(self) -> Array:
        """Return the gradients (B, S) of the sum of the losses with respect to the last window's initial state."""
        s, groups = self.sizes, []
        for dh0, R in zip(self.workspaces.dh0, self.rows, strict=True):
            rows = dh0[: s.layers * s.state_vectors * R * s.m_row].reshape(-1, R, s.m_row)[:, :, : s.m]
            groups.append(rows.transpose(1, 0, 2).reshape(R, -1))
        return np.concatenate(groups)
