"""One update as a function of static buffers, and the step that is kept from one call of `advance` to the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from elman.engine.state import TrainState
from elman.engine.torch.buffers import InputBuffers
from elman.engine.torch.collectives import Collectives
from elman.engine.torch.dropout import DropoutMasks, WeightMasks
from elman.engine.torch.graphs import CapturedStep
from elman.engine.torch.network import Tensors, copy_in, empty_tensors, write_back
from elman.engine.torch.optimizer import TensorOptimizer
from elman.engine.torch.state_versions import LastState
from elman.engine.torch.window import gradients_of, window_loss
from elman.network.optimizer import Optimizer
from elman.network.parameters import Architecture, architecture
from elman.text import Windows


class StepSignature(NamedTuple):
    """What determines the operations of a training step and the shapes of its buffers."""

    net: Architecture
    dtype: np.dtype[np.floating]
    T: int
    B: int
    """Batch size, the rows of all processes."""
    uses_prior: bool
    optimizer: Optimizer
    """Without learning rate and schedule."""

    @classmethod
    def of(cls, state: TrainState, windows: Windows, optimizer: Optimizer) -> StepSignature:
        """Return the signature of the updates of a call of `advance`."""
        constant = replace(optimizer, learning_rate=0.0, schedule="constant", warmup=0, end=0, final_lr_fraction=0.0)
        parameters = state.parameters
        return cls(
            architecture(parameters),
            parameters["V"].dtype,
            windows.seq_length,
            windows.batch_size,
            parameters.uses_prior,
            constant,
        )


class TrainingStep:
    """One update: forward and backward pass, clipping, optimizer and average.

    It reads and writes static buffers, tensors whose memory stays the same, so that it can be captured as a CUDA graph:
    it does the same operations at every call and never waits for the device.

    Parameters
    ----------
    signature : StepSignature
    state : TrainState
        Its arrays have the shapes of the buffers.
    device, mixed_precision, collectives
        See `StepCache`.

    Attributes
    ----------
    inputs : InputBuffers
        What is filled in before every call.
    theta, M, N, average : dict of Tensor
        As the arrays of a `TrainState`; updated in place.
    recurrent : Tensor, shape (rows, layers * vectors * m)
        The recurrent part of the state; the final state of a window replaces the initial one.
    loss : Tensor, shape ()
        Of the last window, in nats: summed over its characters, averaged over the batch.
    """

    def __init__(
        self,
        signature: StepSignature,
        state: TrainState,
        device: torch.device,
        mixed_precision: bool,
        collectives: Collectives,
    ) -> None:
        self.signature, self.mixed_precision, self.collectives = signature, mixed_precision, collectives
        net, T, B, optimizer = self.net, signature.T, signature.B, signature.optimizer
        rows = collectives.process.rows(B)
        count = rows.stop - rows.start
        kinds = (state.parameters, state.M, state.N, state.average)
        self.theta, self.M, self.N, self.average = (empty_tensors(arrays, device) for arrays in kinds)
        for tensor in self.theta.values():
            tensor.requires_grad_()
        dtype = self.theta["V"].dtype
        self.recurrent = torch.zeros(count, net.recurrent_size, dtype=dtype, device=device)
        self.loss = torch.zeros((), dtype=dtype, device=device)
        self.inputs = InputBuffers(net, T, count, signature.uses_prior, dtype, device)
        self.masks: DropoutMasks | None = None
        if optimizer.dropout is not None:
            self.masks = DropoutMasks(optimizer.dropout, net.layers, T, B, net.m, rows, dtype, device)
        self.weight_masks: WeightMasks | None = None
        if optimizer.weight_dropout is not None:
            shape = tuple(self.theta["W"].shape)
            self.weight_masks = WeightMasks(optimizer.weight_dropout, shape, net.layers, dtype, device)
        self.optimizer = TensorOptimizer(optimizer, self.theta, self.M, self.N, self.average)

    @property
    def net(self) -> Architecture:
        """The architecture of the network."""
        return self.signature.net

    def __call__(self) -> None:
        """Make one update."""
        gradients = self.compute_gradients()
        self.optimizer.update(self.inputs.scalars, gradients)

    def compute_gradients(self) -> Tensors:
        """Return the gradients of the window, of the rows of all processes; set the loss and the final state."""
        inputs = self.inputs
        masks = self.masks.of(inputs.dropout_keys) if self.masks else None
        theta = self.weight_masks.multiply(self.theta, inputs.weight_dropout_keys) if self.weight_masks else self.theta
        total, final = window_loss(
            self.net, theta, self.recurrent, inputs.x, inputs.y, inputs.prior, masks, self.mixed_precision
        )
        loss = total / self.signature.B
        own = dict(zip(self.theta, gradients_of(loss, list(self.theta.values())), strict=True))
        self.recurrent.copy_(final.detach())
        loss, gradients = self.collectives.sum_gradients(loss.detach(), own)
        self.loss.copy_(loss)
        return gradients

    def load_parameters(self, state: TrainState) -> None:
        """Copy the parameters of a state into the buffers."""
        copy_in(state.parameters, self.theta)

    def load_moments(self, state: TrainState) -> None:
        """Copy the moments and the average of a state into the buffers."""
        for arrays, tensors in ((state.M, self.M), (state.N, self.N), (state.average, self.average)):
            copy_in(arrays, tensors)

    def write_back(self, state: TrainState) -> None:
        """Copy the buffers into the arrays of a state."""
        write_back(self.theta, state.parameters)
        for tensors, arrays in ((self.M, state.M), (self.N, state.N), (self.average, state.average)):
            write_back(tensors, arrays)


class StepCache:
    """Keeps the step of the last call of `advance`, so that a captured step serves a whole training.

    It keeps only one: the steps of a training differ before and after its n-gram prior is switched on, and all else
    stays the same.

    Parameters
    ----------
    device : torch.device
    mixed_precision : bool
        See `elman.engine.torch.engine.TorchEngine`.
    collectives : Collectives
    """

    def __init__(self, device: torch.device, mixed_precision: bool, collectives: Collectives) -> None:
        self.device, self.mixed_precision, self.collectives = device, mixed_precision, collectives
        self.last_state = LastState()
        self._step: TrainingStep | None = None
        self._run: Callable[[], None] | None = None

    def prepare(
        self, state: TrainState, windows: Windows, optimizer: Optimizer
    ) -> tuple[TrainingStep, Callable[[], None]]:
        """Return the step for a state, with the buffers loaded, and the function that executes it.

        The parameters are always loaded, as a caller may have changed them; the moments and the average only if the
        state is not that of the last call.
        """
        signature = StepSignature.of(state, windows, optimizer)
        if self._step is None or self._run is None or self._step.signature != signature:
            self._step = self._run = None  # frees the memory before more is allocated
            self.last_state = LastState()
            self._step = TrainingStep(signature, state, self.device, self.mixed_precision, self.collectives)
            self._run = CapturedStep(self._step, self.device) if self.captures else self._step
        self._step.load_parameters(state)
        if self.last_state.differs_from(state):
            self._step.load_moments(state)
        return self._step, self._run

    @property
    def captures(self) -> bool:
        """Whether steps are captured as CUDA graphs: on a CUDA device, where no gradients are exchanged."""
        return self.device.type == "cuda" and self.collectives.process.size == 1

    def write_back(self, state: TrainState) -> None:
        """Copy the buffers of the step into the arrays of the state that was prepared."""
        assert self._step is not None
        self._step.write_back(state)
        self.last_state.remember(state)
