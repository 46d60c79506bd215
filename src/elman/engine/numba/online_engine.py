"""Training with `elman.engine.numba.online_rnn`: pack the parameters, run the kernel, unpack the result.

K  alphabet, m  hidden units, T  characters in one window; padded: K_row, m_row

Rows of U, the biases and all states are stored in rows; W, V and their transposes in strips
(`elman.engine.numba.linalg.padding`). Padding is zero and stays zero: a padded unit has zero input weights, so its
state is tanh(0), and zero output weights. Only the bias of a padded character is -infinity and stays so: its
probability is 0, and so are all its gradients.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba import online_rnn
from elman.engine.numba.linalg.simd import BYTES, aligned_zeros
from elman.engine.numba.linalg.tile import MAX_VECTORS
from elman.engine.numba.online_rnn import PANEL_ROWS, AdagradAccumulators, AdagradScalars, Scratch, Weights
from elman.engine.numba.threads import Team, Thread
from elman.engine.protocol import StepCallback, no_callback, run_in_chunks
from elman.engine.state import TrainState
from elman.network.optimizer import EPSILON, Optimizer
from elman.network.parameters import Array, Arrays, Parameters
from elman.text import Windows


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


def pack_weights(parameters: Parameters) -> Weights:
    """Return the parameters in the kernel's layout."""
    U, W, V, b, c = (parameters[name] for name in ("U", "W", "V", "b", "c"))
    c_row = pack_rows(c[None])
    c_row[len(c) :] = -np.inf
    return Weights(
        pack_rows(U.T), pack_strips(W), pack_strips(W.T), pack_strips(V), pack_strips(V.T), pack_rows(b[None]), c_row
    )


def pack_accumulators(M: Arrays) -> AdagradAccumulators:
    """Return AdaGrad's sums of squared gradients, stored as their parameters are."""
    rows = pack_rows(M["U"].T), pack_rows(M["b"][None]), pack_rows(M["c"][None])
    return AdagradAccumulators(rows[0], pack_strips(M["W"]), pack_strips(M["V"]), *rows[1:])


def unpack(packed: Weights | AdagradAccumulators, into: Mapping[str, Array]) -> None:
    """Write the packed arrays into `into`."""
    m, K = into["U"].shape
    into["U"][:] = packed.U.reshape(K, -1)[:, :m].T
    into["W"][:] = unpack_strips(packed.W, (m, m))
    into["V"][:] = unpack_strips(packed.V, (K, m))
    into["b"][:] = packed.b[:m]
    into["c"][:] = packed.c[:K]


def make_scratch(weights: Weights, h0: Array, T: int) -> Scratch:
    """Return workspace for windows of up to T characters, with `h0` (m,) as the initial state."""
    m_row, K_row, dtype = len(weights.b), len(weights.c), weights.b.dtype
    h = aligned_zeros((T + 1) * m_row, dtype)
    h[: len(h0)] = h0
    return Scratch(
        h=h,
        g=aligned_zeros(T * K_row, dtype),
        da=aligned_zeros((T + 1) * m_row, dtype),
        dU=aligned_zeros(len(weights.U), dtype),
        touched=np.zeros(len(weights.U) // m_row, np.uint8),
        panels=aligned_zeros(2 * PANEL_ROWS * m_row, dtype),
        zeros=aligned_zeros(max(BYTES // dtype.itemsize * m_row, K_row), dtype),
        db=aligned_zeros(m_row, dtype),
        dc=aligned_zeros(K_row, dtype),
        indices=np.zeros(T + 1, np.intp),
        differences=np.zeros(T),
        totals=np.zeros(T),
    )


def make_scalars(optimizer: Optimizer, dtype: np.dtype[Any]) -> AdagradScalars:
    """Return the hyperparameters in the dtype of the weights, the largest number instead of infinity."""
    maximum = float(np.finfo(dtype).max)
    return AdagradScalars(
        *(dtype.type(min(x, maximum)) for x in (optimizer.learning_rate, optimizer.grad_clip, EPSILON))
    )


def advance(
    state: TrainState, windows: Windows, updates: int, optimizer: Optimizer, callback: StepCallback = no_callback
) -> NDArray[np.float64]:
    """See `elman.engine.Engine.advance`."""
    T, (m, K) = windows.seq_length, state.parameters["U"].shape
    weights, squared_grads = pack_weights(state.parameters), pack_accumulators(state.M)
    scratch, scalars = make_scratch(weights, state.h, T), make_scalars(optimizer, weights.b.dtype)
    text = windows.indices.astype(windows.indices.dtype.newbyteorder("<"), copy=False).view(np.uint8)
    team = Team(("online", T, m, K, weights.b.dtype), max_sharing=2)

    def advance_chunk(losses: NDArray[np.float64]) -> Array:
        """Perform `len(losses)` updates; return the state h."""
        sizes, position = (windows.indices.itemsize, state.position, T, m, K), state.position

        def run_thread(thread: Thread) -> None:
            nonlocal position
            position = online_rnn.advance(thread, weights, squared_grads, scratch, scalars, text, *sizes, losses)

        team.run_timed(lambda: team.run(run_thread), len(losses))
        state.position = int(position)
        return scratch.h[:m]

    losses = run_in_chunks(updates, state.update, advance_chunk, callback)
    unpack(weights, state.parameters)
    unpack(squared_grads, state.M)
    state.h = scratch.h[: len(state.h)].copy()
    state.update += len(losses)
    state.epoch = state.update // windows.per_epoch
    return losses
