"""From gradients to new parameters: clipping, optimizers, learning-rate schedules, an average of the weights.

theta      one parameter array                 g       its gradient, clipped by norm in that mode
n          number of the update, from 1        g_n     g, clipped by value in that mode
eta        learning rate of this update        lambda  weight decay of matrices; biases have none
M          second moment: sum or running average of squared gradients
N          first moment: momentum, or running average of gradients

::

    (1)  g <- g min(1, limit / (norm of all g + 1e-6))      by norm
    (2)  g_n <- min(max(g, -limit), limit)                  by value
    (3)  g <- g + lambda theta    g_n <- g_n + lambda theta             L2 penalty
    (4)  theta <- theta - eta lambda theta                              decoupled, if the optimizer's entry says so

Then the step of the optimizer follows, see `elman.network.optimizers`. Muon's step for hidden matrices, W and, after
the first layer, U, is momentum, orthogonalized by a Newton-Schulz iteration (Jordan and others, 2024). It is applied
to each m x m block, which belongs to one gate, separately::

    N <- mu N + (1 - mu) g_n                      X <- mu N + (1 - mu) g_n
    X <- X / (||X|| + 1e-7)                       the Frobenius norm; then three times
    X <- a X + (b A + c A A) X                    with A = X X'
    theta <- theta - eta 0.1 sqrt(m) X            M stays zero

A step changes the output of a matrix by the same amount in every direction, also in directions that few gradients have.
Its size does not depend on the gradients' size; clipping only changes the weight of a gradient in the momentum. The
factor 0.1 sqrt(m) makes the root mean square of a step's components about 0.1 eta, as small as a typical step of Adam,
so that both kinds of parameters share a learning rate (Liu and others, 2025, with 0.2).

The iteration maps every singular value s of X to a s + b s^3 + c s^5 and leaves the singular vectors as they are. With
these coefficients, singular values from 0.02 to 1 are between 0.68 and 1.21 after three steps: they do not converge to
1, but small ones grow fast.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elman.network.dropout import Dropout, WeightDropout
from elman.network.ops import Array, Arrays
from elman.network.optimizers import EPSILON as EPSILON
from elman.network.optimizers import OptimizerSpec, find_optimizer
from elman.network.parameters import zeros_like

_NO_MOMENT = np.zeros(0)


@dataclass(frozen=True)
class Optimizer:
    """How an update is made from gradients. The defaults are the settings of the reference experiment.

    It holds settings only: M, N and the average belong to the caller, who passes them to `update`.

    Examples
    --------
    >>> optimizer = Optimizer(0.1, 5.0, "sgd", schedule="step", last_update=100)
    >>> optimizer.learning_rates(0, 100)[[0, 60, 90]].round(4).tolist()
    [0.1, 0.01, 0.001]
    """

    learning_rate: float  # with warm-up or a schedule, its peak
    grad_clip: float  # threshold of gradient clipping
    name: str = "adagrad"  # one of `elman.network.optimizers.OPTIMIZERS`
    grad_clip_mode: str = "value"  # clips every component; ``norm``: the Euclidean norm of all gradients together
    beta1: float = 0.9  # decay of N
    beta2: float = 0.999  # decay of M
    weight_decay: float = 0.0  # lambda
    schedule: str = "constant"
    """``constant``; ``cosine``, which decays to `final_lr_fraction` at `last_update` (Loshchilov and Hutter, 2017); or
    ``step``: a tenth from halfway between `warmup` and `last_update`, a hundredth from three quarters."""
    warmup: int = 0  # updates over which the learning rate rises linearly
    last_update: int = 0  # the last update, as far as it is known
    ema_decay: float = 0.0  # of an exponential moving average (EMA) of the parameters, for evaluation; 0 turns it off
    dropout: Dropout | None = None  # applied to the output of every layer
    final_lr_fraction: float = 0.0  # where cosine decay ends, as a fraction of `learning_rate`
    weight_dropout: WeightDropout | None = None  # applied to the recurrent matrix of every layer

    @property
    def spec(self) -> OptimizerSpec:
        """Its entry in the registry."""
        return find_optimizer(self.name)

    def learning_rates(self, done: int, updates: int) -> NDArray[np.float64]:
        """Return eta of each of the `updates` updates that follow update `done`."""
        n = np.arange(done + 1, done + updates + 1, dtype=np.float64)
        rates = np.full(updates, self.learning_rate)
        if self.warmup:
            rates *= np.minimum(1, n / self.warmup)
        # With n - 1, eta is not yet zero at the last update, which would otherwise change nothing.
        progress = np.clip((n - 1 - self.warmup) / max(1, self.last_update - self.warmup), 0, 1)
        if self.schedule == "cosine":
            rates *= self.final_lr_fraction + (1 - self.final_lr_fraction) * 0.5 * (1 + np.cos(np.pi * progress))
        elif self.schedule == "step":
            rates *= np.select([progress < 0.5, progress < 0.75], [1.0, 0.1], 0.01)
        return rates

    def ema_decay_at(self, n: int) -> float:
        """Return the decay of the average at update n: lower at first, so that it soon forgets the initial weights."""
        return min(self.ema_decay, (1 + n) / (10 + n))

    def init(self, parameters: Mapping[str, Array]) -> tuple[Arrays, Arrays, Arrays]:
        """Return M, N and the average before the first update; empty if there is none."""
        return (
            zeros_like(parameters) if "M" in self.spec.moments else {},
            zeros_like(parameters) if "N" in self.spec.moments else {},
            {name: theta.copy() for name, theta in parameters.items()} if self.ema_decay else {},
        )

    def update(
        self, n: int, parameters: Mapping[str, Array], M: Arrays, N: Arrays, average: Arrays, gradients: Arrays
    ) -> None:
        """Make update n: change `parameters`, `M`, `N` and `average` in place."""
        eta, spec = float(self.learning_rates(n - 1, 1)[0]), self.spec
        is_norm = self.grad_clip_mode == "norm"
        scale, limit = (self._clip_factor(gradients), math.inf) if is_norm else (1.0, self.grad_clip)
        for name, theta in parameters.items():
            decay = self.weight_decay if theta.ndim == 2 else 0.0
            g = gradients[name] * scale  # (1)
            g_n = np.clip(g, -limit, limit)  # (2)
            if decay and spec.decoupled:
                theta *= 1 - eta * decay  # (4)
            elif decay:
                g, g_n = g + decay * theta, g_n + decay * theta  # (3)
            step = spec.step_of(is_hidden_matrix(name))
            numerator, denominator = step(self, n, g, g_n, M.get(name, _NO_MOMENT), N.get(name, _NO_MOMENT))
            theta -= eta * numerator / denominator
            if self.ema_decay:
                average[name] += (1 - self.ema_decay_at(n)) * (theta - average[name])

    def _clip_factor(self, gradients: Arrays) -> float:
        """Return the factor that reduces the norm of all gradients to the threshold."""
        norm = math.sqrt(sum(float(np.sum(np.square(g, dtype=np.float64))) for g in gradients.values()))
        return min(1.0, self.grad_clip / (norm + 1e-6))


# --- Muon ---

MOMENTUM = 0.95  # mu, the decay of the momentum
NEWTON_SCHULZ_STEPS = 3  # of the usual five: more updates in the same time are worth more than the other two
NEWTON_SCHULZ_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # a, b and c
STEP_SCALE = 0.1  # root mean square of the components of a step, in learning rates
NORM_EPSILON = 1e-7  # added to a norm, which is zero if there is no gradient


def is_hidden_matrix(name: str) -> bool:
    """Return whether a parameter is a matrix from m units to m units per gate: W, or U of a layer after the first."""
    return name[0] in "UW" and name != "U"


def muon_step(N: Array, g_n: Array) -> Array:
    """Update the momentum N (G m, m) of one parameter in place, from the clipped gradient g_n.

    Returns the step that the learning rate multiplies: every block (m, m), which belongs to one gate, is nearly a
    multiple of an orthogonal matrix.
    """
    m = g_n.shape[1]
    N += (1 - MOMENTUM) * (g_n - N)
    d = MOMENTUM * N + (1 - MOMENTUM) * g_n
    X = orthogonalize(d.reshape(-1, m, m)).reshape(d.shape)
    return np.asarray(STEP_SCALE * m**0.5 * X)


def orthogonalize(d: Array) -> Array:
    """Return matrices with the singular vectors of `d` (blocks, m, m) and singular values near 1.

    Examples
    --------
    >>> import numpy as np
    >>> orthogonalize(np.diag([3.0, 1.0])[None])[0].round(1)
    array([[0.7, 0. ],
           [0. , 1. ]])
    """
    a, b, c = NEWTON_SCHULZ_COEFFICIENTS
    X: Array = d / (np.linalg.norm(d, axis=(1, 2), keepdims=True) + NORM_EPSILON)
    for _ in range(NEWTON_SCHULZ_STEPS):
        A = X @ X.transpose(0, 2, 1)
        X = a * X + (b * A + c * A @ A) @ X
    return X
