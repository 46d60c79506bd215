"""`elman.network.optimizer` on tensors; the equations have the numbers that they have there."""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from elman.engine.torch.network import Tensors
from elman.network.muon import (
    MOMENTUM,
    NEWTON_SCHULZ_COEFFICIENTS,
    NEWTON_SCHULZ_STEPS,
    NORM_EPSILON,
    STEP_SCALE,
    is_hidden_matrix,
)
from elman.network.optimizer import EPSILON, HAS_DECOUPLED_DECAY, Optimizer

S = TypeVar("S")


class UpdateScalars(NamedTuple, Generic[S]):
    """The numbers that differ from one update to the next: floats, or tensors of shape ()."""

    step: S
    """-eta, for adam, adamw and muon divided by 1 - beta_1^n."""
    hidden_step: S
    """-eta, for the hidden matrices of muon."""
    shrinkage: S
    """1 - eta lambda, see (4)."""
    correction: S
    """1 - beta_2^n."""
    ema_weight: S
    """Weight of the new parameters in the average."""


def update_scalars(optimizer: Optimizer, n: int, eta: float) -> UpdateScalars[float]:
    """Return the numbers for update n with learning rate eta."""
    has_adam_step = optimizer.name in ("adam", "adamw", "muon")
    return UpdateScalars(
        -eta / (1 - optimizer.beta1**n) if has_adam_step else -eta,
        -eta,
        1 - eta * optimizer.weight_decay,
        1 - optimizer.beta2**n,
        1 - optimizer.ema_decay_at(n),
    )


class TensorOptimizer:
    """Makes updates from gradients, in place.

    What it does is the same at every update and never waits for the device: it can be captured as a CUDA graph.

    Parameters
    ----------
    optimizer : Optimizer
        Its learning rate and schedule are not used.
    theta, M, N, average : dict of Tensor
        The parameters, the moments and the average, where the optimizer has them.
    """

    def __init__(self, optimizer: Optimizer, theta: Tensors, M: Tensors, N: Tensors, average: Tensors) -> None:
        self.optimizer, self.theta, self.M, self.N, self.average = optimizer, theta, M, N, average

    @torch.no_grad()
    def update(self, scalars: UpdateScalars[Tensor], gradients: Tensors) -> None:
        """Make the update that `update_scalars` describes."""
        rule = self.optimizer
        by_norm = rule.grad_clip_mode == "norm"
        scale = self._clip_factor(gradients) if by_norm else None
        for name, theta in self.theta.items():
            decay = rule.weight_decay if theta.ndim == 2 else 0.0
            g = gradients[name] if scale is None else gradients[name] * scale  # (1)
            g_n = g if by_norm else g.clamp(-rule.grad_clip, rule.grad_clip)  # (2)
            if decay and rule.name in HAS_DECOUPLED_DECAY:
                theta.mul_(scalars.shrinkage)  # (4)
            elif decay:
                g, g_n = g + decay * theta, g_n + decay * theta  # (3)
            self._step(scalars, name, g, g_n)
            if rule.ema_decay:
                self.average[name].lerp_(theta, scalars.ema_weight)

    def _clip_factor(self, gradients: Tensors) -> Tensor:
        """Return the factor that reduces the norm of all gradients to the threshold."""
        norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in gradients.values()]))
        return (self.optimizer.grad_clip / (norm + 1e-6)).clamp(max=1.0)

    def _step(self, scalars: UpdateScalars[Tensor], name: str, g: Tensor, g_n: Tensor) -> None:
        """Update one parameter, and its M and N."""
        rule, theta = self.optimizer, self.theta[name]
        M: Tensor = self.M.get(name)
        N: Tensor = self.N.get(name)
        if rule.name == "adagrad":
            M.addcmul_(g, g)
            theta.addcdiv_(g_n * scalars.step, (M + EPSILON).sqrt_())
        elif rule.name == "sgd":
            N.mul_(rule.beta1).add_(g_n)
            theta.addcmul_(N, scalars.step)
        elif rule.name == "muon" and is_hidden_matrix(name):
            m = theta.shape[1]
            N.lerp_(g_n, 1 - MOMENTUM)
            X = orthogonalize(N.lerp(g_n, 1 - MOMENTUM).view(-1, m, m))
            theta.addcmul_(X.view_as(theta), scalars.hidden_step, value=STEP_SCALE * m**0.5)
        else:
            M.mul_(rule.beta2).addcmul_(g_n, g_n, value=1 - rule.beta2)
            if rule.name == "rmsprop":
                theta.addcdiv_(g_n * scalars.step, M.sqrt().add_(EPSILON))
            else:
                N.lerp_(g_n, 1 - rule.beta1)
                denominator: Tensor = (M / scalars.correction).sqrt_().add_(EPSILON)
                theta.addcdiv_(N * scalars.step, denominator)


def orthogonalize(d: Tensor) -> Tensor:
    """Return what `elman.network.muon.orthogonalize` does, for matrices (blocks, m, m)."""
    a, b, c = NEWTON_SCHULZ_COEFFICIENTS
    X: Tensor = d / (torch.linalg.matrix_norm(d, keepdim=True) + NORM_EPSILON)
    for _ in range(NEWTON_SCHULZ_STEPS):
        A = X @ X.mT
        X = torch.baddbmm(X, torch.baddbmm(A, A, A, beta=b, alpha=c), X, beta=a)
    return X
