"""A network packed for the batched kernels, with workspaces for its batch and the thread pool that runs them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba.batched import inference, kernels, packing
from elman.engine.numba.batched.dropout import DropoutMask, make_masks, mask_of_group
from elman.engine.numba.batched.layout import Layout, flatten, make_layout, row_multiple
from elman.engine.numba.batched.prior import PriorValues, PriorWorkspace, call_read_prior
from elman.engine.numba.batched.team import MIN_UNITS, make_team
from elman.engine.numba.linalg.memory import aligned_zeros
from elman.engine.numba.linalg.panels import DEPTH, product_pointers
from elman.engine.numba.ngrams.reader import NgramReader, reader
from elman.engine.numba.ngrams.tree import empty_tree
from elman.engine.numba.pointers import KernelPointer, kernel_pointer
from elman.engine.numba.thread_pool import AutotunedThreadPool
from elman.engine.protocol import SegmentLosses
from elman.network.dropout import Dropout
from elman.network.ngram import read_histories
from elman.network.output import Prior
from elman.network.parameters import Architecture, Array, Parameters, architecture
from elman.processes import thread_count

IndexArray = NDArray[np.intp]

UPDATE_RANGES = 4
"""Ranges of the parameters that the optimizer updates in parallel."""

_NO_DROPOUT = DropoutMask(np.zeros(1, np.uint32), np.uint32(0), 1.0, False, 0, 1)

INFERENCE_GROUP = 24
"""Batch rows per group of a large batch without gradients, which are sums over a group: full tiles of rows."""


def split_batch(B: int, backward: bool) -> list[slice]:
    """Return the groups that B batch rows are split into. They depend on B only: no result may depend on the cores."""
    count = 1 if B < 8 else 2 if B < 64 else 4 if backward else max(4, B // INFERENCE_GROUP)
    return [slice(first, last) for first, last in pairwise(B * n // count for n in range(count + 1))]


class CompiledNetwork:
    """A network in the layout of the kernels, and their workspaces.

    Parameters
    ----------
    parameters : Parameters
        Copied.
    T, B : int
        Characters in one window; batch size. The attribute `T` may be set to fewer, after which the state must be
        set again.
    backward : bool
        Whether gradients are computed as well.
    uses_team : bool
        Whether a team of threads may compute a group, see `elman.engine.numba.batched.updates`.
    like : CompiledNetwork, optional
        Another one with the same parameters. If the layouts agree, they are not copied again.
    """

    def __init__(
        self,
        parameters: Parameters,
        T: int,
        B: int,
        *,
        backward: bool,
        uses_team: bool = False,
        like: CompiledNetwork | None = None,
    ) -> None:
        self.architecture: Architecture = architecture(parameters)
        self.architecture.spec.require_engine("numba")
        self.dtype, self.T, self.B, self.backward = parameters["V"].dtype, T, B, backward
        self.counts_reading, self.reset_at = parameters.counts_reading, parameters.reset_at
        # Rows that count in the same model are read together, step by step.
        self.groups = [slice(0, B)] if self.counts_reading else split_batch(B, backward)
        self.rows = [group.stop - group.start for group in self.groups]
        self.layout: Layout = make_layout(
            self.architecture,
            kernels.CELLS[self.architecture.cell],
            self.dtype,
            min(self.rows),
            parameters.reset_at,
        )
        self.sizes, self.offsets = self.layout.sizes, self.layout.offsets
        shared = like if like is not None and like.sizes == self.sizes else None
        self.theta: Array = shared.theta if shared else flatten(self.layout, parameters, self.dtype)
        self.packed_weights: Array = (
            shared.packed_weights if shared else aligned_zeros(self.layout.packed_size, self.dtype)
        )
        s, multiple = self.sizes, row_multiple(self.dtype)
        team_size = min(thread_count(), s.m_row // MIN_UNITS) if uses_team else 1
        self.team = make_team(max(1, team_size), s.m_row, multiple)
        (self.single,) = make_team(1, s.m_row, multiple)
        self.stacked = self._make_workspaces()
        *arrays, products = self.stacked
        self.workspaces = [
            kernels.Workspace._make([*(array[n] for array in arrays), products]) for n in range(len(self.rows))
        ]
        self.gradients = self.stacked.gradient
        self.ngrams: NgramReader | None = (
            reader(parameters.ngrams) if parameters.ngrams is not None and parameters.uses_prior else None
        )
        self.uses_prior = parameters.uses_prior
        self.priors = [self._make_prior(R) for R in self.rows]
        # Without training, weights are packed only once, which does not justify threads.
        tasks = max(len(self.rows), UPDATE_RANGES, len(self.team)) if backward else len(self.rows)
        kind = (s, T, B, backward, uses_team, self.dtype)
        self.pool = AutotunedThreadPool(kind, tasks, has_team=len(self.team) > 1)
        if not shared:
            self.pack()

    def _make_workspaces(self) -> kernels.Workspace:
        """Return arrays with one row for each group, as long as the largest group needs."""
        s, T, R, backward, groups = self.sizes, self.T, max(self.rows), int(self.backward), len(self.rows)
        state, steps, has_s = s.layers * (T + 1) * R * s.m_row, s.layers * T * R, s.state_vectors - 1

        def zeros(size: int) -> Array:
            return aligned_zeros(groups * size, self.dtype).reshape(groups, size)

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
            panels=zeros(backward * len(self.team) * DEPTH * s.m_row),
            zeros=zeros(max(s.gates_row, s.K_row)),
            dy_before=zeros(backward * int(s.reset_at >= 0) * R * s.m_row),
            products=product_pointers(self.dtype),
        )

    def _make_prior(self, R: int) -> PriorWorkspace:
        s, T, ngrams = self.sizes, self.T, self.ngrams
        # A prior that is off has an empty tree, not none, so that the kernels need not be compiled again for it.
        tree = (empty_tree() if s.order else None) if ngrams is None else ngrams.tree
        size = T * R if s.order else 0
        return PriorWorkspace(
            tree=tree,
            added=None if ngrams is None else ngrams.growth,
            grows=self.counts_reading,
            history=np.zeros((R, s.order), np.int32),
            bases=np.zeros((R, s.order + 1), np.int64),
            extras=np.zeros((R, s.order + 1), np.int64),
            reads=np.ones(R, np.bool_),
            folds=np.full(size, 0 if tree is None else tree.folds, np.int64),
            values=PriorValues(
                is_on=self.uses_prior,
                matched=np.zeros(size, np.int64),
                log_q=aligned_zeros(size * s.K_row, self.dtype),
                weights=np.ones(R, self.dtype),
            ),
        )

    def _reserve_counts(self, characters: int) -> None:
        """Make room in the counts of a model that grows."""
        if self.ngrams is not None and self.counts_reading:
            self.ngrams.reserve(characters)
            self.priors = [prior._replace(added=self.ngrams.growth) for prior in self.priors]

    def set_folds(self, folds: IndexArray) -> None:
        """Set the fold (T, B) whose counts are left out at every position of the next window."""
        for prior, group in zip(self.priors, self.groups, strict=True):
            prior.folds[...] = folds[:, group].ravel()

    def pack(self) -> None:
        """Update the packed weights from theta."""
        tasks = range(2 * self.sizes.layers + 1)
        arguments = (self.theta, self.packed_weights, self.offsets, self.sizes, self.backward)
        self.pool.run_all([partial(packing.pack_part, *arguments, task, len(tasks)) for task in tasks])

    def set_state(self, h: Array) -> None:
        """Set the initial state (B, D) of the next window."""
        for view, columns in self._state_views(h):
            view[...] = columns
        for prior, group in zip(self.priors, self.groups, strict=True):
            prior.history[...] = np.rint(h[group, self.architecture.recurrent_size :])

    def state(self) -> Array:
        """Return the initial state (B, D) of the next window, which is the final state of the last one."""
        h = np.empty((self.B, self.architecture.state_size), self.dtype)
        for view, columns in self._state_views(h):
            columns[...] = view
        for prior, group in zip(self.priors, self.groups, strict=True):
            h[group, self.architecture.recurrent_size :] = prior.history
        return h

    def _state_views(self, h: Array) -> list[tuple[Array, Array]]:
        """Pairs of the kernels' state vectors and the columns of h that correspond to them."""
        s, pairs = self.sizes, []
        for workspace, R, group in zip(self.workspaces, self.rows, self.groups, strict=True):
            column = 0
            for layer in range(s.layers):
                start = layer * (self.T + 1) * R * s.m_row
                for array in (workspace.h, workspace.s)[: s.state_vectors]:
                    view = array[start : start + R * s.m_row].reshape(R, s.m_row)[:, : s.m]
                    pairs.append((view, h[group, column : column + s.m]))
                    column += s.m
        return pairs

    def _run_groups(self, make_task: Callable[[int], Callable[[], object]]) -> None:
        """Run a task for every group."""
        self.pool.run_all([make_task(n) for n in range(len(self.groups))])

    def _read_prior_rows(self, n: int, indices: IndexArray) -> None:
        """Read the indices (T R,) of a group with the n-gram model, if there is one."""
        if self.sizes.order:
            call_read_prior(self.sizes, self.priors[n], indices, self.T, self.rows[n])

    def run_window(self, x: IndexArray, y: IndexArray, dropout_masks: list[DropoutMask] | None = None) -> None:
        """Compute the losses of x, y (T, B), the final state and, with `backward`, gradients."""
        self._reserve_counts(x.size)

        def task(n: int) -> Callable[[], object]:
            indices, targets = (np.ascontiguousarray(array[:, self.groups[n]]).ravel() for array in (x, y))
            arguments = (
                self.theta,
                self.packed_weights,
                self.offsets,
                self.sizes,
                self.workspaces[n],
                self.priors[n].values,
                indices,
                targets,
            )
            mask = dropout_masks[n] if dropout_masks else _NO_DROPOUT

            def run() -> None:
                self._read_prior_rows(n, indices)
                kernels.run_window(
                    *arguments, self.T, self.rows[n], mask, bool(dropout_masks), self.backward, self.single
                )

            return run

        self._run_groups(task)

    def window_pointer(self) -> KernelPointer:
        """Return a pointer to `run_window` for this kind of network."""
        indices = np.zeros(0, np.intp)
        return kernel_pointer(
            kernels.run_window, self.theta, self.packed_weights, self.offsets, self.sizes, self.workspaces[0],
            self.priors[0].values, indices, indices, self.T, self.B, _NO_DROPOUT, False, self.backward, self.single,
        )  # fmt: skip

    def losses(self) -> NDArray[np.float64]:
        """Return the losses (T, B) of the last window."""
        pairs = zip(self.workspaces, self.rows, strict=True)
        return np.concatenate([ws.losses[: self.T * R].reshape(self.T, R) for ws, R in pairs], axis=1)

    def mean_loss(self, losses: NDArray[np.float64]) -> float:
        """Return the mean over the batch of the summed losses of a window, given like those of `stacked`."""
        return float(sum(row[: self.T * R].sum() for row, R in zip(losses, self.rows, strict=True))) / self.B

    def score_segments(
        self,
        h: Array,
        text: IndexArray,
        order: IndexArray,
        starts: IndexArray,
        lengths: IndexArray,
        result: SegmentLosses,
    ) -> None:
        """Add the losses of the segments in `order`, longest first, to `result`; each begins in the state h (D,)."""
        s, R, pointer = self.sizes, self.rows[0], self.window_pointer()
        initial = aligned_zeros(2 * s.layers * s.m_row, self.dtype).reshape(2, s.layers, s.m_row)
        recurrent, history = np.split(h, [self.architecture.recurrent_size])
        initial_history = np.rint(history).astype(np.int32)
        state_vectors = recurrent.reshape(s.layers, -1, s.m).swapaxes(0, 1)
        initial[: len(state_vectors), :, : s.m] = state_vectors

        def task(n: int) -> Callable[[], object]:
            arguments = (
                pointer, self.theta, self.packed_weights, self.offsets, s, self.workspaces[n], self.priors[n],
                initial.ravel(), initial_history,
            )  # fmt: skip
            x, y = np.empty((2, self.T * R), np.intp)
            return partial(
                inference.score_segments, *arguments, text, order, starts, lengths,
                n, len(self.workspaces), self.T, R, x, y, _NO_DROPOUT, self.single, *result,
            )  # fmt: skip

        self._run_groups(task)

    def compute_logits(self, x: IndexArray) -> tuple[Array, Array]:
        """Read x (T, B); return logits (T, B, K) and states (T, B, D). The state must be set before the next call."""

        def task(n: int) -> Callable[[], object]:
            indices = np.ascontiguousarray(x[:, self.groups[n]]).ravel()
            arguments = (
                self.theta, self.packed_weights, self.offsets, self.sizes, self.workspaces[n], self.priors[n].values,
                indices,
            )  # fmt: skip

            def run() -> None:
                self._read_prior_rows(n, indices)
                kernels.compute_logits(*arguments, self.T, self.rows[n], _NO_DROPOUT, self.single)

            return run

        self._reserve_counts(x.size)
        s, T = self.sizes, self.T
        before = np.concatenate([prior.history for prior in self.priors])
        self._run_groups(task)
        o = np.empty((T, self.B, s.K), self.dtype)
        states = np.empty((T, self.B, self.architecture.state_size), self.dtype)
        for workspace, R, group in zip(self.workspaces, self.rows, self.groups, strict=True):
            o[:, group] = workspace.g[: T * R * s.K_row].reshape(T, R, s.K_row)[:, :, : s.K]
            column = 0
            for layer in range(s.layers):
                for array in (workspace.h, workspace.s)[: s.state_vectors]:
                    after = array[(layer * (T + 1) + 1) * R * s.m_row :][: T * R * s.m_row]
                    states[:, group, column : column + s.m] = after.reshape(T, R, s.m_row)[:, :, : s.m]
                    column += s.m
        if s.order:
            states[:, :, column:] = read_histories(before, x, self.reset_at)[1:]
        return o, states

    def read_prior(self, x: IndexArray) -> Prior:
        """Read x (T, B) with the n-gram model alone: log q (T, B, K) and the matched orders (T, B) after each step."""

        def task(n: int) -> Callable[[], object]:
            indices = np.ascontiguousarray(x[:, self.groups[n]]).ravel()
            return partial(self._read_prior_rows, n, indices)

        self._reserve_counts(x.size)
        self._run_groups(task)
        s, T = self.sizes, self.T
        log_q, matched = np.empty((T, self.B, s.K), self.dtype), np.empty((T, self.B), np.intp)
        for prior, R, group in zip(self.priors, self.rows, self.groups, strict=True):
            log_q[:, group] = prior.values.log_q[: T * R * s.K_row].reshape(T, R, s.K_row)[:, :, : s.K]
            matched[:, group] = prior.values.matched[: T * R].reshape(T, R)
        return Prior(log_q, matched)

    def generate(
        self, x: IndexArray, uniforms: NDArray[np.float64], sampling_params: NDArray[np.float64]
    ) -> IndexArray:
        """Read x (B,), sample the next characters, read them, and so on: (n, B), one for each of `uniforms` (n, B).

        `sampling_params` (n, B) comes from `elman.engine.numba.sampling.pack_sampling_params`; T is 1.
        """
        characters = [np.empty((len(uniforms), R), np.intp) for R in self.rows]

        def task(n: int) -> Callable[[], object]:
            of_group = (np.ascontiguousarray(array[..., self.groups[n]]) for array in (uniforms, sampling_params))
            arguments = (
                self.theta, self.packed_weights, self.offsets, self.sizes, self.workspaces[n], self.priors[n],
                self.rows[n],
            )  # fmt: skip
            return partial(
                inference.generate, *arguments, x[self.groups[n]].copy(), *of_group, characters[n], self.single
            )

        self._reserve_counts(uniforms.size)
        self._run_groups(task)
        return np.concatenate(characters, axis=1)

    def dh0(self) -> Array:
        """Return the gradients (B, D) of the sum of the losses with respect to the last window's initial state."""
        s, groups = self.sizes, []
        for workspace, R in zip(self.workspaces, self.rows, strict=True):
            size = s.layers * s.state_vectors * R * s.m_row
            rows = workspace.dh0[:size].reshape(-1, R, s.m_row)[:, :, : s.m]
            groups.append(rows.transpose(1, 0, 2).reshape(R, -1))
        return np.pad(np.concatenate(groups), ((0, 0), (0, s.order)))

    def dropout_masks(self, dropout: Dropout, update: int) -> list[DropoutMask]:
        """Return the masks of one update, for every group."""
        masks = make_masks(dropout, range(update, update + 1), self.sizes.layers)
        return [mask_of_group(masks, 0, group.start, self.B) for group in self.groups]
