"""Learning while coding, in the arithmetic of `kernels`: the rule of `elman.inference.dynamic_evaluation`.

T  characters in one window, `WINDOW`       m  hidden units of a layer
K  size of the alphabet                     G  blocks of m in a layer's sums: 1 rnn, 3 gru, 4 lstm

Every T characters the network takes one step against the loss of those it has just coded, which the decoder has
decoded by then too. The gradients are those that `elman.network` computes, truncated at the window. The numbers of the
rule are part of the format: files written with others would no longer be read.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from elman.compression import exact_gradients, exact_kernels
from elman.compression.exact_network import Floats, Network, Step
from elman.network.parameters import suffix

WINDOW = 32
RATE = 0.15
"""The rate times m."""
DECAY = 0.999
FLOOR = 1e-8
FADE_EVERY = 16
FADED = 0.0158727
"""1 - e^(-16 · 32 / 32,000), written out since the e^x of a library may differ in its last bit."""


class Seen(NamedTuple):
    """A step, the weights of the next symbol (1, K + 1) that came of it, and the character it was."""

    step: Step
    weights: Floats
    y: int


class Learner:
    """Changes a network in place as it reads one stream."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.trained = network.theta.copy()
        self.squares = np.zeros_like(network.theta)
        self.seen: list[Seen] = []
        self.windows = 0
        self.power = 1.0  # DECAY to the number of windows

    def saw(self, seen: Seen) -> None:
        """Take in one step, and learn if it fills the window."""
        self.seen.append(seen)
        if len(self.seen) == WINDOW:
            self._learn()
            self.seen = []

    def _learn(self) -> None:
        network = self.network
        self.windows += 1
        self.power *= DECAY
        numbers = [np.float32(n) for n in (RATE / network.m, DECAY, 1 - DECAY, 1 - self.power, FLOOR)]
        exact_gradients.learn(network.theta, gradients(network, self.seen).theta, self.squares, *numbers)
        if self.windows % FADE_EVERY == 0:
            exact_gradients.fade(network.theta, self.trained, np.float32(FADED))


def gradients(network: Network, seen: list[Seen]) -> Network:
    """Return dL/d of every parameter, where L is the loss of the window in nats."""
    d = network.like(np.zeros_like(network.theta))
    steps = [one.step for one in seen]
    g = np.empty((len(seen), network.K), np.float32)
    exact_gradients.output_back(np.concatenate([one.weights for one in seen]), np.array([one.y for one in seen]), g)
    h = _h(network, steps, network.L - 1)
    exact_kernels.add_product(d.arrays["V"], _transposed(h), g)
    _add_total(d.arrays["c"], g)
    dh_out = _product(g, _transposed(network.arrays["V"]))
    for n in reversed(range(network.L)):
        da, dk = _back(network, n, steps, dh_out)
        _add_layer(d, n, steps, da, dk)
        if n > 0:
            dh_out = _product(da, _transposed(network.arrays["U" + suffix(n + 1)]))
    return d


def _back(network: Network, n: int, steps: list[Step], dh_out: Floats) -> tuple[Floats, Floats]:
    """Return dL/d of U x and of W h_{t-1} of layer n, step by step (T, G m), given dL/dh_t|out (T, m)."""
    W, m, p = _transposed(network.arrays["W" + suffix(n + 1)]), network.m, n * (network.P // network.L)
    da = np.empty((len(steps), network.G * m), np.float32)
    dk = np.empty_like(da) if network.G == 3 else da
    dh_next, ds = np.zeros((1, m), np.float32), np.zeros(m, np.float32)
    for t in reversed(range(len(steps))):
        dh = dh_out[t] + dh_next[0]
        gates, before = steps[t].gates[n, 0], steps[t].before
        dh_next = np.zeros((1, m), np.float32)
        if network.G == 1:
            exact_gradients.rnn_back(steps[t].after[p, 0], dh, da[t])
        elif network.G == 3:
            exact_gradients.gru_back(gates, before[p, 0], dh, da[t], dk[t], dh_next[0])
        else:
            exact_gradients.lstm_back(gates, before[p + 1, 0], dh, ds, da[t])
        exact_kernels.add_product(dh_next, dk[t : t + 1], W)
    return da, dk


def _add_layer(d: Network, n: int, steps: list[Step], da: Floats, dk: Floats) -> None:
    """Set dU, dW, db and dd of layer n."""
    dU, dW, db = (d.arrays[name + suffix(n + 1)] for name in "UWb")
    if n > 0:
        exact_kernels.add_product(dU, _transposed(_h(d, steps, n - 1)), da)
    else:
        for t, step in enumerate(steps):  # a character met twice adds to its row twice, in order
            dU[step.x[0]] += da[t]
    p = n * (d.P // d.L)
    exact_kernels.add_product(dW, _transposed(np.concatenate([step.before[p] for step in steps])), dk)
    _add_total(db, da)
    if d.G == 3:
        _add_total(d.arrays["d" + suffix(n + 1)], np.ascontiguousarray(dk[:, 2 * d.m :]))


def _h(network: Network, steps: list[Step], n: int) -> Floats:
    """Return what layer n handed on (T, m)."""
    return np.concatenate([step.after[n * (network.P // network.L)] for step in steps])


def _add_total(total: Floats, da: Floats) -> None:
    """Add the steps of da (T, n), in their order, to a vector (n,)."""
    exact_kernels.add_product(total[None], np.ones((1, len(da)), np.float32), da)


def _product(a: Floats, B: Floats) -> Floats:
    y = np.zeros((len(a), B.shape[1]), np.float32)
    exact_kernels.add_product(y, a, B)
    return y


def _transposed(a: Floats) -> Floats:
    b = np.empty(a.shape[::-1], np.float32)
    exact_gradients.transpose(a, b)
    return b
