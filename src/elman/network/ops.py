"""Operations that the cells and the output layer share: U x, sums of outer products, the sigmoid.

K  size of the alphabet         T  sequence length
m  hidden units                 B  batch size; a single sequence has no such axis

The input of the first layer is a character, stored as its index and treated as one-hot; the input of a higher layer is
the hidden state (m,) of the layer below. NumPy stores a vector as a row, so that A u is written ``u @ A.T``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

Arrays = dict[str, Array]
"""Arrays by name: the parameters of one layer; gradients, the optimizer's moments and the average of the parameters."""

Input = NDArray[Any]
"""Characters, unsigned int of any shape, such as (T,) or (T, B); or vectors, float, whose last axis is (m,)."""


def sigmoid(a: Array) -> Array:
    """Return 1 / (1 + e^-a), computed as (1 + tanh(a / 2)) / 2: the same number, without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * a)))


def product(U: Array, x: Input) -> Array:
    """Return U x at every step and in every batch row: a column of U for a character, the product for a vector."""
    if np.issubdtype(x.dtype, np.integer):
        return np.asarray(U.T[x])
    return np.asarray(x @ U.T)


def outer(da: Array, u: Array) -> Array:
    """Return the sum of da u' over all steps and batch rows: dA, where a = A u. (…, n) and (…, m) give (n, m)."""
    return np.asarray(np.dot(as_matrix(da).T, as_matrix(u)))  # for a single step, four times as fast as @


def add_outer(dU: Array, da: Array, x: Input) -> None:
    """Add the sum of da x' to `dU` in place.

    A character adds its da to one column; a character that is read twice adds to its column twice.
    """
    if np.issubdtype(x.dtype, np.integer):
        np.add.at(dU.T, x, da)
    else:
        dU += outer(da, x)


def total(da: Array) -> Array:
    """Return the sum of da over all steps and batch rows: db, where a = … + b. (…, n) gives (n,)."""
    return np.asarray(as_matrix(da).sum(axis=0))


def as_matrix(a: Array) -> Array:
    """Return (…, n) as a matrix with one row for every step and batch row."""
    return a.reshape(-1, a.shape[-1])
