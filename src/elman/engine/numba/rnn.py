"""The vanilla network, compiled: the mathematics of `elman.network.rnn` on padded rows.

m, K  hidden units, characters; padded to whole vectors: m_row, K_row
T     characters in one window

W is needed by rows (backwards) and by columns (forwards), and V likewise, because a product wants its
lanes along the contiguous axis: `W_columns` and `V_columns` are the transposes, kept in step.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba.options import inlined, kernel
from elman.engine.numba.tile import LANE_BYTES, multiply, transpose
from elman.engine.numba.vector import adagrad, add_and_squash, add_to, exponentials, through_tanh

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
    dU: Array  # (K, m_row), zero between windows
    panel: Array  # (PANEL_ROWS, m_row)
    zeros: Array  # (max(m_row, K_row),)
    db: Array  # (m_row,)
    dc: Array  # (K_row,)


class Rule(NamedTuple):
    """The numbers of the update, in the engine's width."""

    rate: np.floating
    clip: np.floating
    epsilon: np.floating


PANEL_ROWS = 16
"""Rows of a gradient that exist at once: they stay in the first cache until AdaGrad has used them."""


@inlined
def recur(h, h_start, direction, weights, code, m):
    """h_t = tanh(W h_{t-1} + U x_t + b), from the row at `h_start` to the one after it.

    `direction` alternates, so that the columns of W read last, which are still in the first cache, are
    the first ones read by the next step.
    """
    m_row = len(weights.b)
    first, step = (0, 1) if direction == 0 else (m - 1, -1)
    multiply(
        h, h_start + m_row, 0, weights.U, code * m_row, 0,
        h, h_start + first, 0, step, weights.W_columns, first * m_row, step * m_row,
        1, m, m_row * h.itemsize // LANE_BYTES,
    )  # fmt: skip
    add_and_squash(h[h_start + m_row : h_start + 2 * m_row], weights.b)


@inlined
def forward(weights, scratch, x, m):
    """All hidden states and logits of a window."""
    h, T, m_row, K_row = scratch.h, len(x), len(weights.b), len(weights.c)
    for t in range(T):
        recur(h, t * m_row, t % 2, weights, np.intp(x[t]), m)
    multiply(
        scratch.g, 0, K_row, weights.c, 0, 0, h, m_row, m_row, 1, weights.V_columns, 0, K_row,
        T, m, K_row * h.itemsize // LANE_BYTES,
    )  # fmt: skip


@inlined
def softmax_loss(g, y, K, K_row):
    """Turn logits into p - y, row by row; return L = -sum_t log p_t[y_t].

    The logarithm is taken of a product of the rows' sums, each in [1, K], which cannot overflow for
    32 of them.
    """
    one = g.dtype.type(1)
    loss, product = 0.0, 1.0
    for t in range(len(y)):
        row = g[t * K_row : t * K_row + K]
        target = np.intp(y[t])
        target_logit = row[target]
        total, largest = exponentials(row, one)
        inverse = one / total
        for k in range(K):
            row[k] *= inverse
        row[target] -= one
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
    vectors = m_row * h.itemsize // LANE_BYTES
    multiply(
        da, m_row, m_row, scratch.zeros, 0, 0, scratch.g, 0, K_row, 1, weights.V, 0, m_row,
        T, K, vectors,
    )  # fmt: skip
    for t in range(T, 0, -1):
        row = t * m_row
        if t < T:
            first, step = (0, 1) if t % 2 == 0 else (m - 1, -1)
            multiply(
                da, row, 0, da, row, 0, da, row + m_row + first, 0, step,
                weights.W, first * m_row, step * m_row, 1, m, vectors,
            )  # fmt: skip
        through_tanh(da[row : row + m_row], h[row : row + m_row])


@inlined
def bias_gradients(scratch, T, m_row, K_row):
    scratch.db[:] = 0
    scratch.dc[:] = 0
    for t in range(T):
        add_to(scratch.db, scratch.da[(t + 1) * m_row : (t + 2) * m_row])
        add_to(scratch.dc, scratch.g[t * K_row : (t + 1) * K_row])


@inlined
def update_matrix(
    theta, theta_columns, column_row, M, outer, outer_start, outer_row, states, states_start,
    scratch, rule, rows, T, m_row,
):  # fmt: skip
    """AdaGrad for theta (rows, m_row) with the gradient sum_t outer_t states_t', a panel at a time."""
    panel = scratch.panel
    vectors = m_row * panel.itemsize // LANE_BYTES
    for start in range(0, rows, PANEL_ROWS):
        height = min(PANEL_ROWS, rows - start)
        multiply(
            panel, 0, m_row, scratch.zeros, 0, 0, outer, outer_start + start, 1, outer_row,
            states, states_start, m_row, height, T, vectors,
        )  # fmt: skip
        part = slice(start * m_row, (start + height) * m_row)
        adagrad(theta[part], M[part], panel[: height * m_row], rule.rate, rule.clip, rule.epsilon)
        lanes = LANE_BYTES // panel.itemsize
        whole = (height + lanes - 1) // lanes * lanes
        transpose(theta_columns, start, column_row, theta, start * m_row, m_row, whole, m_row)


