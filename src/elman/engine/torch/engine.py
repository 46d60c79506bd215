"""The ``torch`` engine: trains with PyTorch's recurrent layers.

Inference is that of the numba engine, whose results for a sequence do not depend on the batch. Only long texts that
are read in a batch of segments, as in validation, are read on the GPU where there is one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from elman.engine.callbacks import StepCallback, no_callback
from elman.engine.numba.batched.session import NumbaSession
from elman.engine.numba.engine import NumbaEngine
from elman.engine.protocol import Indices
from elman.engine.state import TrainState
from elman.engine.torch.collectives import Collectives
from elman.engine.torch.data_parallel import Leader
from elman.engine.torch.device import find_device
from elman.engine.torch.network import logits, losses, to_tensors
from elman.engine.torch.prior import prior_tensors, read_prior
from elman.engine.torch.step import StepCache
from elman.engine.torch.training import advance
from elman.engine.torch.window import gradients_of, to_indices, window_loss
from elman.errors import ElmanError
from elman.network.model import LossAndGradients
from elman.network.optimizer import Optimizer
from elman.network.parameters import Array, Parameters, architecture
from elman.network.sampling import SamplingParams
from elman.processes import Process, current_process
from elman.text import Windows


class TorchEngine:
    """PyTorch on one device; float32 or float64, as the parameters are.

    Parameters
    ----------
    device : str
        One of `elman.engines.DEVICES`.
    mixed_precision : bool
        Whether training computes the products of matrices in bfloat16. Parameters, gradients, losses and the n-gram
        prior are float32.

    Raises
    ------
    ElmanError
        If this machine does not have the device, or if mixed precision is requested on another than CUDA: on a CPU it
        is slower than float32.
    """

    name = "torch"

    def __init__(self, device: str = "auto", mixed_precision: bool = False) -> None:
        self.device, self.mixed_precision = find_device(device), mixed_precision
        if mixed_precision and self.device.type != "cuda":
            raise ElmanError(f"--mixed-precision requires a CUDA device (got {self.device.type})")
        self.inference = NumbaEngine()
        self.leader = Leader(self.device, mixed_precision) if current_process().size > 1 else None
        self.steps = StepCache(self.device, mixed_precision, Collectives(Process()))

    def advance(
        self,
        state: TrainState,
        windows: Windows,
        updates: int,
        optimizer: Optimizer,
        callback: StepCallback = no_callback,
    ) -> NDArray[np.float64]:
        """See `elman.engine.Engine.advance`."""
        if updates == 0:
            return np.empty(0)
        with _device_memory(self.device):
            if self.leader is not None:
                return self.leader.advance(state, windows, updates, optimizer, callback)
            return advance(state, windows, updates, optimizer, callback, self.steps)

    def loss(self, parameters: Parameters, h0: Array, x: Indices, y: Indices) -> tuple[Any, Array]:
        """See `elman.engine.Engine.loss`."""
        return self.inference.loss(parameters, h0, x, y)

    def loss_and_gradients(self, parameters: Parameters, h0: Array, x: Indices, y: Indices) -> LossAndGradients:
        """See `elman.engine.Engine.loss_and_gradients`."""
        net, theta = architecture(parameters), to_tensors(parameters, self.device)
        h, x, y = np.atleast_2d(h0), x.reshape(len(x), -1), y.reshape(len(y), -1)
        state = torch.tensor(h[:, : net.recurrent_size], device=self.device)
        tensors = [*theta.values(), state]
        for tensor in tensors:
            tensor.requires_grad_()
        ngrams = parameters.ngrams if parameters.uses_prior else None
        prior, history = read_prior(ngrams, h[:, net.recurrent_size :], x)
        indices, targets = (to_indices(array, self.device) for array in (x, y))
        total, last = window_loss(net, theta, state, indices, targets, prior_tensors(prior, self.device))
        loss = total / len(h)
        *gradients, dh0 = (gradient.cpu().numpy() for gradient in gradients_of(loss, tensors))
        final = np.concatenate([last.detach().cpu().numpy(), history], axis=1)
        return LossAndGradients(
            float(loss.detach()),
            dict(zip(theta, gradients, strict=True)),
            np.pad(dh0, ((0, 0), (0, net.order))).reshape(h0.shape),
            final.reshape(h0.shape),
        )

    def generate(
        self,
        parameters: Parameters,
        h: Array,
        x: int,
        uniforms: NDArray[np.float64],
        sampling: SamplingParams,
    ) -> tuple[NDArray[np.intp], Array]:
        """See `elman.engine.Engine.generate`."""
        return self.inference.generate(parameters, h, x, uniforms, sampling)

    def session(self, parameters: Parameters) -> NumbaSession:
        """See `elman.engine.Engine.session`."""
        if self.device.type == "cpu" or parameters.counts_reading or parameters.reset_at is not None:
            return self.inference.session(parameters)
        return DeviceSession(parameters, self.device)


class DeviceSession(NumbaSession):
    """A session of the numba engine, except that `losses` are computed on a device.

    Parameters
    ----------
    parameters : Parameters
        Their n-gram model must not grow, nor may the state be reset.
    device : torch.device
    """

    def __init__(self, parameters: Parameters, device: torch.device) -> None:
        super().__init__(parameters)
        self.device, self.net, self.theta = device, architecture(parameters), to_tensors(parameters, device)

    @torch.no_grad()
    def losses(self, h: Array, x: Indices, y: Indices) -> tuple[NDArray[np.float64], Array]:
        """See `elman.engine.InferenceSession.losses`."""
        recurrent, history = np.split(h, [self.net.recurrent_size], axis=1)
        prior, history = read_prior(self.parameters.ngrams if self.parameters.uses_prior else None, history, x)
        state = torch.tensor(recurrent, device=self.device)
        indices, targets = (to_indices(array, self.device) for array in (x, y))
        o, state = logits(self.net, self.theta, state, indices, prior_tensors(prior, self.device))
        nats = losses(o, targets).cpu().numpy().astype(np.float64)
        return nats, np.concatenate([state.cpu().numpy(), history], axis=1)


@contextmanager
def _device_memory(device: torch.device) -> Iterator[None]:
    """Report a GPU's memory that does not suffice in one line."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise ElmanError(f"not enough memory on {device}; lower --batch-size, --seq-length or --hidden-size") from None
