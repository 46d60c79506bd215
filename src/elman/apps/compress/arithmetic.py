"""Bit-exact arithmetic: the computations in which a decoder must reproduce the encoder exactly, on any machine.

R  rows: substreams coded in lockstep      K  alphabet size

Every number is an IEEE float32, an integer or, in the n-gram model and in logarithms of ratios, a float64. +, -, *, /
round as IEEE 754 defines, in the order written here: these kernels are compiled without fastmath, so no product and sum
are fused and no sum is reordered. Vector lanes hold different outputs, each with its own sum. e^x and tanh are
polynomials defined here, because system libraries differ between machines. The interpreter (``NUMBA_DISABLE_JIT=1``)
computes the same bits from the same source. For this reason, every constant is float32 and every array has one type:
NumPy and Numba promote mixed types differently.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from elman.jit import exact, exact_step

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Ints32 = NDArray[np.int32]

FREQ_BITS = 24  # the frequencies of all symbols sum to 2^24
ESCAPE_PROB_BITS = 20  # the probability of an escape is an integer multiple of 2^-20
HASH_MULTIPLIER, HASH_MODULUS = 48271, 2147483647
"""Constants of the multiplicative generator MINSTD, whose products fit into 64 bits."""

_FREQ_TOTAL = np.float32(1 << FREQ_BITS)
_ROWS = 16  # rows of a product at a time, whose sums stay in the first- or second-level cache
_ZERO, _ONE, _TWO = np.float32(0), np.float32(1), np.float32(2)
_MAX_EXP, _MIN_EXP = np.float32(22), np.float32(-22)
"""e^22 / (1 + e^22) is 1 in float32, and e^-22 times the largest frequency is less than one."""
_EXP_SCALE = np.float32(1 / 64)
_C2, _C3, _C4, _C5, _C6 = (np.float32(1 / n) for n in (2, 6, 24, 120, 720))


@exact_step
def exp(x):
    """Return e^x for x clipped to [-22, 22]: (e^(x/64))^64 with a Taylor polynomial inside, relative error 1.5e-5."""
    # NaN is clipped to -22, since every comparison with it is false.
    x = x if x > _MIN_EXP else _MIN_EXP
    x = x if x < _MAX_EXP else _MAX_EXP
    u = x * _EXP_SCALE
    p = _ONE + u * (_ONE + u * (_C2 + u * (_C3 + u * (_C4 + u * (_C5 + u * _C6)))))
    p = p * p
    p = p * p
    p = p * p
    p = p * p
    p = p * p
    return p * p


@exact_step
def sigmoid(x):
    """Return 1 / (1 + e^-x)."""
    return _ONE / (_ONE + exp(_ZERO - x))


@exact_step
def tanh(x):
    """Return (e^2x - 1) / (e^2x + 1)."""
    e = exp(_TWO * x)
    return (e - _ONE) / (e + _ONE)


@exact
def set_tanh(a, y):
    """Set y = tanh(a), vectors."""
    for i in range(len(y)):
        y[i] = tanh(a[i])


@exact
def copy(a, y):
    """Set y = a, vectors."""
    for i in range(len(y)):
        y[i] = a[i]


@exact
def axpy(y, a, b):
    """Add a multiple of a vector to y: y += a b."""
    for i in range(len(y)):
        y[i] = y[i] + a * b[i]


@exact
def add_matmul(y, a, B):
    """Add a B to y, shapes (R, k), (k n,) and (R, n); each output adds its k products in order.

    The rows of B follow one another. Two rows by four products are computed at a time, so that loaded numbers are used
    twice and results are stored once. The innermost loops index the matrices: passing their rows to a function would
    take longer than a row of some hundred outputs.
    """
    R, k = a.shape
    n, unrolled = y.shape[1], k - k % 4
    for top in range(0, R, _ROWS):
        bottom = min(top + _ROWS, R)
        for j in range(0, unrolled, 4):
            b0, b1, b2, b3 = row_of(B, j, n), row_of(B, j + 1, n), row_of(B, j + 2, n), row_of(B, j + 3, n)
            for r in range(top, bottom - 1, 2):
                a0, a1, a2, a3 = a[r, j], a[r, j + 1], a[r, j + 2], a[r, j + 3]
                c0, c1, c2, c3 = a[r + 1, j], a[r + 1, j + 1], a[r + 1, j + 2], a[r + 1, j + 3]
                for i in range(n):
                    p0, p1, p2, p3 = b0[i], b1[i], b2[i], b3[i]
                    y[r, i] = (((y[r, i] + a0 * p0) + a1 * p1) + a2 * p2) + a3 * p3
                    y[r + 1, i] = (((y[r + 1, i] + c0 * p0) + c1 * p1) + c2 * p2) + c3 * p3
            for r in range(bottom - (bottom - top) % 2, bottom):
                a0, a1, a2, a3 = a[r, j], a[r, j + 1], a[r, j + 2], a[r, j + 3]
                for i in range(n):
                    y[r, i] = (((y[r, i] + a0 * b0[i]) + a1 * b1[i]) + a2 * b2[i]) + a3 * b3[i]
        for j in range(unrolled, k):
            b0 = row_of(B, j, n)
            for r in range(top, bottom):
                a0 = a[r, j]
                for i in range(n):
                    y[r, i] = y[r, i] + a0 * b0[i]


@exact_step
def row_of(B, j, n):
    """Return row j of a matrix whose rows of n numbers follow one another."""
    return B[j * n : (j + 1) * n]


@exact_step
def extend_hash(h, x):
    """Return the hash of a sequence that has the hash h (0 if it is empty) and continues with symbol x."""
    return (h * HASH_MULTIPLIER + x + 1) % HASH_MODULUS


@exact
def apportion(counts, total, freqs):
    """Divide an integer `total` among n symbols in proportion to counts (n,); the largest gets the remainder."""
    # Counts are non-negative integers that sum to at least 1; `total` is at most 2^24, so no product exceeds 2^56.
    n = len(counts)
    count_sum, largest = np.int64(0), 0
    for i in range(n):
        count_sum += counts[i]
        if counts[i] > counts[largest]:
            largest = i
    rate = (total << 32) // count_sum
    remainder = total
    for i in range(n):
        part = (counts[i] * rate) >> 32
        remainder -= part
        freqs[i] = np.float32(part)
    freqs[largest] = np.float32(np.int64(freqs[largest]) + remainder)


@exact
def set_freqs(o, escape_probs, was_byte, has_unknown, counts, freqs):
    """Set freqs (R, K + 1), integers in float32, from logits o (R, K) and the probabilities of an escape.

    A symbol's frequency is one more than its entry, and the frequencies of a row sum to 2^24. If the last character is
    an unknown symbol, every character it stands for is escaped, so its probability is added to the escape's.

    escape_probs : int64 (R, 2), in units of 2^-20, after a character and after a byte
    was_byte : int64 (R,), which of the two applies
    counts : int64 (K,), workspace
    """
    R, K = o.shape
    for r in range(R):
        largest = o[r, 0]
        for i in range(1, K):
            largest = o[r, i] if o[r, i] > largest else largest
        for i in range(K):
            freqs[r, i] = exp(o[r, i] - largest) * _FREQ_TOTAL
        for i in range(K):
            counts[i] = np.int64(freqs[r, i]) + 1  # their sum is not 0, whatever the logits are
        free = np.int64((1 << FREQ_BITS) - K - 1)
        escape = (free * escape_probs[r, was_byte[r]]) >> ESCAPE_PROB_BITS
        apportion(counts, free - escape, freqs[r])
        if has_unknown:
            escape += np.int64(freqs[r, K - 1])
            freqs[r, K - 1] = _ZERO
        freqs[r, K] = np.float32(escape)
