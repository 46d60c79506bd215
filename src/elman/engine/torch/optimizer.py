"""`elman.network.optimizer` on tensors; the equations have the numbers that they have there."""

from __future__ import annotations

import torch
from torch import Tensor

from elman.engine.torch.network import Tensors
from elman.network.optimizer import EPSILON, Optimizer


class TensorOptimizer:
    """Makes updates from gradients, in place.

    Parameters
    ----------
    optimizer : Optimizer
    theta, M, N, average : dict of Tensor
        The parameters, the moments and the average, where the optimizer has them.
    """

    def __init__(self, optimizer: Optimizer, theta: Tensors, M: Tensors, N: Tensors, average: Tensors) -> None:
        self.optimizer, self.theta, self.M, self.N, self.average = optimizer, theta, M, N, average

    @torch.no_grad()
    def update(self, n: int, eta: float, gradients: Tensors) -> None:
        """Make update n with learning rate eta."""
        rule = self.optimizer
        by_norm = rule.grad_clip_mode == "norm"
        scale = self._clip_factor(gradients) if by_norm else None
        for name, theta in self.theta.items():
            decay = rule.weight_decay if theta.ndim == 2 else 0.0
            g = gradients[name] if scale is None else gradients[name] * scale  # (1)
            g_n = g if by_norm else g.clamp(-rule.grad_clip, rule.grad_clip)  # (2)
            if decay and rule.name == "adamw":
                theta.mul_(1 - eta * decay)  # (4)
            elif decay:
                g, g_n = g + decay * theta, g_n + decay * theta  # (3)
            self._step(n, eta, name, g, g_n)
            if rule.ema_decay:
                self.average[name].lerp_(theta, 1 - rule.ema_decay_at(n))

    def _clip_factor(self, gradients: Tensors) -> Tensor:
        """Return the factor that reduces the norm of all gradients to the threshold."""
        norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in gradients.values()]))
        return (self.optimizer.grad_clip / (norm + 1e-6)).clamp(max=1.0)

    def _step(self, n: int, eta: float, name: str, g: Tensor, g_n: Tensor) -> None:
        """Update one parameter, and its M and N."""
        rule, theta = self.optimizer, self.theta[name]
        M: Tensor = self.M.get(name)
        N: Tensor = self.N.get(name)
        if rule.name == "adagrad":
            M.addcmul_(g, g)
            theta.addcdiv_(g_n, (M + EPSILON).sqrt_(), value=-eta)
        elif rule.name == "sgd":
            N.mul_(rule.beta1).add_(g_n)
            theta.add_(N, alpha=-eta)
        else:
            M.mul_(rule.beta2).addcmul_(g_n, g_n, value=1 - rule.beta2)
            if rule.name == "rmsprop":
                theta.addcdiv_(g_n, M.sqrt().add_(EPSILON), value=-eta)
            else:
                N.lerp_(g_n, 1 - rule.beta1)
                denominator: Tensor = (M / (1 - rule.beta2**n)).sqrt_().add_(EPSILON)
                theta.addcdiv_(N, denominator, value=-eta / (1 - rule.beta1**n))
