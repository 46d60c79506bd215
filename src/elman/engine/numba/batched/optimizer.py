"""An update rule at work on a network that is laid out for the kernels."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np

from elman.engine.numba.batched import optimizer_kernels
from elman.engine.numba.batched.layout import flatten, unflatten
from elman.engine.numba.batched.network import RANGES, LaidOut
from elman.engine.numba.fused.packing import zeros
from elman.engine.state import TrainState
from elman.network.optimizer import EPSILON, HAS_FIRST_MOMENT, HAS_SECOND_MOMENT, Optimizer


class Updating:
    """The sums and averages of a rule, flat as the network's parameters are."""

    def __init__(self, net: LaidOut, state: TrainState, optimizer: Optimizer) -> None:
        self.net, self.optimizer = net, optimizer
        layout, dtype, nothing = net.layout, net.dtype, zeros(0, net.dtype)
        self.M = flatten(layout, state.M, dtype) if optimizer.name in HAS_SECOND_MOMENT else nothing
        self.N = flatten(layout, state.N, dtype) if optimizer.name in HAS_FIRST_MOMENT else nothing
        self.average = flatten(layout, state.average, dtype) if optimizer.averaging else nothing
        self.ranges = list(pairwise(layout.theta * n // RANGES for n in range(RANGES + 1)))

    def update(self, n: int, rate: float) -> None:
        """Carry out update n at a learning rate, with the gradients that the last window left."""
        net, optimizer = self.net, self.optimizer
        squares = net.crew.do(
            [partial(optimizer_kernels.combine, net.gradients, *part, 1 / net.B) for part in self.ranges]
        )
        scale = 1.0
        if optimizer.clip_by == "norm":
            scale = min(1.0, optimizer.clip / (float(np.sqrt(np.sum(squares))) + 1e-6))
        net.crew.do([partial(self._apply, n, rate, scale, *part) for part in self.ranges])
        net.pack()

    def _apply(self, n: int, rate: float, scale: float, first: int, last: int) -> None:
        """Update a range: its matrices with weight decay, its biases without."""
        optimizer, net, border = self.optimizer, self.net, self.net.layout.matrices
        clip, decoupled = optimizer.clip if optimizer.clip_by == "value" else np.inf, optimizer.name == "adamw"
        for low, high, decay in ((first, min(last, border), optimizer.weight_decay), (max(first, border), last, 0.0)):
            if low < high:
                optimizer_kernels.apply(
                    optimizer_kernels.CODES[optimizer.name], net.theta, self.M, self.N, net.gradients[0], low, high, rate,
                    1 - rate * decay if decoupled else 1.0, 0.0 if decoupled else decay, scale, clip,
                    optimizer.beta1, optimizer.beta2, 1 - optimizer.beta1**n, 1 - optimizer.beta2**n, EPSILON,
                )  # fmt: skip
        if optimizer.averaging:
            optimizer_kernels.average_in(self.average, net.theta, first, last, 1 - optimizer.ema_decay_at(n))

    def put_back(self, state: TrainState) -> None:
        """Write parameters, sums and averages into the state."""
        arrays = (self.net.theta, self.M, self.N, self.average)
        for array, into in zip(arrays, (state.parameters, state.M, state.N, state.average), strict=True):
            if into:
                unflatten(self.net.layout, array, into)
