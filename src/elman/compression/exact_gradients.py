"""Bit-exact backward kernels, under the same rules as `exact_kernels`.

T  steps per window        m  hidden units per layer      K  alphabet size      P  state vectors
R  rows                    L  layers                      G  gate blocks of m rows

Products and sums over steps are `exact_kernels.add_matmul`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from elman.compression.exact_kernels import FREQ_BITS, GRU, LSTM, RNN, Floats, Ints, add_matmul, allocating, exact

_ZERO, _ONE, _UNIT = np.float32(0), np.float32(1), np.float32(2.0**-FREQ_BITS)


class Window(NamedTuple):
    """What the backward pass needs of T forward steps."""

    filled: Ints  # (1,): steps of which g is known
    x: Ints  # (T, R)
    states: Floats  # (T + 1, P, R, m)
    gates: Floats  # (T, L, R, 5 m)
    log_q: Floats  # (T, R, K): of the n-gram model
    matched: Ints  # (T, R)
    g: Floats  # (T, R, K): dL/do
    logits: Floats  # (R, K): of the network, of the last step


@exact
def transpose(a, b, first, last):
    """Set the rows of b (n, k) from `first` to `last` to those of the transpose of a (k, n)."""
    for top in range(0, len(a), 16):
        bottom = min(top + 16, len(a))
        for i in range(first, last):
            for j in range(top, bottom):
                b[i, j] = a[j, i]


@exact
def rnn_backward(h, dh, da):
    """Set da of one step from its h and dh, all (m,): (4) of `elman.network.cells.rnn`."""
    for i in range(len(h)):
        da[i] = (_ONE - h[i] * h[i]) * dh[i]


@exact
def gru_backward(gates, before, dh, da, dk):
    """Set da and dk (3 m,), and in dh (m,) the part of dL/dh_{t-1} through z.

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
        dh[i] = z * dh[i]


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


@allocating
def layer_backward(cell, window, n, dh_out, W, da, dk, first, last):
    """Set dL/d of U x and of W h_{t-1} of layer n, da and dk (T, R, G m), in the rows from `first` to `last`.

    dh_out : (T, R, m), dL/dh_t|out
    W : (G m, m), the transpose of that of `elman.compression.exact_network`
    dk : da itself, except for gru
    """
    states, gates, R, m = window.states, window.gates, last - first, dh_out.shape[2]
    vectors = states.shape[1] // gates.shape[1]
    p = n * vectors
    dh_next, ds = np.zeros((R, m), np.float32), np.zeros((R, m), np.float32)
    for t in range(len(dh_out) - 1, -1, -1):
        for r in range(R):
            row = first + r
            for i in range(m):
                dh_next[r, i] = dh_out[t, row, i] + dh_next[r, i]
            before, h = states[t, p, row], states[t + 1, p, row]
            if cell == RNN:
                rnn_backward(h, dh_next[r], da[t, row])
            elif cell == GRU:
                gru_backward(gates[t, n, row], before, dh_next[r], da[t, row], dk[t, row])
            elif cell == LSTM:
                lstm_backward(gates[t, n, row], states[t, p + 1, row], dh_next[r], ds[r], da[t, row])
            if cell != GRU:
                for i in range(m):
                    dh_next[r, i] = _ZERO
        add_matmul(dh_next, dk[t, first:last], W)


@exact
def output_gradient(freqs, y, g):
    """Set g (K,), the probabilities minus the one-hot vector of y, from the `freqs` (K + 1,) that coded y."""
    for i in range(len(g)):
        g[i] = (freqs[i] + _ONE) * _UNIT
    g[y] = g[y] - _ONE


@exact
def embedding_backward(x, da, dU):
    """Add the rows of da (T, R, G m), in order, to those of dU (K, G m) that the characters x (T, R) select."""
    T, R = x.shape
    for t in range(T):
        for r in range(R):
            row = dU[x[t, r]]
            for i in range(len(row)):
                row[i] = row[i] + da[t, r, i]


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
def sum_squares(matrix):
    """Return the sum of the squares of all entries, row by row, in float64; the products of float32 are exact there."""
    total = np.float64(0)
    for i in range(matrix.shape[0]):
        for j in range(matrix.shape[1]):
            entry = np.float64(matrix[i, j])
            total = total + entry * entry
    return total


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
