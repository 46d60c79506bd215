"""One window: the arrays that an engine is given, the loss, and its gradients by autograd."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from elman.engine.protocol import Indices
from elman.engine.torch.network import Tensors, logits, losses
from elman.engine.torch.prior import read_prior
from elman.network import ngram
from elman.network.ngram import Ints, NgramModel
from elman.network.parameters import Architecture, Array


class WindowResult(NamedTuple):
    """A window that was read."""

    loss: Tensor
    """-log p in nats, summed over the window and the rows."""
    state: Tensor
    """The recurrent part of the final state, (B, …)."""
    history: Array
    """The characters in the final state, (B, n)."""


def run_window(
    net: Architecture,
    theta: Tensors,
    ngrams: NgramModel | None,
    state: Tensor,
    history: Array,
    x: Indices,
    y: Indices,
    folds: Ints | None = None,
    masks: list[Tensor] | None = None,
    mixed_precision: bool = False,
) -> WindowResult:
    """Read characters x (T, B) and predict y (T, B).

    Parameters
    ----------
    net, theta, masks, mixed_precision
        See `elman.engine.torch.network.logits`.
    ngrams : NgramModel or None
        The prior, where it is on.
    state, history
        The initial state, as in `WindowResult`.
    folds : ndarray of int, shape (T, B), optional
        See `elman.network.model.loss_and_gradients`.
    """
    if ngrams is None:
        prior, history = None, ngram.append(history, x)
    else:
        prior, history = read_prior(ngrams, history, x, folds, state.device)
    o, final = logits(net, theta, state, to_indices(x, state.device), prior, masks, mixed_precision)
    return WindowResult(losses(o, to_indices(y, state.device)).sum(), final, history)


def gradients_of(loss: Tensor, tensors: list[Tensor]) -> list[Tensor]:
    """Return the gradients of a loss; zero for a tensor that does not enter it, as alpha of a prior that is off."""
    gradients: list[Tensor] = torch.autograd.grad(loss, tensors, allow_unused=True, materialize_grads=True)
    return gradients


def to_indices(characters: Indices, device: torch.device) -> Tensor:
    """Return characters as a tensor of int64 on a device."""
    return torch.from_numpy(characters.astype(np.int64)).to(device)
