"""``elman sweep``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.live import Live
from rich.table import Table

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
    StopSignals,
    join_descriptions,
    passed_options,
    print_results,
)
from elman.errors import format_count, shorten
from elman.presets import DEFAULT_PRESET
from elman.training import StderrConsole

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


class SweepDisplay(StopSignals):
    """A live table of the trials of a sweep on standard error, and the signals that stop it."""

    def __init__(self) -> None:
        super().__init__(StderrConsole(), "the trials in training")
        self.live = Live(console=self.console, auto_refresh=False)

    def __exit__(self, *exception: object) -> None:
        self.live.stop()
        super().__exit__(*exception)

    def __call__(self, result: SweepResult) -> bool:
        """Update the table; return whether a signal has arrived."""
        if self.console.is_watched:
            self.live.start()
            self.live.update(create_table(result), refresh=True)
        return self.received


def create_table(result: SweepResult) -> Table:
    """Return the trials in training and the best of the others, and how far the sweep is."""
    table = Table(box=None, padding=(0, 2, 0, 0), caption_justify="left", expand=True, caption=summarize(result))
    for name in ("trial", "state", "val. loss", "seconds"):
        table.add_column(name, justify="left" if name == "state" else "right", no_wrap=True)
    table.add_column("settings", overflow="ellipsis", no_wrap=True, ratio=1)
    others = [trial for trial in result.ranking() if trial.state != "running"]
    for trial in [*result.select("running"), *others][:MAX_ROWS]:
        loss = "" if trial.validation_loss is None else f"{trial.validation_loss:.4f}"
        seconds = "" if trial.seconds is None else f"{trial.seconds:.1f}"
        style = "green" if trial is result.best else "dim" if trial.state == "pruned" else ""
        values = trial.error or format_values(trial.values)
        table.add_row(str(trial.number), trial.state, loss, seconds, values, style=style)
    return table


def format_values(values: dict[str, Any]) -> str:
    """Return settings in one line."""
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in values.items()
    )


def summarize(result: SweepResult) -> str:
    """Return the number of trials in each state, and the best trial."""
    shown = ", ".join(f"{count} {state}" for state, count in result.counts.items() if count)
    total = format_count(result.settings.trials, "trial")
    text = f"{len(result.trials)} of {total}: {shown or 'none'}"
    if (best := result.best) is None:
        return text
    return f"{text}; best: trial {best.number}, validation loss {best.validation_loss:.4f} nats/char"


def show_sweep(result: SweepResult) -> None:
    """Print the result of a sweep, and the next step."""
    from elman.apps.sweep.results import BEST, REPORT, TRIALS

    print(summarize(result))
    if result.interrupted:
        print("stopped and saved; the same command continues the sweep")
    if (best := result.best) is None:
        for trial in result.select("failed")[:1]:
            print(f"trial {trial.number} failed: {shorten(trial.error)}")
        return
    print(f"settings of the best: {format_values(best.values)}")
    run = result.directory / BEST
    where = run if run.exists() else f"on {best.host}, in trials/{best.number:04d}"
    print(f"its run: {where}; all trials: {result.directory / TRIALS}, {result.directory / REPORT}")
    print(f"to train it again: {result.command}")
