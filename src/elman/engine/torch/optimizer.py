"""`elman.network.optimizer` on tensors; the equations have the numbers that they have there."""

from __future__ import annotations

import math

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


@torch.no_grad()
def update(
    optimizer: Optimizer, n: int, eta: float, theta: Tensors, M: Tensors, N: Tensors, average: Tensors, g: Tensors
) -> None:
    """Make update n with learning rate eta and gradients g: change theta, M, N and the average in place.

    No number is read from the device, so that a GPU need not wait for the next update.
    """
    by_norm = optimizer.grad_clip_mode == "norm"
    scale, limit = (_clip_factor(optimizer, g), math.inf) if by_norm else (1.0, optimizer.grad_clip)
    for name, parameter in theta.items():
        decay = optimizer.weight_decay if parameter.ndim == 2 else 0.0
        gradient = g[name] * scale  # (1)
        clipped = gradient.clamp(-limit, limit)  # (2)
        if decay and optimizer.name in HAS_DECOUPLED_DECAY:
            parameter.mul_(1 - eta * decay)  # (4)
        elif decay:
            gradient, clipped = gradient + decay * parameter, clipped + decay * parameter  # (3)
        numerator, denominator = _step(optimizer, n, name, gradient, clipped, M, N)
        parameter.addcdiv_(numerator, denominator, value=-eta)
        if optimizer.ema_decay:
            average[name].lerp_(parameter, 1 - optimizer.ema_decay_at(n))


def _clip_factor(optimizer: Optimizer, gradients: Tensors) -> Tensor:
    """Return the factor that reduces the norm of all gradients to the threshold."""
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in gradients.values()]))
    return (optimizer.grad_clip / (norm + 1e-6)).clamp(max=1.0)


def _step(
    optimizer: Optimizer, n: int, name: str, g: Tensor, g_n: Tensor, M: Tensors, N: Tensors
) -> tuple[Tensor, Tensor]:
    """Update M and N of one parameter in place; return the quotient that eta multiplies, as two tensors."""
    one = g.new_ones(())
    if optimizer.name == "adagrad":
        M[name].addcmul_(g, g)
        return g_n, (M[name] + EPSILON).sqrt_()
    if optimizer.name == "sgd":
        return N[name].mul_(optimizer.beta1).add_(g_n), one
    if optimizer.name == "muon" and is_hidden_matrix(name):
        m = g.shape[1]
        N[name].lerp_(g_n, 1 - MOMENTUM)
        X = orthogonalize(N[name].lerp(g_n, 1 - MOMENTUM).view(-1, m, m))
        return STEP_SCALE * m**0.5 * X.view_as(g), one
    M[name].mul_(optimizer.beta2).addcmul_(g_n, g_n, value=1 - optimizer.beta2)
    if optimizer.name == "rmsprop":
        return g_n, M[name].sqrt().add_(EPSILON)
    N[name].lerp_(g_n, 1 - optimizer.beta1)
    return N[name] / (1 - optimizer.beta1**n), (M[name] / (1 - optimizer.beta2**n)).sqrt_().add_(EPSILON)


def orthogonalize(d: Tensor) -> Tensor:
    """Return what `elman.network.muon.orthogonalize` does, for matrices (blocks, m, m)."""
    a, b, c = NEWTON_SCHULZ_COEFFICIENTS
    X: Tensor = d / (torch.linalg.matrix_norm(d, keepdim=True) + NORM_EPSILON)
    for _ in range(NEWTON_SCHULZ_STEPS):
        A = X @ X.mT
        X = torch.baddbmm(X, torch.baddbmm(A, A, A, beta=b, alpha=c), X, beta=a)
    return X
