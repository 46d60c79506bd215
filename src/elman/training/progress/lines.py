"""Progress as plain lines, for logs."""

from __future__ import annotations

import time
from collections.abc import Callable

from elman.runs.run import Run
from elman.training.progress.console import StderrConsole
from elman.training.progress.display import ProgressDisplay
from elman.training.progress.fields import describe_progress

INTERVAL = 5.0
"""Seconds between two lines, unless there is a validation before."""
VALIDATION_INTERVAL = 1.0
"""Seconds between two lines, at least: the epochs of a short text, and so its validations, may take milliseconds."""


class ProgressLines(ProgressDisplay):
    """Prints a line every few seconds, at validations and at the end.

    Parameters
    ----------
    console : StderrConsole
    clock : callable
        Returns the time in seconds.
    """

    def __init__(self, console: StderrConsole, clock: Callable[[], float] = time.monotonic) -> None:
        self.console, self.clock = console, clock
        self.due = clock() + INTERVAL
        self.validation_due = self.due - INTERVAL

    def show(self, line: str) -> None:
        """Print the line."""
        self.console.print_line(line)

    def on_progress(self, run: Run, updates: int) -> None:
        """Print a line if one is due."""
        now = self.clock()
        is_due = now >= self.due or (now >= self.validation_due and _was_validated(run))
        if is_due or run.state.update >= updates:
            self.due, self.validation_due = now + INTERVAL, now + VALIDATION_INTERVAL
            self.show(", ".join(filter(None, describe_progress(run, updates))))

    def on_warning(self, warning: str) -> None:
        """Print the warning."""
        self.show(f"warning: {warning}")


def _was_validated(run: Run) -> bool:
    """Return whether the network was validated after the last update."""
    row = run.metrics[-1] if run.metrics else None
    return row is not None and row.update == run.state.update and row.validation_loss is not None
