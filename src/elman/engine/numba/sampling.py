"""Text from the vanilla network, compiled: `elman.network.sampling` beside one step of the cell."""

import numpy as np

from elman.engine.numba.batched.kernels import carry, forward_step, input_products
from elman.engine.numba.fused.rnn import recur
from elman.engine.numba.jit import inlined, kernel
from elman.engine.numba.linalg.panels import product
from elman.engine.numba.linalg.simd import BYTES
from elman.engine.numba.linalg.tile import multiply, strip_width
from elman.engine.numba.linalg.vector import copy, exponentials


@inlined
def _restrict(row, total, top_k, top_p, min_p):
    """Set to zero all but the likeliest, of which the first is 1; return the sum that is left."""
    order = np.argsort(-row, kind="mergesort")
    kept, left = 0.0, 0.0
    for place in range(len(order)):
        k = order[place]
        if place > 0 and (place >= top_k or kept >= top_p * total or row[k] < min_p):
            row[k] = 0
        else:
            left += row[k]
        kept += row[k]
    return left


@inlined
def _scale(temperature, number):
    """What logits are multiplied by. At a temperature of 0 it leaves the likeliest character alone.

    It is a number of float32 that is not 0, which would make a NaN of the -infinity of padded characters.
    """
    return number(min(max(1 / temperature, 1e-30), 1e30)) if temperature > 0 else number(1e30)


@inlined
def _target(uniform, total, temperature):
    """Where in the running sum the drawn character lies; at a temperature of 0 the first of equals is taken."""
    return uniform * np.float64(total) if temperature > 0 else 0.0


@inlined
def _index(row, K, target):
    """The first character whose running sum exceeds the target; else the last that may be drawn."""
    running, last = 0.0, 0
    for k in range(K):
        if row[k] > 0:
            last = k
            running += row[k]
            if running > target:
                break
    return last


@inlined
def _step(weights, scratch, x, m):
    """Read x in the state of row 0: the next state is left there, the logits in `scratch.g`."""
    h, g, m_row, K_row = scratch.h, scratch.g, len(weights.b), len(weights.c)
    recur(h, 0, 0, weights, x, m)
    copy(h, 0, h, m_row, m_row * h.itemsize // BYTES)
    vectors = K_row * h.itemsize // BYTES
    width = strip_width(vectors) * BYTES // h.itemsize
    multiply(
        g, 0, 0, weights.c, 0, 0, h, 0, 0, 1, weights.V_columns, 0, width, m_row * width, 1, m, vectors
    )  # fmt: skip


@kernel
def generate(weights, scratch, x, uniforms, m, K, temperature, characters):
    """Fill `characters`, one drawn with each of `uniforms`; the last state is left in row 0."""
    g, vectors = scratch.g, len(weights.c) * scratch.g.itemsize // BYTES
    scale = _scale(temperature, g.dtype.type)
    for n in range(len(uniforms)):
        _step(weights, scratch, x, m)
        total, _ = exponentials(g, 0, vectors, scale)
        x = _index(g, K, _target(uniforms[n], total, temperature))
        characters[n] = x


@kernel
def generate_among_likely(weights, scratch, x, uniforms, m, K, temperature, top_k, top_p, min_p, characters):
    """`generate` with unlikely characters left out; apart, as sorting takes a while to compile."""
    g, vectors = scratch.g, len(weights.c) * scratch.g.itemsize // BYTES
    scale = _scale(temperature, g.dtype.type)
    for n in range(len(uniforms)):
        _step(weights, scratch, x, m)
        total, _ = exponentials(g, 0, vectors, scale)
        kept = _restrict(g[:K], np.float64(total), top_k, top_p, min_p)
        x = _index(g, K, _target(uniforms[n], kept, temperature))
        characters[n] = x


@kernel
def generate_with_streams(theta, packs, table, sizes, room, R, codes, uniforms, limits, characters):
    """`generate` for R streams of any network, laid out by `elman.engine.numba.batched.layout` for windows of one step.

    `uniforms` and `characters` are (n, R); a row of `limits` is (R,): temperature, top_k, top_p, min_p.
    """
    g, m_row, K, K_row = room.g, sizes.m_row, sizes.K, sizes.K_row
    vectors = K_row * g.itemsize // BYTES
    for n in range(len(uniforms)):
        for layer in range(sizes.layers):
            if layer > 0:
                input_products(layer, 1, R, room.h, (2 * layer - 1) * R * m_row, theta, packs, table, sizes, room)
            forward_step(layer, 0, 1, R, theta, packs, table, sizes, room, codes)
        top = (2 * sizes.layers - 1) * R * m_row
        product(
            g, 0, K_row, packs, sizes.c_padded, 0, room.h, top, m_row,
            packs, sizes.V_forward, sizes.width, R, sizes.m, K_row,
        )  # fmt: skip
        carry(1, R, sizes, room)
        for r in range(R):
            temperature, top_k, top_p, min_p = limits[0, r], limits[1, r], limits[2, r], limits[3, r]
            total, _ = exponentials(g, r * K_row, vectors, _scale(temperature, g.dtype.type))
            row, kept = g[r * K_row : r * K_row + K], np.float64(total)
            if top_k < K or top_p < 1 or min_p > 0:
                kept = _restrict(row, kept, top_k, top_p, min_p)
            codes[r] = _index(row, K, _target(uniforms[n, r], kept, temperature))
            characters[n, r] = codes[r]
