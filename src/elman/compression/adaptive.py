"""Online training while coding: dynamic evaluation (`elman.inference.dynamic_evaluation`) in exact arithmetic.

T  steps per window                     m  hidden units per layer
K  alphabet size                        G  gate blocks of m rows: 1 for rnn, 3 for gru, 4 for lstm
R  rows: substreams coded in lockstep

After every T steps the network takes one optimizer step on the loss of the characters just coded, which the
decoder knows by then too. The gradients are those of `elman.network`, truncated at the window. The constants are part
of the file format: files written with other values could not be read.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from elman.compression import exact_gradients, exact_kernels
from elman.compression.exact_kernels import GRU, Floats
from elman.compression.exact_network import ExactNetwork, Step
from elman.compression.parts import add_matmul, run_parts
from elman.network.parameters import suffix

WINDOW = 32
"""T of a single row."""
SCALED_LEARNING_RATE = 0.15
"""Learning rate times m."""
SQUARED_GRAD_DECAY = 0.999
EPSILON = 1e-8
DECAY_INTERVAL = 16
"""Windows between two decays towards the trained weights."""
DECAY_FRACTION = 0.0158727
"""1 - e^(-16 · 32 / 32,000), as a literal since a library's e^x may differ in its last bit."""

_DIVISIONS = 16
"""Multiplications that take as long as the division and the root of one weight in an optimizer step."""


class Schedule(NamedTuple):
    """When the network is trained, and how much it then decays."""

    window: int = WINDOW
    decay_interval: int = DECAY_INTERVAL
    decay_fraction: float = DECAY_FRACTION


class CodedStep(NamedTuple):
    """A forward step, and dL/do (R, K): the probabilities by which characters were coded minus the one-hot vectors."""

    step: Step
    g: Floats


def output_gradient(freqs: Floats, y: int) -> Floats:
    """Return dL/do (1, K) of a character that was coded by the frequencies minus one (1, K + 1)."""
    g = np.empty((1, freqs.shape[1] - 1), np.float32)
    exact_gradients.output_backward(freqs, np.array([y]), g)
    return g


class OnlineLearner:
    """Trains a network in place as it reads."""

    def __init__(self, network: ExactNetwork, schedule: Schedule = Schedule()) -> None:  # noqa: B008 (immutable)
        self.network, self.schedule = network, schedule
        self.trained = network.theta.copy()
        self.squared_grads = np.zeros_like(network.theta)
        self.coded_steps: list[CodedStep] = []
        self.windows = 0
        self.decay_power = 1.0  # SQUARED_GRAD_DECAY to the power of `windows`

    def observe(self, coded_step: CodedStep) -> None:
        """Record one step, and take an optimizer step if it completes a window."""
        self.coded_steps.append(coded_step)
        if len(self.coded_steps) == self.schedule.window:
            self._update()
            self.coded_steps = []

    def _update(self) -> None:
        network = self.network
        self.windows += 1
        self.decay_power *= SQUARED_GRAD_DECAY
        gradient = compute_gradients(network, self.coded_steps).theta
        constants = (
            SCALED_LEARNING_RATE / network.m, SQUARED_GRAD_DECAY, 1 - SQUARED_GRAD_DECAY, 1 - self.decay_power, EPSILON,
        )  # fmt: skip

        def step(part: slice) -> None:
            exact_gradients.rmsprop_step(
                network.theta[part], gradient[part], self.squared_grads[part], *map(np.float32, constants)
            )

        run_parts(step, len(gradient), len(gradient) * _DIVISIONS)
        if self.windows % self.schedule.decay_interval == 0:
            exact_gradients.decay_towards(network.theta, self.trained, np.float32(self.schedule.decay_fraction))


