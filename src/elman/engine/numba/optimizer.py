"""The optimizers of `elman.network.optimizer` on flat arrays, a range at a time so that threads can share the work."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba.layout import W, flatten, unflatten
from elman.engine.numba.muon import HiddenMatrices, make_hidden_matrices
from elman.engine.numba.simd import aligned_zeros
from elman.engine.numba.workspace import BatchedNetwork
from elman.engine.protocol import TrainState
from elman.engine_registry import require_steps
from elman.jit import exact, inlined, kernel
from elman.network.optimizer import EPSILON, Optimizer
from elman.network.parameters import Array

RANGES = 4
"""Ranges of the parameters that threads update in parallel. They do not depend on the number of threads, nor does the
order in which the squares of the gradient are added.
"""

_ADAGRAD, _RMSPROP, _ADAM, _SGD, _MUON = range(5)
STEPS = {"adagrad": _ADAGRAD, "rmsprop": _RMSPROP, "adam": _ADAM, "sgd": _SGD, "muon": _MUON}
"""The steps of `elman.network.optimizers`; the step of hidden matrices is in `elman.engine.numba.muon`."""


class Rule(NamedTuple):
    """The settings of an optimizer for every update; a part of theta, a range, has one weight decay."""

    kind: int
    is_decoupled: bool  # weight decay multiplies the parameters
    has_average: bool
    grad_clip: float  # limit of clipping by value, or infinity
    max_norm: float  # limit of clipping by norm, or infinity
    beta1: float
    beta2: float
    starts: NDArray[np.intp]  # where the parts begin
    stops: NDArray[np.intp]
    decays: NDArray[np.float64]


RATE, SHRINK, BIAS1, BIAS2, AVERAGE_WEIGHT = range(5)
"""The numbers of one update: the learning rate; the factor of decoupled weight decay; 1 - beta_1^n and 1 - beta_2^n;
and the weight of the new parameters in their average."""


class Moments(NamedTuple):
    """Moments and averaged weights, flat like the parameters; empty if the optimizer has none."""

    M: Array
    N: Array
    average: Array


class FlatOptimizer:
    """An optimizer and room for a copy of its state, flat like the network's parameters.

    Matrices have weight decay, biases have none. Hidden matrices that Muon updates are not in the rule's parts.
    """

    def __init__(self, network: BatchedNetwork, optimizer: Optimizer) -> None:
        layout, spec = network.layout, optimizer.spec
        require_steps("numba", spec.name, spec.step_names)
        self.layout = layout
        used = "M" in spec.moments, "N" in spec.moments, bool(optimizer.ema_decay)
        self.optimizer = optimizer
        self.moments = Moments(*(aligned_zeros(layout.theta_size * is_used, network.dtype) for is_used in used))
        self.ranges = np.array([*pairwise(layout.theta_size * n // RANGES for n in range(RANGES + 1))])
        hidden = int(layout.offsets[0, W]), layout.sizes.V
        self.hidden: HiddenMatrices | None = make_hidden_matrices(*hidden, network) if spec.hidden_step else None
        ends = [0, layout.matrix_size] if self.hidden is None else [0, *hidden, layout.matrix_size]
        limit = float(optimizer.grad_clip)
        limits = (limit, np.inf) if optimizer.grad_clip_mode == "value" else (np.inf, limit)
        decays = [optimizer.weight_decay] * (len(ends) // 2) + [0.0]
        self.rule = Rule(
            STEPS[spec.step.__name__], spec.decoupled, bool(optimizer.ema_decay), *limits,
            optimizer.beta1, optimizer.beta2, np.array([*ends[::2], layout.matrix_size]),
            np.array([*ends[1::2], layout.theta_size]), np.array(decays),
        )  # fmt: skip

    def steps(self, numbers: range, rates: list[float]) -> NDArray[np.float64]:
        """Return the numbers of some updates at their learning rates: a row with the columns `RATE`, … for each."""
        beta1, beta2, decay = self.optimizer.beta1, self.optimizer.beta2, self.optimizer.weight_decay
        ema_weight = [1 - self.optimizer.ema_decay_at(n) if self.optimizer.ema_decay else 0.0 for n in numbers]
        steps = zip(numbers, rates, ema_weight, strict=True)
        return np.array([(rate, 1 - rate * decay, 1 - beta1**n, 1 - beta2**n, ema) for n, rate, ema in steps])

    def read_from(self, state: TrainState) -> None:
        """Copy moments and averaged weights of the state."""
        for flat, arrays in zip(self.moments, (state.M, state.N, state.average), strict=True):
            if len(flat):
                flatten(self.layout, arrays, flat)

    def write_to(self, state: TrainState, theta: Array) -> None:
        """Write parameters, moments and averaged weights into the state."""
        for array, into in zip(
            (theta, *self.moments), (state.parameters, state.M, state.N, state.average), strict=True
        ):
            if into:
                unflatten(self.layout, array, into)


@kernel
def reduce_gradients(gradients, first, last, factor, squares, k):
    """Add the gradients of all groups, times `factor`, into the first; squares[k] becomes the sum of their squares."""
    total, factor = 0.0, gradients.dtype.type(factor)
    mine = gradients[0, first:last]
    for group in range(1, len(gradients)):
        other = gradients[group, first:last]
        for i in range(len(mine)):
            mine[i] += other[i]
    for i in range(len(mine)):
        mine[i] *= factor
        total += np.float64(mine[i]) * np.float64(mine[i])
    squares[k] = total


@exact  # without fastmath: the squares are added in their order
def clip_scale(squares, max_norm):
    """Return the factor of clipping by norm; `squares` are partial sums of squares of the gradient."""
    total = 0.0
    for square in squares:
        total += square
    scale = max_norm / (np.sqrt(total) + 1e-6)
    return scale if scale < 1.0 else 1.0


@kernel
def update_range(rule, step, scale, theta, moments, g, first, last):
    """Update a range of theta and of its average, from a gradient that is multiplied by `scale`."""
    M, N = moments.M, moments.N
    for part in range(len(rule.decays)):
        low, high = max(first, rule.starts[part]), min(last, rule.stops[part])
        if low < high:
            # Within a slice no index is negative; Numba would otherwise test for that and not vectorize.
            _update_parameters(
                rule, step, scale, rule.decays[part], theta[low:high], M[low:high], N[low:high], g[low:high]
            )
    if rule.has_average:
        _update_average(moments.average[first:last], theta[first:last], step[AVERAGE_WEIGHT])


@inlined
def _update_parameters(rule, step, scale, decay, theta, M, N, g):
    """Update parameters.

    The gradient is multiplied by `scale`, which clips its norm, and each component is clipped to `grad_clip`;
    `decay` theta is added to it, or (AdamW) theta shrinks.
    """
    scalar = theta.dtype.type
    rate, shrink = scalar(step[RATE]), scalar(step[SHRINK] if rule.is_decoupled and decay != 0 else 1.0)
    decay, scale, grad_clip = scalar(0.0 if rule.is_decoupled else decay), scalar(scale), scalar(rule.grad_clip)
    keep1, keep2, new1, new2 = scalar(rule.beta1), scalar(rule.beta2), scalar(1 - rule.beta1), scalar(1 - rule.beta2)
    up1, up2, epsilon = scalar(1 / step[BIAS1]), scalar(1 / step[BIAS2]), scalar(EPSILON)
    if rule.kind == _ADAGRAD:
        for i in range(len(theta)):
            raw = g[i] * scale + decay * theta[i]
            M[i] += raw * raw
            d = min(max(g[i] * scale, -grad_clip), grad_clip) + decay * theta[i]
            theta[i] -= rate * d / np.sqrt(M[i] + epsilon)
    elif rule.kind == _RMSPROP:
        for i in range(len(theta)):
            d = min(max(g[i] * scale, -grad_clip), grad_clip) + decay * theta[i]
            M[i] = keep2 * M[i] + new2 * d * d
            theta[i] -= rate * d / (np.sqrt(M[i]) + epsilon)
    elif rule.kind == _ADAM:
        for i in range(len(theta)):
            d = min(max(g[i] * scale, -grad_clip), grad_clip) + decay * theta[i]
            N[i] = keep1 * N[i] + new1 * d
            M[i] = keep2 * M[i] + new2 * d * d
            theta[i] = shrink * theta[i] - rate * (N[i] * up1) / (np.sqrt(M[i] * up2) + epsilon)
    else:
        for i in range(len(theta)):
            N[i] = keep1 * N[i] + min(max(g[i] * scale, -grad_clip), grad_clip) + decay * theta[i]
            theta[i] -= rate * N[i]


@inlined
def _update_average(average, theta, weight):
    """average <- average + weight (theta - average)."""
    weight = theta.dtype.type(weight)
    for i in range(len(theta)):
        average[i] += weight * (theta[i] - average[i])
