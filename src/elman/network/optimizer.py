"""How gradients change the parameters: clipping, the optimisers, their learning rate over time, averaging.

theta      one array of parameters            g       its gradient; clipped by norm, where that is the way
n          the update, counted from 1         g_n     g; clipped by value, where that is the way
eta        the learning rate of this update   lambda  the weight decay, of matrices; the biases have none

::

    (1)  g <- g min(1, limit / (norm of all g + 1e-6))      by norm
    (2)  g_n <- min(max(g, -limit), limit)                  by value
    (3)  g <- g + lambda theta    g_n <- g_n + lambda theta             but for adamw
    (4)  theta <- theta - eta lambda theta                              adamw

    adagrad   M <- M + g^2                                  theta <- theta - eta g_n / sqrt(M + 1e-8)
    rmsprop   M <- beta_2 M + (1 - beta_2) g_n^2            theta <- theta - eta g_n / (sqrt(M) + 1e-8)
    adam(w)   N <- beta_1 N + (1 - beta_1) g_n
              M <- beta_2 M + (1 - beta_2) g_n^2
              theta <- theta - eta N / (1 - beta_1^n) / (sqrt(M / (1 - beta_2^n)) + 1e-8)
    sgd       N <- beta_1 N + g_n                           theta <- theta - eta N

AdaGrad (Duchi, Hazan and Singer, 2011) is that of the reference experiment: its sum takes what clipping by value has
not touched, and the epsilon stands inside the root. Adam: Kingma and Ba (2015); AdamW: Loshchilov and Hutter (2019);
RMSProp: Hinton's lecture 6e (2012). But for AdaGrad's two differences, all of it is what PyTorch does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elman.network.dropout import Dropout
from elman.network.parameters import Array, Parameters, zeros_like

EPSILON = 1e-8

OPTIMIZERS = ("adagrad", "rmsprop", "adam", "adamw", "sgd")
WITH_SQUARES = ("adagrad", "rmsprop", "adam", "adamw")
"""Those that keep M."""
WITH_MOMENTUM = ("adam", "adamw", "sgd")
"""Those that keep N."""


@dataclass(frozen=True)
class Rule:
    """How an update is made from a gradient. The defaults are the reference experiment's.

    Parameters
    ----------
    learning_rate : float
        The largest that `schedule` gives.
    clip : float
        The limit of the gradient: of every component, or of the Euclidean norm of all of them together.
    optimizer : str
        One of `OPTIMIZERS`.
    clip_by : str
        ``value`` or ``norm``.
    beta1, beta2 : float
        How much of N and of M is kept from one update to the next.
    weight_decay : float
        lambda.
    schedule : str
        ``constant``; ``cosine``, down to `final_rate` of it after `end` (Loshchilov and Hutter, 2017); or ``step``, a
        tenth from half of the way between `warmup` and `end` on and a hundredth from three quarters.
    warmup : int
        The rate rises linearly over so many updates.
    end : int
        The last update, as far as it is known.
    averaging : float
        The average that evaluation uses keeps so much of itself at every update; 0 keeps none.
    dropout : Dropout, optional
        Applied to what each layer hands on.
    final_rate : float
        The share of `learning_rate` that a cosine comes down to.
    """

    learning_rate: float
    clip: float
    optimizer: str = "adagrad"
    clip_by: str = "value"
    beta1: float = 0.9
    beta2: float = 0.999
    weight_decay: float = 0.0
    schedule: str = "constant"
    warmup: int = 0
    end: int = 0
    averaging: float = 0.0
    dropout: Dropout | None = None
    final_rate: float = 0.0

    def rates(self, done: int, updates: int) -> NDArray[np.float64]:
        """Return eta of each of so many updates, after `done` of them."""
        n = np.arange(done + 1, done + updates + 1, dtype=np.float64)
        rates = np.full(updates, self.learning_rate)
        if self.warmup:
            rates *= np.minimum(1, n / self.warmup)
        # At the last update the rate is not zero yet, or that update would be for nothing.
        progress = np.clip((n - 1 - self.warmup) / max(1, self.end - self.warmup), 0, 1)
        if self.schedule == "cosine":
            rates *= self.final_rate + (1 - self.final_rate) * 0.5 * (1 + np.cos(np.pi * progress))
        elif self.schedule == "step":
            rates *= np.select([progress < 0.5, progress < 0.75], [1.0, 0.1], 0.01)
        return rates

    def kept_average(self, n: int) -> float:
        """How much of the average is kept at update n: less at first, so that it soon forgets where it began."""
        return min(self.averaging, (1 + n) / (10 + n))

    def start(self, parameters: Parameters) -> tuple[Parameters, Parameters, Parameters]:
        """Return M, N and the average before the first update; empty where the rule has none."""
        return (
            zeros_like(parameters) if self.optimizer in WITH_SQUARES else {},
            zeros_like(parameters) if self.optimizer in WITH_MOMENTUM else {},
            {name: theta.copy() for name, theta in parameters.items()} if self.averaging else {},
        )

    def update(
        self, n: int, parameters: Parameters, M: Parameters, N: Parameters, average: Parameters, gradients: Parameters
    ) -> None:
        """Carry out update n: change `parameters`, `M`, `N` and `average` in place."""
        eta = float(self.rates(n - 1, 1)[0])
        scale, limit = (self._scale(gradients), math.inf) if self.clip_by == "norm" else (1.0, self.clip)
        for name, theta in parameters.items():
            decay = self.weight_decay if theta.ndim == 2 else 0.0
            g = gradients[name] * scale  # (1)
            g_n = np.clip(g, -limit, limit)  # (2)
            if decay and self.optimizer == "adamw":
                theta *= 1 - eta * decay  # (4)
            elif decay:
                g, g_n = g + decay * theta, g_n + decay * theta  # (3)
            above, below = self._step(n, name, g, g_n, M, N)
            theta -= eta * above / below
            if self.averaging:
                average[name] += (1 - self.kept_average(n)) * (theta - average[name])

    def _scale(self, gradients: Parameters) -> float:
        """What brings the norm of all gradients down to the limit."""
        norm = math.sqrt(sum(float(np.sum(np.square(g, dtype=np.float64))) for g in gradients.values()))
        return min(1.0, self.clip / (norm + 1e-6))

    def _step(
        self, n: int, name: str, g: Array, g_n: Array, M: Parameters, N: Parameters
    ) -> tuple[Array, Array | float]:
        """The quotient that eta is multiplied by for one array, after M and N are brought up to date in place."""
        if self.optimizer == "adagrad":
            M[name] += g**2
            return g_n, np.sqrt(M[name] + EPSILON)
        if self.optimizer == "sgd":
            N[name] *= self.beta1
            N[name] += g_n
            return N[name], 1.0
        M[name] += (1 - self.beta2) * (g_n**2 - M[name])
        if self.optimizer == "rmsprop":
            return g_n, np.sqrt(M[name]) + EPSILON
        N[name] += (1 - self.beta1) * (g_n - N[name])
        return N[name] / (1 - self.beta1**n), np.sqrt(M[name] / (1 - self.beta2**n)) + EPSILON
