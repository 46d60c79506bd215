"""AdaGrad (Duchi, Hazan and Singer, 2011), with the gradient clipped by value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from elman.network.parameters import Parameters

EPSILON = 1e-8
"""Stands inside the root, beside M."""


@dataclass(frozen=True)
class AdaGrad:
    """The update rule and its two numbers.

    ::

        M     <- M + grad^2                                    the raw gradient, before clipping
        theta <- theta - eta clip(grad, -limit, +limit) / sqrt(M + 1e-8)

    Parameters
    ----------
    learning_rate : float
        eta.
    clip : float
        The limit of every component of the gradient.
    """

    learning_rate: float
    clip: float

    def update(self, parameters: Parameters, M: Parameters, gradients: Parameters) -> None:
        """Change `parameters` and their sums of squares `M` in place."""
        for name, theta in parameters.items():
            gradient = gradients[name]
            M[name] += gradient**2
            clipped = np.clip(gradient, -self.clip, self.clip)
            theta -= self.learning_rate * clipped / np.sqrt(M[name] + EPSILON)
