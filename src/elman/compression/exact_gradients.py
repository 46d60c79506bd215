"""Bit-exact backward kernels, under the same rules as `exact_kernels`.

T  steps per window        m  hidden units per layer      K  alphabet size

Products and sums over steps are `exact_kernels.add_matmul`.
"""

from __future__ import annotations

import numpy as np

from elman.compression.exact_kernels import FREQ_BITS, GRU, LSTM, RNN, exact

_ZERO, _ONE, _UNIT = np.float32(0), np.float32(1), np.float32(2.0**-FREQ_BITS)


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
def rnn_backward(h, dh, da):
    """Set da of one step from its h and dh, all (m,): (4) of `elman.network.cells.rnn`."""
    for i in range(len(h)):
        da[i] = (_ONE - h[i] * h[i]) * dh[i]


@exact
def gru_backward(gates, before, dh, da, dk, carry):
    """Set da and dk (3 m,), and in carry (m,) the part of dL/dh_{t-1} through z.

    The equations are (7) to (10) of `elman.network.cells.gru`.
    """
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
def lstm_backward(gates, before, dh, ds, da):
    """Set da (4 m,), and in ds (m,) dL/ds_{t-1}: (6) and (7) of `elman.network.cells.lstm`."""
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
def cell_backward(cell, gates, before, s_before, after, dh, ds, da, dk, carry):
    """Do the backward pass of one step of a layer for all rows (R, …); `s_before` and `ds` are used by lstm alone."""
    for r in range(len(dh)):
        if cell == RNN:
            rnn_backward(after[r], dh[r], da[r])
        elif cell == GRU:
            gru_backward(gates[r], before[r], dh[r], da[r], dk[r], carry[r])
        elif cell == LSTM:
            lstm_backward(gates[r], s_before[r], dh[r], ds[r], da[r])


@exact
def output_backward(freqs, y, g):
    """Set g (T, K), the probabilities minus the one-hot vectors of y (T,), from the `freqs` (T, K + 1) that coded y."""
    T, K = g.shape
    for t in range(T):
        for i in range(K):
            g[t, i] = (freqs[t, i] + _ONE) * _UNIT
        g[t, y[t]] = g[t, y[t]] - _ONE


@exact
def prior_backward(g, log_q, matched, dalpha):
    """Add (6) of `elman.network.output` to dalpha (n + 1,), from g and log q (T, K) and the matched orders (T,)."""
    T, K = g.shape
    for t in range(T):
        total = _ZERO
        for i in range(K):
            total = total + g[t, i] * log_q[t, i]
        dalpha[matched[t]] = dalpha[matched[t]] + total


@exact
def rmsprop_step(theta, gradient, squared_grads, rate, decay, complement, bias_correction, epsilon):
    """Take one RMSprop step: theta -= rate · gradient / (sqrt(squared_grads / bias_correction) + epsilon).

    squared_grads : the running average of squared gradients, updated first, with weight `complement` = 1 - `decay`
    """
    for i in range(len(theta)):
        g = gradient[i]
        square = decay * squared_grads[i] + complement * (g * g)
        squared_grads[i] = square
        theta[i] = theta[i] - rate * g / (np.sqrt(square / bias_correction) + epsilon)


@exact
def decay_towards(theta, trained, fraction):
    """Move theta by a fraction of its distance towards the trained parameters."""
    for i in range(len(theta)):
        theta[i] = theta[i] + fraction * (trained[i] - theta[i])
