"""Training with `elman.engine.numba.online_rnn`: pack the parameters, run the kernel, unpack the result.

K  alphabet, m  hidden units, T  characters in one window; padded: K_row, m_row

Two layouts of a matrix are padded with zeros to full vectors:

Rows    the rows of the matrix one after the other: U, transposed, the biases and all states.
Strips  the matrix cut into strips of columns, as wide as a row of sums that fits the registers, strip after strip: W, V
        and their transposes. A product then reads memory sequentially, however large the matrix is.

Padding stays zero: a padded unit has zero input weights, so that its state is tanh(0), and zero output weights. The
only exception is the bias of a padded character, which stays -infinity: its probability and all its gradients are 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba import online_rnn
from elman.engine.numba.online_rnn import PANEL_ROWS, AdagradScalars, PackedArrays, Scratch
from elman.engine.numba.simd import BYTES, aligned_zeros
from elman.engine.numba.threads import Team
from elman.engine.numba.tile import MAX_VECTORS
from elman.engine.protocol import Callback, TrainState, run_in_chunks
from elman.jit import pack as pack_arguments
from elman.network.optimizer import EPSILON, Optimizer
from elman.network.parameters import Array, Parameters
from elman.network.state import State
from elman.text import Windows


def padded_size(n: int, dtype: np.dtype[Any]) -> int:
    """Return n rounded up to strips of equal width, each of full vectors."""
    unit = BYTES // dtype.itemsize * strip_count(n, dtype)
    return -(-n // unit) * unit


def strip_count(n: int, dtype: np.dtype[Any]) -> int:
    """Return the number of strips that n columns are cut into."""
    return -(-n // (BYTES // dtype.itemsize * MAX_VECTORS))


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


def unpack_strips(flat: Array, into: Array) -> None:
    """Write the matrix that `pack_strips` stored into `into`."""
    n_rows, count = padded_size(len(into), flat.dtype), strip_count(into.shape[1], flat.dtype)
    padded = flat.reshape(count, n_rows, -1).swapaxes(0, 1).reshape(n_rows, -1)
    into[:] = padded[: len(into), : into.shape[1]]


def pack(arrays: Mapping[str, Array]) -> PackedArrays:
    """Return the parameters, or arrays of their names and shapes, in the kernel's layout."""
    U, W, V, b, c = (arrays[name] for name in ("U", "W", "V", "b", "c"))
    return PackedArrays(pack_rows(U.T), pack_strips(W), pack_strips(V), pack_rows(b[None]), pack_rows(c[None]))


def unpack(packed: PackedArrays, into: Mapping[str, Array]) -> None:
    """Write the packed arrays into `into`."""
    m, K = into["U"].shape
    into["U"][:] = packed.U.reshape(K, -1)[:, :m].T
    unpack_strips(packed.W, into["W"])
    unpack_strips(packed.V, into["V"])
    into["b"][:] = packed.b[:m]
    into["c"][:] = packed.c[:K]


def make_scratch(parameters: Parameters, h0: Array, T: int) -> Scratch:
    """Return workspace for windows of up to T characters, with `h0` (m,) as the initial state."""
    (K, m), dtype = parameters["V"].shape, parameters["V"].dtype
    m_row, K_row = padded_size(m, dtype), padded_size(K, dtype)
    h = aligned_zeros((T + 1) * m_row, dtype)
    h[:m] = h0
    return Scratch(
        W_columns=pack_strips(parameters["W"].T),
        V_columns=pack_strips(parameters["V"].T),
        h=h,
        g=aligned_zeros(T * K_row, dtype),
        da=aligned_zeros((T + 1) * m_row, dtype),
        dU=aligned_zeros(K * m_row, dtype),
        touched=np.zeros(K, np.uint8),
        panels=aligned_zeros(2 * PANEL_ROWS * m_row, dtype),
        zeros=aligned_zeros(max(BYTES // dtype.itemsize * m_row, K_row), dtype),
        db=aligned_zeros(m_row, dtype),
        dc=aligned_zeros(K_row, dtype),
        indices=np.zeros(T + 1, np.intp),
        differences=np.zeros(T),
        totals=np.zeros(T),
    )


def advance(
    state: TrainState, windows: Windows, updates: int, optimizer: Optimizer, callback: Callback | None
) -> NDArray[np.float64]:
    """See `elman.engine.Engine.advance`."""
    parameters, T = state.parameters, windows.seq_length
    (m, K), dtype = parameters["U"].shape, parameters["U"].dtype
    weights, squared_grads = pack(parameters), pack(state.M)
    scratch = make_scratch(parameters, state.hidden.recurrent, T)
    weights.c[K:] = -np.inf
    largest = float(np.finfo(dtype).max)  # instead of infinity
    scalars = AdagradScalars(
        *(dtype.type(min(x, largest)) for x in (optimizer.learning_rate, optimizer.grad_clip, EPSILON))
    )
    text = windows.indices.astype(windows.indices.dtype.newbyteorder("<"), copy=False).view(np.uint8)
    position, size = np.array([state.position]), windows.indices.itemsize
    training = online_rnn.Training(weights, squared_grads, scratch, scalars, m, K, T, text, size, position)
    team, packed = Team(("online", T, m, K, dtype), max_sharing=2), pack_arguments(training)

    def advance_chunk(losses: NDArray[np.float64]) -> State:
        """Perform `len(losses)` updates; return the hidden state."""
        team.call(online_rnn.advance, packed, losses, steps=len(losses))
        state.position = int(position[0])
        return state.hidden.with_recurrent(scratch.h[:m])

    losses = run_in_chunks(updates, state.update, advance_chunk, callback)
    unpack(weights, parameters)
    unpack(squared_grads, state.M)
    state.hidden = state.hidden.with_recurrent(scratch.h[:m].copy())
    state.update += len(losses)
    state.epoch = state.update // windows.per_epoch
    return losses
