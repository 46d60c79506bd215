"""An update rule at work on a network that is laid out for the kernels."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np

from elman.engine.numba.batched import optimizer_kernels
from elman.engine.numba.batched.layout import flatten, unflatten
from elman.engine.numba.batched.network import RANGES, LaidOut
from elman.engine.numba.fused.packing import zeros
from elman.engine.state import State
from elman.network.optimizer import EPSILON, WITH_MOMENTUM, WITH_SQUARES, Rule


class Updating:
    """The sums and averages of a rule, flat as the network's parameters are."""

    def __init__(self, net: LaidOut, state: State, rule: Rule) -> None:
        self.net, self.rule = net, rule
        layout, dtype, nothing = net.layout, net.dtype, zeros(0, net.dtype)
        self.M = flatten(layout, state.M, dtype) if rule.optimizer in WITH_SQUARES else nothing
        self.N = flatten(layout, state.N, dtype) if rule.optimizer in WITH_MOMENTUM else nothing
        self.average = flatten(layout, state.average, dtype) if rule.averaging else nothing
        self.ranges = list(pairwise(layout.theta * n // RANGES for n in range(RANGES + 1)))

    def update(self, n: int, rate: float) -> None:
        """Carry out update n at a learning rate, with the gradients that the last window left."""
        net, rule = self.net, self.rule
        squares = net.crew.do(
            [partial(optimizer_kernels.combine, net.gradients, *part, 1 / net.B) for part in self.ranges]
        )
        scale = 1.0
        if rule.clip_by == "norm":
            scale = min(1.0, rule.clip / (float(np.sqrt(np.sum(squares))) + 1e-6))
        net.crew.do([partial(self._apply, n, rate, scale, *part) for part in self.ranges])
        net.pack()

    def _apply(self, n: int, rate: float, scale: float, first: int, last: int) -> None:
        """Update a range: its matrices with weight decay, its biases without."""
        rule, net, border = self.rule, self.net, self.net.layout.matrices
        clip, decoupled = rule.clip if rule.clip_by == "value" else np.inf, rule.optimizer == "adamw"
        for low, high, decay in ((first, min(last, border), rule.weight_decay), (max(first, border), last, 0.0)):
            if low < high:
                optimizer_kernels.apply(
                    optimizer_kernels.CODES[rule.optimizer], net.theta, self.M, self.N, net.gradients[0], low, high, rate,
                    1 - rate * decay if decoupled else 1.0, 0.0 if decoupled else decay, scale, clip,
                    rule.beta1, rule.beta2, 1 - rule.beta1**n, 1 - rule.beta2**n, EPSILON,
                )  # fmt: skip
        if rule.averaging:
            optimizer_kernels.average_in(self.average, net.theta, first, last, 1 - rule.kept_average(n))

    def put_back(self, state: State) -> None:
        """Write parameters, sums and averages into the state."""
        arrays = (self.net.theta, self.M, self.N, self.average)
        for array, into in zip(arrays, (state.parameters, state.M, state.N, state.average), strict=True):
            if into:
                unflatten(self.net.layout, array, into)
