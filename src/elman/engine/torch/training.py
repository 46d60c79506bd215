"""Many updates in PyTorch, in one process or with the rows of the batch shared out among several."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elman.engine.callbacks import StepCallback, run_in_chunks
from elman.engine.state import TrainState, training_folds
from elman.engine.torch.optimizer import update_scalars
from elman.engine.torch.prior import read_prior
from elman.engine.torch.step import StepCache
from elman.network.optimizer import Optimizer
from elman.network.parameters import Array
from elman.text import Windows

T = TypeVar("T", bound=np.generic)


def advance(
    state: TrainState,
    windows: Windows,
    updates: int,
    optimizer: Optimizer,
    callback: StepCallback,
    steps: StepCache,
) -> NDArray[np.float64]:
    """See `elman.engine.Engine.advance`. Every process makes the same call, with a `callback` that decides the same."""
    training = Training(state, windows, optimizer, steps)
    result = run_in_chunks(updates, state.update, training.advance_chunk, callback)
    steps.write_back(state)
    return result


class Training:
    """One call of `advance`: fills the input buffers of the step, and executes it, for every update.

    Parameters
    ----------
    state, windows, optimizer
        See `advance`.
    steps : StepCache
    """

    def __init__(self, state: TrainState, windows: Windows, optimizer: Optimizer, steps: StepCache) -> None:
        self.state, self.windows, self.optimizer = state, windows, optimizer
        self.step, self.run_step = steps.prepare(state, windows, optimizer)
        self.net, self.collectives = self.step.net, steps.collectives
        self.B, self.rows = windows.batch_size, steps.collectives.process.rows(windows.batch_size)
        self.ngrams = state.parameters.ngrams if state.parameters.uses_prior else None
        self._set_state(state.h.reshape(self.B, -1)[self.rows])

    def _set_state(self, h: Array) -> None:
        """Set the initial state (rows, D) of the next window."""
        recurrent, self.history = np.split(h, [self.net.recurrent_size], axis=1)
        self.step.recurrent.copy_(torch.tensor(recurrent))

    def advance_chunk(self, chunk: NDArray[np.float64]) -> Array:
        """Make as many updates as `chunk` is long, fill it with their losses, and return the hidden state."""
        first = self.state.update + 1
        rates = self.optimizer.learning_rates(self.state.update, len(chunk)).tolist()
        scalars = [update_scalars(self.optimizer, n, rate) for n, rate in enumerate(rates, first)]
        # The losses stay on the device until the end, as waiting for one would leave a GPU idle.
        losses = self.step.loss.new_empty(len(chunk))
        for row, loss in zip(self.step.inputs.to_rows(scalars).unbind(), losses.unbind(), strict=True):
            self._update(row)
            loss.copy_(self.step.loss)
        chunk[:] = losses.cpu().numpy()
        self.state.h = self._hidden_state()
        return self.state.h

    def _update(self, scalars: Tensor) -> None:
        """Make one update, given its row of `InputBuffers.to_rows`."""
        state = self.state
        if self.windows.begins_epoch(state.position):
            state.position = 0
            self._set_state(np.zeros((self.rows.stop - self.rows.start, self.net.state_size), state.h.dtype))
        self.step.inputs.fill_scalars(scalars)
        self.fill_window()
        self.run_step()
        state.update, state.position = state.update + 1, state.position + self.windows.seq_length
        state.epoch = state.update // self.windows.per_epoch

    def fill_window(self) -> None:
        """Fill the input buffers of the next window and its dropout masks; carry the characters of the history."""
        state, windows, inputs = self.state, self.windows, self.step.inputs
        x, y = (self._of_rows(array) for array in windows.at(state.position))
        folds = training_folds(state.parameters, windows, state.position)
        left_out = None if folds is None else self._of_rows(folds)
        prior, self.history = read_prior(self.ngrams, self.history, x, left_out)
        inputs.fill_window(x, y, prior)
        if self.step.masks:
            inputs.fill_dropout_keys(self.step.masks.keys(state.update + 1))
        if self.step.weight_masks:
            inputs.fill_weight_dropout_keys(self.step.weight_masks.keys(state.update + 1))

    def _of_rows(self, array: NDArray[T]) -> NDArray[T]:
        """Return the rows of this process, (T, rows), of an array (T,) or (T, B)."""
        return array.reshape(len(array), self.B)[:, self.rows]

    def _hidden_state(self) -> Array:
        """Return the state of all rows, in the shape of `TrainState.h`."""
        own = np.concatenate([self.step.recurrent.cpu().numpy(), self.history], axis=1)
        return self.collectives.gather_rows(own, self.B).reshape(self.state.h.shape)
