"""Dropout on a layer's output (Srivastava et al., 2014; Zaremba et al., 2014), and on its recurrent weights.

T  sequence length              B  batch size
m  hidden units                 t, b, i, j count from 0, layers from 1

A mask is not drawn from a stateful random generator: each of its entries is a function of the seed, the update, the
layer and its position. Masks are therefore the same in every engine, however a run is divided into calls, and after a
run is resumed. In unsigned 32-bit integers, which wrap around::

    (1)  lowbias32(x):  x ^= x >> 16;  x *= 0x7feb352d;  x ^= x >> 15;  x *= 0x846ca68b;  x ^= x >> 16
    (2)  key = lowbias32(lowbias32(lowbias32(seed ^ 0x9e3779b9) ^ update) ^ layer)
    (3)  e = (t B + b) m + j                        or b m + j, if one mask serves all steps (variational dropout)
    (4)  u = lowbias32(key + 0x9e3779b9 e)          uniform among the integers below 2^32
    (5)  mask = 1/(1 - rate) if u >= floor(2^32 rate), else 0

(1) is a hash function by Chris Wellons (https://nullprogram.com/blog/2018/07/31/). Units that are not dropped are
scaled by 1/(1 - rate) (inverted dropout), so that expected sums stay the same and inference needs no mask.

Weight dropout (DropConnect, Wan et al., 2013; on recurrent weights Merity, Keskar and Socher, 2018) drops entries of W
instead, the same ones at every step of an update, and so regularizes the recurrence without interrupting its memory.
Its mask multiplies W before the forward pass and dW after the backward pass. It is computed by (4) and (5), with::

    (6)  key as in (2), for layer + 2^31            e = i m + j for entry (i, j) of W (G m, m)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elman.network.parameters import Array, Arrays

GOLDEN = 0x9E3779B9
"""2^32 divided by the golden ratio, odd: its multiples are spread evenly."""


def lowbias32(x: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return the hash of every integer of an array."""
    x = x.copy()
    x ^= x >> 16  # (1)
    x *= 0x7FEB352D
    x ^= x >> 15
    x *= 0x846CA68B
    x ^= x >> 16
    return x


def key(seed: int, update: int, layer: int) -> int:
    """Return the hash key for the mask of one layer (1, 2, …) at one update; arguments count modulo 2^32."""
    x = np.zeros(1, np.uint32)
    for number in (seed ^ GOLDEN, update, layer):
        x = lowbias32(x ^ np.uint32(number % 2**32))  # (2)
    return int(x[0])


def draw_mask(key: int, shape: tuple[int, ...], rate: float, dtype: np.typing.DTypeLike) -> Array:
    """Return the mask with a hash key, by (3) or (6) to (5)."""
    e = np.arange(math.prod(shape), dtype=np.uint32).reshape(shape)
    u = lowbias32(np.uint32(key) + np.uint32(GOLDEN) * e)  # (4)
    mask: Array = np.where(u >= np.uint32(rate * 2**32), 1 / (1 - rate), 0).astype(dtype)  # (5)
    return mask


@dataclass(frozen=True)
class Dropout:
    """Settings of dropout, which determine every mask."""

    rate: float
    """The dropout probability, in [0, 1)."""
    variational: bool
    """Whether one mask serves all steps of a window (Gal and Ghahramani, 2016); otherwise every step has its own."""
    seed: int

    def masks(self, update: int, layers: int, T: int, B: int | None, m: int, dtype: np.typing.DTypeLike) -> list[Array]:
        """Return the mask of every layer at one update, counted from 1; entries are 0 and 1/(1 - rate).

        The shape is (T, B, m), or (T, m) for a single sequence, which has no B; with 1 in place of T for variational
        dropout.
        """
        shape = (1 if self.variational else T, *(() if B is None else (B,)), m)
        return [draw_mask(key(self.seed, update, layer), shape, self.rate, dtype) for layer in range(1, layers + 1)]


@dataclass(frozen=True)
class WeightDropout:
    """Settings of weight dropout, which determine every mask."""

    rate: float
    """Probability that a recurrent weight is dropped, in [0, 1)."""
    seed: int

    def key(self, update: int, layer: int) -> int:
        """Return the hash key for the mask of one layer (1, 2, …) at one update, see (6)."""
        return key(self.seed, update, layer + 2**31)

    def masks(self, update: int, parameters: Mapping[str, Array]) -> Arrays:
        """Return the masks of the recurrent matrices W, W2, … at one update, by name."""
        matrices = [(name, W) for name, W in parameters.items() if name[0] == "W"]
        return {
            name: draw_mask(self.key(update, layer), W.shape, self.rate, W.dtype)
            for layer, (name, W) in enumerate(matrices, 1)
        }
