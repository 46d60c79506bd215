"""The compiled engine: chooses between the fused path and the batched path, and imports what it uses on first use."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numba  # noqa: F401 (`elman.engine.compilation.watch_compilation` looks for it)
import numpy as np
from numpy.typing import NDArray

from elman.engine.callbacks import StepCallback, no_callback
from elman.engine.protocol import Indices
from elman.engine.state import TrainState
from elman.network.model import LossAndGradients
from elman.network.optimizer import Optimizer
from elman.network.parameters import Array, Parameters, architecture
from elman.network.sampling import SamplingParams
from elman.text import Windows

if TYPE_CHECKING:
    from elman.engine.numba.batched.session import NumbaSession


def supports_fused(parameters: Parameters) -> bool:
    """Whether the fused path runs a network: one vanilla RNN layer without a prior and without resets of the state."""
    network = architecture(parameters)
    return network.cell == "rnn" and network.layers == 1 and not network.order and parameters.reset_at is None


def supports_fused_training(parameters: Parameters, batch_size: int, optimizer: Optimizer) -> bool:
    """Whether the fused path trains a network: with batch size 1 and AdaGrad without other options."""
    plain = Optimizer(optimizer.learning_rate, optimizer.grad_clip)
    plain = replace(
        plain,
        end=optimizer.end,
        beta1=optimizer.beta1,
        beta2=optimizer.beta2,
        final_lr_fraction=optimizer.final_lr_fraction,
    )
    return supports_fused(parameters) and batch_size == 1 and optimizer == plain


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
        if supports_fused_training(state.parameters, windows.batch_size, optimizer):
            from elman.engine.numba.fused import engine as fused

            return fused.advance(state, windows, updates, optimizer, callback)
        from elman.engine.numba.batched import engine as batched

        return batched.advance(state, windows, updates, optimizer, callback)

    def compile_ahead(self, state: TrainState, windows: Windows, updates: int, optimizer: Optimizer) -> None:
        """See `elman.engine.CompilesAhead.compile_ahead`."""
        if supports_fused_training(state.parameters, windows.batch_size, optimizer):
            from elman.engine.numba.fused import engine as fused

            fused.compile_ahead(state, windows, updates)

    def loss(self, parameters: Parameters, h0: Array, x: Indices, y: Indices) -> tuple[Any, Array]:
        """See `elman.engine.Engine.loss`."""
        if x.ndim == 1 and supports_fused(parameters):
            from elman.engine.numba.fused import engine as fused

            return fused.loss(parameters, h0, x, y)
        from elman.engine.numba.batched import engine as batched

        return batched.loss(parameters, h0, x, y)

    def loss_and_gradients(self, parameters: Parameters, h0: Array, x: Indices, y: Indices) -> LossAndGradients:
        """See `elman.engine.Engine.loss_and_gradients`."""
        if x.ndim == 1 and supports_fused(parameters):
            from elman.engine.numba.fused import engine as fused

            return fused.loss_and_gradients(parameters, h0, x, y)
        from elman.engine.numba.batched import engine as batched

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
        if supports_fused(parameters):
            from elman.engine.numba.fused import engine as fused

            return fused.generate(parameters, h, x, uniforms, sampling)
        from elman.engine.numba.batched import engine as batched

        return batched.generate(parameters, h, x, uniforms, sampling)

    def session(self, parameters: Parameters) -> NumbaSession:
        """See `elman.engine.Engine.session`."""
        from elman.engine.numba.batched.session import NumbaSession

        return NumbaSession(parameters)
