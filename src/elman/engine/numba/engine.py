"""The compiled engine: chooses between the fused path and the batched path."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.engine.callbacks import StepCallback, no_callback
from elman.engine.numba.batched import engine as batched
from elman.engine.numba.batched.session import NumbaSession
from elman.engine.numba.fused import engine as fused
from elman.engine.protocol import Indices
from elman.engine.state import TrainState
from elman.network.model import LossAndGradients
from elman.network.optimizer import Optimizer
from elman.network.parameters import Array, Parameters
from elman.network.sampling import SamplingParams
from elman.text import Windows


class NumbaEngine:
    """Compiled with Numba; float32 or float64, as the parameters are.

    Parameters are copied into padded arrays at the beginning of a call and back at its end, which is cheap if one
    call performs many updates.
    """

    name = "numba"

    def advance(
        self,
        state: TrainState,
        windows: Windows,
        updates: int,
        optimizer: Optimizer,
        callback: StepCallback = no_callback,
    ) -> NDArray[np.float64]:
        """See `elman.engine.Engine.advance`."""
        if fused.supports_training(state.parameters, windows.batch_size, optimizer):
            return fused.advance(state, windows, updates, optimizer, callback)
        return batched.advance(state, windows, updates, optimizer, callback)

    def compile_ahead(self, state: TrainState, windows: Windows, updates: int, optimizer: Optimizer) -> None:
        """See `elman.engine.CompilesAhead.compile_ahead`."""
        if fused.supports_training(state.parameters, windows.batch_size, optimizer):
            fused.compile_ahead(state, windows, updates)

    def loss(self, parameters: Parameters, h0: Array, x: Indices, y: Indices) -> tuple[Any, Array]:
        """See `elman.engine.Engine.loss`."""
        if x.ndim == 1 and fused.supports(parameters):
            return fused.loss(parameters, h0, x, y)
        return batched.loss(parameters, h0, x, y)

    def loss_and_gradients(self, parameters: Parameters, h0: Array, x: Indices, y: Indices) -> LossAndGradients:
        """See `elman.engine.Engine.loss_and_gradients`."""
        if x.ndim == 1 and fused.supports(parameters):
            return fused.loss_and_gradients(parameters, h0, x, y)
        return batched.loss_and_gradients(parameters, h0, x, y)

    def generate(
        self,
        parameters: Parameters,
        h: Array,
        x: int,
        uniforms: NDArray[np.float64],
        sampling: SamplingParams,
    ) -> tuple[NDArray[np.intp], Array]:
        """See `elman.engine.Engine.generate`."""
        if fused.supports(parameters):
            return fused.generate(parameters, h, x, uniforms, sampling)
        return batched.generate(parameters, h, x, uniforms, sampling)

    def session(self, parameters: Parameters) -> NumbaSession:
        """See `elman.engine.Engine.session`."""
        return NumbaSession(parameters)
