"""The `Engine` calls of the fused path: pack the parameters, run the kernels, unpack the result.

K  alphabet, m  hidden units, T  characters in one window; padded: K_row, m_row

Rows of U, the biases and all states are stored in rows; W, V and their transposes in strips
(`elman.engine.numba.linalg.memory`). A V that exceeds the caches is stored by columns only, and so are its
squared-gradient sums (`elman.engine.numba.fused.large_alphabet`). Padding is zero and stays zero: a padded unit has
zero input weights, so its state is tanh(0), and zero output weights. Only the bias of a padded character is -infinity
and stays so: its probability is 0, and so are all its gradients.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.engine.callbacks import StepCallback, no_callback, run_in_chunks
from elman.engine.numba.fused import large_alphabet, rnn, shared
from elman.engine.numba.fused.large_alphabet import Workspace, count_blocks
from elman.engine.numba.fused.queue import RUNNING, make_queue, stop_assistant
from elman.engine.numba.fused.rnn import PANEL_ROWS, AdagradAccumulators, AdagradScalars, Scratch, Weights
from elman.engine.numba.linalg.memory import aligned_zeros, pack_rows, pack_strips, strip_count, unpack_strips
from elman.engine.numba.linalg.simd import BYTES
from elman.engine.numba.sampling import pack_sampling_params
from elman.engine.numba.thread_pool import AutotunedThreadPool, Mode
from elman.engine.protocol import Indices
from elman.engine.state import TrainState
from elman.network.model import LossAndGradients
from elman.network.optimizer import EPSILON, Optimizer
from elman.network.parameters import Array, Arrays, Parameters
from elman.network.sampling import SamplingParams
from elman.processes import thread_count
from elman.text import Windows

_LOSS_WINDOW = 128
"""Characters whose logits exist at once while a loss is computed."""

_CHUNK = 512 * _LOSS_WINDOW
"""Characters whose indices are converted at once while a loss is computed."""

MIN_SHARED_UPDATES = 50_000
"""Updates that justify two threads, whose kernels take seconds to compile once; these updates take two seconds."""

MIN_SHARED_LARGE_UPDATES = 5_000
"""The same for a large alphabet, whose updates take longer."""

_shared_kinds: set[Hashable] = set()
"""The kinds of network for which two threads are tried."""

MIN_LARGE_V_BYTES = 3 * 2**19
"""Size of V above which it and its sums exceed the second-level cache of common processors, so that storing it by
columns only is faster.
"""


def is_large_alphabet(parameters: Parameters) -> bool:
    """Whether V is so large that it is stored by columns only, see `elman.engine.numba.fused.large_alphabet`."""
    return parameters["V"].nbytes > MIN_LARGE_V_BYTES


def pack_weights(parameters: Parameters, *, large: bool = False) -> Weights:
    """Return the parameters in the kernels' layout; with `large`, without V by rows."""
    U, W, V, b, c = (parameters[name] for name in ("U", "W", "V", "b", "c"))
    c_row = pack_rows(c[None])
    c_row[len(c) :] = -np.inf
    V_rows = aligned_zeros(0, V.dtype) if large else pack_strips(V)
    return Weights(
        pack_rows(U.T), pack_strips(W), pack_strips(W.T), V_rows, pack_strips(V.T), pack_rows(b[None]), c_row
    )


def pack_accumulators(M: Arrays, *, large: bool = False) -> AdagradAccumulators:
    """Return AdaGrad's sums of squared gradients, stored as their parameters are."""
    V = pack_strips(M["V"].T if large else M["V"])
    return AdagradAccumulators(
        pack_rows(M["U"].T), pack_strips(M["W"]), V, pack_rows(M["b"][None]), pack_rows(M["c"][None])
    )


def unpack(packed: Weights | AdagradAccumulators, into: Mapping[str, Array], *, large: bool = False) -> None:
    """Write the packed arrays into `into`."""
    m, K = into["U"].shape
    into["U"][:] = packed.U.reshape(K, -1)[:, :m].T
    into["W"][:] = unpack_strips(packed.W, (m, m))
    if large:
        into["V"].T[:] = unpack_strips(packed.V_columns if isinstance(packed, Weights) else packed.V, (m, K))
    else:
        into["V"][:] = unpack_strips(packed.V, (K, m))
    into["b"][:] = packed.b[:m]
    into["c"][:] = packed.c[:K]


