"""Terminal output of a sweep: a live table of its trials, and the result at the end."""

from __future__ import annotations

import signal
import warnings
from types import FrameType, TracebackType
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from elman.cli.display import Terminal
from elman.errors import shorten
from elman.training.progress import StderrConsole
from elman.tuning.callbacks import SweepCallback, SweepStatus
from elman.tuning.results import BEST, REPORT, TRIALS, SweepResult, TrialResult, sort_trials

MAX_ROWS = 15
"""Trials in the table: those in training, then the best."""
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class SweepDisplay(SweepCallback):
    """The progress of a sweep on standard error.

    SIGINT (Ctrl-C) or SIGTERM saves all trials in training and stops; a second one interrupts at once.
    """

    def __init__(self) -> None:
        self.console = StderrConsole()
        self.live = Live(console=self.console, auto_refresh=False)
        self.is_stopping = False
        self.before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> SweepDisplay:
        self.before = {number: signal.signal(number, self._interrupt) for number in _STOP_SIGNALS}
        self.warnings = warnings.catch_warnings()
        self.warnings.__enter__()
        showing: Any = self._show_warning
        warnings.showwarning = showing
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live.is_started:
            self.live.stop()
        self.warnings.__exit__(kind, error, trace)
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.is_stopping:
            raise KeyboardInterrupt
        self.is_stopping = True
        self.console.print("stopping: saving the trials in training (press Ctrl-C again to stop at once)")

    def _show_warning(self, message: Warning | str, *_: object) -> None:
        self.console.print_line(f"warning: {message}")

    def on_progress(self, status: SweepStatus) -> None:
        """Update the table."""
        if not self.console.is_watched:
            return
        if not self.live.is_started:
            self.live.start()
        self.live.update(Group(create_table(status), Text(summarize(status), style="bold")), refresh=True)

    def should_stop(self) -> bool:
        """Return whether a signal has arrived."""
        return self.is_stopping


def create_table(status: SweepStatus) -> Table:
    """Return the trials in training and the best of the others, and how many there are besides."""
    table = Table(box=None, padding=(0, 2, 0, 0), caption_justify="left", expand=True)
    for name in ("trial", "state", "val. loss", "seconds"):
        table.add_column(name, justify="left" if name == "state" else "right", no_wrap=True)
    table.add_column("settings", overflow="ellipsis", no_wrap=True, ratio=1)
    running = status.result.select("running")
    others = [trial for trial in sort_trials(status.result.trials) if trial.state != "running"]
    shown = [*running, *others][:MAX_ROWS]
    for trial in shown:
        best = trial is status.result.best
        table.add_row(*_cells(trial, status), style="green" if best else "dim" if trial.state == "pruned" else "")
    if more := len(status.result.trials) - len(shown):
        table.caption = f"and {more} more"
    return table


def _cells(trial: TrialResult, status: SweepStatus) -> list[str]:
    state = trial.state
    if trial.number in status.fractions and state == "running":
        state = f"running {status.fractions[trial.number]:.0%}"
    loss = "" if trial.validation_loss is None else f"{trial.validation_loss:.4f}"
    seconds = "" if trial.seconds is None else f"{trial.seconds:.1f}"
    return [str(trial.number), state, loss, seconds, trial.error or format_values(trial.values)]


def format_values(values: dict[str, Any]) -> str:
    """Return settings in one line."""
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in values.items()
    )


def summarize(status: SweepStatus) -> str:
    """Return how far the sweep is, the best trial, and the time left."""
    parts = [f"{status.finished}/{status.result.total} trials"]
    if (best := status.result.best) is not None:
        parts.append(f"best: {best.validation_loss:.4f} nats/char (trial {best.number})")
    if status.seconds_left:
        parts.append(f"about {format_duration(status.seconds_left)} left")
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
