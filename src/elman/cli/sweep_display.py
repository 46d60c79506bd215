"""Terminal output of a sweep: a live table of its trials, and the result at the end."""

from __future__ import annotations

import signal
import time
from types import FrameType, TracebackType
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from elman.cli.display import Terminal
from elman.errors import shorten
from elman.training.progress import StderrConsole
from elman.tuning.results import BEST, REPORT, TRIALS, SweepResult, TrialResult, sort_trials

MAX_ROWS = 15
"""Trials in the table: those in training, then the best."""
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class SweepDisplay:
    """The progress of a sweep on standard error.

    SIGINT (Ctrl-C) or SIGTERM saves all trials in training and stops; a second one interrupts at once.
    """

    def __init__(self) -> None:
        self.console = StderrConsole()
        self.live = Live(console=self.console, auto_refresh=False)
        self.is_stopping = False
        self.first: SweepResult | None = None
        self.before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> SweepDisplay:
        self.before = {number: signal.signal(number, self._interrupt) for number in _STOP_SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live.is_started:
            self.live.stop()
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.is_stopping:
            raise KeyboardInterrupt
        self.is_stopping = True
        self.console.print("stopping: saving the trials in training (press Ctrl-C again to stop at once)")

    def __call__(self, result: SweepResult) -> bool:
        """Update the table; return whether a signal has arrived."""
        if self.first is None:
            self.first, self.started_at = result, time.monotonic()
        if self.console.is_watched:
            if not self.live.is_started:
                self.live.start()
            done = result.finished - self.first.finished
            left = (time.monotonic() - self.started_at) / done * (result.total - result.finished) if done else None
            self.live.update(Group(create_table(result), Text(summarize(result, left), style="bold")), refresh=True)
        return self.is_stopping


def create_table(result: SweepResult) -> Table:
    """Return the trials in training and the best of the others, and how many there are besides."""
    table = Table(box=None, padding=(0, 2, 0, 0), caption_justify="left", expand=True)
    for name in ("trial", "state", "val. loss", "seconds"):
        table.add_column(name, justify="left" if name == "state" else "right", no_wrap=True)
    table.add_column("settings", overflow="ellipsis", no_wrap=True, ratio=1)
    others = [trial for trial in sort_trials(result.trials) if trial.state != "running"]
    shown = [*result.select("running"), *others][:MAX_ROWS]
    for trial in shown:
        best = trial is result.best
        table.add_row(*_cells(trial), style="green" if best else "dim" if trial.state == "pruned" else "")
    if more := len(result.trials) - len(shown):
        table.caption = f"and {more} more"
    return table


def _cells(trial: TrialResult) -> list[str]:
    state = trial.state if trial.fraction is None else f"{trial.state} {trial.fraction:.0%}"
    loss = "" if trial.validation_loss is None else f"{trial.validation_loss:.4f}"
    seconds = "" if trial.seconds is None else f"{trial.seconds:.1f}"
    return [str(trial.number), state, loss, seconds, trial.error or format_values(trial.values)]


def format_values(values: dict[str, Any]) -> str:
    """Return settings in one line."""
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in values.items()
    )


def summarize(result: SweepResult, seconds_left: float | None) -> str:
    """Return how far the sweep is, the best trial, and the time left."""
    parts = [f"{result.finished}/{result.total} trials"]
    if (best := result.best) is not None:
        parts.append(f"best: {best.validation_loss:.4f} nats/char (trial {best.number})")
    if seconds_left:
        parts.append(f"about {format_duration(seconds_left)} left")
    return ", ".join(parts)


def format_duration(seconds: float) -> str:
    """Return a duration in the largest unit that leaves at least one of it."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def show_sweep(result: SweepResult) -> None:
    """Print the result of a sweep, and the next step."""
    out = Terminal(soft_wrap=True, highlight=False)
    counts = ", ".join(
        f"{len(result.select(state))} {state}"
        for state in ("complete", "pruned", "failed", "running")
        if result.select(state)
    )
    out.print(f"{len(result.trials)} of {result.total} trials: {counts or 'none'}", markup=False)
    if result.interrupted:
        out.print("stopped and saved; the same command continues the sweep", markup=False)
    best = result.best
    if best is None:
        for trial in result.select("failed")[:1]:
            out.print(f"trial {trial.number} failed: {shorten(trial.error)}", markup=False)
        return
    loss = f"validation loss {best.validation_loss:.4f} nats/char"
    out.print(f"best: trial {best.number}, {loss}: {format_values(best.values)}", markup=False)
    where = result.directory / BEST
    shown = where if where.exists() else f"on {best.host}, in trials/{best.number:04d}"
    out.print(f"its run: {shown}; all trials: {result.directory / TRIALS}, {result.directory / REPORT}", markup=False)
    out.print(f"to train it again: {result.command}", markup=False)
