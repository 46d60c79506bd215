"""Terminal output: progress during training, tables at the end. Losses are in nats per character."""

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
from elman.training.callbacks import TrainingCallback
from elman.training.gradcheck import GradientCheck


class Terminal(Console):
    """Standard output."""

    def on_broken_pipe(self) -> None:
        """Leave a closed pipe to `elman.cli.app.main`; Rich itself would exit with the code of a failed check."""
        raise BrokenPipeError


class Stderr(Console):
    """Standard error."""

    def on_broken_pipe(self) -> None:
        """Print nothing more; training continues."""
        self.quiet = True


_OUT = Terminal(soft_wrap=True, highlight=False)

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def visible(text: str) -> str:
    """Return a text with a visible symbol for every control character except tabs and line feeds."""
    return "".join(c if c in "\t\n" or unicodedata.category(c) != "Cc" else _symbol(c) for c in text)


def _symbol(control: str) -> str:
    return chr(0x2400 + ord(control)) if ord(control) < 0x20 else "\N{SYMBOL FOR DELETE}"


class TrainingDisplay(TrainingCallback):
    """The progress of a training on standard error: a progress bar, and the latest sample below it.

    SIGINT (Ctrl-C) or SIGTERM makes the run save and stop; a second one interrupts at once.
    """

    def __init__(self) -> None:
        self.console = Stderr(stderr=True)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[updates]} updates"),
            TextColumn("{task.fields[loss]}"),
            TextColumn("{task.fields[speed]} chars/s"),
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
        if self.stop.is_set():
            raise KeyboardInterrupt
        self.stop.set()
        self.console.print("stopping: saving the run (press Ctrl-C again to stop at once)")

    def on_compile(self) -> None:
        """Show what the delay is for."""
        self._show("compiling kernels (first run only, takes a few seconds) …")

    def on_gradient_check(self, points: int, hidden_size: int, seq_length: int) -> None:
        """Show which gradient check is running."""
        self._show(
            f"checking gradients: {points} characters, hidden size {hidden_size}, sequence length {seq_length} …"
        )

    def _show(self, line: str) -> None:
        if self.console.is_terminal:
            self.console.print(Text(line, style="dim"))

    def on_progress(self, run: Run, updates: int) -> None:
        """Update the progress bar."""
        if not self.console.is_terminal:
            return
        state, fields = run.state, progress_fields(run, updates)
        fraction = min(1.0, state.update / updates)
        if self.task is None or self.progress.tasks[0].completed > fraction:  # another training has started
            for task in self.progress.task_ids:
                self.progress.remove_task(task)
            self.task = self.progress.add_task(total=1.0, **fields)
        self.progress.update(self.task, completed=fraction, **fields)
        if not self.live.is_started:
            self.live.start()
        self.live.update(Group(self.progress, Padding(self.text, (1, 2))), refresh=True)

    def on_sample(self, sample: Sample) -> None:
        """Show the latest sample."""
        self.text = Text(visible(sample.text), style="dim")

    def on_warning(self, warning: str) -> None:
        """Print a warning in one line, on a terminal or not."""
        self.console.print(f"warning: {warning}", markup=False, highlight=False, soft_wrap=True)

    def should_stop(self) -> bool:
        """Whether Ctrl-C was pressed."""
        return self.stop.is_set()


def progress_fields(run: Run, updates: int) -> dict[str, Any]:
    """Return the fields of the progress line of a run that is expected to have so many updates."""
    state, config = run.state, run.config
    epoch = min(state.epoch + 1, config.epochs)
    ends_by_epochs = config.max_seconds is None and config.max_updates is None
    speed = state.update * config.chars_per_update / state.seconds if state.seconds else 0
    loss = f"smooth loss {state.smooth_loss / config.seq_length:.3f}"
    if run.latest_validation_loss is not None:
        loss += f", validation loss {run.latest_validation_loss:.3f}"
    return {
        "description": f"epoch {epoch}/{config.epochs}" if ends_by_epochs else f"epoch {epoch}",
        "updates": f"{state.update:,}/{updates:,}",
        "loss": f"{loss} nats/char",
        "speed": f"{speed:,.0f}",
    }


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
    """Return the results of a training for the table at its end, with losses in nats per character."""
    rows = {name: value for name, value in run.results().items() if name != "advice"}
    for name in ("smooth_loss", "minimum_smooth_loss"):
        if rows[name] is not None:
            rows[name] /= run.config.seq_length
    for name in ("smooth_loss", "minimum_smooth_loss", "validation_loss"):
        if rows[name] is not None:
            rows[name] = f"{_format_value(rows[name])} nats/char"
    return {"selected_update" if name == "kept_update" else name: value for name, value in rows.items()}


def show_results(run: Run, out: Path) -> None:
    """Print the results of a training, a sample, and the next step."""
    show_metrics(result_rows(run))
    if run.interrupted:
        _OUT.print(f"\nstopped and saved; resume with: elman train … --out {out} --resume", markup=False)
        return
    print(f"\n{visible(run.final_sample())}\n")
    _OUT.print(run.advice, markup=False)
    _OUT.print(f"to generate more: elman sample {out}", markup=False)


def show_gradient_checks(checks: list[GradientCheck]) -> None:
    """Print the relative errors: a column per experiment, a row per array."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for title, attribute in (
        ("characters", "points"),
        ("hidden size", "hidden_size"),
        ("sequence length", "seq_length"),
    ):
        table.add_row(title, *(str(getattr(check, attribute)) for check in checks))
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
        f"gradients {'agree' if results['gradient_check']['passed'] else 'DO NOT agree'} with central differences",
        markup=False,
    )
    _OUT.print(f"report: {out / 'report.html'} (also report.md, the plots, results.json and run/)", markup=False)
