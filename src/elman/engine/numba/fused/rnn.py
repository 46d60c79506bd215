"""The vanilla network, compiled: the mathematics of `elman.network.cells.rnn` on padded rows.

m, K  hidden units, characters; padded to whole vectors: m_row, K_row
T     characters in one window

W is needed by rows (backwards) and by columns (forwards), and V likewise, because a product wants its
lanes along the contiguous axis: `W_columns` and `V_columns` are the transposes, kept in step. (Of a V that is too
large for the caches only `V_columns` is kept, see `elman.engine.numba.fused.large_alphabet`.)
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba.jit import inlined, kernel
from elman.engine.numba.linalg.simd import BYTES
from elman.engine.numba.linalg.tile import multiply, row_through_tanh, squashed_row, strip_width
from elman.engine.numba.linalg.vector import adagrad, adagrad_rows, add_to, copy, exponentials, scale

Array = NDArray[np.floating]


class Weights(NamedTuple):
    """Flat, padded parameters; (rows, row length) stands behind each."""

    U: Array  # (K, m_row), a row per character
    W: Array  # (m_row, m_row), by rows
    W_columns: Array  # (m_row, m_row)
    V: Array  # (K_row, m_row), by rows
    V_columns: Array  # (m_row, K_row)
    b: Array  # (m_row,)
    c: Array  # (K_row,)


class Squares(NamedTuple):
    """AdaGrad's M, laid out as the weights of the same names."""

    U: Array
    W: Array
    V: Array
    b: Array
    c: Array


class Scratch(NamedTuple):
    """What one window needs beside the weights."""

    h: Array  # (T + 1, m_row): row 0 comes in, row t + 1 follows step t
    g: Array  # (T, K_row): logits, then probabilities, then dL/do
    da: Array  # (T + 1, m_row): row t + 1 belongs to step t; row 0 receives dL/dh_0
    dU: Array  # (K, m_row), of which the rows marked in `met` are meant
    met: NDArray[np.uint8]  # (K,), zero between windows
    panel: Array  # (PANEL_ROWS, m_row)
    zeros: Array  # (max(a square of m_row columns, K_row),)
    db: Array  # (m_row,)
    dc: Array  # (K_row,)


class AdagradScalars(NamedTuple):
    """The numbers of the update, in the engine's width."""

    rate: np.floating
    clip: np.floating
    epsilon: np.floating


PANEL_ROWS = 48
"""Rows of a gradient that exist at once: they stay in the first cache until AdaGrad has used them."""


@inlined
def recur(h, h_start, direction, weights, code, m):
    """h_t = tanh(W h_{t-1} + U x_t + b), from the row at `h_start` to the one after it.

    `direction` alternates, so that the columns of W read last, which are still in the first cache, are
    the first ones read by the next step.
    """
    m_row = len(weights.b)
    squashed_row(
        h, h_start + m_row, weights.U, code * m_row, weights.b, h, h_start, weights.W_columns,
        m, m_row, direction == 1,
    )  # fmt: skip


@inlined
def forward(weights, scratch, x, m):
    """All hidden states and logits of a window."""
    h, T, m_row, K_row = scratch.h, len(x), len(weights.b), len(weights.c)
    for t in range(T):
        recur(h, t * m_row, t % 2, weights, np.intp(x[t]), m)
    vectors = K_row * h.itemsize // BYTES
    width = strip_width(vectors) * BYTES // h.itemsize
    multiply(
        scratch.g, 0, K_row, weights.c, 0, 0, h, m_row, m_row, 1, weights.V_columns, 0, width, m_row * width,
        T, m, vectors,
    )  # fmt: skip


@inlined
def softmax_loss(g, y, K_row):
    """Turn logits into p - y, row by row; return L = -sum_t log p_t[y_t].

    The logarithm is taken of a product of the rows' sums, each in [1, K], which cannot overflow for
    32 of them.
    """
    one = g.dtype.type(1)
    vectors = K_row * g.itemsize // BYTES
    loss, product = 0.0, 1.0
    for t in range(len(y)):
        start = t * K_row
        target = start + np.intp(y[t])
        target_logit = g[target]
        total, largest = exponentials(g, start, vectors, one)
        inverse = one / total
        scale(g, start, vectors, inverse)
        g[target] -= one
        loss += largest - target_logit
        product *= total
        if t % 32 == 31:
            loss += np.log(product)
            product = 1.0
    return loss + np.log(product)


