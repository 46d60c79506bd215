"""Aligned storage, and the two padded layouts of a matrix that `elman.engine.numba.linalg.tile` works on.

Rows    the rows of the matrix one after the other, each padded to full strips.
Strips  the matrix cut into strips of columns, as wide as a row of sums that fits the registers, strip after strip. A
        product then reads memory sequentially, however large the matrix is.

Padding is zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba.linalg.simd import BYTES
from elman.engine.numba.linalg.tile import MAX_VECTORS
from elman.network.parameters import Array

_CACHE_LINE = 64


def aligned_zeros(n: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return n zeros that begin on a cache line, so that no vector crosses one."""
    raw = np.zeros(n * dtype.itemsize + _CACHE_LINE, np.uint8)
    start = -raw.ctypes.data % _CACHE_LINE
    return raw[start : start + n * dtype.itemsize].view(dtype)


def strip_count(n: int, dtype: np.dtype[Any]) -> int:
    """Return the number of strips that n columns are cut into."""
    return -(-n // (BYTES // dtype.itemsize * MAX_VECTORS))


def padded_size(n: int, dtype: np.dtype[Any]) -> int:
    """Return n rounded up to strips of equal width, each of full vectors."""
    unit = BYTES // dtype.itemsize * strip_count(n, dtype)
    return -(-n // unit) * unit


def pack_rows(matrix: Array) -> Array:
    """Return a matrix as one flat array of padded rows."""
    row = padded_size(matrix.shape[1], matrix.dtype)
    flat = aligned_zeros(len(matrix) * row, matrix.dtype)
    flat.reshape(-1, row)[:, : matrix.shape[1]] = matrix
    return flat


def pack_strips(matrix: Array) -> Array:
    """Return a matrix as one flat array of strips, with rows and columns padded."""
    n_rows, row = (padded_size(n, matrix.dtype) for n in matrix.shape)
    padded = np.zeros((n_rows, row), matrix.dtype)
    padded[: matrix.shape[0], : matrix.shape[1]] = matrix
    flat = aligned_zeros(padded.size, matrix.dtype)
    count = strip_count(matrix.shape[1], matrix.dtype)
    flat.reshape(count, n_rows, -1)[...] = padded.reshape(n_rows, count, -1).swapaxes(0, 1)
    return flat


def unpack_strips(flat: Array, shape: tuple[int, ...]) -> Array:
    """Return the matrix of this shape that `pack_strips` stored."""
    n_rows, count = padded_size(shape[0], flat.dtype), strip_count(shape[1], flat.dtype)
    padded = flat.reshape(count, n_rows, -1).swapaxes(0, 1).reshape(n_rows, -1)
    return padded[: shape[0], : shape[1]]
