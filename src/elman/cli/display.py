"""Terminal output: progress on standard error, tables on standard output. Losses are in nats per character."""

from __future__ import annotations

import os
import signal
import stat
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from statistics import mean, stdev
from types import FrameType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, Task, TextColumn
from rich.table import Table
from rich.text import Text

from elman.config import TEXT_SETTINGS, Config
from elman.engine import COMPILING, watch_compilation
from elman.engine.processes import current_process
from elman.errors import flag, format_count, format_value, join_command
from elman.machine import HANGUP, postpone_signal
from elman.runs.directory import CHECKPOINT
from elman.storage import exists
from elman.text import visible as visible
from elman.training.advice import LONGER
from elman.training.callbacks import CallbackList, StoppedEarly
from elman.training.progress import REFRESH, StderrConsole, create_display, line_interval
from elman.training.records import FINAL_TEMPERATURE, generate_final_sample

if TYPE_CHECKING:
    from elman.testing.gradcheck import GradientCheck
    from elman.training.run import Run


class Terminal(Console):
    """Standard output."""

    def on_broken_pipe(self) -> None:
        """Leave a closed pipe to `elman.cli.frame.main`; Rich itself would exit with the code of a failed check."""
        raise BrokenPipeError


_OUT = Terminal(soft_wrap=True, highlight=False, markup=False)

_WIDE_OUT = Terminal(width=10_000)
"""Standard output for tables that are not cut to a terminal's width: a pipe has no width."""


def _discard_terminal() -> None:
    """Discard later output to the terminal: writing to a closed terminal would be an error."""
    with suppress(OSError):  # one of the descriptors may be closed
        for descriptor in (1, 2):
            if stat.S_ISCHR(os.fstat(descriptor).st_mode):
                os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


