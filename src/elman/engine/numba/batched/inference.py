"""Kernels for inference with a batch: the losses of many text segments, and generation.

Segments are read in groups, each of which is a batch of one window after the other. The longest segments come first,
so that the segments not yet finished are always the first rows, and no row is computed for a finished one.
"""

import numpy as np

from elman.engine.numba.batched.kernels import carry_state, forward_step, multiply_inputs
from elman.engine.numba.batched.prior import add_prior, read_prior
from elman.engine.numba.jit import compiled, inlined, kernel
from elman.engine.numba.linalg.panels import entire
from elman.engine.numba.linalg.simd import BYTES
from elman.engine.numba.linalg.vector import copy, exponentials
from elman.engine.numba.pointers import call_pointer
from elman.engine.numba.sampling import (
    NGRAM_WEIGHT,
    TEMPERATURE,
    TRUNCATES,
    sample_index,
    sampling_target,
    softmax_scale,
    truncate,
)


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
    window_pointer, theta, packed_weights, offsets, sizes, workspace, prior, initial, initial_history, text, order,
    starts, lengths, worker, workers, T, R, x, y, dropout_mask, team, nats, worst, worst_nats,
):  # fmt: skip
    """Read every `workers`-th group of R segments, from group `worker` on; see `elman.engine.protocol.SegmentLosses`.

    `order` lists the segments, the longest first; x and y (T R,) are workspace for one window.
    """
    for first in range(worker * R, len(order), workers * R):
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
                    x[t * rows + r], y[t * rows + r] = text[at + min(t, last)], text[at + min(t, last) + 1]
            if sizes.order > 0:
                read_prior(sizes, prior, x, steps, rows)
            call_pointer(
                window_pointer,
                (
                    theta, packed_weights, offsets, sizes, workspace, prior.values, x, y, steps, rows, dropout_mask,
                    False, False, team,
                ),
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
def generate(
    theta, packed_weights, offsets, sizes, workspace, prior, R, indices, uniforms, sampling_params, characters, team
):  # fmt: skip
    """Sample `characters` (n, R), one for each of `uniforms` (n, R), in R batch rows that begin with `indices` (R,).

    The layout is that of windows of one step; `sampling_params` (n, R) is that of `pack_sampling_params`.
    """
    g, m_row, K, K_row = workspace.g, sizes.m_row, sizes.K, sizes.K_row
    vectors = K_row * g.itemsize // BYTES
    for r in range(R):
        prior.values.weights[r] = sampling_params[NGRAM_WEIGHT, r]
    for n in range(len(uniforms)):
        for layer in range(sizes.layers):
            if layer > 0:
                multiply_inputs(
                    layer, 1, R, workspace.h, (2 * layer - 1) * R * m_row,
                    theta, packed_weights, offsets, sizes, workspace, team,
                )  # fmt: skip
            forward_step(layer, 0, 1, R, theta, packed_weights, offsets, sizes, workspace, indices, team)
        top = (2 * sizes.layers - 1) * R * m_row
        call_pointer(
            workspace.products.multiply,
            (
                g, 0, K_row, packed_weights, sizes.c_padded, 0, workspace.h, top, m_row,
                packed_weights, sizes.V_forward, sizes.panel_width, R, sizes.m, K_row,
                entire(K_row),
            ),
        )  # fmt: skip
        if sizes.order > 0:
            read_prior(sizes, prior, indices, 1, R)
            add_prior(theta, sizes, workspace, prior.values, 0, R, R)
        carry_state(1, R, sizes, workspace, team)
        for r in range(R):
            temperature = sampling_params[TEMPERATURE, r]
            total, _ = exponentials(g, r * K_row, vectors, softmax_scale(temperature, g.dtype.type))
            row, remaining = g[r * K_row : r * K_row + K], np.float64(total)
            if sampling_params[TRUNCATES, r]:
                remaining = truncate(row, remaining, sampling_params, r)
            indices[r] = sample_index(row, K, sampling_target(uniforms[n, r], remaining, temperature))
            characters[n, r] = indices[r]
    for r in range(R):
        prior.values.weights[r] = 1