def compute_gradients(network: ExactNetwork, coded_steps: list[CodedStep]) -> ExactNetwork:
    """Return dL/d of every parameter, where L is the summed loss of the window in nats."""
    d = network.with_theta(np.zeros_like(network.theta))
    steps = [coded.step for coded in coded_steps]
    g = np.concatenate([coded.g for coded in coded_steps])
    h = _layer_outputs(network, steps, network.L - 1)
    add_matmul(d.arrays["V"], _transpose(h), g)
    _add_row_sum(d.arrays["c"], g)
    priors = [step.prior for step in steps if step.prior is not None]
    if priors:
        log_q, matched = (np.concatenate(arrays) for arrays in zip(*priors, strict=True))
        exact_gradients.prior_backward(g, log_q, matched, d.arrays["alpha"])
    dh_out = _matmul(g, _transpose(network.arrays["V"]))
    for n in reversed(range(network.L)):
        da, dk = _layer_backward(network, n, steps, dh_out)
        _add_layer_gradients(d, n, steps, da, dk)
        if n > 0:
            dh_out = _matmul(da, _transpose(network.arrays["U" + suffix(n + 1)]))
    return d


def _layer_backward(network: ExactNetwork, n: int, steps: list[Step], dh_out: Floats) -> tuple[Floats, Floats]:
    """Return dL/d of U x and of W h_{t-1} of layer n, both (T R, G m), given dL/dh_t|out (T R, m)."""
    W, m, p = _transpose(network.arrays["W" + suffix(n + 1)]), network.m, n * (network.P // network.L)
    R, states = len(steps[0].x), network.P // network.L
    da = np.empty((len(steps), R, network.G * m), np.float32)
    dk = np.empty_like(da) if network.cell == GRU else da

    def backward(part: slice) -> None:
        rows = len(range(R)[part])
        dh_next, ds = np.zeros((rows, m), np.float32), np.zeros((rows, m), np.float32)
        for t in reversed(range(len(steps))):
            gates, before, after = steps[t].gates[n, part], steps[t].before, steps[t].after
            dh = dh_out[t * R : (t + 1) * R][part] + dh_next
            dh_next = np.zeros((rows, m), np.float32)
            s = before[p + states - 1, part]
            exact_gradients.cell_backward(
                network.cell, gates, before[p, part], s, after[p, part], dh, ds, da[t, part], dk[t, part], dh_next
            )
            exact_kernels.add_matmul(dh_next, dk[t, part], W)

    run_parts(backward, R, len(steps) * R * W.size)
    return da.reshape(len(steps) * R, -1), dk.reshape(len(steps) * R, -1)


def _add_layer_gradients(d: ExactNetwork, n: int, steps: list[Step], da: Floats, dk: Floats) -> None:
    """Set dU, dW, db and dd of layer n."""
    dU, dW, db = (d.arrays[name + suffix(n + 1)] for name in "UWb")
    if n > 0:
        add_matmul(dU, _transpose(_layer_outputs(d, steps, n - 1)), da)
    else:
        for row, x in enumerate(np.concatenate([step.x for step in steps])):  # in order, as several may be equal
            dU[x] += da[row]
    p = n * (d.P // d.L)
    add_matmul(dW, _transpose(np.concatenate([step.before[p] for step in steps])), dk)
    _add_row_sum(db, da)
    if d.cell == GRU:
        _add_row_sum(d.arrays["d" + suffix(n + 1)], np.ascontiguousarray(dk[:, 2 * d.m :]))


def _layer_outputs(network: ExactNetwork, steps: list[Step], n: int) -> Floats:
    """Return the outputs h of layer n (T R, m)."""
    return np.concatenate([step.after[n * (network.P // network.L)] for step in steps])


def _add_row_sum(total: Floats, da: Floats) -> None:
    """Add the rows of da (T R, n), in order, to a vector (n,)."""
    add_matmul(total[None], np.ones((1, len(da)), np.float32), da)


def _matmul(a: Floats, B: Floats) -> Floats:
    y = np.zeros((len(a), B.shape[1]), np.float32)
    add_matmul(y, a, B)
    return y


def _transpose(a: Floats) -> Floats:
    b = np.empty(a.shape[::-1], np.float32)
    exact_gradients.transpose(a, b)
    return b
