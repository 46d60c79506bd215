"""Text from the vanilla network, compiled: `elman.network.draw` beside one step of the cell."""

import numpy as np

from elman.engine.numba.options import inlined, kernel
from elman.engine.numba.rnn import recur
from elman.engine.numba.tile import LANE_BYTES, multiply
from elman.engine.numba.vector import exponentials


@inlined
def _restrict(row, total, top_k, top_p):
    """Set to zero all but the likeliest; return the sum that is left."""
    order = np.argsort(-row, kind="mergesort")
    kept = 0.0
    for place in range(len(order)):
        k = order[place]
        if place > 0 and (place >= top_k or kept >= top_p * total):
            row[k] = 0
        else:
            kept += row[k]
    return kept


@inlined
def _index(row, target):
    """The first character whose running sum exceeds the target; else the last that may be drawn."""
    running, last = 0.0, 0
    for k in range(len(row)):
        if row[k] > 0:
            last = k
            running += row[k]
            if running > target:
                break
    return last


@kernel
def generate(weights, scratch, x, uniforms, m, K, temperature, top_k, top_p, characters):
    """Fill `characters`, one drawn with each of `uniforms`; the last state is left in row 0."""
    h, g, m_row, K_row = scratch.h, scratch.g, len(weights.b), len(weights.c)
    row = g[:K]
    scale = h.dtype.type(min(1 / temperature, 1e30) if temperature > 0 else 1)
    for n in range(len(uniforms)):
        recur(h, 0, 0, weights, x, m)
        h[:m_row] = h[m_row : 2 * m_row]
        multiply(
            g, 0, 0, weights.c, 0, 0, h, 0, 0, 1, weights.V_columns, 0, K_row,
            1, m, K_row * h.itemsize // LANE_BYTES,
        )  # fmt: skip
        if temperature > 0:
            total = np.float64(exponentials(row, scale)[0])
            if top_k < K or top_p < 1:
                total = _restrict(row, total, top_k, top_p)
            x = _index(row, uniforms[n] * total)
        else:
            x = np.argmax(row)
        characters[n] = x
