"""Arithmetic fixed to the bit: all that a decoder must do exactly as the encoder did, on any machine.

R  rows: streams read side by side      m  hidden units of a layer
K  size of the alphabet                 G  blocks of m in a layer's sums: 1 rnn, 3 gru, 4 lstm
L  layers                               P  vectors (m,) in the state: h of every layer, and for lstm its s behind it

Every number is an IEEE float32 or an integer. +, -, *, / and the square root round as IEEE 754 says and in the order
written here: these kernels are compiled without any of the rewrites that the engines allow, so that no product and
sum become one operation and no sum is reordered. What runs in parallel lanes are whole outputs, each with a sum of
its own. e^x and tanh are polynomials of this file, as those of a system's library differ from one machine to the next.
Run by the interpreter (``NUMBA_DISABLE_JIT=1``) this same source gives the same bits; for that every constant is
float32 and every array is of one type, since NumPy and Numba differ in how they mix types.

What is inlined into a kernel is in its own file, as Numba looks at no other to see whether what it keeps is current.
"""

from __future__ import annotations

import numpy as np

from elman.engine.numba.jit import compiled

PRECISION = 24
"""Frequencies sum to two to this."""
FRACTION = 20
"""The probability of an escape is a fraction of two to this,"""
HASTE = 5
"""and goes a 2^-5 of the way to what has just been seen."""

_RAISE = np.float32(1 << PRECISION)
_TILE, _ROWS = 512, 16
"""Outputs and rows worked on at a time: 32 kB of sums, which stay in a near cache."""

_ZERO, _ONE, _TWO = np.float32(0), np.float32(1), np.float32(2)
_HIGHEST, _LOWEST = np.float32(22), np.float32(-22)
"""e^22 / (1 + e^22) is 1 in float32, and e^-22 of the largest frequency is less than one."""
_SHARE = np.float32(1 / 64)
_C2, _C3, _C4, _C5, _C6 = (np.float32(1 / n) for n in (2, 6, 24, 120, 720))

exact = compiled()
"""IEEE arithmetic as written: no flag of fastmath."""


@exact
def exp(x):
    """Return e^x for x cut to [-22, 22], to 1.5e-5 of itself: (e^(x/64))^64, the inner one a Taylor polynomial.

    A NaN counts as -22: no comparison is true of it.
    """
    x = x if x > _LOWEST else _LOWEST
    x = x if x < _HIGHEST else _HIGHEST
    u = x * _SHARE
    p = _ONE + u * (_ONE + u * (_C2 + u * (_C3 + u * (_C4 + u * (_C5 + u * _C6)))))
    p = p * p
    p = p * p
    p = p * p
    p = p * p
    p = p * p
    return p * p


@exact
def sigmoid(x):
    """Return 1 / (1 + e^-x)."""
    return _ONE / (_ONE + exp(_ZERO - x))


@exact
def tanh(x):
    """Return (e^2x - 1) / (e^2x + 1)."""
    e = exp(_TWO * x)
    return (e - _ONE) / (e + _ONE)


@exact
def add_one(y, a, b):
    """Add a multiple of a vector to y."""
    for i in range(len(y)):
        y[i] = y[i] + a * b[i]


@exact
def add_four(y, a0, b0, a1, b1, a2, b2, a3, b3):
    """Add four multiples of vectors to y, one after the other; a y that is in a register is not stored four times."""
    for i in range(len(y)):
        y[i] = (((y[i] + a0 * b0[i]) + a1 * b1[i]) + a2 * b2[i]) + a3 * b3[i]


@exact
def add_four_twice(y, a0, a1, a2, a3, z, c0, c1, c2, c3, b0, b1, b2, b3):
    """Do so with the same vectors for y and z, which fetches them once."""
    for i in range(len(y)):
        p0, p1, p2, p3 = b0[i], b1[i], b2[i], b3[i]
        y[i] = (((y[i] + a0 * p0) + a1 * p1) + a2 * p2) + a3 * p3
        z[i] = (((z[i] + c0 * p0) + c1 * p1) + c2 * p2) + c3 * p3


