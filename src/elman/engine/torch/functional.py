"""`elman.network` in PyTorch: the forward pass by its fused recurrent layers, dropout, the prior, and the optimizers.

PyTorch's layers have the equations and the order of gates of Elman's cells, but two biases: the recurrent one is zero
except for the last block of a GRU's, which is d. Characters are one-hot, so that every gradient is a product of
matrices, which is reproducible on a GPU; sums by index are not.

T  sequence length              B  rows of the batch in this process
K  size of the alphabet         m  hidden units of a layer
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from elman.engine.protocol import Indices
from elman.engine_registry import require_cell
from elman.network.dropout import GOLDEN, Dropout, WeightDropout, key
from elman.network.optimizer import (
    EPSILON,
    MOMENTUM,
    NEWTON_SCHULZ_COEFFICIENTS,
    NEWTON_SCHULZ_STEPS,
    NORM_EPSILON,
    STEP_SCALE,
    Optimizer,
    is_hidden_matrix,
)
from elman.network.parameters import Architecture, Array, layer_names, suffix
from elman.network.state import Prior, PriorValues, State
from elman.ngram.language_model import read_compiled
from elman.ngram.model import Ints

Tensors = dict[str, Tensor]

LAYERS = {"rnn": torch.rnn_tanh, "gru": torch.gru, "lstm": torch.lstm}
"""PyTorch's recurrent layers by the cell."""
_UINT32 = 2**32 - 1


def to_tensors(arrays: Mapping[str, Array], device: torch.device) -> Tensors:
    """Return copies of arrays on a device, aligned as PyTorch does: results can depend on the alignment."""
    return {name: torch.tensor(array, device=device) for name, array in arrays.items()}


def to_device(array: NDArray[Any], device: torch.device) -> Tensor:
    """Return an array, which must not change afterwards, as a tensor on a device, without waiting for the device."""
    tensor = torch.from_numpy(array)
    # Only copies from pinned memory are asynchronous; PyTorch's allocator does not reuse it before they are done.
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def to_indices(characters: Indices, device: torch.device) -> Tensor:
    """Return characters as a tensor of int64 on a device."""
    return to_device(characters.astype(np.int64), device)


