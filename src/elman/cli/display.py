"""Terminal output: progress on standard error, tables on standard output. Losses are in nats per character."""

from __future__ import annotations

import shlex
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, Task, TextColumn
from rich.table import Table
from rich.text import Text

from elman.config import TEXT_SETTINGS, Config
from elman.engine import COMPILING, watch_compilation
from elman.errors import flag, shorten
from elman.processes import current_process
from elman.runs.records import SMOOTH_UPDATES
from elman.training.callbacks import CallbackList
from elman.training.health import LONGER
from elman.training.limits import raise_limit
from elman.training.progress import INTERVAL, StderrConsole, create_display
from elman.training.progress import visible as visible
from elman.training.start import long_run_settings

if TYPE_CHECKING:
    from elman.runs.run import Run
    from elman.training.gradcheck import GradientCheck
    from elman.tuning.results import SweepResult


class Terminal(Console):
    """Standard output."""

    def on_broken_pipe(self) -> None:
        """Leave a closed pipe to `elman.cli.app.main`; Rich itself would exit with the code of a failed check."""
        raise BrokenPipeError


_OUT = Terminal(soft_wrap=True, highlight=False, markup=False)

_WIDE_OUT = Terminal(width=10_000)
"""Standard output for tables that are not cut to the width of the terminal, which a program has none of."""