@exact
def add_product(y, a, B):
    """Add a B to y, of shapes (R, k), (k, n) and (R, n): to each number the k products in their order."""
    R, k = a.shape
    n = y.shape[1]
    tile = n if R == 1 else _TILE
    whole = k - k % 4
    for first in range(0, n, tile):
        last = min(first + tile, n)
        for top in range(0, R, _ROWS):
            bottom = min(top + _ROWS, R)
            for j in range(0, whole, 4):
                b0, b1, b2, b3 = B[j, first:last], B[j + 1, first:last], B[j + 2, first:last], B[j + 3, first:last]
                for r in range(top, bottom - 1, 2):
                    a0, a1, a2, a3 = a[r, j], a[r, j + 1], a[r, j + 2], a[r, j + 3]
                    c0, c1, c2, c3 = a[r + 1, j], a[r + 1, j + 1], a[r + 1, j + 2], a[r + 1, j + 3]
                    y0, y1 = y[r, first:last], y[r + 1, first:last]
                    add_four_twice(y0, a0, a1, a2, a3, y1, c0, c1, c2, c3, b0, b1, b2, b3)
                for r in range(bottom - (bottom - top) % 2, bottom):
                    add_four(y[r, first:last], a[r, j], b0, a[r, j + 1], b1, a[r, j + 2], b2, a[r, j + 3], b3)
            for j in range(whole, k):
                for r in range(top, bottom):
                    add_one(y[r, first:last], a[r, j], B[j, first:last])


@exact
def sigmoids(a, y):
    """Set y = sigmoid a, vectors."""
    for i in range(len(y)):
        y[i] = sigmoid(a[i])


@exact
def tanhs(a, y):
    """Set y = tanh a, vectors."""
    for i in range(len(y)):
        y[i] = tanh(a[i])


@exact
def copy(a, y):
    """Set y = a, vectors."""
    for i in range(len(y)):
        y[i] = a[i]


@exact
def multiply(a, b, y):
    """Set y = a b, number by number."""
    for i in range(len(y)):
        y[i] = a[i] * b[i]


@exact
def gru(a, k, before, gates, h):
    """Set h (R, m) from U x + b in a and W h + (0, 0, d) in k, both (R, 3 m), and the h `before`; keep r, z, n and q.

    The equations are (1) to (5) of `elman.network.cells.gru`; a and k are used up.
    """
    R, m = h.shape
    for r in range(R):
        add_one(a[r, : 2 * m], _ONE, k[r, : 2 * m])
        sigmoids(a[r, : 2 * m], gates[r, : 2 * m])
        copy(k[r, 2 * m :], gates[r, 3 * m : 4 * m])
        z, n, q = gates[r, m : 2 * m], gates[r, 2 * m : 3 * m], gates[r, 3 * m : 4 * m]
        gru_h(a[r, 2 * m :], before[r], gates[r, :m], z, n, q, h[r])


@exact
def gru_h(a, before, r, z, n, q, h):
    """Set n and h, all vectors (m,)."""
    for i in range(len(h)):
        new = tanh(a[i] + r[i] * q[i])
        n[i] = new
        h[i] = (_ONE - z[i]) * new + z[i] * before[i]


@exact
def lstm(a, before, gates, s, h):
    """Set s and h (R, m) from W h + U x + b in a (R, 4 m) and the s `before`; keep i, f, g, o and tanh s.

    The equations are (1) to (4) of `elman.network.cells.lstm`.
    """
    R, m = h.shape
    for r in range(R):
        sigmoids(a[r, : 2 * m], gates[r, : 2 * m])
        tanhs(a[r, 2 * m : 3 * m], gates[r, 2 * m : 3 * m])
        sigmoids(a[r, 3 * m :], gates[r, 3 * m : 4 * m])
        lstm_s(before[r], gates[r, :m], gates[r, m : 2 * m], gates[r, 2 * m : 3 * m], s[r])
        tanhs(s[r], gates[r, 4 * m :])
        multiply(gates[r, 3 * m : 4 * m], gates[r, 4 * m :], h[r])


@exact
def lstm_s(before, i, f, g, s):
    """Set s, all vectors (m,)."""
    for n in range(len(s)):
        s[n] = f[n] * before[n] + i[n] * g[n]


