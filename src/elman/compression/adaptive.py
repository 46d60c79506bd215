"""Online training while coding: dynamic evaluation (`elman.inference.adaptation`) in exact arithmetic.

T  steps per window                     m  hidden units per layer
K  alphabet size                        G  gate blocks of m rows: 1 for rnn, 3 for gru, 4 for lstm
R  rows: substreams coded in lockstep

After every T steps the network takes one optimizer step on the loss of the characters just coded, which the
decoder knows by then too. The gradients are those of `elman.network`, truncated at the window. The constants are part
of the file format: files written with other values could not be read.

The learning rate is c rms(W) / sqrt(m), where rms(W) is the root mean square over all entries of the recurrent matrices
of the trained network. It is computed in float64, with a root and a division that IEEE 754 defines: the squares of a
layer are added in the order of its matrix in `elman.compression.exact_network`, and the sums of the layers from the
first to the last. The rate is then rounded to float32. In modes before format version 3 it is 0.15 / m.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from elman.compression import exact_gradients
from elman.compression.exact_gradients import Window
from elman.compression.exact_kernels import GRU, Floats
from elman.compression.exact_network import ExactNetwork
from elman.compression.parts import add_matmul, run_parts
from elman.network.parameters import suffix

WINDOW = 32
"""T of a single row."""
MIN_WINDOW = 16
"""T of several rows at least."""
RELATIVE_LEARNING_RATE = 0.045
"""Learning rate relative to the recurrent weights, c."""
FORMER_SCALED_LEARNING_RATE = 0.15
"""Learning rate times m, in modes before format version 3."""
SQUARED_GRAD_DECAY = 0.999
EPSILON = 1e-8
DECAY_INTERVAL = 16
"""Windows between two decays towards the trained weights."""
DECAY_FRACTION = 0.0158727
"""1 - e^(-16 · 32 / 32,000), as a literal since a library's e^x may differ in its last bit."""

_DIVISIONS = 16
"""Multiplications that take as long as the division and the root of one weight in an optimizer step."""
_TRANSPOSITIONS = 32
"""Multiplications that take as long as moving one number of a transposed matrix."""


class Schedule(NamedTuple):
    """When the network is trained, and after how many windows it decays."""

    window: int
    decay_interval: int


