"""The progress of a sweep on standard error, and its result on standard output."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from elman.cli.display import StopSignals
from elman.errors import shorten
from elman.training.progress import StderrConsole
from elman.tuning.results import BEST, REPORT, TRIALS, SweepResult

MAX_ROWS = 15
"""Trials in the table: those in training, then the best."""


class SweepDisplay:
    """A live table of the trials of a sweep on standard error, and the signals that stop it."""

    def __init__(self) -> None:
        self.console = StderrConsole()
        self.live = Live(console=self.console, auto_refresh=False)
        self.signals = StopSignals(self.console, "the trials in training")
        self.first: SweepResult | None = None

    def __enter__(self) -> SweepDisplay:
        self.signals.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.live.stop()
        self.signals.__exit__()

    def __call__(self, result: SweepResult) -> bool:
        """Update the table; return whether a signal has arrived."""
        if self.first is None:
            self.first, self.started_at = result, time.monotonic()
        if self.console.is_watched:
            done = result.finished - self.first.finished
            left = (time.monotonic() - self.started_at) / done * (result.total - result.finished) if done else None
            self.live.start()
            self.live.update(Group(create_table(result), Text(summarize(result, left), style="bold")), refresh=True)
        return self.signals.received


def create_table(result: SweepResult) -> Table:
    """Return the trials in training and the best of the others, and how many there are besides."""
    table = Table(box=None, padding=(0, 2, 0, 0), caption_justify="left", expand=True)
    for name in ("trial", "state", "val. loss", "seconds"):
        table.add_column(name, justify="left" if name == "state" else "right", no_wrap=True)
    table.add_column("settings", overflow="ellipsis", no_wrap=True, ratio=1)
    others = [trial for trial in result.ranking() if trial.state != "running"]
    shown = [*result.select("running"), *others][:MAX_ROWS]
    for trial in shown:
        state = trial.state if trial.fraction is None else f"{trial.state} {trial.fraction:.0%}"
        loss = "" if trial.validation_loss is None else f"{trial.validation_loss:.4f}"
        seconds = "" if trial.seconds is None else f"{trial.seconds:.1f}"
        style = "green" if trial is result.best else "dim" if trial.state == "pruned" else ""
        table.add_row(str(trial.number), state, loss, seconds, trial.error or format_values(trial.values), style=style)
    if more := len(result.trials) - len(shown):
        table.caption = f"and {more} more"
    return table


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
        parts.append(f"{timedelta(seconds=round(seconds_left))} left")
    return ", ".join(parts)


def show_sweep(result: SweepResult) -> None:
    """Print the result of a sweep, and the next step."""
    counts = ", ".join(
        f"{len(result.select(state))} {state}"
        for state in ("complete", "pruned", "failed", "running")
        if result.select(state)
    )
    print(f"{len(result.trials)} of {result.total} trials: {counts or 'none'}")
    if result.interrupted:
        print("stopped and saved; the same command continues the sweep")
    best = result.best
    if best is None:
        for trial in result.select("failed")[:1]:
            print(f"trial {trial.number} failed: {shorten(trial.error)}")
        return
    loss = f"validation loss {best.validation_loss:.4f} nats/char"
    print(f"best: trial {best.number}, {loss}: {format_values(best.values)}")
    where = result.directory / BEST
    shown = where if where.exists() else f"on {best.host}, in trials/{best.number:04d}"
    print(f"its run: {shown}; all trials: {result.directory / TRIALS}, {result.directory / REPORT}")
    print(f"to train it again: {result.command}")
