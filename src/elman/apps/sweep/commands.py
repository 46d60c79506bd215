"""``elman sweep``."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from elman.apps.sweep.space import Pruner, Sampler
from elman.cli import (
    ANY_CASE,
    INTERRUPTED,
    PRESET_HELP,
    Corpus,
    Integer,
    Json,
    Name,
    Options,
    Out,
    join_descriptions,
    passed_options,
    print_results,
)
from elman.errors import format_count, shorten
from elman.presets import DEFAULT_PRESET

if TYPE_CHECKING:
    from elman.apps.sweep.results import SweepResult

MAX_ROWS = 15
"""Trials in the table: those in training, then the best."""

GROUP = "Train"


@join_descriptions
def sweep(
    corpus: Corpus = "python-docs",
    /,
    *,
    out: Out,
    trials: Integer,
    space: Path | None = None,
    preset: Annotated[Name, Parameter(help=PRESET_HELP)] = DEFAULT_PRESET,
    workers: Integer = 1,
    storage: str | None = None,
    study: str | None = None,
    sampler: Annotated[Sampler, ANY_CASE] = "tpe",
    pruner: Annotated[Pruner, ANY_CASE] = "halving",
    sampler_seed: Integer = 0,
    options: Annotated[Options | None, Parameter(name="*")] = None,
    as_json: Json = False,
) -> int:
    """Search for the settings with the lowest validation loss in many trainings.

    Each trial is a run in OUT/trials, with the budget of --max-seconds, --max-updates or --epochs. The same command
    resumes an interrupted sweep.

    Parameters
    ----------
    out
        Directory for the sweep.
    trials
        Number of trials; a larger number extends a finished sweep.
    space
        TOML file of the search space, such as 'hidden_size = [128, 256]'; by default a space around the preset.
    workers
        Worker processes on this machine.
    storage
        Database for workers on several machines, such as postgresql+psycopg://user@host/database.
    study
        Name of the study in the database; by default the name of --out.
    sampler
        Sampler: tpe (Bayesian), random, or grid (choices and steps only).
    pruner
        Pruner: halving stops the worse half of the trials at a quarter of the budget and at half of it.
    sampler_seed
        Random seed of the sampler.
    """
    from elman.apps.sweep.sweep import sweep

    search: dict[str, Any] = {"space": space, "preset": preset, "workers": workers, "storage": storage, "study": study}
    search |= {"sampler": sampler, "pruner": pruner, "sampler_seed": sampler_seed}
    with SweepDisplay() as display:
        result = sweep(str(corpus), out=out, trials=trials, callback=display, **search, **passed_options(options))
    print_results(result.as_dict(), as_json, lambda _: show_sweep(result))
    return INTERRUPTED if result.interrupted else 0


class SweepDisplay:
    """A live table of the trials of a sweep on standard error, and the signals that stop it."""

    def __init__(self) -> None:
        from elman.cli import StopSignals
        from elman.training import StderrConsole

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
    shown = {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in values.items()}
    return ", ".join(f"{name} {value}" for name, value in shown.items())


def summarize(result: SweepResult, seconds_left: float | None) -> str:
    """Return how far the sweep is, the best trial, and the time left."""
    parts = [f"{result.finished}/{format_count(result.total, 'trial')}"]
    if (best := result.best) is not None:
        parts.append(f"best: {best.validation_loss:.4f} nats/char (trial {best.number})")
    if seconds_left:
        parts.append(f"{timedelta(seconds=round(seconds_left))} left")
    return ", ".join(parts)


def show_sweep(result: SweepResult) -> None:
    """Print the result of a sweep, and the next step."""
    from elman.apps.sweep.results import BEST, REPORT, TRIALS

    counts = {state: len(result.select(state)) for state in ("complete", "pruned", "failed", "running")}
    shown = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    print(f"{len(result.trials)} of {format_count(result.total, 'trial')}: {shown or 'none'}")
    if result.interrupted:
        print("stopped and saved; the same command continues the sweep")
    if (best := result.best) is None:
        for trial in result.select("failed")[:1]:
            print(f"trial {trial.number} failed: {shorten(trial.error)}")
        return
    loss = f"validation loss {best.validation_loss:.4f} nats/char"
    print(f"best: trial {best.number}, {loss}: {format_values(best.values)}")
    run = result.directory / BEST
    where = run if run.exists() else f"on {best.host}, in trials/{best.number:04d}"
    print(f"its run: {where}; all trials: {result.directory / TRIALS}, {result.directory / REPORT}")
    print(f"to train it again: {result.command}")
