"""Many updates in PyTorch, in one process or with the rows of the batch shared out among several."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elman.engine.callbacks import StepCallback, run_in_chunks
from elman.engine.state import TrainState, training_folds
from elman.engine.torch.collectives import Collectives
from elman.engine.torch.dropout import DropoutMasks
from elman.engine.torch.network import Tensors, share_tensors, to_tensors, write_back
from elman.engine.torch.optimizer import TensorOptimizer
from elman.engine.torch.window import gradients_of, run_window
from elman.network.optimizer import Optimizer
from elman.network.parameters import Array, architecture
from elman.text import Windows

T = TypeVar("T", bound=np.generic)


def advance(
    state: TrainState,
    windows: Windows,
    updates: int,
    optimizer: Optimizer,
    callback: StepCallback,
    device: torch.device,
    mixed_precision: bool,
    collectives: Collectives,
) -> NDArray[np.float64]:
    """See `elman.engine.Engine.advance`. Every process makes the same call, with a `callback` that decides the same."""
    training = Training(state, windows, optimizer, device, mixed_precision, collectives)
    result = run_in_chunks(updates, state.update, training.advance_chunk, callback)
    training.write_back()
    return result


class Training:
    """The tensors of one call of `advance`."""

    def __init__(
        self,
        state: TrainState,
        windows: Windows,
        optimizer: Optimizer,
        device: torch.device,
        mixed_precision: bool,
        collectives: Collectives,
    ) -> None:
        self.state, self.windows, self.optimizer = state, windows, optimizer
        self.device, self.mixed_precision, self.collectives = device, mixed_precision, collectives
        self.net = architecture(state.parameters)
        self.B, self.rows = windows.batch_size, collectives.process.rows(windows.batch_size)
        self.theta = to_tensors(state.parameters, device)
        for tensor in self.theta.values():
            tensor.requires_grad_()
        self.others = [share_tensors(arrays, device) for arrays in (state.M, state.N, state.average)]
        self.tensor_optimizer = TensorOptimizer(optimizer, self.theta, *self.others)
        self.ngrams = state.parameters.ngrams if state.parameters.uses_prior else None
        self._set_state(state.h.reshape(self.B, -1)[self.rows])
        dtype = self.theta["V"].dtype
        self.masks = optimizer.dropout and DropoutMasks(
            optimizer.dropout, self.net.layers, windows.seq_length, self.B, self.net.m, self.rows, dtype, device
        )

    def _set_state(self, h: Array) -> None:
        """Set the initial state (rows, D) of the next window."""
        self.recurrent = torch.tensor(h[:, : self.net.recurrent_size], device=self.device)
        self.history = h[:, self.net.recurrent_size :]

    def advance_chunk(self, chunk: NDArray[np.float64]) -> Array:
        """Make as many updates as `chunk` is long, fill it with their losses, and return the hidden state."""
        rates = self.optimizer.learning_rates(self.state.update, len(chunk)).tolist()
        # The losses stay on the device until the end, as waiting for one would leave a GPU idle.
        chunk[:] = torch.stack([self._update(rate) for rate in rates]).cpu().numpy()
        self.state.h = self._hidden_state()
        return self.state.h

    def _update(self, rate: float) -> Tensor:
        """Make one update; return its loss."""
        state, T = self.state, self.windows.seq_length
        if self.windows.begins_epoch(state.position):
            state.position = 0
            self._set_state(np.zeros((self.rows.stop - self.rows.start, self.net.state_size), state.h.dtype))
        loss, gradients = self.loss_and_gradients()
        state.update, state.position = state.update + 1, state.position + T
        state.epoch = state.update // self.windows.per_epoch
        self.tensor_optimizer.update(state.update, rate, gradients)
        return loss

    def loss_and_gradients(self) -> tuple[Tensor, Tensors]:
        """Return the loss of the next window and its gradients, of the rows of all processes; carry the state."""
        state, windows = self.state, self.windows
        x, y = (self._of_rows(array) for array in windows.at(state.position))
        folds = training_folds(state.parameters, windows, state.position)
        left_out = None if folds is None else self._of_rows(folds)
        masks = self.masks.at(state.update + 1) if self.masks else None
        result = run_window(
            self.net, self.theta, self.ngrams, self.recurrent, self.history, x, y, left_out, masks, self.mixed_precision
        )
        self.recurrent, self.history = result.state.detach(), result.history
        loss = result.loss / self.B
        gradients = gradients_of(loss, list(self.theta.values()))
        return self.collectives.sum_gradients(loss.detach(), dict(zip(self.theta, gradients, strict=True)))

    def _of_rows(self, array: NDArray[T]) -> NDArray[T]:
        """Return the rows of this process, (T, rows), of an array (T,) or (T, B)."""
        return array.reshape(len(array), self.B)[:, self.rows]

    def _hidden_state(self) -> Array:
        """Return the state of all rows, in the shape of `TrainState.h`."""
        own = np.concatenate([self.recurrent.cpu().numpy(), self.history], axis=1)
        return self.collectives.gather_rows(own, self.B).reshape(self.state.h.shape)

    def write_back(self) -> None:
        """Copy the tensors into the arrays of the state."""
        state = self.state
        write_back(self.theta, state.parameters)
        if self.device.type != "cpu":
            for tensors, arrays in zip(self.others, (state.M, state.N, state.average), strict=True):
                write_back(tensors, arrays)
