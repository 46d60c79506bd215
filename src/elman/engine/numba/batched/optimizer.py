"""The optimizers of `elman.network.optimizer` on flat arrays, a range at a time so that threads can share the work."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba.batched.layout import Layout, W, flatten, unflatten
from elman.engine.numba.batched.muon import HiddenMatrices, make_hidden_matrices
from elman.engine.numba.jit import compiled, inlined, kernel
from elman.engine.numba.linalg.simd import aligned_zeros
from elman.engine.state import TrainState
from elman.network.optimizer import EPSILON, HAS_DECOUPLED_DECAY, HAS_FIRST_MOMENT, HAS_SECOND_MOMENT, Optimizer
from elman.network.parameters import Array

RANGES = 4
"""Ranges of the parameters that threads update in parallel. They do not depend on the number of threads: the order in
which the squares of the gradient are added does not either.
"""

_ADAGRAD, _RMSPROP, _ADAM, _SGD = range(4)
_KINDS = {"adagrad": _ADAGRAD, "rmsprop": _RMSPROP, "adam": _ADAM, "adamw": _ADAM, "sgd": _SGD, "muon": _ADAM}
"""The rule of each optimizer; of muon, that for all but the hidden matrices."""


class Rule(NamedTuple):
    """What an optimizer does in every update; a part of theta, a range, has one weight decay."""

    kind: int
    is_decoupled: bool  # weight decay multiplies the parameters
    has_average: bool
    grad_clip: float  # limit of clipping by value, or infinity
    beta1: float
    beta2: float
    starts: NDArray[np.intp]  # of the parts
    stops: NDArray[np.intp]
    decays: NDArray[np.float64]


class Step(NamedTuple):
    """The numbers of one update."""

    rate: float
    shrink: float  # by which decoupled weight decay multiplies parameters
    bias1: float  # 1 - beta_1^n
    bias2: float
    average_weight: float  # of the new parameters in their average


class Moments(NamedTuple):
    """Moments and averaged weights, flat like the parameters; empty where the optimizer has none."""

    M: Array
    N: Array
    average: Array


class FlatOptimizer:
    """An optimizer and its state, flat like the network's parameters.

    Matrices have weight decay, biases have none. Hidden matrices, where Muon updates them, are not in the rule's parts.

    Parameters
    ----------
    layout : Layout
    dtype : dtype
    state : TrainState
        Its moments are copied.
    optimizer : Optimizer
    threads : int
        The most threads that update the parameters.
    """

    def __init__(
        self, layout: Layout, dtype: np.dtype[np.floating], state: TrainState, optimizer: Optimizer, threads: int
    ) -> None:
        self.layout, self.optimizer, empty = layout, optimizer, aligned_zeros(0, dtype)
        self.moments = Moments(
            flatten(layout, state.M, dtype) if optimizer.name in HAS_SECOND_MOMENT else empty,
            flatten(layout, state.N, dtype) if optimizer.name in HAS_FIRST_MOMENT else empty,
            flatten(layout, state.average, dtype) if optimizer.ema_decay else empty,
        )
        self.ranges = np.array([*pairwise(layout.theta_size * n // RANGES for n in range(RANGES + 1))])
        hidden = int(layout.offsets[0, W]), layout.sizes.V
        self.hidden: HiddenMatrices | None = (
            make_hidden_matrices(*hidden, layout.sizes, dtype, threads) if optimizer.name == "muon" else None
        )
        ends = [0, layout.matrix_size] if self.hidden is None else [0, *hidden, layout.matrix_size]
        limit = float(optimizer.grad_clip) if optimizer.grad_clip_mode == "value" else np.inf
        decays = [optimizer.weight_decay] * (len(ends) // 2) + [0.0]
        self.rule = Rule(
            _KINDS[optimizer.name], optimizer.name in HAS_DECOUPLED_DECAY, bool(optimizer.ema_decay), limit,
            optimizer.beta1, optimizer.beta2, np.array([*ends[::2], layout.matrix_size]),
            np.array([*ends[1::2], layout.theta_size]), np.array(decays),
        )  # fmt: skip

    def steps(self, numbers: range, rates: list[float]) -> NDArray[np.float64]:
        """Return the numbers of some updates at their learning rates: a row like `Step` for each."""
        optimizer = self.optimizer
        return np.array(
            [
                Step(
                    rate,
                    1 - rate * optimizer.weight_decay,
                    1 - optimizer.beta1**n,
                    1 - optimizer.beta2**n,
                    1 - optimizer.ema_decay_at(n) if optimizer.ema_decay else 0.0,
                )
                for n, rate in zip(numbers, rates, strict=True)
            ]
        )

    @property
    def max_norm(self) -> float:
        """The limit of clipping by norm, or infinity."""
        return float(self.optimizer.grad_clip) if self.optimizer.grad_clip_mode == "norm" else np.inf

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


@compiled()  # without fastmath: the squares are added in their order
def clip_scale(squares, max_norm):
    """The factor of clipping by norm, for a gradient of which `squares` are partial sums of squares."""
    total = 0.0
    for square in squares:
        total += square
    scale = max_norm / (np.sqrt(total) + 1e-6)
    return scale if scale < 1.0 else 1.0


@kernel
def update_range(rule, step, scale, theta, moments, g, first, last):
    """Update a range of theta and of its average, from a gradient that is multiplied by `scale`."""
    M, N, average = moments.M, moments.N, moments.average
    for part in range(len(rule.decays)):
        low, high, decay = max(first, rule.starts[part]), min(last, rule.stops[part]), rule.decays[part]
        if low < high:
            shrink = step.shrink if rule.is_decoupled and decay != 0 else 1.0
            _update_parameters(
                rule.kind, theta, M, N, g, low, high, step.rate, shrink, 0.0 if rule.is_decoupled else decay, scale,
                rule.grad_clip, rule.beta1, rule.beta2, step.bias1, step.bias2, EPSILON,
            )  # fmt: skip
    if rule.has_average:
        _update_average(average, theta, first, last, step.average_weight)


@inlined
def _update_parameters(
    kind, theta, M, N, g, first, last, rate, shrink, decay, scale, grad_clip, beta1, beta2, bias1, bias2, epsilon
):  # fmt: skip
    """Update a range of theta.

    The gradient is multiplied by `scale`, which clips its norm, and each component is clipped to `grad_clip`;
    `decay` theta is added to it, or (AdamW) theta multiplied by `shrink`.
    """
    scalar = theta.dtype.type
    rate, shrink, decay, scale, grad_clip = (
        scalar(rate),
        scalar(shrink),
        scalar(decay),
        scalar(scale),
        scalar(grad_clip),
    )
    keep1, keep2, new1, new2 = scalar(beta1), scalar(beta2), scalar(1 - beta1), scalar(1 - beta2)
    up1, up2, epsilon = scalar(1 / bias1), scalar(1 / bias2), scalar(epsilon)
    # Within a slice no index is negative; Numba would otherwise test for that and not vectorize.
    theta, g = theta[first:last], g[first:last]
    M, N = M[first:last], N[first:last]
    if kind == _ADAGRAD:
        for i in range(len(theta)):
            raw = g[i] * scale + decay * theta[i]
            M[i] += raw * raw
            d = min(max(g[i] * scale, -grad_clip), grad_clip) + decay * theta[i]
            theta[i] -= rate * d / np.sqrt(M[i] + epsilon)
    elif kind == _RMSPROP:
        for i in range(len(theta)):
            d = min(max(g[i] * scale, -grad_clip), grad_clip) + decay * theta[i]
            M[i] = keep2 * M[i] + new2 * d * d
            theta[i] -= rate * d / (np.sqrt(M[i]) + epsilon)
    elif kind == _ADAM:
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
def _update_average(average, theta, first, last, weight):
    """average <- average + weight (theta - average)."""
    weight = theta.dtype.type(weight)
    average, theta = average[first:last], theta[first:last]
    for i in range(len(theta)):
        average[i] += weight * (theta[i] - average[i])
