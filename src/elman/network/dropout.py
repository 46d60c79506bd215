"""Dropout (Srivastava et al., 2014) on a layer's output, never on its recurrent connections (Zaremba et al., 2014).

T  sequence length              B  batch size
m  hidden units                 t, b, j count from 0, layers from 1

A mask is not drawn from a stateful random generator: each of its entries is a function of the seed, the update, the
layer and its position. Masks are therefore the same in every engine, however a run is divided into calls, and after a
run is resumed. In unsigned 32-bit integers, which wrap around::

    (1)  lowbias32(x):  x ^= x >> 16;  x *= 0x7feb352d;  x ^= x >> 15;  x *= 0x846ca68b;  x ^= x >> 16
    (2)  key = lowbias32(lowbias32(lowbias32(seed ^ 0x9e3779b9) ^ update) ^ layer)
    (3)  e = (t B + b) m + j                        or b m + j, where one mask serves all steps (variational dropout)
    (4)  u = lowbias32(key + 0x9e3779b9 e)          uniform among the integers below 2^32
    (5)  mask = 1/(1 - rate) where u >= floor(2^32 rate), else 0

(1) is a hash function by Chris Wellons (https://nullprogram.com/blog/2018/07/31/). Units that are not dropped are
scaled by 1/(1 - rate) (inverted dropout), so that expected sums stay the same and inference needs no mask.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elman.network.parameters import Array

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


@dataclass(frozen=True)
class Dropout:
    """Settings of dropout, which determine every mask.

    Parameters
    ----------
    rate : float
        Dropout probability, in [0, 1).
    variational : bool
        Whether one mask serves all steps of a window (Gal and Ghahramani, 2016); otherwise every step has its own.
    seed : int
    """

    rate: float
    variational: bool
    seed: int

    def masks(self, update: int, layers: int, T: int, B: int | None, m: int, dtype: np.typing.DTypeLike) -> list[Array]:
        """Return the mask of every layer at one update.

        Parameters
        ----------
        update : int
            Number of the update, from 1.
        layers, T, m : int
        B : int or None
            Batch size; None for a single sequence, whose arrays have no batch axis.
        dtype : dtype

        Returns
        -------
        list of ndarray, shape (T, B, m) or (T, m), or with 1 in place of T for variational dropout
            Entries are 0 and 1/(1 - rate).
        """
        shape = (1 if self.variational else T, *(() if B is None else (B,)), m)
        e = np.arange(np.prod(shape), dtype=np.uint32).reshape(shape)  # (3)
        threshold = np.uint32(self.rate * 2**32)
        masks: list[Array] = []
        for layer in range(1, layers + 1):
            u = lowbias32(np.uint32(key(self.seed, update, layer)) + np.uint32(GOLDEN) * e)  # (4)
            masks.append(np.where(u >= threshold, 1 / (1 - self.rate), 0).astype(dtype))  # (5)
        return masks
