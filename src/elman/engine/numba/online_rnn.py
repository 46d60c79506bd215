"""Training of one vanilla RNN layer with batch size 1 and AdaGrad: the mathematics of `elman.network.cells.rnn`.

m, K  hidden units, characters; padded to full vectors: m_row, K_row
T     characters in one window

The gradient of a matrix is computed panel by panel, and AdaGrad uses a panel while it is in the first-level cache: one
update of the reference experiment needs a third of the time of the kernels for batches.

W and V are needed by rows (backward pass) and by columns (forward pass), because the lanes of a product lie along the
contiguous axis: `W_columns` and `V_columns` are the transposes, updated together with W and V.

A second thread computes the output layer: the logits and V' g_t while the first one computes the recurrence a few steps
ahead, then the update of V. Therefore V stays in the caches of one core and W in the caches of the other.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba.simd import BYTES, Simd
from elman.engine.numba.threads import arrive, barrier
from elman.engine.numba.tile import Matrix, Strips, multiply, row_tile, strip_width
from elman.engine.numba.vector import (
    VectorView,
    adagrad,
    adagrad_rows,
    add_to,
    copy,
    elementwise_kernel,
    exponentials,
    prefetch_row,
    scale,
)
from elman.jit import exact, inlined, kernel

Array = NDArray[np.floating]


class PackedArrays(NamedTuple):
    """Flat, padded arrays: the parameters or, stored alike, AdaGrad's sums of their squared gradients."""

    U: Array  # (K, m_row), a row per character
    W: Array  # (m_row, m_row), by rows
    V: Array  # (K_row, m_row), by rows
    b: Array  # (m_row,)
    c: Array  # (K_row,)


class Scratch(NamedTuple):
    """The transposes of W and V, and the activations and gradients of one window."""

    W_columns: Array  # (m_row, m_row)
    V_columns: Array  # (m_row, K_row)
    h: Array  # (T + 1, m_row): row 0 is the initial state, row t + 1 the state after step t
    g: Array  # (T, K_row): logits, overwritten by probabilities, then by dL/do
    da: Array  # (T + 1, m_row): row t + 1 belongs to step t; row 0 is unused
    dU: Array  # (K, m_row): only the rows marked in `touched` are valid
    touched: NDArray[np.uint8]  # (K,), zero between windows
    panels: Array  # (2, PANEL_ROWS, m_row): for each of two threads
    zeros: Array  # as long as the longest run that is copied: K_row, or a vector of rows of m_row
    db: Array  # (m_row,)
    dc: Array  # (K_row,)
    indices: NDArray[np.intp]  # (T + 1,): the characters of the window and the next one
    differences: NDArray[np.float64]  # (T,): the largest logit of each step minus the logit of its target
    totals: NDArray[np.float64]  # (T,): the sum of exponentials of each step


class AdagradScalars(NamedTuple):
    """The hyperparameters of AdaGrad, in the dtype of the weights."""

    rate: np.floating
    clip: np.floating
    epsilon: np.floating


class Training(NamedTuple):
    """A network in training, and the text that it reads."""

    weights: PackedArrays
    squared_grads: PackedArrays
    scratch: Scratch
    scalars: AdagradScalars
    m: int
    K: int
    T: int
    text: NDArray[np.uint8]  # its indices as bytes, little-endian numbers of `index_bytes` each
    index_bytes: int
    position: NDArray[np.int64]  # (1,): where the next window begins


CHUNK = 5
"""Steps whose logits are computed at a time: at most as many as a tile has rows."""

PANEL_ROWS = 24
"""Rows of a gradient computed at a time: they stay in the first-level cache until AdaGrad has used them."""


@elementwise_kernel
def tanh_of_sum(simd: Simd, view: VectorView) -> None:
    """Rows: c, the bias."""
    view.store(simd.tanh(simd.add(view.load(0), view.load(1))), 0)


