"""The vanilla network with a large alphabet, compiled: V is too large for the caches, and memory sets the pace.

m, K  hidden units, characters; padded to whole vectors: m_row, K_row
T     characters in one window

One update has to read V and AdaGrad's sums of it, and to write both; whatever else is read or written is lost time. So
V is kept once, by columns, as the logits want it, and its rows, which V' g_t wants, are made again of one strip at a
time. A strip is a few characters wide; it is read from memory once, and while it is in the second cache it gives its
share of V' g_t, and is updated. But for that, all is as in `elman.engine.numba.fused.rnn`.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba.fused.rnn import PANEL_ROWS, forward, recurrent_backward, softmax_loss, update_all_but_V
from elman.engine.numba.jit import inlined, kernel
from elman.engine.numba.linalg.simd import BYTES
from elman.engine.numba.linalg.tile import multiply, strip_width
from elman.engine.numba.linalg.vector import adagrad, copy, transpose


class Strip(NamedTuple):
    """Room for what one strip of V needs."""

    rows: NDArray[np.floating]  # (characters of a strip, m_row), in strips of m_row
    panel: NDArray[np.floating]  # (PANEL_ROWS, characters of a strip)


@inlined
def _rows_of_strip(strip, V_columns, start, width, m_row):
    """Transpose a strip of `width` characters, whose m_row rows begin at `start`."""
    lanes = BYTES // V_columns.itemsize
    across = strip_width(m_row // lanes) * lanes
    for j in range(0, m_row, lanes):
        to = j // across * (width * across) + j % across
        for k in range(0, width, lanes):
            transpose(strip.rows, to + k * across, across, V_columns, start + j * width + k, width)


@inlined
def output_backward(weights, squares, scratch, strip, rule, T, m):
    """da_t = V' g_t, before V is updated with the gradient sum_t g_t h_t': strip by strip."""
    h, g, da, V, M = scratch.h, scratch.g, scratch.da, weights.V_columns, squares.V
    m_row, K_row = len(weights.b), len(weights.c)
    lanes = BYTES // h.itemsize
    vectors = strip_width(K_row // lanes)
    width, across = vectors * lanes, strip_width(m_row // lanes) * lanes
    for t in range(T):
        copy(da, (t + 1) * m_row, scratch.zeros, 0, m_row // lanes)
    for k in range(0, K_row, width):
        start = k * m_row
        _rows_of_strip(strip, V, start, width, m_row)
        multiply(
            da, m_row, m_row, da, m_row, m_row, g, k, K_row, 1, strip.rows, 0, across, width * across,
            T, width, m_row // lanes,
        )  # fmt: skip
        for j in range(0, m, PANEL_ROWS):
            height = min(PANEL_ROWS, m - j)
            multiply(
                strip.panel, 0, width, scratch.zeros, 0, 0, h, m_row + j, 1, m_row, g, k, K_row, 0, height, T, vectors
            )
            place = start + j * width
            adagrad(V, place, M, place, strip.panel, 0, height * vectors, rule.rate, rule.clip, rule.epsilon)


@kernel
def advance(weights, squares, scratch, strip, rule, text, position, T, m, K, losses):
    """As many updates as `losses` is long; return the position of the window to come."""
    m_row = len(weights.b)
    vectors = m_row * scratch.h.itemsize // BYTES
    for n in range(len(losses)):
        if position + T >= len(text):
            position = 0
            copy(scratch.h, 0, scratch.zeros, 0, vectors)
        x = text[position : position + T]
        y = text[position + 1 : position + T + 1]
        forward(weights, scratch, x, m)
        losses[n] = softmax_loss(scratch.g, y, len(weights.c))
        output_backward(weights, squares, scratch, strip, rule, T, m)
        recurrent_backward(weights, scratch, T, m)
        update_all_but_V(weights, squares, scratch, rule, x, m)
        copy(scratch.h, 0, scratch.h, T * m_row, vectors)
        position += T
    return position
