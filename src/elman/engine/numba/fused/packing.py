"""Between the parameters as the specification shapes them and the storage that the kernels want.

K  size of the alphabet         T  characters in one window
m  hidden units                 m_row, K_row  the same, padded

Rows of U, of the biases and of all states stand one after the other. The matrices W and V, and their transposes, are
cut into strips of columns as wide as a row of sums that fits the registers, strip after strip: a product then reads
memory in one run, however large the matrix is. Where V is so `wide` that memory sets the pace, it is stored by columns
alone, and AdaGrad's sums of it likewise (`elman.engine.numba.fused.large_alphabet`). Padding is zero and stays zero: a padded unit has
no weight in, so its state is tanh(0), and no weight out. Only the bias of a padded character is -infinity, and stays
so: its probability is 0, and with it all its gradients.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba.fused.large_alphabet import Strip
from elman.engine.numba.fused.rnn import PANEL_ROWS, Scratch, Squares, Weights
from elman.engine.numba.linalg.simd import BYTES
from elman.engine.numba.linalg.tile import MAX_VECTORS
from elman.network.parameters import Array, Parameters

_CACHE_LINE = 64

WIDE = 3 * 2**19
"""Bytes of V from which on it and its sums do not fit the second cache of common processors, so that this pays."""


def strip_count(n: int, dtype: np.dtype[Any]) -> int:
    """Return the number of strips that n columns are cut into."""
    return -(-n // (BYTES // dtype.itemsize * MAX_VECTORS))


def padded(n: int, dtype: np.dtype[Any]) -> int:
    """Return n rounded up to strips of equal width, each of whole vectors."""
    unit = BYTES // dtype.itemsize * strip_count(n, dtype)
    return -(-n // unit) * unit


def zeros(n: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return n zeros that begin on a cache line, so that no vector crosses one."""
    raw = np.zeros(n * dtype.itemsize + _CACHE_LINE, np.uint8)
    start = -raw.ctypes.data % _CACHE_LINE
    return raw[start : start + n * dtype.itemsize].view(dtype)


def rows(array: Array) -> Array:
    """Return a matrix, flat, its rows padded."""
    row = padded(array.shape[1], array.dtype)
    flat = zeros(len(array) * row, array.dtype)
    flat.reshape(-1, row)[:, : array.shape[1]] = array
    return flat


def strips(array: Array) -> Array:
    """Return a matrix, flat, in strips of its columns, with rows and columns padded."""
    n_rows, row = (padded(n, array.dtype) for n in array.shape)
    whole = np.zeros((n_rows, row), array.dtype)
    whole[: array.shape[0], : array.shape[1]] = array
    flat = zeros(whole.size, array.dtype)
    count = strip_count(array.shape[1], array.dtype)
    flat.reshape(count, n_rows, -1)[...] = whole.reshape(n_rows, count, -1).swapaxes(0, 1)
    return flat


def from_strips(flat: Array, shape: tuple[int, ...]) -> Array:
    """Return the matrix of this shape that `strips` stored."""
    n_rows, count = padded(shape[0], flat.dtype), strip_count(shape[1], flat.dtype)
    whole = flat.reshape(count, n_rows, -1).swapaxes(0, 1).reshape(n_rows, -1)
    return whole[: shape[0], : shape[1]]


def is_wide(parameters: Parameters) -> bool:
    """Whether V is so large that it is kept by columns alone, see `elman.engine.numba.fused.large_alphabet`."""
    return parameters["V"].nbytes > WIDE


def pack_weights(parameters: Parameters, *, wide: bool = False) -> Weights:
    """Return the parameters as the kernels want them; where `wide`, without V by rows."""
    U, W, V, b, c = (parameters[name] for name in ("U", "W", "V", "b", "c"))
    c_row = rows(c[None])
    c_row[len(c) :] = -np.inf
    V_rows = zeros(0, V.dtype) if wide else strips(V)
    return Weights(rows(U.T), strips(W), strips(W.T), V_rows, strips(V.T), rows(b[None]), c_row)


def pack_squares(M: Parameters, *, wide: bool = False) -> Squares:
    """Return AdaGrad's sums, stored as their parameters are."""
    V = strips(M["V"].T if wide else M["V"])
    return Squares(rows(M["U"].T), strips(M["W"]), V, rows(M["b"][None]), rows(M["c"][None]))


def unpack(packed: Weights | Squares, into: Parameters, *, wide: bool = False) -> None:
    """Write the arrays back into `into`."""
    m, K = into["U"].shape
    into["U"][:] = packed.U.reshape(K, -1)[:, :m].T
    into["W"][:] = from_strips(packed.W, (m, m))
    if wide:
        into["V"].T[:] = from_strips(packed.V_columns if isinstance(packed, Weights) else packed.V, (m, K))
    else:
        into["V"][:] = from_strips(packed.V, (K, m))
    into["b"][:] = packed.b[:m]
    into["c"][:] = packed.c[:K]


def strip(weights: Weights) -> Strip:
    """Return room for one strip of V by columns."""
    m_row, K_row, dtype = len(weights.b), len(weights.c), weights.b.dtype
    width = K_row // strip_count(K_row, dtype)
    return Strip(zeros(width * m_row, dtype), zeros(PANEL_ROWS * width, dtype))


def scratch(weights: Weights, h0: Array, T: int) -> Scratch:
    """Return room for windows of up to T characters, with `h0` (m,) as the state carried in."""
    m_row, K_row, dtype = len(weights.b), len(weights.c), weights.b.dtype
    h = zeros((T + 1) * m_row, dtype)
    h[: len(h0)] = h0
    return Scratch(
        h=h,
        g=zeros(T * K_row, dtype),
        da=zeros((T + 1) * m_row, dtype),
        dU=zeros(len(weights.U), dtype),
        met=np.zeros(len(weights.U) // m_row, np.uint8),
        panel=zeros(PANEL_ROWS * m_row, dtype),
        zeros=zeros(max(BYTES // dtype.itemsize * m_row, K_row), dtype),
        db=zeros(m_row, dtype),
        dc=zeros(K_row, dtype),
    )
