"""Between the parameters as the specification shapes them and the padded rows that the kernels want.

K  size of the alphabet         T  characters in one window
m  hidden units                 m_row, K_row  the same, rounded up to whole vectors

Padding is zero and stays zero: a padded unit has no weight in, so its state is tanh(0), and no weight out. Only the
bias of a padded character is -infinity, and stays so: its probability is 0, and with it all its gradients.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba.rnn import PANEL_ROWS, Scratch, Squares, Weights
from elman.engine.numba.simd import BYTES
from elman.network.parameters import Array, Parameters

_CACHE_LINE = 64


def padded(n: int, dtype: np.dtype[Any]) -> int:
    """Return n rounded up to a multiple of the lanes of a vector."""
    lanes = BYTES // dtype.itemsize
    return -(-n // lanes) * lanes


def zeros(n: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return n zeros that begin on a cache line, so that no vector crosses one."""
    raw = np.zeros(n * dtype.itemsize + _CACHE_LINE, np.uint8)
    start = -raw.ctypes.data % _CACHE_LINE
    return raw[start : start + n * dtype.itemsize].view(dtype)


def rows(array: Array, n_rows: int, row: int) -> Array:
    """Return a matrix, flat, with its rows padded to `row` and their number to `n_rows`."""
    flat = zeros(n_rows * row, array.dtype)
    flat.reshape(n_rows, row)[: array.shape[0], : array.shape[1]] = array
    return flat


def pack_weights(parameters: Parameters) -> Weights:
    """Return the parameters as padded rows."""
    U, W, V, b, c = (parameters[name] for name in ("U", "W", "V", "b", "c"))
    m, K = U.shape
    m_row, K_row = padded(m, U.dtype), padded(K, U.dtype)
    c_padded = rows(c[None], 1, K_row)
    c_padded[K:] = -np.inf
    return Weights(
        U=rows(U.T, K, m_row),
        W=rows(W, m_row, m_row),
        W_columns=rows(W.T, m_row, m_row),
        V=rows(V, K_row, m_row),
        V_columns=rows(V.T, m_row, K_row),
        b=rows(b[None], 1, m_row),
        c=c_padded,
    )


def pack_squares(M: Parameters) -> Squares:
    """Return AdaGrad's sums as padded rows."""
    packed = pack_weights(M)
    packed.c[len(M["c"]) :] = 0
    return Squares(packed.U, packed.W, packed.V, packed.b, packed.c)


def unpack(packed: Weights | Squares, into: Parameters) -> None:
    """Write padded rows back into `into`."""
    m, K = into["U"].shape
    m_row, K_row = len(packed.b), len(packed.c)
    into["U"][:] = packed.U.reshape(K, m_row)[:, :m].T
    into["W"][:] = packed.W.reshape(m_row, m_row)[:m, :m]
    into["V"][:] = packed.V.reshape(K_row, m_row)[:K, :m]
    into["b"][:] = packed.b[:m]
    into["c"][:] = packed.c[:K]


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
        panel=zeros(PANEL_ROWS * m_row, dtype),
        zeros=zeros(max(m_row, K_row), dtype),
        db=zeros(m_row, dtype),
        dc=zeros(K_row, dtype),
    )
