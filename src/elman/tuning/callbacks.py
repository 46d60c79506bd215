"""Callbacks of a sweep, and the status that they receive."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from elman.tuning.results import SweepResult


@dataclass
class SweepStatus:
    """A sweep in progress.

    Parameters
    ----------
    result : SweepResult
        The trials so far.
    fractions : dict
        Number of a trial in training on this host -> fraction of its budget that is spent.
    started_at : float
        In seconds of `time.monotonic`.
    finished_before : int
        Trials that had finished then.
    """

    result: SweepResult
    fractions: dict[int, float] = field(default_factory=dict)
    started_at: float = field(default_factory=time.monotonic)
    finished_before: int = 0

    @property
    def finished(self) -> int:
        """The number of finished trials."""
        return len(self.result.trials) - len(self.result.select("running"))

    @property
    def seconds_left(self) -> float | None:
        """The expected time to the end; None before a trial has finished."""
        done = self.finished - self.finished_before
        elapsed = time.monotonic() - self.started_at
        return elapsed / done * (self.result.total - self.finished) if done else None


class SweepCallback:
    """Base class of callbacks of a sweep; the methods do nothing, and a subclass overrides those that it needs."""

    def on_progress(self, status: SweepStatus) -> None:
        """The status has changed; called about once per second."""

    def should_stop(self) -> bool:
        """Return whether to save all trials in training and stop."""
        return False


def update_fractions(fractions: dict[int, float], event: dict[str, Any] | None) -> None:
    """Update the progress of the trials on this host by an event of a worker."""
    match event:
        case {"event": "start", "trial": number}:
            fractions[number] = 0.0
        case {"event": "progress", "trial": number, "fraction": fraction}:
            fractions[number] = fraction
        case {"event": "end", "trial": number}:
            fractions.pop(number, None)
