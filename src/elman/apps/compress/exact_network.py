"""The network in bit-exact arithmetic, see `elman.apps.compress.arithmetic`.

R  rows: substreams coded in lockstep   m  hidden units per layer
K  alphabet size                        G  gate blocks of m rows: 1 for rnn, 3 for gru, 4 for lstm
L  layers                               P  state vectors (m,): h of every layer, for lstm each followed by its s

`elman.network` has the equations. Matrices are stored transposed, (inputs, outputs), so that the sums of all outputs
can be vectorized, and parameters trained in float64 are rounded to float32.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from elman.apps.compress.arithmetic import Floats, add_matmul, axpy, copy, set_tanh, sigmoid, tanh
from elman.errors import ElmanError
from elman.jit import exact, exact_step
from elman.network import Architecture, Parameters, layer_names, suffix

_ZERO, _ONE = np.float32(0), np.float32(1)

RNN, GRU, LSTM = range(3)
CELLS = {"rnn": RNN, "gru": GRU, "lstm": LSTM}  # the cells that `forward` distinguishes; every other cell is refused
OVERFLOWS = np.errstate(over="ignore", invalid="ignore")  # weights may be of any size; overflow has a defined result


class Weights(NamedTuple):
    """The parameters of a network in float32.

    `theta` contains, one after the other, U, W, b and, for gru, d of every layer, then V and c. U is (K, G m), above
    the first layer (m, G m); W (m, G m), b (G m,), d (m,), V (m, K), c (K,).
    """

    theta: Floats
    alpha: Floats  # (n + 1,): weights of the n-gram prior, by matched length; a single zero without a prior
    net: Architecture


class Network(NamedTuple):
    """A network and its states in R rows; everything except `theta` is changed in place."""

    theta: Floats
    cell: int
    G: int
    L: int
    reset_at: int  # in a model of independent lines, the line feed, before which the state is set to zeros; or -1
    state: Floats  # (P, R, m)
    logits: Floats  # (R, K): of the next character
    next_state: Floats  # (P, R, m): workspace
    next_logits: Floats  # (R, K): workspace
    gates: Floats  # (2, R, G m): workspace


@exact
def read_characters(network, x, reads):
    """Read characters x (R,) in the rows where `reads` (R,) is true: set their state and logits."""
    theta, cell, state, after = network.theta, network.cell, network.state, network.next_state
    L, R, m, K, o = network.L, len(x), state.shape[2], network.logits.shape[1], network.next_logits
    p, at, width, a, k = np.int64(0), np.int64(0), network.G * m, network.gates[0], network.gates[1]
    for r in range(R):
        if reads[r] and x[r] == network.reset_at:
            for n in range(len(state)):
                for i in range(m):
                    state[n, r, i] = _ZERO
    for n in range(L):
        U, at = cut(theta, at, (K if n == 0 else m) * width)
        W, at = cut(theta, at, m * width)
        h_before, h = state[p], after[p]
        for r in range(R):
            copy(theta[at : at + width], a[r])
        at += width
        if n == 0:
            for r in range(R):
                axpy(a[r], _ONE, U[x[r] * width : (x[r] + 1) * width])
        else:
            add_matmul(a, after[p - len(state) // L], U)
        if cell == GRU:
            for r in range(R):
                for i in range(2 * m):
                    k[r, i] = _ZERO
                copy(theta[at : at + m], k[r, 2 * m :])
            at += m
            add_matmul(k, h_before, W)
            gru_step(a, k, h_before, h)
        else:
            add_matmul(a, h_before, W)
            if cell == LSTM:
                lstm_step(a, state[p + 1], after[p + 1], h)
            else:
                for r in range(R):
                    set_tanh(a[r], h[r])
        p += len(state) // L
    V, at = cut(theta, at, m * K)
    for r in range(R):
        copy(theta[at : at + K], o[r])
    add_matmul(o, after[p - len(state) // L], V)
    for r in range(R):
        if reads[r]:
            copy(o[r], network.logits[r])
            for n in range(len(state)):
                copy(after[n, r], state[n, r])


@exact_step
def cut(theta, at, size):
    """Return numbers of the given count at offset `at`, and the offset behind them."""
    return theta[at : at + size], at + size


@exact
def gru_step(a, k, before, h):
    """Set h (R, m) from U x + b in a and W h + (0, 0, d) in k, both (R, 3 m), and the h `before`."""
    R, m = h.shape
    for r in range(R):
        set_gru_output(
            a[r, :m], a[r, m : 2 * m], a[r, 2 * m :], k[r, :m], k[r, m : 2 * m], k[r, 2 * m :], before[r], h[r]
        )


@exact
def set_gru_output(i_r, i_z, i_n, k_r, k_z, k_n, before, h):
    """Set h, vectors (m,), by (1) to (5) of `elman.network.cells.gru`."""
    for i in range(len(h)):
        z, n = sigmoid(i_z[i] + k_z[i]), tanh(i_n[i] + sigmoid(i_r[i] + k_r[i]) * k_n[i])
        h[i] = (_ONE - z) * n + z * before[i]


@exact
def lstm_step(a, before, s, h):
    """Set s and h (R, m) from W h + U x + b in a (R, 4 m) and the s `before`."""
    R, m = h.shape
    for r in range(R):
        set_lstm_output(a[r, :m], a[r, m : 2 * m], a[r, 2 * m : 3 * m], a[r, 3 * m :], before[r], s[r], h[r])


@exact
def set_lstm_output(a_i, a_f, a_g, a_o, before, s, h):
    """Set s and h, vectors (m,), by (1) to (4) of `elman.network.cells.lstm`."""
    for n in range(len(h)):
        s[n] = sigmoid(a_f[n]) * before[n] + sigmoid(a_i[n]) * tanh(a_g[n])
        h[n] = sigmoid(a_o[n]) * tanh(s[n])


@OVERFLOWS
def round_weights(parameters: Parameters) -> Weights:
    """Return parameters in float32; numbers beyond its range become infinite."""
    net = parameters.architecture
    if net.cell not in CELLS:
        raise ElmanError(f"files cannot be compressed with cell {net.cell!r}")
    names = [name + suffix(n) for n in range(1, net.layers + 1) for name in layer_names(net.cell)]
    theta = [parameters[name].T.astype(np.float32).reshape(-1) for name in [*names, "V", "c"]]
    alpha = parameters["alpha"].astype(np.float32) if net.context_length else np.zeros(1, np.float32)
    return Weights(np.concatenate(theta), alpha, net)


def make_network(weights: Weights, R: int) -> Network:
    """Return the network of R rows in a state of zeros."""
    # The state at the end of training is not used: it encodes the last position in the training text, usually in the
    # middle of a line, which would cost small files bytes.
    net = weights.net
    shapes = [*2 * [(net.layers * net.state_vectors, R, net.m), (R, net.K)], (2, R, net.gates * net.m)]
    arrays = (np.zeros(shape, np.float32) for shape in shapes)
    reset_at = -1 if net.reset_at is None else net.reset_at
    return Network(weights.theta, CELLS[net.cell], net.gates, net.layers, reset_at, *arrays)
