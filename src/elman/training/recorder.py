"""The records of a training run: rows of metrics and samples, in memory and, with every checkpoint, on disk."""

from __future__ import annotations

from elman.runs.records import Metrics, Sample, finite_or_none
from elman.runs.run import Run


class Recorder:
    """Adds records to a run, and saves those that its directory does not have yet.

    Parameters
    ----------
    run : Run
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._unsaved_metrics: list[Metrics] = []
        self._unsaved_samples: list[Sample] = []

    def add_row(self, loss: float, learning_rate: float, validation_loss: float | None) -> None:
        """Add a row of metrics for the update just done."""
        state, rows = self.run.state, self.run.metrics
        since_update, since_seconds = (rows[-1].update, rows[-1].seconds) if rows else (0, 0.0)
        chars, seconds = (state.update - since_update) * self.run.config.chars_per_update, state.seconds - since_seconds
        row = Metrics(
            state.update,
            state.epoch,
            state.smooth_loss,
            loss,
            validation_loss,
            state.seconds,
            chars / seconds if seconds > 0 else 0.0,
            learning_rate,
        )
        self.run.add_row(row)
        self._unsaved_metrics.append(row)

    def has_row(self, update: int) -> bool:
        """Whether the newest row is of this update."""
        rows = self.run.metrics
        return bool(rows) and rows[-1].update == update

    def add_sample(self) -> Sample:
        """Generate a sample from the current state and the next character of the text, and return it."""
        run = self.run
        generated = run.generate(run.config.sample_length, run.state.sample_generator)
        sample = Sample(run.state.update, finite_or_none(run.state.smooth_loss), generated)
        run.samples.append(sample)
        self._unsaved_samples.append(sample)
        return sample

    def save(self) -> None:
        """Bring the directory up to date: first the records, then the checkpoint that covers them."""
        run = self.run
        if run.directory is not None:
            run.directory.append(self._unsaved_metrics, self._unsaved_samples)
            run.directory.save(run.checkpoint, run.selected)
            run.metrics.spill()
            run.samples.spill()
        self._unsaved_metrics, self._unsaved_samples = [], []
