"""The ``torch`` engine: trains with PyTorch's recurrent layers, on a CPU or a GPU, in one process or in several.

With several processes, each computes the gradients of its rows of the batch; the gradients are summed, and every
process makes the same update. The hidden state of a row stays in the process that has the row.

The numba engine does inference, because its results for a sequence do not depend on the batch. Only long texts that are
read in a batch of segments, as in validation, are read on the GPU if there is one.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elman.engine.numba.engine import NumbaEngine
from elman.engine.numba.inference import NumbaSession
from elman.engine.processes import connect_processes, current_process
from elman.engine.protocol import Callback, Indices, InferenceSession, TrainState, run_in_chunks, training_folds
from elman.engine.torch.functional import (
    Tensors,
    TrainTensors,
    drop_weights,
    dropout_masks,
    gradients_of,
    logits,
    losses,
    read_prior,
    to_indices,
    to_tensors,
    update,
)
from elman.errors import ElmanError, option
from elman.network.optimizer import Optimizer
from elman.network.parameters import LossAndGradients, Parameters
from elman.network.state import State
from elman.text import Windows

Number = TypeVar("Number", bound=np.generic)


class TorchEngine:
    """PyTorch on one device, one of `elman.engine_registry.DEVICES`; float32 or float64, as the parameters are.

    In mixed precision, training with float32 on a CUDA device computes the products of matrices in bfloat16.
    Parameters, gradients, losses and the n-gram prior remain float32. On a CPU, PyTorch's bfloat16 is slower than its
    float32.
    """

    name = "torch"

    def __init__(self, device: str = "auto", mixed_precision: bool = False) -> None:
        self.device = find_device(device)
        self.mixed_precision = mixed_precision and self.device.type == "cuda"
        self.inference = NumbaEngine()

    def advance(
        self, state: TrainState, windows: Windows, updates: int, optimizer: Optimizer, callback: Callback | None = None
    ) -> NDArray[np.float64]:
        """See `elman.engine.Engine.advance`. Every process makes the same call."""
        with _device_memory(self.device):
            mixed_precision = self.mixed_precision and state.parameters["V"].dtype == np.float32
            training = Training(state, windows, optimizer, self.device, mixed_precision)
            result = run_in_chunks(updates, state.update, training.advance_chunk, callback)
            training.write_back()
        return result

    def loss_and_gradients(self, parameters: Parameters, state: State, x: Indices, y: Indices) -> LossAndGradients:
        """See `elman.engine.Engine.loss_and_gradients`."""
        net, theta = parameters.architecture, to_tensors(parameters, self.device)
        x, y = x.reshape(len(x), -1), y.reshape(len(y), -1)
        batch, state = state.recurrent.shape[:-1], state.reshape(x.shape[1])
        recurrent = torch.tensor(state.recurrent, device=self.device)
        tensors = [*theta.values(), recurrent]
        for tensor in tensors:
            tensor.requires_grad_()
        prior, history = read_prior(parameters.prior, state, x, self.device)
        o, last = logits(net, theta, recurrent, to_indices(x, self.device), prior)
        loss = losses(o, to_indices(y, self.device)).sum() / len(state)
        *gradients, dh0 = (gradient.cpu().numpy() for gradient in gradients_of(loss, tensors))
        return LossAndGradients(
            float(loss.detach()),
            dict(zip(theta, gradients, strict=True)),
            dh0.reshape(*batch, -1),
            State(last.detach().cpu().numpy(), history).reshape(*batch),
        )

    def session(self, parameters: Parameters) -> InferenceSession:
        """See `elman.engine.Engine.session`."""
        net = parameters.architecture
        if self.device.type == "cpu" or net.is_of_lines or not net.m:
            return self.inference.session(parameters)
        return DeviceSession(parameters, self.device)


class DeviceSession(NumbaSession):
    """A session of the numba engine, except that `losses` are computed on a device; the state is never reset.

    States whose counts grow are read by the numba engine.
    """

    def __init__(self, parameters: Parameters, device: torch.device) -> None:
        super().__init__(parameters)
        self.device, self.net, self.theta = device, parameters.architecture, to_tensors(parameters, device)

    @torch.no_grad()
    def losses(self, state: State, x: Indices, y: Indices) -> tuple[NDArray[np.float64], State]:
        """See `elman.engine.InferenceSession.losses`."""
        if state.grows:
            return super().losses(state, x, y)
        prior, history = read_prior(self.parameters.prior, state, x, self.device)
        recurrent = torch.tensor(state.recurrent, device=self.device)
        o, recurrent = logits(self.net, self.theta, recurrent, to_indices(x, self.device), prior)
        nats = losses(o, to_indices(y, self.device)).cpu().numpy().astype(np.float64)
        return nats, State(recurrent.cpu().numpy(), history, state.counts)


class Training:
    """One call of `TorchEngine.advance`, with the numbers of the state on the device."""

    def __init__(
        self, state: TrainState, windows: Windows, optimizer: Optimizer, device: torch.device, mixed_precision: bool
    ) -> None:
        self.state, self.windows, self.optimizer = state, windows, optimizer
        self.device, self.mixed_precision = device, mixed_precision
        self.net, self.B = state.parameters.architecture, windows.batch_size
        self.rows = current_process().rows(self.B)
        self.prior = state.parameters.prior
        self.arrays = (state.parameters, state.M, state.N, state.average)
        self.tensors = TrainTensors(*(to_tensors(arrays, device) for arrays in self.arrays))
        for tensor in self.tensors.theta.values():
            tensor.requires_grad_()
        self._set_state(state.hidden.reshape(self.B).select(self.rows))

    def _set_state(self, hidden: State) -> None:
        """Set the initial state of the next window, for the rows of this process."""
        self.hidden, self.recurrent = hidden, torch.tensor(hidden.recurrent, device=self.device)

    def advance_chunk(self, chunk: NDArray[np.float64]) -> State:
        """Make as many updates as `chunk` is long, fill it with their losses, and return the hidden state."""
        rates = self.optimizer.learning_rates(self.state.update, len(chunk)).tolist()
        # The losses stay on the device until the end, because waiting for one would leave a GPU idle.
        chunk[:] = torch.stack([self._update(rate) for rate in rates]).cpu().numpy()
        self.state.hidden = self._hidden_state()
        return self.state.hidden

    def _update(self, learning_rate: float) -> Tensor:
        """Make one update; return the loss."""
        state, windows = self.state, self.windows
        if windows.begins_epoch(state.position):
            state.position = 0
            self._set_state(self.hidden.reset())
        state.update += 1
        loss, gradients = sum_over_processes(*self.compute_gradients())
        update(self.optimizer, state.update, learning_rate, self.tensors, gradients)
        state.position += windows.seq_length
        state.epoch = state.update // windows.per_epoch
        return loss

    def compute_gradients(self) -> tuple[Tensor, Tensors]:
        """Return the loss and the gradients of the next window, for the rows of this process; pass on the state."""
        state, optimizer = self.state, self.optimizer
        x, y = (self._of_rows(array) for array in self.windows.at(state.position))
        folds = training_folds(state.parameters, self.windows, state.position)
        left_out = None if folds is None else self._of_rows(folds)
        prior, history = read_prior(self.prior, self.hidden, x, self.device, left_out)
        theta, masks = self.tensors.theta, None
        if optimizer.dropout is not None:
            shape = (self.windows.seq_length, self.B)
            masks = dropout_masks(optimizer.dropout, state.update, self.net, *shape, self.rows, self.recurrent)
        if optimizer.weight_dropout is not None:
            theta = drop_weights(optimizer.weight_dropout, state.update, theta)
        indices, targets = (to_indices(array, self.device) for array in (x, y))
        o, final = logits(self.net, theta, self.recurrent, indices, prior, masks, self.mixed_precision)
        self.recurrent, self.hidden = final.detach(), replace(self.hidden, history=history)
        loss = losses(o, targets).sum() / self.B
        theta = self.tensors.theta
        return loss.detach(), dict(zip(theta, gradients_of(loss, [*theta.values()]), strict=True))

    def _of_rows(self, array: NDArray[Number]) -> NDArray[Number]:
        """Return the rows of this process, (T, rows), of an array (T,) or (T, B)."""
        return array.reshape(len(array), self.B)[:, self.rows]

    def _hidden_state(self) -> State:
        """Return the state of the rows of all processes, with the axes that it has in a training state."""
        recurrent, history = self._gather(self.recurrent.cpu().numpy()), self._gather(self.hidden.history)
        return State(recurrent, history, self.hidden.counts).reshape(*self.state.hidden.recurrent.shape[:-1])

    def _gather(self, own: NDArray[Number]) -> NDArray[Number]:
        """Return the rows of all processes, given the rows of this one."""
        rows = np.zeros((self.B, own.shape[1]), own.dtype)
        rows[self.rows] = own
        if current_process().size > 1 and rows.size:
            with connect_processes() as distributed:
                distributed.all_reduce(torch.from_numpy(rows))  # every other process has zeros there
        return rows

    def write_back(self) -> None:
        """Copy the numbers on the device into the arrays of the state."""
        for tensors, arrays in zip(self.tensors, self.arrays, strict=True):
            for name, tensor in tensors.items():
                arrays[name][...] = tensor.detach().cpu().numpy()


def sum_over_processes(loss: Tensor, gradients: Tensors) -> tuple[Tensor, Tensors]:
    """Return the sums over all processes of a loss and its gradients."""
    if current_process().size == 1:
        return loss, gradients
    flat = torch.cat([loss.reshape(1), *(g.reshape(-1) for g in gradients.values())])
    with connect_processes() as distributed:
        distributed.all_reduce(flat)
    total, *parts = flat.split([1, *(g.numel() for g in gradients.values())])
    return total[0], {name: part.view_as(gradients[name]) for name, part in zip(gradients, parts, strict=True)}


def find_device(name: str) -> torch.device:
    """Return the device that a name of `elman.engine_registry.DEVICES` stands for.

    If there are several CUDA devices, a process of torchrun uses the one of its local rank; other processes use the
    first.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = "cuda" if available["cuda"] else "cpu"
    if not available[name]:
        raise ElmanError(f"{option.device:{name}} is not available: PyTorch {torch.__version__} finds no such device")
    if name != "cuda":
        return torch.device(name)
    process, count = current_process(), torch.cuda.device_count()
    if process.local_size > count:
        raise ElmanError(f"{process.local_size} processes on this machine need as many CUDA devices (got {count})")
    # Without it some sums of cuBLAS, which cuDNN's recurrent layers call, are not reproducible.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # cuDNN needs the weights in one buffer, with recurrent biases that Elman's cells do not have. The copy is as fast
    # as one elementwise operation of the optimizer.
    warnings.filterwarnings("ignore", "RNN module weights are not part of single contiguous chunk of memory")
    return torch.device("cuda", process.local_rank)


@contextmanager
def _device_memory(device: torch.device) -> Iterator[None]:
    """Report in one line that a GPU's memory does not suffice."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise ElmanError(
            f"not enough memory on {device}; lower {option.batch_size}, {option.seq_length} or {option.hidden_size}"
        ) from None
