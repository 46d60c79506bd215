"""One vanilla RNN layer, batch size 1, compiled: the mathematics of `elman.network.cells.rnn` on padded rows.

m, K  hidden units, characters; padded to full vectors: m_row, K_row
T     characters in one window

W is needed by rows (backward pass) and by columns (forward pass), and V likewise, because the lanes of a product lie
along the contiguous axis: `W_columns` and `V_columns` are the transposes, updated together with W and V. (Of a V
that exceeds the caches only `V_columns` is kept, see `elman.engine.numba.fused.large_alphabet`.)
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba.fused.softmax import softmax_loss
from elman.engine.numba.jit import inlined, kernel
from elman.engine.numba.linalg.matvec import matvec, matvec_tanh, matvec_tanh_backward
from elman.engine.numba.linalg.simd import BYTES
from elman.engine.numba.linalg.tile import multiply, strip_width
from elman.engine.numba.linalg.vector import adagrad, adagrad_rows, add_to, copy, exponentials
from elman.engine.numba.sampling import sample_index, sampling_target, softmax_scale, truncate

Array = NDArray[np.floating]


class Weights(NamedTuple):
    """Flat, padded parameters, with (rows, row length) of each."""

    U: Array  # (K, m_row), a row per character
    W: Array  # (m_row, m_row), by rows
    W_columns: Array  # (m_row, m_row)
    V: Array  # (K_row, m_row), by rows
    V_columns: Array  # (m_row, K_row)
    b: Array  # (m_row,)
    c: Array  # (K_row,)


class AdagradAccumulators(NamedTuple):
    """AdaGrad's sums of squared gradients M, stored like the weights of the same names."""

    U: Array
    W: Array
    V: Array
    b: Array
    c: Array


class Scratch(NamedTuple):
    """Activations and gradients of one window."""

    h: Array  # (T + 1, m_row): row 0 is the initial state, row t + 1 that after step t
    g: Array  # (T, K_row): logits, overwritten by probabilities, then by dL/do
    da: Array  # (T + 1, m_row): row t + 1 is that of step t; row 0 receives dL/dh_0
    dU: Array  # (K, m_row), of which only the rows marked in `touched` are valid
    touched: NDArray[np.uint8]  # (K,), zero between windows
    panel: Array  # (2, PANEL_ROWS, m_row): for each of two threads
    zeros: Array  # as long as the longest run that is copied: K_row, or a vector of rows of m_row
    db: Array  # (m_row,)
    dc: Array  # (K_row,)
    indices: NDArray[np.intp]  # (T + 1,): those of the window and of the character after it
    differences: NDArray[np.float64]  # (T,): terms of the loss, see `elman.engine.numba.fused.shared`
    totals: NDArray[np.float64]  # (T,)


class AdagradScalars(NamedTuple):
    """The hyperparameters of AdaGrad, in the dtype of the weights."""

    rate: np.floating
    clip: np.floating
    epsilon: np.floating


PANEL_ROWS = 24
"""Rows of a gradient computed at a time: they stay in the first-level cache until AdaGrad has used them."""


@inlined
def read_indices(indices, text, index_bytes, position):
    """Read `indices` from a text given as bytes, little-endian numbers of `index_bytes` each.

    So one kernel serves alphabets of any size: kernels for several types of index would be compiled separately.
    """
    start = position * index_bytes
    for t in range(len(indices)):
        index = np.intp(0)
        for byte in range(index_bytes):
            index |= np.intp(text[start + byte]) << (8 * byte)
        indices[t] = index
        start += index_bytes


@inlined
def recur(h, h_start, direction, weights, index, m):
    """h_t = tanh(W h_{t-1} + U x_t + b), from the row at `h_start` to the next one.

    `direction` alternates, so that each step starts with the columns of W that the previous step read last and that
    are still in the first-level cache.
    """
    m_row = len(weights.b)
    matvec_tanh(
        h, h_start + m_row, weights.U, index * m_row, weights.b, h, h_start, weights.W_columns,
        m, m_row, direction == 1,
    )  # fmt: skip


@inlined
def forward(weights, scratch, x, m):
    """Compute all hidden states and logits of a window."""
    T, m_row = len(x), len(weights.b)
    for t in range(T):
        recur(scratch.h, t * m_row, t % 2, weights, x[t], m)
    compute_logits(weights, scratch, 0, T, m)