class StopSignals:
    """SIGINT (Ctrl-C), SIGTERM and SIGHUP, unless ignored, ask to save and stop; a second one interrupts at once."""

    def __init__(self, console: StderrConsole, what: str) -> None:
        self.console, self.what, self.received = console, what, False
        self.before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            hangs_up = HANGUP is not None and signal.getsignal(HANGUP) is not signal.SIG_IGN
            numbers = [signal.SIGINT, signal.SIGTERM, *([HANGUP] if HANGUP and hangs_up else [])]
            self.before = {number: signal.signal(number, self.receive) for number in numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        if postpone_signal(number, frame):
            return
        is_first, self.received = not self.received, True
        if is_first and self.has_run():
            with suppress(OSError):  # the terminal may be closed
                self.console.print(f"stopping: saving {self.what} (press Ctrl-C again to stop at once)")
        if number == HANGUP:
            _discard_terminal()
        if current_process().size > 1:  # torchrun forwards the signal that Ctrl-C sends to every process
            return
        if is_first and not self.must_wait():
            raise StoppedEarly
        if not is_first and number != HANGUP:  # a shell may send a second SIGHUP
            raise KeyboardInterrupt

    def has_run(self) -> bool:
        """Return whether there is something to save."""
        return True

    def must_wait(self) -> bool:
        """Return whether the first signal only sets `received`, which the work checks, instead of interrupting."""
        return True


class TrainingDisplay(StopSignals, CallbackList):
    """The progress of a training run on standard error: a bar on a terminal, plain lines elsewhere.

    `out` is the directory of the run, for signals: they interrupt the counting of n-grams if there is no run yet, and
    the compilation of kernels if the run has no updates. `prints_samples` is passed on to `ProgressLines`.
    """

    def __init__(self, out: Path | None = None, *, quiet: bool = False, prints_samples: bool = True) -> None:
        StopSignals.__init__(self, StderrConsole(), "the run")
        self.progress = create_display(not quiet, self.console)
        self.progress.prints_samples = prints_samples
        CallbackList.__init__(self, self.progress)
        self.out, self.compiles, self.is_asked = out, False, False

    def __exit__(self, *_: object) -> None:
        self.progress.close()
        super().__exit__()

    def has_run(self) -> bool:
        """Return whether there is a run, or anything else, to save."""
        return self.is_asked or (self.out is not None and exists(self.out / CHECKPOINT))

    def must_wait(self) -> bool:
        """Return whether a signal has to wait, so that the run can be saved."""
        return self.is_asked or (not self.compiles and self.has_run())

    def on_compile(self) -> None:
        """Let a signal interrupt the compilation; a signal that has been waiting interrupts it now."""
        self.compiles = True
        if self.received and not self.is_asked:
            raise StoppedEarly

    def on_progress(self, run: Run, updates: int) -> None:
        """Show the progress; from now on a signal lets the run be saved."""
        self.is_asked = True
        self.progress.on_progress(run, updates)

    def on_gradient_check(self, *check: Any) -> None:
        """Show the progress of a gradient check."""
        self.is_asked = True
        self.progress.on_gradient_check(*check)

    def on_warning(self, warning: str) -> None:
        """Print a warning in one line."""
        self.console.print_line(f"warning: {warning}")

    def should_stop(self) -> bool:
        """Return whether a signal has arrived."""
        return self.received


def show_metrics(metrics: dict[str, Any]) -> None:
    """Print names and values in two columns."""
    table = Table.grid(padding=(0, 2))
    for name, value in metrics.items():
        table.add_row(name.replace("_", " "), "none" if value in (None, "") else format_value(value))
    _OUT.print(table)


def result_rows(run: Run) -> dict[str, str]:
    """Return the most important results; `Run.results` has all of them."""
    losses = {
        "validation loss": run.validation_loss,
        "train loss": run.train_loss,
        "loss of the counts": run.counts_loss,
    }
    if run.config.is_counts_only:
        losses = {"validation loss": run.counts_loss}
    rows = {name: f"{loss:.3f} nats/char" for name, loss in losses.items() if loss is not None}
    if not run.config.is_counts_only:
        rows["updates"] = f"{run.state.update:,} ({run.epochs:,.2f} epochs)"
    return rows | {"time": f"{run.state.spent:,.1f} s"}


def show_results(run: Run, out: Path, texts: Sequence[str | Path], *, quiet: bool) -> None:
    """Print the results of a training run: in one line if `quiet`, otherwise a table, a sample and the next step.

    `texts` are the texts named on the command line.
    """
    rows = result_rows(run)
    if quiet:
        _OUT.print(f"{out}: {', '.join(f'{name} {value}' for name, value in rows.items())}")
    else:
        show_metrics(rows)
    if run.interrupted:
        again = "pipe the text again to" if run.corpus.name == "-" else "resume with"
        _OUT.print(f"stopped and saved; {again}: {_resume_command(out)}")
    if quiet or run.interrupted:
        return
    print(f"\nsample at temperature {FINAL_TEMPERATURE}:\n\n{visible(generate_final_sample(run))}")
    _OUT.print(f"\n{run.advice}")
    if run.advice.startswith(LONGER):
        again = ", pipe the text again to" if run.corpus.name == "-" else ""
        _OUT.print(f"to train longer{again}: {_longer_command(run, out, texts)}")
    more = ["--count", "20"] if run.config.lines else []
    _OUT.print(f"to generate more: {join_command('elman', 'sample', out, *more)}")


def _resume_command(out: Path, *more: str) -> str:
    return join_command("elman", "train", "--out", out, "--resume", *more)


def _longer_command(run: Run, out: Path, texts: Sequence[str | Path]) -> str:
    """Return the command that trains a run for twice as long; if the learning rate has decayed, it starts a new run."""
    limit = (flag(run.stopped), f"{round(2 * getattr(run.config, run.stopped), 3):.15g}")
    if run.config.schedule == "constant" or run.init_from is not None or not texts:
        return _resume_command(out, *limit)
    passed = ((each, getattr(run.config, each)) for each in sorted(TEXT_SETTINGS))
    pairs = [(flag(each), setting) for each, setting in passed if setting != getattr(Config, each)]
    settings = [word for pair in pairs for word in pair if word is not True]
    like = ["--out", Path(f"{out}-longer"), "--like", out]
    return join_command("elman", "train", *map(str, texts), *like, *limit, *settings)


def show_runs(rows: Sequence[dict[str, Any]]) -> None:
    """Print a table of the rows of `elman.list_runs`, with lines between runs that cannot be compared, and damage."""
    lines: list[Sequence[str]] = []
    for _, alike in groupby(rows, key=itemgetter("text_sha256", "reading")):
        comparable = [*alike]
        lines += [*([()] if lines else []), *map(_describe_row, comparable), *_describe_seeds(comparable)]
    numbers = ("size", "updates", "seconds", "train loss", "validation loss", "MB")
    _print_table(("run", "text", "cell", *numbers, "stopped"), lines, numbers)
    for row in rows:
        if row["error"]:
            print(f"warning: {row['error']}", file=sys.stderr)


LOSSES = ("train_loss", "validation_loss")


def _describe_row(row: dict[str, Any]) -> Sequence[str]:
    counts = f"{row['updates']:,}", f"{row['seconds']:,.1f}"
    losses = ("" if row[name] is None else f"{row[name]:.3f}" for name in LOSSES)
    status = row["stopped"] if row["status"] == "ended" else row["status"]
    status += f", {format_count(row['unsaved_updates'], 'update')} not saved" if row["unsaved_updates"] else ""
    return row["run"], *_describe_network(row), *counts, *losses, f"{row['bytes'] / 1e6:,.1f}", status


def _describe_network(row: dict[str, Any]) -> Sequence[str]:
    """Return the text, the cell and the size."""
    text = f"{row['text'] or ''} ({row['reading']})".removesuffix(" ()")
    if not row["hidden_size"]:
        return text, "" if row["cell"] is None else "counts", ""
    return text, row["cell"], f"{row['layers']} × {row['hidden_size']}".removeprefix("1 × ")


def _describe_seeds(rows: Sequence[dict[str, Any]]) -> Iterator[Sequence[str]]:
    """Yield a line for every group of runs that differ only in their seed, and for no other run."""
    settings = defaultdict[str, list[dict[str, Any]]](list)
    for row in rows:
        settings[row["setting"] or row["run"]].append(row)
    for alike in settings.values():
        known = [[row[name] for row in alike if row[name] is not None] for name in LOSSES]
        losses = [f"{mean(each):.3f} ± {stdev(each):.3f}" if len(each) > 1 else "" for each in known]
        if 1 < len(alike) == len({row["seed"] for row in alike}):
            yield f"{len(alike)} seeds: mean ± sd", *_describe_network(alike[0]), "", "", *losses, "", ""


def show_difference(difference: dict[str, list[Any]], first: Path, second: Path) -> None:
    """Print the settings in which two runs differ."""
    if not difference:
        _OUT.print("the settings are the same")
        return
    lines = [(name, *("none" if each is None else str(each) for each in both)) for name, both in difference.items()]
    _print_table(("setting", str(first), str(second)), lines)


def _print_table(titles: Sequence[str], lines: Iterable[Sequence[str]], numbers: Sequence[str] = ()) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="")
    for title in titles:
        table.add_column(Text(visible(title)), justify="right" if title in numbers else "left", no_wrap=True)
    for line in lines:
        table.add_row(*map(Text, map(visible, line)))
    _WIDE_OUT.print(table)