def make_workspace(weights: Weights) -> Workspace:
    """Return memory for blocks of a strip of V by columns."""
    m_row, K_row, dtype = len(weights.b), len(weights.c), weights.b.dtype
    columns = K_row // strip_count(K_row, dtype)
    return Workspace(aligned_zeros(2 * columns * m_row, dtype), aligned_zeros(2 * PANEL_ROWS * columns, dtype))


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
        panel=aligned_zeros(2 * PANEL_ROWS * m_row, dtype),
        zeros=aligned_zeros(max(BYTES // dtype.itemsize * m_row, K_row), dtype),
        db=aligned_zeros(m_row, dtype),
        dc=aligned_zeros(K_row, dtype),
        indices=np.zeros(T + 1, np.intp),
        differences=np.zeros(T),
        totals=np.zeros(T),
    )


def _kind(parameters: Parameters, T: int) -> Hashable:
    """Return what the speed of an update depends on."""
    return "fused", T, *parameters["U"].shape, parameters["U"].dtype


def make_scalars(optimizer: Optimizer, dtype: np.dtype[Any]) -> AdagradScalars:
    """Return the hyperparameters in the dtype of the weights, the largest number instead of infinity."""
    maximum = float(np.finfo(dtype).max)
    return AdagradScalars(
        *(dtype.type(min(x, maximum)) for x in (optimizer.learning_rate, optimizer.grad_clip, EPSILON))
    )


class PackedNetwork:
    """A network in training, in the kernels' layout, and the kernels for it.

    Parameters
    ----------
    state : TrainState
    T : int
        Characters of a window.
    optimizer : Optimizer
    """

    def __init__(self, state: TrainState, T: int, optimizer: Optimizer) -> None:
        parameters = state.parameters
        m, K = parameters["U"].shape
        self.large = large = is_large_alphabet(parameters)
        self.weights = pack_weights(parameters, large=large)
        self.squared_grads = pack_accumulators(state.M, large=large)
        self.scratch = make_scratch(self.weights, state.h, T)
        self.queue = make_queue()
        workspace = (make_workspace(self.weights),) if large else ()
        self._arrays = self.weights, self.squared_grads, self.scratch, *workspace
        self._scalars, self._sizes = make_scalars(optimizer, self.weights.b.dtype), (T, m, K)

    def advance(self, text: NDArray[np.uint8], index_bytes: int, position: int, losses: Array, *, share: bool) -> int:
        """Perform `len(losses)` updates, with an assistant if `share`; return the position of the next window."""
        arguments = (*self._arrays, self._scalars, text, index_bytes, position)
        if self.large:
            queue, threads = (self.queue, 2) if share else (make_queue(), 1)
            return int(large_alphabet.advance(queue, *arguments, *self._large_sizes(threads), losses))
        if share:
            return int(shared.advance(self.queue, *arguments, *self._sizes, losses))
        return int(rnn.advance(*arguments, *self._sizes, losses))

    def assist(self) -> None:
        """Do the work of an assistant until it is stopped, or has nothing to do for a while."""
        if self.large:
            large_alphabet.assist(self.queue, *self._arrays, self._scalars, *self._large_sizes(2))
        else:
            shared.assist(self.queue, *self._arrays, self._scalars, *self._sizes)

    def _large_sizes(self, threads: int) -> tuple[int, int, int]:
        """T, m and the blocks of hidden units for as many threads."""
        T, m, _ = self._sizes
        return T, m, count_blocks(self.weights.b.nbytes // BYTES, threads)

    def unpack(self, state: TrainState) -> None:
        """Write the parameters, AdaGrad's sums and h into a state."""
        unpack(self.weights, state.parameters, large=self.large)
        unpack(self.squared_grads, state.M, large=self.large)
        state.h = self.scratch.h[: len(state.h)].copy()


def compile_ahead(state: TrainState, windows: Windows, updates: int) -> None:
    """Let two threads share the work of networks of this kind, if `updates` updates justify the compilation."""
    minimum = MIN_SHARED_LARGE_UPDATES if is_large_alphabet(state.parameters) else MIN_SHARED_UPDATES
    if updates < minimum or thread_count() < 2:
        return
    network = PackedNetwork(state, windows.seq_length, Optimizer(0.1, 1.0))
    stop_assistant(network.queue)
    network.advance(np.zeros(1, np.uint8), 1, 0, np.empty(0), share=True)  # no update
    network.assist()
    _shared_kinds.add(_kind(state.parameters, windows.seq_length))


def advance(
    state: TrainState, windows: Windows, updates: int, optimizer: Optimizer, callback: StepCallback = no_callback
) -> NDArray[np.float64]:
    """See `elman.engine.Engine.advance`."""
    network = PackedNetwork(state, windows.seq_length, optimizer)
    text = windows.indices.astype(windows.indices.dtype.newbyteorder("<"), copy=False).view(np.uint8)
    index_bytes, h = windows.indices.itemsize, network.scratch.h[: len(state.h)]

    def advance_chunk(losses: NDArray[np.float64]) -> Array:
        """Perform `len(losses)` updates; return the state h."""

        def run() -> None:
            share = pool.mode is not Mode.SERIAL
            if share and not network.queue[RUNNING]:
                network.queue[RUNNING] = 1
                pool.start(network.assist)
            state.position = network.advance(text, index_bytes, state.position, losses, share=share)

        pool.run_timed(run, len(losses))
        return h

    kind = _kind(state.parameters, windows.seq_length)
    with AutotunedThreadPool(kind, 2 if kind in _shared_kinds else 1) as pool:
        try:
            losses = run_in_chunks(updates, state.update, advance_chunk, callback)
        finally:
            stop_assistant(network.queue)
    network.unpack(state)
    state.update += len(losses)
    state.epoch = state.update // windows.per_epoch
    return losses


def loss(parameters: Parameters, h0: Array, x: Indices, y: Indices) -> tuple[float, Array]:
    """See `elman.engine.Engine.loss`."""
    T, m = min(_LOSS_WINDOW, max(len(x), 1)), len(h0)
    weights = pack_weights(parameters)
    scratch = make_scratch(weights, h0, T)
    loss = 0.0
    for start in range(0, len(x), _CHUNK):
        x_chunk, y_chunk = (array[start : start + _CHUNK].astype(np.intp) for array in (x, y))
        loss = rnn.compute_loss(weights, scratch, x_chunk, y_chunk, T, m, loss)
    return loss, scratch.h[:m].copy()


def loss_and_gradients(parameters: Parameters, h0: Array, x: Indices, y: Indices) -> LossAndGradients:
    """See `elman.engine.Engine.loss_and_gradients`."""
    T, (m, K) = len(x), parameters["U"].shape
    weights = pack_weights(parameters)
    scratch = make_scratch(weights, h0, T)
    dW, dV = (aligned_zeros(len(array), h0.dtype) for array in (weights.W, weights.V))
    loss = rnn.compute_gradients(weights, scratch, dW, dV, x.astype(np.intp), y.astype(np.intp), m, K)
    gradients = {name: np.empty_like(array) for name, array in parameters.items()}
    unpack(AdagradAccumulators(scratch.dU, dW, dV, scratch.db, scratch.dc), gradients)
    m_row = len(weights.b)
    return LossAndGradients(loss, gradients, scratch.da[:m].copy(), scratch.h[T * m_row : T * m_row + m].copy())


def generate(
    parameters: Parameters, h: Array, x: int, uniforms: NDArray[np.float64], sampling: SamplingParams
) -> tuple[NDArray[np.intp], Array]:
    """See `elman.engine.Engine.generate`."""
    m, K = parameters["U"].shape
    weights = pack_weights(parameters)
    scratch = make_scratch(weights, h, 1)
    characters = np.empty(len(uniforms), np.intp)
    arguments = (weights, scratch, x, uniforms, m, K, float(sampling.temperature))
    if sampling.truncates:
        rnn.generate_truncated(*arguments, pack_sampling_params([sampling], K), characters)
    else:
        rnn.generate(*arguments, characters)
    return characters, scratch.h[:m].copy()