class StopSignals:
    """SIGINT (Ctrl-C) and SIGTERM ask to save and stop; a second one interrupts at once.

    A message says what is saved.
    """

    def __init__(self, console: StderrConsole, what: str) -> None:
        self.console, self.what, self.received = console, what, False
        self.before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            self.before = {number: signal.signal(number, self.receive) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        if not self.received:
            self.received = True
            self.console.print(f"stopping: saving {self.what} (press Ctrl-C again to stop at once)")
        elif current_process().size == 1:  # torchrun passes on a signal that Ctrl-C has sent to every process
            raise KeyboardInterrupt


class TrainingDisplay(CallbackList):
    """The progress of a training on standard error: a bar on a terminal, plain lines elsewhere, warnings if quiet."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.console = StderrConsole()
        self.progress = create_display(not quiet, self.console)
        self.signals = StopSignals(self.console, "the run")
        super().__init__(self.progress)

    def __enter__(self) -> TrainingDisplay:
        self.signals.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.close()
        self.signals.__exit__()

    def on_gradient_check(self, points: int, hidden_size: int, seq_length: int) -> None:
        """Show which gradient check is running."""
        self.progress.on_notice(
            f"checking gradients: {points} characters, hidden size {hidden_size}, sequence length {seq_length} …"
        )

    def on_warning(self, warning: str) -> None:
        """Print a warning in one line, also if `quiet`."""
        self.console.print_line(f"warning: {warning}")

    def should_stop(self) -> bool:
        """Return whether a signal has arrived."""
        return self.signals.received


def show_metrics(metrics: dict[str, Any]) -> None:
    """Print names and values in two columns."""
    table = Table.grid(padding=(0, 2))
    for name, value in metrics.items():
        table.add_row(name.replace("_", " "), _format_value(value))
    _OUT.print(table)


def _format_value(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or "none"
    return f"{value:,.4f}" if isinstance(value, float) else f"{value:,}"


def result_rows(run: Run) -> dict[str, Any]:
    """Return the results of a training for the table at its end, with losses in nats per character.

    The smooth loss is left out where it lags behind the train loss, and the kept update where it is the last.
    """
    omitted = {"advice"}
    if run.state.update < SMOOTH_UPDATES:
        omitted |= {"smooth_loss", "minimum_smooth_loss", "minimum_at"}
    if run.selected is None or run.selected.update == run.state.update:
        omitted.add("kept_update")
    rows = {name: value for name, value in run.results().items() if name not in omitted}
    rows["text"] = "standard input" if rows["text"] == "-" else visible(rows["text"])
    for name in ("smooth_loss", "minimum_smooth_loss", "train_loss", "validation_loss"):
        if rows.get(name) is not None:
            chars = run.config.seq_length if "smooth" in name else 1
            rows[name] = f"{_format_value(rows[name] / chars)} nats/char"
    return rows


def show_results(run: Run, out: Path, texts: Sequence[str | Path]) -> None:
    """Print the results of a training, a sample, and the next step; `texts` are those of the command line."""
    show_metrics(result_rows(run))
    if run.interrupted:
        again = "pipe the text again to" if run.corpus.name == "-" else "resume with"
        _OUT.print(f"\nstopped and saved; {again}: {_resume_command(out)}")
        return
    print(f"\n{visible(run.final_sample())}\n")
    _OUT.print(run.advice)
    if run.advice.startswith(LONGER):
        again = ", pipe the text again to" if run.corpus.name == "-" else ""
        _OUT.print(f"to train longer{again}: {_longer_command(run, out, texts)}")
    more = ["--count", "20"] if run.config.lines else []
    _OUT.print(f"to generate more: {shlex.join(['elman', 'sample', str(out), *more])}")


def _resume_command(out: Path, *more: str) -> str:
    return shlex.join(["elman", "train", "--out", str(out), "--resume", *more])


def _longer_command(run: Run, out: Path, texts: Sequence[str | Path]) -> str:
    """Return the command that trains a run for twice as long.

    Where the learning rate has decayed, that is a new run: the schedule of a longer one decays later.
    """
    name, value = raise_limit(run)
    limit = (flag(name), f"{value:.15g}")
    if run.config.schedule == "constant" or run.init_from is not None or not texts:
        return _resume_command(out, *limit)
    passed = {each: getattr(run.config, each) for each in sorted(TEXT_SETTINGS)}
    changed = {each: setting for each, setting in passed.items() if setting != getattr(Config, each)}
    if run.preset and name == "max_seconds":  # which --like does not change
        changed |= long_run_settings(run.preset, value, len(run.data.windows.indices))
    settings = [word for each, setting in changed.items() for word in (flag(each), str(setting))]
    like = ["--out", f"{out}-longer", "--like", str(out)]
    return shlex.join(["elman", "train", *map(str, texts), *like, *limit, *settings])


def show_runs(rows: Sequence[dict[str, Any]]) -> None:
    """Print a table of runs, the rows of `elman.runs`, with losses in nats per character."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="")
    for title, is_number in (
        ("run", False), ("text", False), ("cell", False), ("size", True), ("updates", True), ("seconds", True),
        ("train loss", True), ("validation loss", True), ("stopped", False),
    ):  # fmt: skip
        table.add_column(title, justify="right" if is_number else "left", no_wrap=True)
    for row in rows:
        layers = f"{row['layers']} × " if row["layers"] and row["layers"] > 1 else ""
        texts = (
            row["run"],
            row["text"] or "",
            row["cell"] or "",
            f"{layers}{row['hidden_size'] or ''}",
            f"{row['updates']:,}",
            f"{row['seconds']:,.1f}",
            *("" if loss is None else f"{loss:.3f}" for loss in (row["train_loss"], row["validation_loss"])),
            row["stopped"] if row["status"] == "ended" else row["status"],
        )
        table.add_row(*map(Text, map(visible, texts)))
    _WIDE_OUT.print(table)


def show_gradient_checks(checks: list[GradientCheck]) -> None:
    """Print the relative errors: a column per experiment, a row per array."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_row("characters", *(str(check.points) for check in checks))
    table.add_row("hidden size", *(str(check.hidden_size) for check in checks))
    table.add_row("sequence length", *(str(check.seq_length) for check in checks))
    for name in checks[0].relative_error:
        table.add_row(name, *(f"{check.relative_error[name]:.2e}" for check in checks))
    table.add_row("passed", *("yes" if check.passed else "NO" for check in checks))
    _OUT.print(table)


def show_report(results: dict[str, Any], out: Path) -> None:
    """Print the main results of a report, and where it is."""
    short, last = results["short"], results["long"] or results["short"]
    _OUT.print(
        f"minimum smooth loss {short['minimum_smooth_loss']:.2f} after {short['epochs']} epochs, "
        f"{last['minimum_smooth_loss']:.2f} after {last['epochs']} "
        f"(nats, summed over sequences of {results['config']['seq_length']} characters); "
        f"gradients {'agree' if results['gradient_check']['passed'] else 'DO NOT agree'} with central differences"
    )
    _OUT.print(f"report: {out / 'report.html'} (also report.md, the plots, results.json and run/)")


# --- Sweeps ---

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
    from elman.tuning.results import BEST, REPORT, TRIALS

    counts = ", ".join(
        f"{len(result.select(state))} {state}"
        for state in ("complete", "pruned", "failed", "running")
        if result.select(state)
    )
    _OUT.print(f"{len(result.trials)} of {result.total} trials: {counts or 'none'}")
    if result.interrupted:
        _OUT.print("stopped and saved; the same command continues the sweep")
    best = result.best
    if best is None:
        for trial in result.select("failed")[:1]:
            _OUT.print(f"trial {trial.number} failed: {shorten(trial.error)}")
        return
    loss = f"validation loss {best.validation_loss:.4f} nats/char"
    _OUT.print(f"best: trial {best.number}, {loss}: {format_values(best.values)}")
    where = result.directory / BEST
    shown = where if where.exists() else f"on {best.host}, in trials/{best.number:04d}"
    _OUT.print(f"its run: {shown}; all trials: {result.directory / TRIALS}, {result.directory / REPORT}")
    _OUT.print(f"to train it again: {result.command}")


# --- Progress of what is no training ---

DELAY = 0.5
"""Seconds after which a bar appears."""
REFRESH = 0.1
"""Seconds between two updates of it."""

ShowDone = Callable[[float], None]
"""Is called, often, with how much is done."""


@contextmanager
def show_progress(
    title: str, total: float | None, *, quiet: bool, clock: Callable[[], float] = time.monotonic
) -> Iterator[ShowDone]:
    """Yield a function that shows how much of something is done, on a terminal as a bar that disappears at the end.

    The total is None where it is not known: then it is bytes that are done. The clock returns the time in seconds.
    """
    console = StderrConsole()
    if quiet:
        yield lambda done: None
        return
    state = TextColumn("{task.fields[state]}", markup=False)
    columns = [TextColumn("{task.description}", markup=False), *([BarColumn(24)] if total else []), state]
    bar = Progress(*columns, console=console, auto_refresh=False, transient=True, get_time=clock)
    bar.add_task(visible(title), total=total, state="")
    (task,) = bar.tasks
    due = clock() + (DELAY if console.is_watched else INTERVAL)

    def show(done: float) -> None:
        nonlocal due
        if (now := clock()) < due:
            return
        due = now + (REFRESH if console.is_watched else INTERVAL)
        bar.update(task.id, completed=done)
        if console.is_watched:
            bar.start()
            bar.update(task.id, state=_describe(task), refresh=True)
        else:
            console.print_line(f"{title}: {_describe(task)}")

    with watch_compilation(lambda: console.print(COMPILING, highlight=False)):
        try:
            yield show
        finally:
            if bar.live.is_started:
                bar.stop()


def _describe(task: Task) -> str:
    """Return how much is done and, where it can be estimated, the time left."""
    if task.total is None:
        return f"{task.completed / 1e3:,.0f} kB"
    left = "" if task.time_remaining is None else f", {timedelta(seconds=task.time_remaining)} left"
    return f"{int(task.percentage)} %{left}"