@inlined
def backward(weights, scratch, x, m, K):
    """dh_t = V' g_t + W' da_{t+1} and da_t = (1 - h_t^2) dh_t for every t, from the last to the first."""
    h, da, T, m_row, K_row = scratch.h, scratch.da, len(x), len(weights.b), len(weights.c)
    vectors = m_row * h.itemsize // BYTES
    width = strip_width(vectors) * BYTES // h.itemsize
    multiply(
        da, m_row, m_row, scratch.zeros, 0, 0, scratch.g, 0, K_row, 1, weights.V, 0, width, K_row * width,
        T, K, vectors,
    )  # fmt: skip
    recurrent_backward(weights, scratch, T, m)


@inlined
def recurrent_backward(weights, scratch, T, m):
    """The part of `backward` behind V' g_t, which stands in `da`."""
    h, da, m_row = scratch.h, scratch.da, len(weights.b)
    for t in range(T, 0, -1):
        row = t * m_row
        row_through_tanh(
            da, row, h, row, da, row + m_row, weights.W, m, m_row, t % 2 == 1, m if t < T else 0
        )  # fmt: skip


@inlined
def bias_gradients(scratch, T, m_row, K_row):
    """db = sum da_t and dc = sum g_t."""
    lanes = BYTES // scratch.h.itemsize
    copy(scratch.db, 0, scratch.zeros, 0, m_row // lanes)
    copy(scratch.dc, 0, scratch.zeros, 0, K_row // lanes)
    for t in range(T):
        add_to(scratch.db, 0, scratch.da, (t + 1) * m_row, m_row // lanes)
        add_to(scratch.dc, 0, scratch.g, t * K_row, K_row // lanes)


@inlined
def gather_dU(scratch, x, m_row):
    """dU = sum da_t x_t': the rows of the characters in the window, which are marked as met."""
    vectors = m_row * scratch.h.itemsize // BYTES
    for t in range(len(x)):
        code = np.intp(x[t])
        if scratch.met[code]:
            add_to(scratch.dU, code * m_row, scratch.da, (t + 1) * m_row, vectors)
        else:
            copy(scratch.dU, code * m_row, scratch.da, (t + 1) * m_row, vectors)
            scratch.met[code] = 1


@inlined
def update_matrix(
    theta, theta_columns, M, outer, outer_start, outer_row, states, states_start, scratch, rule, rows, T, m_row
):  # fmt: skip
    """AdaGrad for theta, `rows` x m, with the gradient sum_t outer_t states_t', a panel at a time."""
    panel = scratch.panel
    lanes = BYTES // panel.itemsize
    vectors = strip_width(m_row // lanes)
    width = vectors * lanes
    theta_rows = len(theta) // m_row
    column_row = strip_width(theta_rows // lanes) * lanes
    columns_strip = m_row * column_row
    for strip in range(m_row // width):
        column = 0
        for start in range(0, rows, PANEL_ROWS):
            height = min(PANEL_ROWS, rows - start)
            multiply(
                panel, 0, width, scratch.zeros, 0, 0, outer, outer_start + start, 1, outer_row,
                states, states_start + strip * width, m_row, 0, height, T, vectors,
            )  # fmt: skip
            # AdaGrad goes by groups of rows: what lies beyond the last row is padding, whose gradient is zero.
            copy(panel, height * width, scratch.zeros, 0, (-height % lanes) * vectors)
            for r in range(0, height, lanes):
                begin = (strip * theta_rows + start + r) * width
                adagrad_rows(
                    theta, begin, M, begin, panel, r * width, vectors,
                    theta_columns, column + strip * width * column_row, column_row,
                    rule.rate, rule.clip, rule.epsilon,
                )  # fmt: skip
                # Row r becomes column r, which stands in the next strip after `column_row` of them.
                column += lanes
                if column % column_row == 0:
                    column += columns_strip - column_row


@inlined
def update(weights, squares, scratch, rule, x, m, K):
    """One AdaGrad step with the gradients of the window in `scratch`."""
    m_row, K_row = len(weights.b), len(weights.c)
    update_matrix(
        weights.V, weights.V_columns, squares.V, scratch.g, 0, K_row, scratch.h, m_row, scratch, rule, K, len(x), m_row
    )
    update_all_but_V(weights, squares, scratch, rule, x, m)


@inlined
def update_all_but_V(weights, squares, scratch, rule, x, m):
    """`update` for W, U and the biases."""
    h, da, dU = scratch.h, scratch.da, scratch.dU
    T, m_row, K_row = len(x), len(weights.b), len(weights.c)
    lanes = BYTES // h.itemsize
    rate, clip, epsilon = rule.rate, rule.clip, rule.epsilon
    update_matrix(
        weights.W, weights.W_columns, squares.W, da, m_row, m_row, h, 0, scratch, rule, m, T, m_row
    )  # fmt: skip
    bias_gradients(scratch, T, m_row, K_row)
    adagrad(weights.b, 0, squares.b, 0, scratch.db, 0, m_row // lanes, rate, clip, epsilon)
    adagrad(weights.c, 0, squares.c, 0, scratch.dc, 0, K_row // lanes, rate, clip, epsilon)
    gather_dU(scratch, x, m_row)
    # A row of U whose character is not in the window has gradient zero, which AdaGrad leaves alone.
    for t in range(T):
        code = np.intp(x[t])
        if scratch.met[code]:
            scratch.met[code] = 0
            row = code * m_row
            adagrad(weights.U, row, squares.U, row, dU, row, m_row // lanes, rate, clip, epsilon)


@inlined
def gradient_matrix(gradient, scratch, outer, outer_start, outer_row, states, states_start, rows, T, m_row):
    """The gradient sum_t outer_t states_t' whole, packed as its matrix is."""
    vectors = strip_width(m_row * gradient.itemsize // BYTES)
    width = vectors * BYTES // gradient.itemsize
    for strip in range(m_row // width):
        multiply(
            gradient, strip * len(gradient) // m_row * width, width, scratch.zeros, 0, 0,
            outer, outer_start, 1, outer_row, states, states_start + strip * width, m_row, 0, rows, T, vectors,
        )  # fmt: skip


@kernel
def advance(weights, squares, scratch, rule, text, position, T, m, K, losses):
    """As many updates as `losses` is long; return the position of the window to come."""
    vectors = len(weights.b) * scratch.h.itemsize // BYTES
    m_row = len(weights.b)
    for n in range(len(losses)):
        if position + T >= len(text):
            position = 0
            copy(scratch.h, 0, scratch.zeros, 0, vectors)
        x = text[position : position + T]
        y = text[position + 1 : position + T + 1]
        forward(weights, scratch, x, m)
        losses[n] = softmax_loss(scratch.g, y, len(weights.c))
        backward(weights, scratch, x, m, K)
        update(weights, squares, scratch, rule, x, m, K)
        copy(scratch.h, 0, scratch.h, T * m_row, vectors)
        position += T
    return position


@kernel
def loss(weights, scratch, x, y, T, m):
    """The loss of x and y, T characters at a time; the last state is left in row 0."""
    m_row, total = len(weights.b), 0.0
    for start in range(0, len(x), T):
        x_window, y_window = x[start : start + T], y[start : start + T]
        forward(weights, scratch, x_window, m)
        total += softmax_loss(scratch.g, y_window, len(weights.c))
        copy(scratch.h, 0, scratch.h, len(x_window) * m_row, m_row * scratch.h.itemsize // BYTES)
    return total


@kernel
def gradients(weights, scratch, dW, dV, x, y, m, K):
    """The loss of one window; dW (m_row, m_row) and dV (K_row, m_row) whole, the others in `scratch`."""
    h, g, da = scratch.h, scratch.g, scratch.da
    T, m_row, K_row = len(x), len(weights.b), len(weights.c)
    vectors = m_row * h.itemsize // BYTES
    forward(weights, scratch, x, m)
    total = softmax_loss(g, y, K_row)
    backward(weights, scratch, x, m, K)
    gradient_matrix(dV, scratch, g, 0, K_row, h, m_row, K, T, m_row)
    gradient_matrix(dW, scratch, da, m_row, m_row, h, 0, m, T, m_row)
    bias_gradients(scratch, T, m_row, K_row)
    gather_dU(scratch, x, m_row)
    width = strip_width(vectors) * BYTES // h.itemsize
    multiply(
        da, 0, 0, scratch.zeros, 0, 0, da, m_row, 0, 1, weights.W, 0, width, m_row * width, 1, m, vectors
    )  # fmt: skip
    return total
