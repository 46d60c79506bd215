"""The dropout masks of `elman.network.dropout`, computed on the device; the numbers of the equations are those there.

PyTorch has no arithmetic of unsigned 32-bit integers: signed ones wrap around in the same way, and `_shift_right` and
the comparison treat them as unsigned.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elman.engine.torch.network import Tensors
from elman.network.dropout import GOLDEN, Dropout, WeightDropout, key

_SIGN = -(2**31)


class DropoutMasks:
    """The masks of some rows of a batch.

    T  sequence length, B  batch size, m  hidden units

    Parameters
    ----------
    dropout : Dropout
    layers, T, m : int
    B : int
        Batch size, of which `rows` are some.
    rows : slice
    dtype, device
        Of the masks.
    """

    def __init__(
        self,
        dropout: Dropout,
        layers: int,
        T: int,
        B: int,
        m: int,
        rows: slice,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.dropout, self.layers, self.dtype = dropout, layers, dtype
        steps = 1 if dropout.variational else T
        e = np.arange(steps * B * m, dtype=np.uint32).reshape(steps, B, m)[:, rows]  # (3)
        self.products = _products(e, device)

    def keys(self, update: int) -> NDArray[np.int32]:
        """Return the hash key of every layer at one update, (layers,)."""
        keys = [key(self.dropout.seed, update, layer) for layer in range(1, self.layers + 1)]
        return np.array(keys, np.uint32).view(np.int32)

    def of(self, keys: Tensor) -> list[Tensor]:
        """Return the mask of every layer, (T, rows, m) or, for variational dropout, (1, rows, m), given the `keys`."""
        return _draw_masks(keys, self.products, self.dropout.rate, self.dtype)


class WeightMasks:
    """The masks of the recurrent matrices.

    Parameters
    ----------
    weight_dropout : WeightDropout
    shape : tuple of int
        Of each matrix, (G m, m).
    layers : int
    dtype, device
        Of the masks.
    """

    def __init__(
        self,
        weight_dropout: WeightDropout,
        shape: tuple[int, ...],
        layers: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.weight_dropout, self.layers, self.dtype = weight_dropout, layers, dtype
        self.products = _products(np.arange(np.prod(shape), dtype=np.uint32).reshape(shape), device)  # (6)

    def keys(self, update: int) -> NDArray[np.int32]:
        """Return the hash key of every layer at one update, (layers,)."""
        keys = [self.weight_dropout.key(update, layer) for layer in range(1, self.layers + 1)]
        return np.array(keys, np.uint32).view(np.int32)

    def multiply(self, theta: Tensors, keys: Tensor) -> Tensors:
        """Return the parameters with the recurrent matrices multiplied by their masks, given the `keys`."""
        masks = _draw_masks(keys, self.products, self.weight_dropout.rate, self.dtype)
        names = [name for name in theta if name[0] == "W"]
        return theta | {name: theta[name] * mask for name, mask in zip(names, masks, strict=True)}


def _products(e: NDArray[np.uint32], device: torch.device) -> Tensor:
    """Return what (4) adds to the key of a mask, for its entries `e`."""
    return torch.from_numpy((np.uint32(GOLDEN) * e).view(np.int32)).to(device)


def _draw_masks(keys: Tensor, products: Tensor, rate: float, dtype: torch.dtype) -> list[Tensor]:
    """Return a mask for each of the `keys`."""
    threshold = _signed(int(rate * 2**32)) ^ _SIGN
    masks = []
    for mask_key in keys.unbind():
        u = _lowbias32(products + mask_key)  # (4)
        masks.append((u ^ _SIGN >= threshold).to(dtype) * (1 / (1 - rate)))  # (5)
    return masks


def _lowbias32(x: Tensor) -> Tensor:
    """Return the hash of every integer, see (1)."""
    x ^= _shift_right(x, 16)
    x *= _signed(0x7FEB352D)
    x ^= _shift_right(x, 15)
    x *= _signed(0x846CA68B)
    x ^= _shift_right(x, 16)
    return x


def _shift_right(x: Tensor, bits: int) -> Tensor:
    return (x >> bits) & (2 ** (32 - bits) - 1)


def _signed(number: int) -> int:
    """Return the signed integer of the same 32 bits."""
    return number - 2**32 if number >= 2**31 else number
