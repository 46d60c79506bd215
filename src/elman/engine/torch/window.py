"""One window: its loss, and the gradients by autograd."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from elman.engine.protocol import Indices
from elman.engine.torch.network import PriorTensors, Tensors, logits, losses
from elman.network.parameters import Architecture


def window_loss(
    net: Architecture,
    theta: Tensors,
    state: Tensor,
    x: Tensor,
    y: Tensor,
    prior: PriorTensors | None = None,
    masks: list[Tensor] | None = None,
    mixed_precision: bool = False,
) -> tuple[Tensor, Tensor]:
    """Read characters x (T, B) and predict y (T, B): -log p in nats, summed over all, and the final state.

    Parameters
    ----------
    net, theta, state, x, prior, masks, mixed_precision
        See `elman.engine.torch.network.logits`.
    y : Tensor of int64, shape (T, B)
    """
    o, final = logits(net, theta, state, x, prior, masks, mixed_precision)
    return losses(o, y).sum(), final


def gradients_of(loss: Tensor, tensors: list[Tensor]) -> list[Tensor]:
    """Return the gradients of a loss; zero for a tensor that does not enter it, as alpha of a prior that is off."""
    gradients: list[Tensor] = torch.autograd.grad(loss, tensors, allow_unused=True, materialize_grads=True)
    return gradients


def to_indices(characters: Indices, device: torch.device) -> Tensor:
    """Return characters as a tensor of int64 on a device."""
    return torch.from_numpy(characters.astype(np.int64)).to(device)
