"""The output of ``elman sweep``: the trials in training and the best trials, and the results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.live import Live
from rich.table import Table

from elman.cli import StopSignals
from elman.errors import shorten
from elman.training import StderrConsole

if TYPE_CHECKING:
    from elman.apps.sweep.results import SweepResult

MAX_ROWS = 15  # maximum trials in the table: trials in training, then the best


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
    """Return the trials in training, the best of the others, and the progress of the sweep."""
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
        f"{name} {value:.4g}" if type(value) is float else f"{name} {value}" for name, value in values.items()
    )


def summarize(result: SweepResult) -> str:
    """Return the number of trials in each state, and the best trial."""
    shown = ", ".join(f"{count} {state}" for state, count in result.counts.items() if count) or "none"
    text = f"{result.count_trials()}: {shown}"
    if (best := result.best) is None:
        return text
    return f"{text}; best: trial {best.number}, validation loss {best.validation_loss:.4f} nats/char"


def show_sweep(result: SweepResult) -> None:
    """Print the result of a sweep, and the next step."""
    from elman.apps.sweep.results import BEST, REPORT, TRIALS

    print(summarize(result))
    if result.interrupted or result.settings.total_seconds is not None:
        print(f"{'stopped' if result.interrupted else 'ended'} and saved; the same command continues the sweep")
    if (best := result.best) is None:
        for trial in result.select("failed")[:1]:
            print(f"trial {trial.number} failed: {shorten(trial.error)}")
        return
    print(f"settings of the best: {format_values(best.values)}")
    print(f"its run: {result.directory / BEST}; all trials: {result.directory / TRIALS}, {result.directory / REPORT}")
    print(f"to train it again: {result.command}")