def show_gradient_checks(checks: list[GradientCheck]) -> None:
    """Print the relative errors: a column per experiment, a row per array."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for title, name in (("characters", "points"), ("hidden size", "hidden_size"), ("sequence length", "seq_length")):
        table.add_row(title, *(str(getattr(check, name)) for check in checks))
    for name in checks[0].relative_error:
        table.add_row(name, *(f"{check.relative_error[name]:.2e}" for check in checks))
    table.add_row("passed", *("yes" if check.passed else "NO" for check in checks))
    _OUT.print(table)


DELAY = 0.5  # seconds after which a bar appears
ShowDone = Callable[[float], None]  # called often, with the amount that is done


@contextmanager
def show_progress(
    title: str, total: float | None, *, quiet: bool, clock: Callable[[], float] = time.monotonic
) -> Iterator[ShowDone]:
    """Yield a function that shows how much is done; on a terminal, a bar that disappears at the end.

    The total is None if it is unknown; the amounts are then bytes. The clock returns the time in seconds.
    """
    if quiet:
        yield lambda done: None
        return
    console = StderrConsole()
    state = TextColumn("{task.fields[state]}", markup=False)
    columns = [TextColumn("{task.description}", markup=False), *([BarColumn(24)] if total else []), state]
    bar = Progress(*columns, console=console, auto_refresh=False, transient=True, get_time=clock)
    bar.add_task(visible(title), total=total, state="")
    (task,) = bar.tasks
    started = clock()
    due = started + (DELAY if console.is_watched else line_interval(0))

    def show(done: float) -> None:
        nonlocal due
        if (now := clock()) < due:
            return
        due = now + (REFRESH if console.is_watched else line_interval(now - started))
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
    """Return how much is done and, if it can be estimated, the time left."""
    if task.total is None:
        return f"{task.completed / 1e3:,.0f} kB"
    left = "" if task.time_remaining is None else f", {timedelta(seconds=task.time_remaining)} left"
    return f"{int(task.percentage)} %{left}"
