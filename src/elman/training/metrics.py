"""The rows of ``metrics.csv``: one after every `Config.metrics_every` updates, at a validation, and at the end."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from elman.engine import TrainState
from elman.runs.history import Metrics
from elman.training.run import Run


class MetricsRows:
    """Adds a row for the update just done; `losses` are the latest of the current call, in nats per window."""

    def __init__(self, run: Run, losses: Sequence[float]) -> None:
        self.run, self.losses = run, losses

    def next_update(self, last_update: int) -> float:
        """Return the next multiple of the interval, or the end."""
        every, rows = self.run.config.metrics_every, self.run.metrics
        return min(((rows[-1].update if len(rows) else 0) // every + 1) * every, last_update)

    def perform(self, last_update: int) -> None:
        """Add a row without a validation loss, unless there is one for this update, or no update was done."""
        rows = self.run.metrics
        if self.losses and (not len(rows) or rows[-1].update < self.run.state.update):
            self.add(None)

    def add(self, validation_loss: float | None) -> None:
        """Add a row of metrics."""
        run, state, rows = self.run, self.run.state, self.run.metrics
        since_update, since_seconds = (rows[-1].update, rows[-1].seconds) if len(rows) else (0, 0.0)
        chars, seconds = (state.update - since_update) * run.config.chars_per_update, state.seconds - since_seconds
        smooth_loss, loss = run.smooth_loss, self.losses[-1] / run.config.seq_length
        row = Metrics(
            state.update,
            float(run.epochs),
            smooth_loss,
            loss,
            run.history.estimator.append(state.update, smooth_loss, loss),
            validation_loss,
            state.seconds,
            chars / seconds if seconds > 0 else 0.0,
            float(run.optimizer.learning_rates(state.update - 1, 1)[0]),
        )
        run.history.add(row)


def update_smooth_loss(state: TrainState, losses: NDArray[np.float64]) -> None:
    """Apply S <- 0.999 S + 0.001 L to the losses of the last updates; S starts as the first loss of the run."""
    S, minimum, at = state.smooth_loss, state.minimum_smooth_loss, state.minimum_at
    for update, L in enumerate(losses.tolist(), state.update - len(losses) + 1):
        S = L if update == 1 else 0.999 * S + 0.001 * L
        if math.isnan(minimum) or minimum > S:
            minimum, at = S, update
    state.smooth_loss, state.minimum_smooth_loss, state.minimum_at = S, minimum, at