@inlined
def compute_logits(weights, scratch, first, rows, m):
    """The logits of `rows` steps."""
    h, m_row, K_row = scratch.h, len(weights.b), len(weights.c)
    vectors = K_row * h.itemsize // BYTES
    columns = strip_width(vectors) * BYTES // h.itemsize
    multiply(
        scratch.g, first * K_row, K_row, weights.c, 0, 0, h, (first + 1) * m_row, m_row, 1,
        weights.V_columns, 0, columns, m_row * columns, rows, m, vectors,
    )  # fmt: skip


@inlined
def backward(weights, scratch, x, m, K):
    """dh_t = V' g_t + W' da_{t+1} and da_t = (1 - h_t^2) dh_t for every t, from the last to the first."""
    compute_output_backward(weights, scratch, 0, len(x), K)
    recurrent_backward(weights, scratch, len(x), m)


@inlined
def compute_output_backward(weights, scratch, first, rows, K):
    """V' g_t of `rows` steps."""
    m_row, K_row = len(weights.b), len(weights.c)
    vectors = m_row * scratch.g.itemsize // BYTES
    columns = strip_width(vectors) * BYTES // scratch.g.itemsize
    multiply(
        scratch.da, (first + 1) * m_row, m_row, scratch.zeros, 0, 0, scratch.g, first * K_row, K_row, 1,
        weights.V, 0, columns, K_row * columns, rows, K, vectors,
    )  # fmt: skip


@inlined
def recurrent_backward(weights, scratch, T, m):
    """The part of `backward` after V' g_t, which is in `da`."""
    for t in range(T, 0, -1):
        recurrent_step_backward(weights, scratch, t, T, m)


@inlined
def recurrent_step_backward(weights, scratch, t, T, m):
    """da_t, in row t, from V' g_t and the row after it."""
    m_row = len(weights.b)
    row = t * m_row
    matvec_tanh_backward(
        scratch.da, row, scratch.h, row, scratch.da, row + m_row, weights.W, m_row, t % 2 == 1, m if t < T else 0
    )  # fmt: skip


@inlined
def sum_rows(total, rows, start, T, row, zeros):
    """total = sum of T rows, which is the gradient of a bias: db = sum da_t and dc = sum g_t."""
    vectors = row * total.itemsize // BYTES
    copy(total, 0, zeros, 0, vectors)
    for t in range(T):
        add_to(total, 0, rows, start + t * row, vectors)


@inlined
def gather_dU(scratch, x, m_row):
    """dU = sum da_t x_t': the rows of the characters in the window, which are marked as touched."""
    vectors = m_row * scratch.h.itemsize // BYTES
    for t in range(len(x)):
        index = x[t]
        if scratch.touched[index]:
            add_to(scratch.dU, index * m_row, scratch.da, (t + 1) * m_row, vectors)
        else:
            copy(scratch.dU, index * m_row, scratch.da, (t + 1) * m_row, vectors)
            scratch.touched[index] = 1


@inlined
def count_panels(rows, m_row, itemsize):
    """The number of panels of a matrix, `rows` x m."""
    vectors = m_row * itemsize // BYTES
    return (rows + PANEL_ROWS - 1) // PANEL_ROWS * (vectors // strip_width(vectors))


