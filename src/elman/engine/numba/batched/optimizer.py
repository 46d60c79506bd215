"""The optimizers of `elman.network.optimizer` on flat arrays, a range at a time so that threads can share the work."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np

from elman.engine.numba.batched.layout import flatten, unflatten
from elman.engine.numba.batched.muon import HiddenMatrices, StepScalars
from elman.engine.numba.batched.network import UPDATE_RANGES, CompiledNetwork
from elman.engine.numba.jit import kernel
from elman.engine.numba.linalg.memory import aligned_zeros
from elman.engine.state import TrainState
from elman.network.optimizer import EPSILON, HAS_DECOUPLED_DECAY, HAS_FIRST_MOMENT, HAS_SECOND_MOMENT, Optimizer

_ADAGRAD, _RMSPROP, _ADAM, _SGD = range(4)
_KINDS = {"adagrad": _ADAGRAD, "rmsprop": _RMSPROP, "adam": _ADAM, "adamw": _ADAM, "sgd": _SGD, "muon": _ADAM}
"""The rule of each optimizer; of muon, that for all but the hidden matrices."""


class FlatOptimizer:
    """The state of an optimizer (moments and averaged weights), flat like the network's parameters.

    Matrices have weight decay, biases have none. Hidden matrices, where Muon updates them, are not in `parts`.
    """

    def __init__(self, network: CompiledNetwork, state: TrainState, optimizer: Optimizer) -> None:
        self.network, self.optimizer = network, optimizer
        layout, dtype, empty = network.layout, network.dtype, aligned_zeros(0, network.dtype)
        self.M = flatten(layout, state.M, dtype) if optimizer.name in HAS_SECOND_MOMENT else empty
        self.N = flatten(layout, state.N, dtype) if optimizer.name in HAS_FIRST_MOMENT else empty
        self.average = flatten(layout, state.average, dtype) if optimizer.ema_decay else empty
        self.ranges = list(pairwise(layout.theta_size * n // UPDATE_RANGES for n in range(UPDATE_RANGES + 1)))
        self.hidden = HiddenMatrices(network, self.N) if optimizer.name == "muon" else None
        matrices = layout.matrix_size
        ends = [0, matrices] if self.hidden is None else [0, self.hidden.first, self.hidden.last, matrices]
        self.parts = [(*part, optimizer.weight_decay) for part in zip(ends[::2], ends[1::2], strict=True)]
        self.parts.append((matrices, layout.theta_size, 0.0))

    def update(self, n: int, rate: float) -> None:
        """Perform update n at a learning rate, with the gradients of the last window."""
        network, optimizer = self.network, self.optimizer
        squared_norms = network.pool.run_all(
            [partial(reduce_gradients, network.gradients, *part, 1 / network.B) for part in self.ranges]
        )
        scale = 1.0
        if optimizer.grad_clip_mode == "norm":
            scale = min(1.0, optimizer.grad_clip / (float(np.sqrt(np.sum(squared_norms))) + 1e-6))
        if self.hidden is not None:
            self.hidden.update(StepScalars(rate, 1 - rate * optimizer.weight_decay, scale, self._limit))
        network.pool.run_all([partial(self._update_range, n, rate, scale, *part) for part in self.ranges])
        network.pack()

    @property
    def _limit(self) -> float:
        """The limit of clipping by value."""
        return self.optimizer.grad_clip if self.optimizer.grad_clip_mode == "value" else np.inf

    def _update_range(self, n: int, rate: float, scale: float, first: int, last: int) -> None:
        """Update a range, hidden matrices excepted, and its average."""
        optimizer, network, decoupled = self.optimizer, self.network, self.optimizer.name in HAS_DECOUPLED_DECAY
        for start, stop, decay in self.parts:
            low, high = max(first, start), min(last, stop)
            if low < high:
                _update_parameters(
                    _KINDS[optimizer.name], network.theta, self.M, self.N, network.gradients[0], low, high, rate,
                    1 - rate * decay if decoupled else 1.0, 0.0 if decoupled else decay, scale, self._limit,
                    optimizer.beta1, optimizer.beta2, 1 - optimizer.beta1**n, 1 - optimizer.beta2**n, EPSILON,
                )  # fmt: skip
        if optimizer.ema_decay:
            _update_average(self.average, network.theta, first, last, 1 - optimizer.ema_decay_at(n))

    def write_to(self, state: TrainState) -> None:
        """Write parameters, moments and averaged weights into the state."""
        arrays = (self.network.theta, self.M, self.N, self.average)
        for array, into in zip(arrays, (state.parameters, state.M, state.N, state.average), strict=True):
            if into:
                unflatten(self.network.layout, array, into)


@kernel
def reduce_gradients(gradients, first, last, factor):
    """Add the gradients of all groups, times `factor`, into the first; return the sum of their squares."""
    total, factor = 0.0, gradients.dtype.type(factor)
    mine = gradients[0, first:last]
    for group in range(1, len(gradients)):
        other = gradients[group, first:last]
        for i in range(len(mine)):
            mine[i] += other[i]
    for i in range(len(mine)):
        mine[i] *= factor
        total += np.float64(mine[i]) * np.float64(mine[i])
    return total


@kernel
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


@kernel
def _update_average(average, theta, first, last, weight):
    """average <- average + weight (theta - average)."""
    weight = theta.dtype.type(weight)
    average, theta = average[first:last], theta[first:last]
    for i in range(len(theta)):
        average[i] += weight * (theta[i] - average[i])