def logits(
    net: Architecture,
    theta: Tensors,
    state: Tensor,
    x: Tensor,
    prior: PriorValues | None = None,
    masks: list[Tensor] | None = None,
    mixed_precision: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return the logits (T, B, K) after the characters x (T, B), and the recurrent part of the final state.

    `state` (B, S) is the recurrent part of the initial state, and `masks` are the dropout masks of the layers,
    (T, B, m) or (1, B, m). In mixed precision the layers compute in bfloat16; their parameters, the prior and the
    results are float32.
    """
    # torch.autocast is not used: it computes cuDNN's recurrent layers in float16, whose small gradients become zero.
    dtype = torch.bfloat16 if mixed_precision else state.dtype
    computed = {name: tensor.to(dtype) for name, tensor in theta.items() if name != "alpha"}
    y, final = _recurrent_layers(net, computed, state.to(dtype), _one_hot(x, net.K, dtype), masks)
    o = F.linear(y, computed["V"], computed["c"]).to(state.dtype)
    if prior is not None:
        orders = _one_hot(prior.matched, len(theta["alpha"]), state.dtype)
        o = o + (orders @ theta["alpha"])[..., None] * prior.log_q
    return o, final.to(state.dtype)


def losses(o: Tensor, y: Tensor) -> Tensor:
    """Return -log p of every character of y (T, B), in nats, given the logits o (T, B, K)."""
    return F.cross_entropy(o.flatten(0, 1), y.flatten(), reduction="none").view(y.shape)


def gradients_of(loss: Tensor, tensors: list[Tensor]) -> list[Tensor]:
    """Return the gradients of a loss; zero for a tensor that does not enter it, such as alpha if the prior is off."""
    gradients: list[Tensor] = torch.autograd.grad(loss, tensors, allow_unused=True, materialize_grads=True)
    return gradients


def _one_hot(indices: Tensor, size: int, dtype: torch.dtype) -> Tensor:
    """Return indices (…) as one-hot vectors (…, size)."""
    vectors = torch.zeros(*indices.shape, size, dtype=dtype, device=indices.device)
    return vectors.scatter_(-1, indices[..., None], 1)


def _recurrent_layers(
    net: Architecture, theta: Tensors, state: Tensor, x: Tensor, masks: list[Tensor] | None
) -> tuple[Tensor, Tensor]:
    """Return the output (T, B, m) of the last layer and the final state. Without masks, all layers are one call."""
    require_cell("torch", net.cell)
    vectors = len(net.spec.state)
    states = state.reshape(-1, net.layers, vectors, net.m).permute(2, 1, 0, 3).contiguous()  # (vectors, layers, B, m)
    groups = [range(net.layers)] if masks is None else [range(n, n + 1) for n in range(net.layers)]
    finals = []
    for group in groups:
        initial = [vector[group.start : group.stop] for vector in states]
        weights = [weight for n in group for weight in _layer_weights(net, theta, n + 1)]
        x, *final = LAYERS[net.cell](
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


# --- Dropout: the equations have the numbers that they have in `elman.network.dropout` ---


def dropout_masks(
    dropout: Dropout, update: int, net: Architecture, T: int, batch_size: int, rows: slice, like: Tensor
) -> list[Tensor]:
    """Return the masks of every layer, with the dtype and device of `like`, for some rows of a window (T, batch size).

    Their shape is (T, rows, m) or, for variational dropout, (1, rows, m). Updates count from 1.
    """
    shape = (1 if dropout.variational else T, batch_size, net.m)
    e = torch.arange(int(np.prod(shape)), device=like.device).view(shape)[:, rows]  # (3)
    keys = (key(dropout.seed, update, layer) for layer in range(1, net.layers + 1))
    return [_draw_mask(mask_key, e, dropout.rate, like.dtype) for mask_key in keys]


def drop_weights(weight_dropout: WeightDropout, update: int, theta: Tensors) -> Tensors:
    """Return the parameters with the recurrent matrices multiplied by their masks at one update."""
    dropped = dict(theta)
    for layer, name in enumerate((name for name in theta if name[0] == "W"), 1):
        W = theta[name]
        e = torch.arange(W.numel(), device=W.device).view(W.shape)  # (6)
        dropped[name] = W * _draw_mask(weight_dropout.key(update, layer), e, weight_dropout.rate, W.dtype)
    return dropped


def _draw_mask(mask_key: int, e: Tensor, rate: float, dtype: torch.dtype) -> Tensor:
    """Return the entries `e` of the mask with a hash key."""
    u = _lowbias32((mask_key + GOLDEN * e) & _UINT32)  # (4)
    mask: Tensor = (u >= int(rate * 2**32)).to(dtype) * (1 / (1 - rate))  # (5)
    return mask


def _lowbias32(x: Tensor) -> Tensor:
    """Return the hash (1) of integers below 2^32, as int64: PyTorch has no arithmetic of unsigned 32-bit integers."""
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & _UINT32
    x = ((x ^ (x >> 15)) * 0x846CA68B) & _UINT32
    return x ^ (x >> 16)


# --- The n-gram prior, which the compiled model of the numba engine reads on the CPU ---


def read_prior(
    prior: Prior, state: State, x: Indices, device: torch.device, folds: Ints | None = None
) -> tuple[PriorValues | None, NDArray[np.int32]]:
    """Do what `elman.network.state.Prior.read` does, with the values as tensors on a device."""
    model = prior.model_of(state)
    if model is None:
        return prior.read(state, x)
    log_q, matched, history = read_compiled(model, state.history, x, folds, state.recurrent.dtype)
    return PriorValues(to_device(log_q, device), to_device(matched, device)), history


# --- Optimizers: the equations have the numbers that they have in `elman.network.optimizer` ---


class TrainTensors(NamedTuple):
    """The arrays of a training state on a device."""

    theta: Tensors
    M: Tensors
    N: Tensors
    average: Tensors


@torch.no_grad()
def update(optimizer: Optimizer, n: int, eta: float, tensors: TrainTensors, g: Tensors) -> None:
    """Make update n with learning rate eta and gradients g: change the tensors in place.

    No number is read from the device, so that a GPU need not wait for the next update.
    """
    theta, M, N, average = tensors
    spec, none, by_norm = optimizer.spec, torch.empty(0), optimizer.grad_clip_mode == "norm"
    scale, limit = (_clip_factor(optimizer, g), math.inf) if by_norm else (1.0, optimizer.grad_clip)
    for name, parameter in theta.items():
        decay = optimizer.weight_decay if parameter.ndim == 2 else 0.0
        gradient = g[name] * scale  # (1)
        clipped = gradient.clamp(-limit, limit)  # (2)
        if decay and spec.decoupled:
            parameter.mul_(1 - eta * decay)  # (4)
        elif decay:
            gradient, clipped = gradient + decay * parameter, clipped + decay * parameter  # (3)
        step = STEPS[spec.step_of(is_hidden_matrix(name)).__name__]
        numerator, denominator = step(optimizer, n, gradient, clipped, M.get(name, none), N.get(name, none))
        parameter.addcdiv_(numerator, denominator, value=-eta)
        if optimizer.ema_decay:
            average[name].lerp_(parameter, 1 - optimizer.ema_decay_at(n))


def _clip_factor(optimizer: Optimizer, gradients: Tensors) -> Tensor:
    """Return the factor that reduces the norm of all gradients to the threshold."""
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in gradients.values()]))
    return (optimizer.grad_clip / (norm + 1e-6)).clamp(max=1.0)


Quotient = tuple[Tensor, Tensor]


def adagrad(optimizer: Optimizer, n: int, g: Tensor, g_n: Tensor, M: Tensor, N: Tensor) -> Quotient:
    M.addcmul_(g, g)
    return g_n, (M + EPSILON).sqrt_()


def rmsprop(optimizer: Optimizer, n: int, g: Tensor, g_n: Tensor, M: Tensor, N: Tensor) -> Quotient:
    M.mul_(optimizer.beta2).addcmul_(g_n, g_n, value=1 - optimizer.beta2)
    return g_n, M.sqrt().add_(EPSILON)


def adam(optimizer: Optimizer, n: int, g: Tensor, g_n: Tensor, M: Tensor, N: Tensor) -> Quotient:
    M.mul_(optimizer.beta2).addcmul_(g_n, g_n, value=1 - optimizer.beta2)
    N.lerp_(g_n, 1 - optimizer.beta1)
    return N / (1 - optimizer.beta1**n), (M / (1 - optimizer.beta2**n)).sqrt_().add_(EPSILON)


def sgd(optimizer: Optimizer, n: int, g: Tensor, g_n: Tensor, M: Tensor, N: Tensor) -> Quotient:
    return N.mul_(optimizer.beta1).add_(g_n), g.new_ones(())


def muon(optimizer: Optimizer, n: int, g: Tensor, g_n: Tensor, M: Tensor, N: Tensor) -> Quotient:
    m = g.shape[1]
    N.lerp_(g_n, 1 - MOMENTUM)
    X = orthogonalize(N.lerp(g_n, 1 - MOMENTUM).view(-1, m, m))
    return STEP_SCALE * m**0.5 * X.view_as(g), g.new_ones(())


STEPS: dict[str, Callable[[Optimizer, int, Tensor, Tensor, Tensor, Tensor], Quotient]] = {
    step.__name__: step for step in (adagrad, rmsprop, adam, sgd, muon)
}
"""The steps of `elman.network.optimizers`, by name."""


def orthogonalize(d: Tensor) -> Tensor:
    """Return what `elman.network.optimizer.orthogonalize` does, for matrices (blocks, m, m)."""
    a, b, c = NEWTON_SCHULZ_COEFFICIENTS
    X: Tensor = d / (torch.linalg.matrix_norm(d, keepdim=True) + NORM_EPSILON)
    for _ in range(NEWTON_SCHULZ_STEPS):
        A = X @ X.mT
        X = torch.baddbmm(X, torch.baddbmm(A, A, A, beta=b, alpha=c), X, beta=a)
    return X
