"""Checkpoints: when a run is saved, within a bounded share of the time."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from statistics import median_low

from elman.training.health import HealthCheck
from elman.training.run import Run, describe_lines, make_checkpoint

CHECKPOINT_SECONDS = 30.0
"""Seconds between two checkpoints, at most, unless writing them needs too much of the time."""
CHECKPOINT_UPDATES = 100_000
"""Updates between two checkpoints, at most, unless writing them needs too much of the time."""
CHECKPOINT_SHARE = 0.01
"""Largest fraction of the time spent writing checkpoints: one that took s seconds is followed by a pause of 100 s."""


class Checkpoints:
    """Saves the run from time to time."""

    def __init__(self, run: Run, health: HealthCheck) -> None:
        self.run, self.health = run, health
        self.saved_at, self.saved_update = time.monotonic(), run.state.update
        self.saved_records = len(run.metrics), len(run.samples)
        self.save_seconds = [run.file_seconds]  # of every save, because one of them may have waited for the disk
        # The network and the quantiles in ``best.safetensors``; unknown at first, because a file may exist already.
        self.written: tuple[object, object] = object(), object()

    def next_update(self, last_update: int) -> float:
        """Return the current update once enough time has passed, given the cost of the last checkpoints."""
        seconds = time.monotonic() - self.saved_at
        if seconds * CHECKPOINT_SHARE < median_low(self.save_seconds):
            return math.inf
        return self.saved_update if seconds > CHECKPOINT_SECONDS else self.saved_update + CHECKPOINT_UPDATES

    def perform(self, last_update: int = 0) -> None:
        """Bring the directory up to date: first the records, then the checkpoint that covers them."""
        run, started = self.run, time.monotonic()
        self.health.require_finite()
        if run.directory is not None:
            self.health.callback.on_save(run)
            rows, samples = self.saved_records
            run.directory.append(run.metrics[rows:], run.samples[samples:])
            run.directory.save(make_checkpoint(run))
            selected, quantiles = self.written
            if run.selected is not selected or run.score_quantiles is not quantiles:
                run.directory.save_selected(run.selected and replace(run.selected, lines=describe_lines(run)))
                self.written = run.selected, run.score_quantiles
            run.metrics.spill()
            run.samples.spill()
        run.corpus.release()  # the pages of a long text would add up
        self.saved_at, self.saved_update = time.monotonic(), run.state.update
        self.saved_records = len(run.metrics), len(run.samples)
        self.save_seconds.append(self.saved_at - started)
        run.file_seconds = sum(self.save_seconds)

    def estimate_seconds(self) -> float:
        """Return how long the last save is expected to take."""
        return 0.0 if self.run.directory is None else median_low(self.save_seconds)


def create_directory(run: Run) -> None:
    """Write the first checkpoint of a run, before its first update, to its directory."""
    if run.directory is not None:
        started = time.monotonic()
        run.directory.create(run.manifest, make_checkpoint(run))
        run.file_seconds = time.monotonic() - started
