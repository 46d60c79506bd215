"""What every cell does with its input, and the sums over steps and streams.

K  size of the alphabet         T  characters in one window
m  hidden units                 B  streams read side by side, an axis that one stream alone does without

The input of the first layer is a character, held as its index and read as one-hot; that of a layer above is the
vector (m,) that the layer below hands on. NumPy keeps a vector a row, so A u is written ``u @ A.T``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.network.parameters import Array

Input = NDArray[Any]
"""Characters, unsigned int of any shape such as (T,), (T, B); or vectors, float with an axis (m,) more at the end."""


def product(U: Array, x: Input) -> Array:
    """Return U x of every step and stream: a column of U for a character, the product for a vector."""
    if np.issubdtype(x.dtype, np.integer):
        return np.asarray(U.T[x])
    return np.asarray(x @ U.T)


def outer(da: Array, u: Array) -> Array:
    """Return the sum of da u' over every step and stream: dA, where a = A u. (…, n) and (…, m) give (n, m)."""
    return np.asarray(np.dot(rows(da).T, rows(u)))  # at one step of one stream, four times as fast as @


def add_outer(dU: Array, da: Array, x: Input) -> None:
    """Add the sum of da x' to `dU` in place. A character adds its da to one column, and so twice if read twice."""
    if np.issubdtype(x.dtype, np.integer):
        np.add.at(dU.T, x, da)
    else:
        dU += outer(da, x)


def total(da: Array) -> Array:
    """Return the sum of da over every step and stream: db, where a = … + b. (…, n) gives (n,)."""
    return np.asarray(rows(da).sum(axis=0))


def rows(a: Array) -> Array:
    """Return steps and streams, (…, n), one below the other."""
    return a.reshape(-1, a.shape[-1])
