"""Kernels for inference with a batch: logits, the losses of many text segments, and generation.

Segments are read in groups, each of which is a batch of one window after the other. The longest segments come first,
so that the segments not yet finished are always the first rows, and no row is computed for a finished one.
"""

import numpy as np

from elman.engine.numba.batched.kernels import carry_state, run_window, select_workspace
from elman.engine.numba.batched.prior import read_prior, select_prior
from elman.engine.numba.compiler import call_pointer
from elman.engine.numba.jit import compiled, inlined, kernel
from elman.engine.numba.linalg.simd import BYTES
from elman.engine.numba.linalg.vector import copy, exponentials
from elman.engine.numba.sampling import (
    NGRAM_WEIGHT,
    TEMPERATURE,
    TRUNCATES,
    sample_index,
    sampling_target,
    softmax_scale,
)
from elman.engine.numba.threads import work_alone


@inlined
def _set_initial_state(workspace, initial, T, R, sizes):
    """Set the initial state of every row of a window of T steps to `initial` (2, layers, m_row)."""
    m_row, vectors = sizes.m_row, sizes.m_row * initial.itemsize // BYTES
    for layer in range(sizes.layers):
        for r in range(R):
            at = (layer * (T + 1) * R + r) * m_row
            copy(workspace.h, at, initial, layer * m_row, vectors)
            if sizes.state_vectors == 2:
                copy(workspace.s, at, initial, (sizes.layers + layer) * m_row, vectors)


@inlined
def _shrink_window(workspace, T, R, to_T, to_R, sizes):
    """Move the initial state of a window of T steps and R rows to that of a window of no more steps and rows."""
    m_row, vectors = sizes.m_row, sizes.m_row * workspace.h.itemsize // BYTES
    for layer in range(sizes.layers):
        for r in range(to_R):
            to, of = (layer * (to_T + 1) * to_R + r) * m_row, (layer * (T + 1) * R + r) * m_row
            copy(workspace.h, to, workspace.h, of, vectors)
            if sizes.state_vectors == 2:
                copy(workspace.s, to, workspace.s, of, vectors)


@compiled()  # without fastmath: the losses of a segment are added in reading order
def score_segments(
    thread, theta, packed_weights, offsets, sizes, workspaces, priors, initial, initial_history, text, order,
    starts, lengths, T, R, x, y, folds, no_dropout, nats, worst, worst_nats,
):  # fmt: skip
    """Evaluate segments, see `elman.engine.protocol.SegmentLosses`; each thread reads groups of R of them.

    `order` lists the segments, the longest first. For each workspace there is a row of x and y (…, T R), which is
    itself workspace for one window.
    """
    alone, slots = work_alone(thread, sizes.m_row), len(x)
    for slot in range(thread.rank, slots, thread.size):
        workspace, prior = select_workspace(workspaces, slot), select_prior(priors, slot)
        for first in range(slot * R, len(order), slots * R):
            rows, steps = min(R, len(order) - first), min(T, lengths[order[first]])
            _set_initial_state(workspace, initial, steps, rows, sizes)
            for r in range(rows):
                for o in range(len(initial_history)):
                    prior.history[r, o] = initial_history[o]
            done = 0
            while done < lengths[order[first]]:
                before_T, before_R = steps, rows
                steps = min(T, lengths[order[first]] - done)
                while lengths[order[first + rows - 1]] <= done:
                    rows -= 1
                _shrink_window(workspace, before_T, before_R, steps, rows, sizes)
                for r in range(rows):
                    segment = order[first + r]
                    at, last = starts[segment] + done, min(steps, lengths[segment] - done) - 1
                    for t in range(steps):
                        # After its end a segment is padded with its last character, whose losses are ignored.
                        x[slot, t * rows + r] = text[at + min(t, last)]
                        y[slot, t * rows + r] = text[at + min(t, last) + 1]
                if sizes.order > 0:
                    read_prior(sizes, prior, x[slot], folds, steps, rows, workspace.pointers.read_window)
                run_window(
                    theta, packed_weights, offsets, sizes, workspace, prior.values, x[slot], y[slot], steps, rows,
                    no_dropout, False, alone,
                )  # fmt: skip
                for r in range(rows):
                    segment = order[first + r]
                    for t in range(min(steps, lengths[segment] - done)):
                        loss = workspace.losses[t * rows + r]
                        nats[segment] += loss
                        if loss > worst_nats[segment]:
                            worst[segment], worst_nats[segment] = done + t, loss
                done += steps