@elementwise_kernel
def times_tanh_derivative(simd: Simd, view: VectorView) -> None:
    """Rows: dL/dh, h = tanh a; the first becomes dL/da = (1 - h^2) dL/dh."""
    dh, h = view.load(0), view.load(1)
    view.store(simd.sub(dh, simd.mul(simd.mul(h, h), dh)), 0)


@inlined
def matvec(c, c_start, d, d_start, a, a_start, b, row, depth, reverse):
    """C = D + A B, a padded row, with the first `depth` rows of B, which is stored in strips of `row` rows.

    If `reverse`, the sum goes from the last k to the first: with alternating directions, a call starts with
    the rows of B that the previous one ended with, which are still in the first-level cache.
    """
    vectors = strip_width(row * c.itemsize // BYTES)
    columns = vectors * BYTES // c.itemsize
    first, step = (depth - 1, -1) if reverse else (0, 1)
    strip, next_strip = (row - columns, -columns) if reverse else (0, columns)
    while 0 <= strip < row:
        row_tile(
            c, c_start + strip, d, d_start + strip, a, a_start + first, step,
            b, strip * row + first * columns, step * columns, depth, vectors,
        )  # fmt: skip
        strip += next_strip


@inlined
def read_indices(indices, text, index_bytes, position):
    """Read `indices` from a text, see `Training.text`.

    One kernel thus serves alphabets of any size: kernels for several types of index would be compiled separately.
    """
    start = position * index_bytes
    for t in range(len(indices)):
        index = np.intp(0)
        for byte in range(index_bytes):
            index |= np.intp(text[start + byte]) << (8 * byte)
        indices[t] = index
        start += index_bytes


@inlined
def recur(weights, scratch, first, last, T, m):
    """h_t = tanh(W h_{t-1} + U x_t + b), for steps `first` to `last` - 1."""
    h, m_row = scratch.h, len(weights.b)
    vectors = m_row * h.itemsize // BYTES
    for t in range(first, last):
        # Another core has written it.
        prefetch_row(weights.U, scratch.indices[min(t + 2, T - 1)] * m_row, vectors)
        row, U_row = t * m_row, scratch.indices[t] * m_row
        matvec(h, row + m_row, weights.U, U_row, h, row, scratch.W_columns, m_row, m, t % 2 == 1)
        tanh_of_sum(h, row + m_row, weights.b, 0, 0, vectors)


@inlined
def compute_logits(weights, scratch, first, rows, m):
    """Compute the logits of `rows` steps."""
    h, m_row, K_row = scratch.h, len(weights.b), len(weights.c)
    vectors = K_row * h.itemsize // BYTES
    columns = strip_width(vectors) * BYTES // h.itemsize
    multiply(
        Matrix(scratch.g, first * K_row, K_row), Matrix(weights.c, 0, 0), Matrix(h, (first + 1) * m_row, m_row), 1,
        Strips(scratch.V_columns, 0, columns, m_row * columns), rows, m, vectors,
    )  # fmt: skip


@inlined
def compute_softmax(scratch, first, rows, K_row):
    """Turn the logits of `rows` steps into p - y, and store the terms of the loss."""
    g, one = scratch.g, scratch.g.dtype.type(1)
    vectors = K_row * g.itemsize // BYTES
    for t in range(first, first + rows):
        start = t * K_row
        target = start + scratch.indices[t + 1]
        target_logit = g[target]
        total, largest = exponentials(g, start, vectors, one)
        scale(g, start, vectors, one / total)
        g[target] -= one
        scratch.differences[t] = largest - target_logit
        scratch.totals[t] = total


@exact  # without fastmath: the losses are added in the order of the steps
def sum_losses(differences, totals, T):
    """Return the loss L = -sum_t log p_t[y_t] of a window.

    The logarithm is taken once per 32 steps, of the product of their sums of exponentials: each is in [1, K], so that
    it cannot overflow.
    """
    loss, product = 0.0, 1.0
    for t in range(T):
        loss += differences[t]
        product *= totals[t]
        if t % 32 == 31:
            loss += np.log(product)
            product = 1.0
    return loss + np.log(product)


@inlined
def compute_output_backward(weights, scratch, first, rows, K):
    """Compute V' g_t of `rows` steps."""
    m_row, K_row = len(weights.b), len(weights.c)
    vectors = m_row * scratch.g.itemsize // BYTES
    columns = strip_width(vectors) * BYTES // scratch.g.itemsize
    multiply(
        Matrix(scratch.da, (first + 1) * m_row, m_row), Matrix(scratch.zeros, 0, 0),
        Matrix(scratch.g, first * K_row, K_row), 1, Strips(weights.V, 0, columns, K_row * columns), rows, K, vectors,
    )  # fmt: skip


@inlined
def recur_backward(weights, scratch, T, m):
    """Compute da_t = (1 - h_t^2) (V' g_t + W' da_{t+1}) for all steps, in row t of da, which contains V' g_t before."""
    h, da, m_row = scratch.h, scratch.da, len(weights.b)
    for t in range(T, 0, -1):
        row = t * m_row
        matvec(da, row, da, row, da, row + m_row, weights.W, m_row, m if t < T else 0, t % 2 == 1)
        times_tanh_derivative(da, row, h, row, 0, m_row * da.itemsize // BYTES)


@kernel
def update_matrix(theta, theta_columns, M, outers, states, panel_of, zeros, scalars, rows, T):
    """Update theta, `rows` x m, by AdaGrad with the gradient sum_t outer_t states_t', rows of two matrices.

    `panel_of` is workspace for a panel of the gradient: an array and where the panel begins there.
    """
    outer, outer_start, outer_row = outers
    panels, panel = panel_of
    m_row = states.row
    lanes = BYTES // panels.itemsize
    vectors = strip_width(m_row // lanes)
    columns = vectors * lanes
    theta_rows = len(theta) // m_row
    column_row = strip_width(theta_rows // lanes) * lanes
    for strip in range(m_row // columns):
        for start in range(0, rows, PANEL_ROWS):
            height = min(PANEL_ROWS, rows - start)
            multiply(
                Matrix(panels, panel, columns), Matrix(zeros, 0, 0), Matrix(outer, outer_start + start, 1), outer_row,
                Strips(states.data, states.start + strip * columns, m_row, 0), height, T, vectors,
            )  # fmt: skip
            # AdaGrad processes groups of rows; those after the last one are padding, whose gradient is zero.
            copy(panels, panel + height * columns, zeros, 0, (-height % lanes) * vectors)
            for r in range(0, height, lanes):
                row = start + r
                begin = (strip * theta_rows + row) * columns
                # Row r becomes column r, in strips of `column_row` columns.
                column = row // column_row * (m_row * column_row) + row % column_row
                adagrad_rows(
                    theta, begin, M, begin, panels, panel + r * columns, vectors,
                    theta_columns, column + strip * columns * column_row, column_row,
                    scalars.rate, scalars.clip, scalars.epsilon,
                )  # fmt: skip


@inlined
def update_bias(bias, M, gradient, rows, start, T, zeros, scalars):
    """Update a bias by AdaGrad with the gradient sum_t of T rows: db = sum da_t and dc = sum g_t."""
    row = len(bias)
    vectors = row * bias.itemsize // BYTES
    copy(gradient, 0, zeros, 0, vectors)
    for t in range(T):
        add_to(gradient, 0, rows, start + t * row, vectors)
    adagrad(bias, 0, M, 0, gradient, 0, vectors, scalars.rate, scalars.clip, scalars.epsilon)


@inlined
def update_output(weights, squared_grads, scratch, scalars, T, K):
    """Update V and c."""
    m_row, K_row = len(weights.b), len(weights.c)
    update_matrix(
        weights.V, scratch.V_columns, squared_grads.V, Matrix(scratch.g, 0, K_row), Matrix(scratch.h, m_row, m_row),
        (scratch.panels, PANEL_ROWS * m_row), scratch.zeros, scalars, K, T,
    )  # fmt: skip
    update_bias(weights.c, squared_grads.c, scratch.dc, scratch.g, 0, T, scratch.zeros, scalars)


@inlined
def update_recurrence(weights, squared_grads, scratch, scalars, T, m):
    """Update W."""
    m_row = len(weights.b)
    update_matrix(
        weights.W, scratch.W_columns, squared_grads.W, Matrix(scratch.da, m_row, m_row), Matrix(scratch.h, 0, m_row),
        (scratch.panels, 0), scratch.zeros, scalars, m, T,
    )  # fmt: skip


@inlined
def update_inputs(weights, squared_grads, scratch, scalars, T):
    """Update U and b.

    A row of U whose character is not in the window has gradient zero, which changes nothing in AdaGrad.
    """
    m_row, x = len(weights.b), scratch.indices
    vectors = m_row * scratch.h.itemsize // BYTES
    for t in range(T):
        if scratch.touched[x[t]]:
            add_to(scratch.dU, x[t] * m_row, scratch.da, (t + 1) * m_row, vectors)
        else:
            copy(scratch.dU, x[t] * m_row, scratch.da, (t + 1) * m_row, vectors)
            scratch.touched[x[t]] = 1
    for t in range(T):
        if scratch.touched[x[t]]:
            scratch.touched[x[t]] = 0
            row = x[t] * m_row
            adagrad(
                weights.U, row, squared_grads.U, row, scratch.dU, row, vectors,
                scalars.rate, scalars.clip, scalars.epsilon,
            )  # fmt: skip
    update_bias(weights.b, squared_grads.b, scratch.db, scratch.da, m_row, T, scratch.zeros, scalars)


@kernel
def advance(thread, training, losses):
    """Perform `len(losses)` updates.

    One or two threads call this kernel. The last of them computes the output layer. The first one waits for it only
    when it needs V' g_t of all steps, and at the end.
    """
    weights, squared_grads, scratch, scalars, m, K, T, text, index_bytes, next_position = training
    m_row, position = len(weights.b), next_position[0]
    vectors, output, chunk = m_row * scratch.h.itemsize // BYTES, thread.size - 1, T if thread.size == 1 else CHUNK
    for n in range(len(losses)):
        if (position + T) * index_bytes >= len(text):
            position = 0
            if thread.rank == 0:
                copy(scratch.h, 0, scratch.zeros, 0, vectors)
        if thread.rank == 0:
            read_indices(scratch.indices, text, index_bytes, position)
        # The logits of a chunk of steps are computed during the recurrence of the next one.
        for first in range(-chunk, T, chunk):
            following = first + chunk
            if thread.rank == 0 and following < T:
                recur(weights, scratch, following, min(following + chunk, T), T, m)
            if thread.rank == output and first >= 0:
                rows = min(chunk, T - first)
                compute_logits(weights, scratch, first, rows, m)
                compute_softmax(scratch, first, rows, len(weights.c))
                compute_output_backward(weights, scratch, first, rows, K)
            if thread.rank == output or following >= T:
                barrier(thread)
            else:
                arrive(thread)
        if thread.rank == 0:
            recur_backward(weights, scratch, T, m)
        if thread.rank == output:
            update_output(weights, squared_grads, scratch, scalars, T, K)
            barrier(thread)
        else:
            arrive(thread)
        if thread.rank == 0:
            update_recurrence(weights, squared_grads, scratch, scalars, T, m)
            copy(scratch.h, 0, scratch.h, T * m_row, vectors)
        if thread.rank == output:
            update_inputs(weights, squared_grads, scratch, scalars, T)
            losses[n] = sum_losses(scratch.differences, scratch.totals, T)
        barrier(thread)
        position += T
    if thread.rank == 0:
        next_position[0] = position
