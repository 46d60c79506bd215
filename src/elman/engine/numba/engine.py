"""The compiled engine. It imports its modules on first use."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from elman.engine.protocol import Callback, Indices, InferenceSession, TrainState
from elman.network.optimizer import Optimizer
from elman.network.parameters import Architecture, LossAndGradients, Parameters
from elman.network.sampling import SamplingParams
from elman.network.state import State
from elman.text import Windows

if TYPE_CHECKING:
    from elman.engine.numba.training import Training


def is_online_rnn(parameters: Parameters, batch_size: int, optimizer: Optimizer) -> bool:
    """Return whether a network is trained by `elman.engine.numba.online_rnn`.

    It trains a vanilla RNN of one layer with batch size 1 and AdaGrad, without any other option.
    """
    network = parameters.architecture
    ignored = {name: getattr(optimizer, name) for name in ("last_update", "beta1", "beta2", "final_lr_fraction")}
    plain = replace(Optimizer(optimizer.learning_rate, optimizer.grad_clip), **ignored)
    return network == Architecture(network.K, network.m) and batch_size == 1 and optimizer == plain


class NumbaEngine:
    """Compiled with Numba; float32 or float64, as the parameters are.

    Parameters are copied into padded arrays at the beginning of a call and back at its end, which is cheap if one
    call performs many updates. The workspaces of a run are kept for the next call; no result depends on them.

    With `mixed_precision`, a network in float32 multiplies bfloat16 and adds the products in float32, on processors
    where that is faster (AMD's with AVX512-BF16, Intel's with AMX): in `advance` and in sessions. Everything else is
    computed in float32: activations, softmax, losses and optimizer.
    """

    name = "numba"

    def __init__(self, mixed_precision: bool = False) -> None:
        self.mixed_precision = mixed_precision
        self._training: Training | None = None  # from the last call of `advance`

    def __getstate__(self) -> dict[str, Any]:
        return {"mixed_precision": self.mixed_precision, "_training": None}  # it has kernels and large arrays

    def advance(
        self, state: TrainState, windows: Windows, updates: int, optimizer: Optimizer, callback: Callback | None = None
    ) -> NDArray[np.float64]:
        """See `elman.engine.Engine.advance`."""
        if is_online_rnn(state.parameters, windows.batch_size, optimizer):
            from elman.engine.numba import online_engine

            return online_engine.advance(state, windows, updates, optimizer, callback)
        from elman.engine.numba.training import Training

        mixed = self._is_mixed(state.parameters)
        if self._training is None or not self._training.is_for(state, windows, optimizer, mixed):
            self._training = None  # frees its memory for the next one
            self._training = Training(state, windows, optimizer, mixed)
        return self._training.advance(windows, updates, optimizer, callback)

    def start_compiling(
        self, state: TrainState, windows: Windows, optimizer: Optimizer, samples: bool, validates: bool
    ) -> None:
        """See `elman.engine.protocol.CompilingEngine.start_compiling`."""
        from elman.jit import PLAIN, record_kernels

        if PLAIN:  # nothing is stored
            return
        from elman.jit.parallel import start_compiling
        from elman.ngram.language_model import reading_kernels

        net = state.parameters.architecture
        with record_kernels() as kernels:
            if net.m:
                NumbaEngine(self.mixed_precision).advance(state, windows, 1, optimizer)
            start, x = state.final_hidden.reshape(1), np.zeros((1, 1), np.uint8)
            if net.m and samples:
                NumbaEngine().session(state.parameters).generate(start, x[0], np.zeros((1, 1)), [SamplingParams()])
            if net.m and validates:
                self.session(state.parameters).losses(start, x, x)
        if net.context_length:
            kernels += reading_kernels(state.parameters["V"].dtype)
        start_compiling(kernels)

    def loss_and_gradients(self, parameters: Parameters, state: State, x: Indices, y: Indices) -> LossAndGradients:
        """See `elman.engine.Engine.loss_and_gradients`."""
        from elman.engine.numba import training

        return training.loss_and_gradients(parameters, state, x, y)

    def session(self, parameters: Parameters) -> InferenceSession:
        """See `elman.engine.Engine.session`."""
        if not parameters.architecture.m:
            from elman.engine.numba.counts import CountsSession

            return CountsSession(parameters)
        from elman.engine.numba.inference import NumbaSession

        return NumbaSession(parameters, mixed_precision=self._is_mixed(parameters))

    def _is_mixed(self, parameters: Parameters) -> bool:
        from elman.engine.numba.tile import HAS_FAST_PAIRS

        return self.mixed_precision and HAS_FAST_PAIRS and parameters["V"].dtype == np.float32