@inlined
def update_panel(
    theta, theta_columns, M, outer, outer_start, outer_row, states, states_start, panel, zeros, scalars,
    n, rows, T, m_row, thread,
):  # fmt: skip
    """Update panel n of theta, `rows` x m, by AdaGrad with the gradient sum_t outer_t states_t'."""
    lanes = BYTES // panel.itemsize
    vectors = strip_width(m_row // lanes)
    columns = vectors * lanes
    theta_rows = len(theta) // m_row
    column_row = strip_width(theta_rows // lanes) * lanes
    panels = (rows + PANEL_ROWS - 1) // PANEL_ROWS
    strip, start = n // panels, n % panels * PANEL_ROWS
    height = min(PANEL_ROWS, rows - start)
    workspace = thread * PANEL_ROWS * m_row
    multiply(
        panel, workspace, columns, zeros, 0, 0, outer, outer_start + start, 1, outer_row,
        states, states_start + strip * columns, m_row, 0, height, T, vectors,
    )  # fmt: skip
    # AdaGrad processes groups of rows; those after the last one are padding, whose gradient is zero.
    copy(panel, workspace + height * columns, zeros, 0, (-height % lanes) * vectors)
    for r in range(0, height, lanes):
        row = start + r
        begin = (strip * theta_rows + row) * columns
        # Row r becomes column r, in strips of `column_row` columns.
        column = row // column_row * (m_row * column_row) + row % column_row
        adagrad_rows(
            theta, begin, M, begin, panel, workspace + r * columns, vectors,
            theta_columns, column + strip * columns * column_row, column_row,
            scalars.rate, scalars.clip, scalars.epsilon,
        )  # fmt: skip


@kernel
def update_matrix(
    theta, theta_columns, M, outer, outer_start, outer_row, states, states_start, panel, zeros, scalars, rows, T, m_row
):  # fmt: skip
    """`update_panel` for every panel."""
    for n in range(count_panels(rows, m_row, theta.itemsize)):
        update_panel(
            theta, theta_columns, M, outer, outer_start, outer_row, states, states_start, panel, zeros, scalars,
            n, rows, T, m_row, 0,
        )  # fmt: skip


@inlined
def update(weights, squared_grads, scratch, scalars, x, m, K):
    """Update all weights by AdaGrad with the gradients of the window in `scratch`."""
    m_row, K_row = len(weights.b), len(weights.c)
    update_matrix(
        weights.V, weights.V_columns, squared_grads.V, scratch.g, 0, K_row, scratch.h, m_row,
        scratch.panel, scratch.zeros, scalars, K, len(x), m_row,
    )  # fmt: skip
    update_c(weights, squared_grads, scratch, scalars, len(x))
    update_recurrence(weights, squared_grads, scratch, scalars, x, m)


@inlined
def update_c(weights, squared_grads, scratch, scalars, T):
    """`update` for c."""
    K_row = len(weights.c)
    sum_rows(scratch.dc, scratch.g, 0, T, K_row, scratch.zeros)
    adagrad(
        weights.c, 0, squared_grads.c, 0, scratch.dc, 0, K_row * scratch.g.itemsize // BYTES,
        scalars.rate, scalars.clip, scalars.epsilon,
    )  # fmt: skip


@inlined
def update_recurrence(weights, squared_grads, scratch, scalars, x, m):
    """`update` for W, U and b."""
    update_W_and_b(weights, squared_grads, scratch, scalars, len(x), m)
    update_U(weights, squared_grads, scratch, scalars, x)


@inlined
def update_W_and_b(weights, squared_grads, scratch, scalars, T, m):
    """`update` for W and b."""
    m_row = len(weights.b)
    update_matrix(
        weights.W, weights.W_columns, squared_grads.W, scratch.da, m_row, m_row, scratch.h, 0,
        scratch.panel, scratch.zeros, scalars, m, T, m_row,
    )  # fmt: skip
    sum_rows(scratch.db, scratch.da, m_row, T, m_row, scratch.zeros)
    adagrad(
        weights.b, 0, squared_grads.b, 0, scratch.db, 0, m_row * scratch.db.itemsize // BYTES,
        scalars.rate, scalars.clip, scalars.epsilon,
    )  # fmt: skip


@inlined
def update_U(weights, squared_grads, scratch, scalars, x):
    """`update` for U."""
    dU, T, m_row = scratch.dU, len(x), len(weights.b)
    vectors = m_row * dU.itemsize // BYTES
    rate, clip, epsilon = scalars.rate, scalars.clip, scalars.epsilon
    gather_dU(scratch, x, m_row)
    # A row of U whose character is not in the window has gradient zero, which changes nothing in AdaGrad.
    for t in range(T):
        index = x[t]
        if scratch.touched[index]:
            scratch.touched[index] = 0
            row = index * m_row
            adagrad(weights.U, row, squared_grads.U, row, dU, row, vectors, rate, clip, epsilon)


@inlined
def compute_gradient_matrix(gradient, scratch, outer, outer_start, outer_row, states, states_start, rows, T, m_row):
    """The complete gradient sum_t outer_t states_t', stored in strips as its matrix is."""
    vectors = strip_width(m_row * gradient.itemsize // BYTES)
    columns = vectors * BYTES // gradient.itemsize
    for strip in range(m_row // columns):
        multiply(
            gradient, strip * len(gradient) // m_row * columns, columns, scratch.zeros, 0, 0,
            outer, outer_start, 1, outer_row, states, states_start + strip * columns, m_row, 0, rows, T, vectors,
        )  # fmt: skip


@kernel
def advance(weights, squared_grads, scratch, scalars, text, index_bytes, position, T, m, K, losses):
    """Perform `len(losses)` updates; return the position of the next window. For `text` see `read_indices`."""
    vectors = len(weights.b) * scratch.h.itemsize // BYTES
    m_row = len(weights.b)
    for n in range(len(losses)):
        if (position + T) * index_bytes >= len(text):
            position = 0
            copy(scratch.h, 0, scratch.zeros, 0, vectors)
        read_indices(scratch.indices, text, index_bytes, position)
        x, y = scratch.indices[:T], scratch.indices[1:]
        forward(weights, scratch, x, m)
        losses[n] = softmax_loss(scratch.g, y, len(weights.c))
        backward(weights, scratch, x, m, K)
        update(weights, squared_grads, scratch, scalars, x, m, K)
        copy(scratch.h, 0, scratch.h, T * m_row, vectors)
        position += T
    return position


@kernel
def compute_loss(weights, scratch, x, y, T, m, total):
    """Add the loss of x and y to `total`, T characters at a time; the final state is left in row 0."""
    m_row = len(weights.b)
    for start in range(0, len(x), T):
        x_window, y_window = x[start : start + T], y[start : start + T]
        forward(weights, scratch, x_window, m)
        total += softmax_loss(scratch.g, y_window, len(weights.c))
        copy(scratch.h, 0, scratch.h, len(x_window) * m_row, m_row * scratch.h.itemsize // BYTES)
    return total


@kernel
def compute_gradients(weights, scratch, dW, dV, x, y, m, K):
    """The loss of one window; its gradients dW (m_row, m_row) and dV (K_row, m_row), and the others in `scratch`."""
    h, g, da = scratch.h, scratch.g, scratch.da
    T, m_row, K_row = len(x), len(weights.b), len(weights.c)
    vectors = m_row * h.itemsize // BYTES
    forward(weights, scratch, x, m)
    total = softmax_loss(g, y, K_row)
    backward(weights, scratch, x, m, K)
    compute_gradient_matrix(dV, scratch, g, 0, K_row, h, m_row, K, T, m_row)
    compute_gradient_matrix(dW, scratch, da, m_row, m_row, h, 0, m, T, m_row)
    sum_rows(scratch.db, da, m_row, T, m_row, scratch.zeros)
    sum_rows(scratch.dc, g, 0, T, K_row, scratch.zeros)
    gather_dU(scratch, x, m_row)
    columns = strip_width(vectors) * BYTES // h.itemsize
    multiply(
        da, 0, 0, scratch.zeros, 0, 0, da, m_row, 0, 1, weights.W, 0, columns, m_row * columns, 1, m, vectors
    )  # fmt: skip
    return total


@inlined
def _step(weights, scratch, x, m):
    """Read x in the state of row 0: the next state is left there, the logits in `scratch.g`."""
    h, g, m_row, K_row = scratch.h, scratch.g, len(weights.b), len(weights.c)
    recur(h, 0, 0, weights, x, m)
    copy(h, 0, h, m_row, m_row * h.itemsize // BYTES)
    matvec(g, 0, weights.c, 0, h, 0, weights.V_columns, m_row, K_row, m, False)


@kernel
def generate(weights, scratch, x, uniforms, m, K, temperature, characters):
    """Fill `characters`, one sampled with each of `uniforms`; the final state is left in row 0."""
    g, vectors = scratch.g, len(weights.c) * scratch.g.itemsize // BYTES
    factor = softmax_scale(temperature, g.dtype.type)
    for n in range(len(uniforms)):
        _step(weights, scratch, x, m)
        total, _ = exponentials(g, 0, vectors, factor)
        x = sample_index(g, K, sampling_target(uniforms[n], total, temperature))
        characters[n] = x


@kernel
def generate_truncated(weights, scratch, x, uniforms, m, K, temperature, sampling_params, characters):
    """`generate` with filters, of one batch row; a kernel of its own, as sorting takes a while to compile."""
    g, vectors = scratch.g, len(weights.c) * scratch.g.itemsize // BYTES
    factor = softmax_scale(temperature, g.dtype.type)
    for n in range(len(uniforms)):
        _step(weights, scratch, x, m)
        total, _ = exponentials(g, 0, vectors, factor)
        remaining = truncate(g[:K], np.float64(total), sampling_params, 0)
        x = sample_index(g, K, sampling_target(uniforms[n], remaining, temperature))
        characters[n] = x
