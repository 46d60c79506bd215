"""The forward pass in PyTorch: its fused recurrent layers with Elman's parameters, the prior, and the loss.

PyTorch's layers have the equations and the order of gates of Elman's cells, but two biases: the recurrent one is zero
except for the last block of a GRU's, which is d. Characters are one-hot, so that every gradient is a product of
matrices, which is reproducible on a GPU; sums by index are not.

T  sequence length              B  rows of the batch
K  size of the alphabet         m  hidden units of a layer
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from elman.network.parameters import Architecture, Array, layer_names, suffix

Tensors = dict[str, Tensor]

_LAYERS = {"RNN": torch.rnn_tanh, "GRU": torch.gru, "LSTM": torch.lstm}
"""PyTorch's recurrent layers by the `torch` of a `CellSpec`."""


class PriorTensors(NamedTuple):
    """The n-gram prior of a window, see `elman.network.output.Prior`."""

    log_q: Tensor
    """Shape (T, B, K)."""
    matched: Tensor
    """The matched orders, int64, shape (T, B)."""


def to_tensors(arrays: Mapping[str, Array], device: torch.device) -> Tensors:
    """Return copies of arrays on a device, aligned as PyTorch does: results can depend on the alignment."""
    return {name: torch.tensor(array, device=device) for name, array in arrays.items()}


def empty_tensors(arrays: Mapping[str, Array], device: torch.device) -> Tensors:
    """Return uninitialized tensors on a device, of the shapes and dtypes of arrays."""
    layout = torch.contiguous_format
    return {
        name: torch.empty_like(torch.from_numpy(array), device=device, memory_format=layout)
        for name, array in arrays.items()
    }


@torch.no_grad()
def copy_in(arrays: Mapping[str, Array], tensors: Tensors) -> None:
    """Copy arrays into tensors, in place."""
    for name, tensor in tensors.items():
        tensor.copy_(torch.from_numpy(arrays[name]))


def write_back(tensors: Tensors, arrays: Mapping[str, Array]) -> None:
    """Copy tensors into arrays, in place."""
    for name, tensor in tensors.items():
        torch.from_numpy(arrays[name]).copy_(tensor.detach())


def one_hot(indices: Tensor, size: int, dtype: torch.dtype) -> Tensor:
    """Return indices (…) as one-hot vectors (…, size)."""
    vectors = torch.zeros(*indices.shape, size, dtype=dtype, device=indices.device)
    return vectors.scatter_(-1, indices[..., None], 1)


def logits(
    net: Architecture,
    theta: Tensors,
    state: Tensor,
    x: Tensor,
    prior: PriorTensors | None = None,
    masks: list[Tensor] | None = None,
    mixed_precision: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return the logits (T, B, K) and the final state.

    Parameters
    ----------
    net : Architecture
    theta : dict of Tensor
        The parameters.
    state : Tensor, shape (B, layers * vectors * m)
        The recurrent part of the initial state.
    x : Tensor of int64, shape (T, B)
    prior : PriorTensors, optional
    masks : list of Tensor, optional
        The dropout mask of every layer, (T, B, m) or (1, B, m).
    mixed_precision : bool
        Whether the layers compute in bfloat16; their parameters, the prior and what is returned are float32.
    """
    # Not autocast, which on CUDA computes cuDNN's recurrent layers in float16.
    dtype = torch.bfloat16 if mixed_precision else state.dtype
    computed = {name: tensor.to(dtype) for name, tensor in theta.items() if name != "alpha"}
    y, final = _recurrent_layers(net, computed, state.to(dtype), one_hot(x, net.K, dtype), masks)
    o = F.linear(y, computed["V"], computed["c"]).to(state.dtype)
    final = final.to(state.dtype)
    if prior is not None:
        orders = one_hot(prior.matched, len(theta["alpha"]), state.dtype)
        o = o + (orders @ theta["alpha"])[..., None] * prior.log_q
    return o, final


def _recurrent_layers(
    net: Architecture, theta: Tensors, state: Tensor, x: Tensor, masks: list[Tensor] | None
) -> tuple[Tensor, Tensor]:
    """Return the output (T, B, m) of the last layer and the final state. Without masks, all layers are one call."""
    vectors = len(net.spec.state)
    states = state.reshape(-1, net.layers, vectors, net.m).permute(2, 1, 0, 3).contiguous()  # (vectors, layers, B, m)
    groups = [range(net.layers)] if masks is None else [range(n, n + 1) for n in range(net.layers)]
    finals = []
    for group in groups:
        initial = [vector[group.start : group.stop] for vector in states]
        weights = [weight for n in group for weight in _layer_weights(net, theta, n + 1)]
        x, *final = _LAYERS[net.spec.torch or ""](
            x, initial if vectors > 1 else initial[0], weights, True, len(group), 0.0, torch.is_grad_enabled(),
            False, False,
        )  # fmt: skip
        finals.append(torch.stack(final))
        if masks is not None:
            x = x * masks[group.start].to(x.dtype)
    return x, torch.cat(finals, dim=1).permute(2, 1, 0, 3).reshape(state.shape)


def _layer_weights(net: Architecture, theta: Tensors, number: int) -> list[Tensor]:
    """Return the weights of layer 1, 2, … in PyTorch's order: input, recurrent, and the bias of each."""
    U, W, b, *extra = (theta[name + suffix(number)] for name in layer_names(net.cell))
    recurrent_bias = F.pad(extra[0], (len(b) - net.m, 0)) if extra else torch.zeros_like(b)
    return [U, W, b, recurrent_bias]


def losses(o: Tensor, y: Tensor) -> Tensor:
    """Return -log p of every character of y (T, B), in nats, given the logits o (T, B, K)."""
    return F.cross_entropy(o.flatten(0, 1), y.flatten(), reduction="none").view(y.shape)
