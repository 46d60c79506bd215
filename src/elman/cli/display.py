"""What the commands show: progress while training, tables at the end."""

from __future__ import annotations

import signal
import threading
import unicodedata
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.padding import Padding
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from elman.runs.records import Sample
from elman.runs.run import Run
from elman.training.gradcheck import GradientCheck


class _Terminal(Console):
    """Standard output. That nobody reads it any more is for the command line to handle, as it is for every command."""

    def on_broken_pipe(self) -> None:
        """Pass it on; Rich itself would end the process, with the exit code of a check that failed."""
        raise BrokenPipeError


_OUT = _Terminal(soft_wrap=True, highlight=False)

_STOPPING = (signal.SIGINT, signal.SIGTERM)


def visible(text: str) -> str:
    """Return a text whose control characters, but for tabs and line feeds, are the pictures of themselves."""
    return "".join(c if c in "\t\n" or unicodedata.category(c) != "Cc" else _picture(c) for c in text)


def _picture(control: str) -> str:
    return chr(0x2400 + ord(control)) if ord(control) < 0x20 else "\N{SYMBOL FOR DELETE}"


class TrainingDisplay:
    """The watcher on the terminal: a progress line and the latest text below it, on standard error.

    Ctrl-C, or a request to end from the system, asks the run to save and stop; a second one interrupts at once.
    """

    def __init__(self) -> None:
        self.console = Console(stderr=True)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[updates]} updates"),
            TextColumn("smooth loss {task.fields[smooth_loss]}"),
            TextColumn("{task.fields[validation]}"),
            TextColumn("{task.fields[speed]} characters/s"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=self.console,
        )
        self.task: TaskID | None = None
        self.text = Text()
        self.live = Live(console=self.console, auto_refresh=False, transient=False)
        self.stop = threading.Event()
        self.before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> TrainingDisplay:
        if threading.current_thread() is threading.main_thread():
            self.before = {number: signal.signal(number, self._interrupt) for number in _STOPPING}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live.is_started:
            self.live.stop()
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.stop.is_set():
            raise KeyboardInterrupt
        self.stop.set()
        self.console.print("stopping: the run is being saved (Ctrl-C again to stop at once)")

    def on_compile(self) -> None:
        """Say what the wait is for."""
        self._show("preparing the kernels: the first time they are compiled, which takes some seconds …")

    def on_gradient_check(self, points: int, hidden_size: int, seq_length: int) -> None:
        """Say which gradient check is under way."""
        self._show(f"checking gradients: {points} characters, m = {hidden_size}, T = {seq_length} …")

    def _show(self, line: str) -> None:
        if self.console.is_terminal:
            self.console.print(Text(line, style="dim"))

    def on_progress(self, run: Run, updates: int) -> None:
        """Move the bar."""
        if not self.console.is_terminal:
            return
        state, fields = run.state, progress_fields(run, updates)
        share = min(1.0, state.update / updates)
        if self.task is None or self.progress.tasks[0].completed > share:  # another training, with more to come
            for task in self.progress.task_ids:
                self.progress.remove_task(task)
            self.task = self.progress.add_task(total=1.0, **fields)
        self.progress.update(self.task, completed=share, **fields)
        if not self.live.is_started:
            self.live.start()
        self.live.update(Group(self.progress, Padding(self.text, (1, 2))), refresh=True)

    def on_sample(self, sample: Sample) -> None:
        """Show the latest text."""
        self.text = Text(visible(sample.text), style="dim")

    def on_warning(self, warning: str) -> None:
        """Say so in one line, on a terminal or not."""
        self.console.print(f"warning: {warning}", markup=False, highlight=False, soft_wrap=True)

    def should_stop(self) -> bool:
        """Whether Ctrl-C was pressed."""
        return self.stop.is_set()


def progress_fields(run: Run, updates: int) -> dict[str, Any]:
    """What the progress line says of a run that will have so many updates, as far as is known."""
    state, config = run.state, run.config
    epoch = min(state.epoch + 1, config.epochs)
    ends_by_epochs = config.max_seconds is None and config.max_updates is None
    speed = state.update * config.chars_per_update / state.seconds if state.seconds else 0
    return {
        "description": f"epoch {epoch}/{config.epochs}" if ends_by_epochs else f"epoch {epoch}",
        "updates": f"{state.update:,}/{updates:,}",
        "smooth_loss": f"{state.smooth_loss:.2f}",
        "validation": "" if run.latest_validation_loss is None else f"validation loss {run.latest_validation_loss:.3f}",
        "speed": f"{speed:,.0f}",
    }


def show_figures(figures: dict[str, Any]) -> None:
    """Print names and numbers in two columns."""
    table = Table.grid(padding=(0, 2))
    for name, value in figures.items():
        table.add_row(name.replace("_", " "), _number(value))
    _OUT.print(table)


def _number(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or "none"
    return f"{value:,.4f}" if isinstance(value, float) else f"{value:,}"


def show_results(run: Run, out: Path) -> None:
    """Print the outcome of a training, what the network writes now, and what to do next."""
    show_figures({name: value for name, value in run.results().items() if name != "advice"})
    if run.interrupted:
        _OUT.print(f"\nstopped and saved; go on with: elman train … --out {out} --resume", markup=False)
        return
    print(f"\n{visible(run.final_sample())}\n")
    _OUT.print(run.advice, markup=False)
    _OUT.print(f"more text: elman sample {out}", markup=False)


def show_gradient_checks(checks: list[GradientCheck]) -> None:
    """Print the errors of each experiment."""
    names = list(checks[0].relative_error)
    rows = [["chars", "m", "T", *names, "passed"]]
    for check in checks:
        errors = [f"{check.relative_error[name]:.2e}" for name in names]
        numbers = [str(n) for n in (check.points, check.hidden_size, check.seq_length)]
        rows.append([*numbers, *errors, "yes" if check.passed else "NO"])
    if len(names) > 7:  # too many for the width of a terminal
        rows = [list(column) for column in zip(*rows, strict=True)]
    table = Table(*rows[0], box=None, padding=(0, 1, 0, 0), header_style="bold")
    for row in rows[1:]:
        table.add_row(*row)
    _OUT.print(table)


def show_report(results: dict[str, Any], out: Path) -> None:
    """Print where the report is."""
    short, last = results["short"], results["long"] or results["short"]
    _OUT.print(
        f"minimum smooth loss {short['minimum_smooth_loss']:.2f} after {short['epochs']} epochs, "
        f"{last['minimum_smooth_loss']:.2f} after {last['epochs']}; "
        f"gradients {'agree' if results['gradient_check']['passed'] else 'DO NOT agree'} with central differences",
        markup=False,
    )
    _OUT.print(f"the report: {out / 'report.html'} (also report.md, the figures, results.json and run/)", markup=False)