@kernel
def compute_logits(
    thread, theta, packed_weights, offsets, sizes, workspaces, priors, batches, T, no_dropout, prior_only
):  # fmt: skip
    """Read the only window of `batches`: logits are left in `Workspace.g`, states in place.

    With `prior_only`, only the n-gram model reads it.
    """
    alone = work_alone(thread, sizes.m_row)
    for g in range(thread.rank, len(batches.rows), thread.size):
        workspace, prior = select_workspace(workspaces, g), select_prior(priors, g)
        R, x = batches.rows[g], batches.indices[0, g]
        if sizes.order > 0:
            read_prior(sizes, prior, x, batches.folds[0, g], T, R, workspace.pointers.read_window)
        if not prior_only:
            call_pointer(
                workspace.pointers.forward,
                (theta, packed_weights, offsets, sizes, workspace, prior.values, x, T, R, no_dropout, alone),
            )


@kernel
def generate(
    thread, theta, packed_weights, offsets, sizes, workspaces, priors, first_rows, rows, folds, indices,
    uniforms, sampling_params, no_dropout, truncate, remaining, characters,
):  # fmt: skip
    """Sample `characters` (n, B), one for each of `uniforms` (n, B), in batch rows that begin with `indices` (B,).

    The layout is that of windows of one step; `sampling_params` (n, B) is that of `pack_sampling_params`. `truncate`
    points to the kernel of that name, and `remaining` (B,) is workspace.
    """
    alone = work_alone(thread, sizes.m_row)
    for group in range(thread.rank, len(rows), thread.size):
        _generate_group(
            theta, packed_weights, offsets, sizes, select_workspace(workspaces, group),
            select_prior(priors, group), first_rows[group], rows[group], folds, indices, uniforms, sampling_params,
            no_dropout, truncate, remaining, characters, alone,
        )  # fmt: skip


@inlined
def _generate_group(
    theta, packed_weights, offsets, sizes, workspace, prior, first, R, folds, indices, uniforms,
    sampling_params, no_dropout, truncate, remaining, characters, thread,
):  # fmt: skip
    """Sample the characters of R batch rows from row `first` on."""
    g, K, K_row = workspace.g, sizes.K, sizes.K_row
    vectors, x = K_row * g.itemsize // BYTES, indices[first : first + R]
    for r in range(R):
        prior.values.weights[r] = sampling_params[NGRAM_WEIGHT, first + r]
    for n in range(len(uniforms)):
        if sizes.order > 0:
            read_prior(sizes, prior, x, folds, 1, R, workspace.pointers.read_window)
        call_pointer(
            workspace.pointers.forward,
            (theta, packed_weights, offsets, sizes, workspace, prior.values, x, 1, R, no_dropout, thread),
        )
        carry_state(1, R, sizes, workspace, thread)
        for r in range(R):
            temperature = sampling_params[TEMPERATURE, first + r]
            total, _ = exponentials(g, r * K_row, vectors, softmax_scale(temperature, g.dtype.type))
            row = g[r * K_row : r * K_row + K]
            remaining[first + r] = np.float64(total)
            if sampling_params[TRUNCATES, first + r]:
                call_pointer(truncate, (row, np.float64(total), sampling_params, first + r, remaining))
            x[r] = sample_index(row, K, sampling_target(uniforms[n, first + r], remaining[first + r], temperature))
            characters[n, first + r] = x[r]
    for r in range(R):
        prior.values.weights[r] = 1