@exact
def read(theta, G, K, x, before, after, gates, o):
    """Read the characters x (R,) in the state `before` (P, R, m); set the state `after`, gates and logits o (R, K).

    theta : the arrays of `elman.compression.exact_network` one after the other
    gates : (L, R, 5 m), what the cells keep for the way back; nothing for rnn, whose h says all
    """
    L, R, m = len(gates), before.shape[1], before.shape[2]
    p, at = np.int64(0), np.int64(0)
    for n in range(L):
        U, at = matrix(theta, at, K if n == 0 else m, G * m)
        W, at = matrix(theta, at, m, G * m)
        a = np.empty((R, G * m), np.float32)
        for r in range(R):
            copy(theta[at : at + G * m], a[r])
        at += G * m
        if n == 0:
            for r in range(R):
                add_one(a[r], _ONE, U[x[r]])
        else:
            add_product(a, after[p - len(before) // L], U)
        if G == 3:
            k = np.zeros((R, 3 * m), np.float32)
            for r in range(R):
                copy(theta[at : at + m], k[r, 2 * m :])
            at += m
            add_product(k, before[p], W)
            gru(a, k, before[p], gates[n], after[p])
        else:
            add_product(a, before[p], W)
            if G == 4:
                lstm(a, before[p + 1], gates[n], after[p + 1], after[p])
            else:
                for r in range(R):
                    tanhs(a[r], after[p, r])
        p += len(before) // L
    V, at = matrix(theta, at, m, K)
    for r in range(R):
        copy(theta[at : at + K], o[r])
    add_product(o, after[p - len(before) // L], V)


@exact
def matrix(theta, at, k, n):
    """Return the (k, n) numbers that begin at `at`, and where they end."""
    return theta[at : at + k * n].reshape(k, n), at + k * n


@exact
def share(counts, free, weights):
    """Divide `free` among n symbols in the ratio of counts (n,), integers; what rounding leaves goes to the largest.

    Counts are 0 or more and sum to 1 or more; `free` is at most 2^24, so no product here is above 2^56.
    """
    n = len(counts)
    total, largest = np.int64(0), 0
    for i in range(n):
        total += counts[i]
        if counts[i] > counts[largest]:
            largest = i
    rate = (free << 32) // total
    left = free
    for i in range(n):
        part = (counts[i] * rate) >> 32
        left -= part
        weights[i] = np.float32(part)
    weights[largest] = np.float32(np.int64(weights[largest]) + left)


@exact
def expect(o, escapes, was_byte, folds, weights):
    """Set weights (R, K + 1), integers in float32, from logits o (R, K) and the probabilities of an escape.

    A frequency is one more than its weight, and the frequencies of a row sum to 2^24. Where the alphabet folds, its
    last character stands for all that are escaped, and what the network expects of it goes to the escape.

    escapes : int64 (R, 2), of 2^20, behind a character and behind a byte
    was_byte : int64 (R,), which of the two it is
    """
    R, K = o.shape
    e = np.empty(K, np.float32)
    counts = np.empty(K, np.int64)
    for r in range(R):
        largest = o[r, 0]
        for i in range(1, K):
            largest = o[r, i] if o[r, i] > largest else largest
        for i in range(K):
            e[i] = exp(o[r, i] - largest) * _RAISE
        for i in range(K):
            counts[i] = np.int64(e[i]) + 1  # so that their sum is not 0, whatever the logits are
        free = np.int64((1 << PRECISION) - K - 1)
        escape = (free * escapes[r, was_byte[r]]) >> FRACTION
        share(counts, free - escape, weights[r])
        if folds:
            escape += np.int64(weights[r, K - 1])
            weights[r, K - 1] = _ZERO
        weights[r, K] = np.float32(escape)


@exact
def count_escapes(tokens, K, escapes, was_byte):
    """Learn from tokens (R,), of which those from K on were escaped, how probable the next escape is."""
    for r in range(len(tokens)):
        p = escapes[r, was_byte[r]]
        escaped = tokens[r] >= K
        escapes[r, was_byte[r]] = p + (((1 << FRACTION) - p) >> HASTE) if escaped else p - (p >> HASTE)
        was_byte[r] = np.int64(escaped)
