"""The fused path for a large alphabet: V exceeds the caches, so that memory bandwidth limits the speed.

m, K  hidden units, characters; padded to full vectors: m_row, K_row
T     characters in one window

One update has to read and write V and its squared-gradient sums; all other memory traffic is avoidable. So V is stored
once, by columns, as the logits need it, and its rows, which V' g_t needs, are rebuilt one strip at a time. A strip
is a few characters wide; it is read from memory once, and while it is in the second-level cache its terms of
V' g_t are added and it is updated. Everything else is as in `elman.engine.numba.fused.rnn`.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba.fused.rnn import (
    PANEL_ROWS,
    forward,
    read_indices,
    recurrent_backward,
    update_c,
    update_recurrence,
)
from elman.engine.numba.fused.softmax import softmax_loss
from elman.engine.numba.jit import inlined, kernel
from elman.engine.numba.linalg.simd import BYTES
from elman.engine.numba.linalg.tile import multiply, strip_width
from elman.engine.numba.linalg.vector import adagrad, copy, transpose


class Strip(NamedTuple):
    """Workspace for one strip of V."""

    rows: NDArray[np.floating]  # (characters of a strip, m_row), in strips of m_row
    panel: NDArray[np.floating]  # (PANEL_ROWS, characters of a strip)


@inlined
def _transpose_strip(strip, V_columns, start, columns, m_row):
    """Transpose a strip of V, `columns` characters, whose m_row rows begin at `start`."""
    lanes = BYTES // V_columns.itemsize
    row_columns = strip_width(m_row // lanes) * lanes
    for j in range(0, m_row, lanes):
        to = j // row_columns * (columns * row_columns) + j % row_columns
        for k in range(0, columns, lanes):
            transpose(strip.rows, to + k * row_columns, row_columns, V_columns, start + j * columns + k, columns)


@inlined
def output_backward(weights, squared_grads, scratch, strip, scalars, T, m):
    """Strip by strip, add to da_t = V' g_t, then update V with the gradient sum_t g_t h_t'."""
    h, g, da, V, M = scratch.h, scratch.g, scratch.da, weights.V_columns, squared_grads.V
    m_row, K_row = len(weights.b), len(weights.c)
    lanes = BYTES // h.itemsize
    vectors = strip_width(K_row // lanes)
    columns, row_columns = vectors * lanes, strip_width(m_row // lanes) * lanes
    for t in range(T):
        copy(da, (t + 1) * m_row, scratch.zeros, 0, m_row // lanes)
    for k in range(0, K_row, columns):
        start = k * m_row
        _transpose_strip(strip, V, start, columns, m_row)
        multiply(
            da, m_row, m_row, da, m_row, m_row, g, k, K_row, 1, strip.rows, 0, row_columns, columns * row_columns,
            T, columns, m_row // lanes,
        )  # fmt: skip
        for j in range(0, m, PANEL_ROWS):
            height = min(PANEL_ROWS, m - j)
            multiply(
                strip.panel, 0, columns, scratch.zeros, 0, 0, h, m_row + j, 1, m_row, g, k, K_row, 0, height, T, vectors
            )
            offset = start + j * columns
            adagrad(V, offset, M, offset, strip.panel, 0, height * vectors, scalars.rate, scalars.clip, scalars.epsilon)


@kernel
def advance(weights, squared_grads, scratch, strip, scalars, text, index_bytes, position, T, m, K, losses):
    """Perform `len(losses)` updates; return the position of the next window. For `text` see `read_indices`."""
    m_row = len(weights.b)
    vectors = m_row * scratch.h.itemsize // BYTES
    for n in range(len(losses)):
        if (position + T) * index_bytes >= len(text):
            position = 0
            copy(scratch.h, 0, scratch.zeros, 0, vectors)
        read_indices(scratch.indices, text, index_bytes, position)
        x, y = scratch.indices[:T], scratch.indices[1:]
        forward(weights, scratch, x, m)
        losses[n] = softmax_loss(scratch.g, y, len(weights.c))
        output_backward(weights, squared_grads, scratch, strip, scalars, T, m)
        recurrent_backward(weights, scratch, T, m)
        update_c(weights, squared_grads, scratch, scalars, T)
        update_recurrence(weights, squared_grads, scratch, scalars, x, m)
        copy(scratch.h, 0, scratch.h, T * m_row, vectors)
        position += T
    return position