def schedule(R: int) -> Schedule:
    """Return a schedule of as many characters per decay as that of a single row."""
    window = max(MIN_WINDOW, WINDOW // R)
    return Schedule(window, max(1, DECAY_INTERVAL * WINDOW // (window * R)))


def make_window(network: ExactNetwork, T: int, R: int) -> Window:
    """Return an empty window, in a state of zeros."""
    return Window(
        filled=np.zeros(1, np.int64),
        x=np.zeros((T, R), np.int64),
        states=np.zeros((T + 1, network.P, R, network.m), np.float32),
        gates=np.empty((T, network.L, R, 5 * network.m), np.float32),
        log_q=np.zeros((T, R, network.K), np.float32),
        matched=np.zeros((T, R), np.int64),
        g=np.zeros((T, R, network.K), np.float32),
        logits=np.zeros((R, network.K), np.float32),
    )


def relative_learning_rate(network: ExactNetwork) -> float:
    """Return the learning rate for a trained network."""
    matrices = [network.arrays["W" + suffix(n)] for n in range(1, network.L + 1)]
    squares = 0.0
    for W in matrices:
        squares += float(exact_gradients.sum_squares(W))
    rms = math.sqrt(squares / sum(W.size for W in matrices))
    return RELATIVE_LEARNING_RATE * rms / math.sqrt(network.m)


def former_learning_rate(network: ExactNetwork) -> float:
    """Return the learning rate of modes before format version 3."""
    return FORMER_SCALED_LEARNING_RATE / network.m


class OnlineLearner:
    """Trains a network in place as it reads.

    Parameters
    ----------
    network : ExactNetwork
    R : int
    learning_rate : float
    trains_alpha : bool
        Whether the weights of the n-gram prior are trained, if the network has one.
    """

    def __init__(self, network: ExactNetwork, R: int, learning_rate: float, *, trains_alpha: bool) -> None:
        self.network, self.schedule, self.trains_alpha = network, schedule(R), trains_alpha
        self.learning_rate = learning_rate
        self.window = make_window(network, self.schedule.window, R)
        self.trained = network.theta.copy()
        self.squared_grads, self.gradient = np.zeros_like(network.theta), np.empty_like(network.theta)
        self.windows = 0
        self.decay_power = 1.0  # SQUARED_GRAD_DECAY to the power of `windows`

    def observe(self) -> None:
        """Take an optimizer step if the window is full, and begin the next one."""
        window = self.window
        if window.filled[0] < len(window.g):
            return
        self._update()
        window.states[0] = window.states[-1]
        window.filled[0] = 0

    def _update(self) -> None:
        network, gradient = self.network, self.gradient
        self.windows += 1
        self.decay_power *= SQUARED_GRAD_DECAY
        compute_gradients(network, self.window, gradient, trains_alpha=self.trains_alpha)
        constants = (
            self.learning_rate, SQUARED_GRAD_DECAY, 1 - SQUARED_GRAD_DECAY, 1 - self.decay_power, EPSILON,
        )  # fmt: skip

        def step(part: slice) -> None:
            exact_gradients.rmsprop_step(
                network.theta[part], gradient[part], self.squared_grads[part], *map(np.float32, constants)
            )

        run_parts(step, len(gradient), len(gradient) * _DIVISIONS)
        if self.windows % self.schedule.decay_interval == 0:
            exact_gradients.decay_towards(network.theta, self.trained, np.float32(DECAY_FRACTION))


def compute_gradients(network: ExactNetwork, window: Window, gradient: Floats, *, trains_alpha: bool) -> ExactNetwork:
    """Set `gradient` to dL/d of every parameter, where L is the summed loss of the window in nats, and return it."""
    gradient[:] = 0
    d = network.with_theta(gradient)
    g = window.g.reshape(-1, network.K)
    add_matmul(d.arrays["V"], _transpose(_layer_outputs(network, window, network.L - 1)), g)
    _add_row_sum(d.arrays["c"], g)
    if trains_alpha:
        log_q, matched = window.log_q.reshape(g.shape), window.matched.reshape(-1)
        exact_gradients.prior_backward(g, log_q, matched, d.arrays["alpha"])
    dh_out = _matmul(g, _transpose(network.arrays["V"]))
    for n in reversed(range(network.L)):
        da, dk = _layer_backward(network, n, window, dh_out)
        _add_layer_gradients(d, n, window, da, dk)
        if n > 0:
            dh_out = _matmul(da.reshape(len(g), -1), _transpose(network.arrays["U" + suffix(n + 1)]))
    return d


def _layer_backward(network: ExactNetwork, n: int, window: Window, dh_out: Floats) -> tuple[Floats, Floats]:
    """Return dL/d of U x and of W h_{t-1} of layer n, both (T, R, G m), given dL/dh_t|out (T R, m)."""
    W, (T, R) = _transpose(network.arrays["W" + suffix(n + 1)]), window.x.shape
    da = np.empty((T, R, network.G * network.m), np.float32)
    dk = np.empty_like(da) if network.cell == GRU else da
    dh_out = dh_out.reshape(T, R, -1)

    def backward(rows: slice) -> None:
        exact_gradients.layer_backward(network.cell, window, n, dh_out, W, da, dk, rows.start, rows.stop)

    run_parts(backward, R, T * R * W.size)
    return da, dk


def _add_layer_gradients(d: ExactNetwork, n: int, window: Window, da: Floats, dk: Floats) -> None:
    """Set dU, dW, db and dd of layer n."""
    dU, dW, db = (d.arrays[name + suffix(n + 1)] for name in "UWb")
    da_rows, dk_rows = (a.reshape(-1, a.shape[-1]) for a in (da, dk))
    if n > 0:
        add_matmul(dU, _transpose(_layer_outputs(d, window, n - 1)), da_rows)
    else:
        exact_gradients.embedding_backward(window.x, da, dU)
    before = window.states[:-1, n * (d.P // d.L)].reshape(-1, d.m)
    add_matmul(dW, _transpose(before), dk_rows)
    _add_row_sum(db, da_rows)
    if d.cell == GRU:
        _add_row_sum(d.arrays["d" + suffix(n + 1)], np.ascontiguousarray(dk_rows[:, 2 * d.m :]))


def _layer_outputs(network: ExactNetwork, window: Window, n: int) -> Floats:
    """Return the outputs h of layer n (T R, m)."""
    return window.states[1:, n * (network.P // network.L)].reshape(-1, network.m)


def _add_row_sum(total: Floats, da: Floats) -> None:
    """Add the rows of da (T R, n), in order, to a vector (n,)."""
    add_matmul(total[None], np.ones((1, len(da)), np.float32), da)


def _matmul(a: Floats, B: Floats) -> Floats:
    y = np.zeros((len(a), B.shape[1]), np.float32)
    add_matmul(y, a, B)
    return y


def _transpose(a: Floats) -> Floats:
    b = np.empty(a.shape[::-1], np.float32)
    run_parts(lambda rows: exact_gradients.transpose(a, b, rows.start, rows.stop), len(b), a.size * _TRANSPOSITIONS)
    return b