@inlined
def update(weights, squares, scratch, rule, x, m, K):
    """One AdaGrad step with the gradients of the window in `scratch`."""
    h, g, da, dU = scratch.h, scratch.g, scratch.da, scratch.dU
    T, m_row, K_row = len(x), len(weights.b), len(weights.c)
    rate, clip, epsilon = rule.rate, rule.clip, rule.epsilon
    update_matrix(
        weights.V, weights.V_columns, K_row, squares.V, g, 0, K_row, h, m_row, scratch, rule, K, T, m_row
    )  # fmt: skip
    update_matrix(
        weights.W, weights.W_columns, m_row, squares.W, da, m_row, m_row, h, 0, scratch, rule, m, T, m_row
    )  # fmt: skip
    bias_gradients(scratch, T, m_row, K_row)
    adagrad(weights.b, squares.b, scratch.db, rate, clip, epsilon)
    adagrad(weights.c, squares.c, scratch.dc, rate, clip, epsilon)
    for t in range(T):
        row = np.intp(x[t]) * m_row
        add_to(dU[row : row + m_row], da[(t + 1) * m_row : (t + 2) * m_row])
    # A row of U whose character is not in the window has gradient zero, which AdaGrad leaves alone. A row
    # that has been used is zero again, and using it twice changes nothing.
    for t in range(T):
        row = np.intp(x[t]) * m_row
        part = slice(row, row + m_row)
        adagrad(weights.U[part], squares.U[part], dU[part], rate, clip, epsilon)
        dU[part] = 0


@kernel
def advance(weights, squares, scratch, rule, text, position, T, m, K, losses):
    """As many updates as `losses` is long; return the position of the window to come."""
    m_row = len(weights.b)
    for n in range(len(losses)):
        if position + T >= len(text):
            position = 0
            scratch.h[:m_row] = 0
        x = text[position : position + T]
        y = text[position + 1 : position + T + 1]
        forward(weights, scratch, x, m)
        losses[n] = softmax_loss(scratch.g, y, K, len(weights.c))
        backward(weights, scratch, x, m, K)
        update(weights, squares, scratch, rule, x, m, K)
        scratch.h[:m_row] = scratch.h[T * m_row : (T + 1) * m_row]
        position += T
    return position


@kernel
def loss(weights, scratch, x, y, T, m, K):
    """The loss of x and y, T characters at a time; the last state is left in row 0."""
    m_row, total = len(weights.b), 0.0
    for start in range(0, len(x), T):
        x_window, y_window = x[start : start + T], y[start : start + T]
        forward(weights, scratch, x_window, m)
        total += softmax_loss(scratch.g, y_window, K, len(weights.c))
        last = len(x_window) * m_row
        scratch.h[:m_row] = scratch.h[last : last + m_row]
    return total


@kernel
def gradients(weights, scratch, dW, dV, x, y, m, K):
    """The loss of one window; dW (m_row, m_row) and dV (K_row, m_row) whole, the others in `scratch`."""
    h, g, da, dU = scratch.h, scratch.g, scratch.da, scratch.dU
    T, m_row, K_row = len(x), len(weights.b), len(weights.c)
    vectors = m_row * h.itemsize // LANE_BYTES
    forward(weights, scratch, x, m)
    total = softmax_loss(g, y, K, K_row)
    backward(weights, scratch, x, m, K)
    multiply(
        dV, 0, m_row, scratch.zeros, 0, 0, g, 0, 1, K_row, h, m_row, m_row, K, T, vectors
    )  # fmt: skip
    multiply(
        dW, 0, m_row, scratch.zeros, 0, 0, da, m_row, 1, m_row, h, 0, m_row, m, T, vectors
    )  # fmt: skip
    bias_gradients(scratch, T, m_row, K_row)
    for t in range(T):
        row = np.intp(x[t]) * m_row
        add_to(dU[row : row + m_row], da[(t + 1) * m_row : (t + 2) * m_row])
    multiply(
        da, 0, 0, scratch.zeros, 0, 0, da, m_row, 0, 1, weights.W, 0, m_row, 1, m, vectors
    )  # fmt: skip
    return total
