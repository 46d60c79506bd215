"""The way back through a network, fixed to the bit as `kernels` is and by the same rules.

T  steps of a window        m  hidden units of a layer      K  size of the alphabet

Products and sums over steps are `kernels.add_product`.
"""

from __future__ import annotations

import numpy as np

from elman.compression.exact_kernels import PRECISION, exact

_ONE, _UNIT = np.float32(1), np.float32(2.0**-PRECISION)


@exact
def transpose(a, b):
    """Set b (n, k) to the transpose of a (k, n)."""
    k, n = a.shape
    for top in range(0, k, 16):
        bottom = min(top + 16, k)
        for i in range(n):
            for j in range(top, bottom):
                b[i, j] = a[j, i]


@exact
def rnn_back(h, dh, da):
    """Set da of one step from its h and dh, all (m,): (4) of `elman.network.cells.rnn`."""
    for i in range(len(h)):
        da[i] = (_ONE - h[i] * h[i]) * dh[i]


@exact
def gru_back(gates, before, dh, da, dk, carry):
    """Set da and dk (3 m,), and in carry (m,) the part of dL/dh_{t-1} that goes by z: (7) to (10) of `network.gru`."""
    m = len(dh)
    for i in range(m):
        r, z, n, q = gates[i], gates[m + i], gates[2 * m + i], gates[3 * m + i]
        da_n = (_ONE - n * n) * (_ONE - z) * dh[i]
        da_r = r * (_ONE - r) * q * da_n
        da_z = z * (_ONE - z) * (before[i] - n) * dh[i]
        da[i], da[m + i], da[2 * m + i] = da_r, da_z, da_n
        dk[i], dk[m + i], dk[2 * m + i] = da_r, da_z, r * da_n
        carry[i] = z * dh[i]


@exact
def lstm_back(gates, before, dh, ds, da):
    """Set da (4 m,), and in ds (m,) what goes to the s before: (6) and (7) of `network.lstm`."""
    m = len(dh)
    for n in range(m):
        i, f, g, o, tanh_s = gates[n], gates[m + n], gates[2 * m + n], gates[3 * m + n], gates[4 * m + n]
        d = (_ONE - tanh_s * tanh_s) * o * dh[n] + ds[n]
        da[n] = i * (_ONE - i) * g * d
        da[m + n] = f * (_ONE - f) * before[n] * d
        da[2 * m + n] = (_ONE - g * g) * i * d
        da[3 * m + n] = o * (_ONE - o) * tanh_s * dh[n]
        ds[n] = f * d


@exact
def output_back(weights, y, g):
    """Set g (T, K), the probabilities less one at y (T,), from the `weights` (T, K + 1) that coded y."""
    T, K = g.shape
    for t in range(T):
        for i in range(K):
            g[t, i] = (weights[t, i] + _ONE) * _UNIT
        g[t, y[t]] = g[t, y[t]] - _ONE


@exact
def learn(theta, gradient, squares, rate, decay, complement, unbiased, floor):
    """Take one step of RMSprop: theta by its gradient over the root of `squares`, their mean, divided by `unbiased`."""
    for i in range(len(theta)):
        g = gradient[i]
        square = decay * squares[i] + complement * (g * g)
        squares[i] = square
        theta[i] = theta[i] - rate * g / (np.sqrt(square / unbiased) + floor)


@exact
def fade(theta, trained, faded):
    """Bring theta nearer to what training left."""
    for i in range(len(theta)):
        theta[i] = theta[i] + faded * (trained[i] - theta[i])
