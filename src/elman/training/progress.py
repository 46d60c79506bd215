"""The progress of a run: a bar with the latest sample on a terminal and in a notebook, plain lines in a log."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from elman.errors import format_count
from elman.runs.history import Sample
from elman.text.alphabet import visible
from elman.training.callbacks import TrainingCallback
from elman.training.run import Run

SHORTEST_INTERVAL = 0.75
"""Seconds between two lines at first. Later, this is the minimum before a line with a validation. `on_progress` is
called twice per second, so that there is a line per second."""
LONGEST_INTERVAL = 5.0
"""Seconds between two lines later, unless there is a validation before."""
REFRESH = 0.1
"""Seconds between two updates of a bar."""


def line_interval(elapsed: float) -> float:
    """Return the seconds until the next line, which grow with the elapsed time."""
    return max(SHORTEST_INTERVAL, min(LONGEST_INTERVAL, elapsed / 20))


def describe_check(points: int, hidden_size: int, seq_length: int) -> str:
    """Return the sizes of a gradient check."""
    return f"{format_count(points, 'character')}, hidden size {hidden_size}, sequence length {seq_length}"


class StderrConsole(Console):
    """Standard error; in a notebook, the output of the cell."""

    def __init__(self) -> None:
        super().__init__(stderr=True)

    @property
    def is_watched(self) -> bool:
        """Whether it is a notebook or a terminal, where lines can be overwritten."""
        # Rich alone regards a log as a terminal if FORCE_COLOR is set, as it often is in CI.
        is_terminal = self.is_terminal and self.file.isatty() and not self.is_dumb_terminal
        return self.is_jupyter or is_terminal

    def print_line(self, line: str) -> None:
        """Print a line as it is, however long."""
        self.print(line, markup=False, highlight=False, soft_wrap=True)

    def print(self, *objects: Any, **options: Any) -> None:
        """Print, or stop printing if that is impossible, as for a log on a full disk; training continues."""
        try:
            super().print(*objects, **options)
        except OSError:
            self.on_broken_pipe()

    def on_broken_pipe(self) -> None:
        """Print nothing more; training continues."""
        self.quiet = True


class ProgressDisplay(TrainingCallback):
    """A training callback that shows the progress of one run after another; this base class shows nothing."""

    prints_samples = True
    """Whether every sample of the preset ``reference`` is printed, as the program of its report does."""

    def close(self) -> None:
        """End the display."""


def create_display(progress: bool | None, console: StderrConsole) -> ProgressDisplay:
    """Return the display for where the console writes; None shows progress on a terminal and in a notebook only."""
    if progress is False:
        return ProgressDisplay()
    if console.is_watched:
        return ProgressBar(console)
    return ProgressLines(console) if progress else ProgressDisplay()


class ProgressLines(ProgressDisplay):
    """Prints a line every few seconds, at validations and at the end."""

    def __init__(self, console: StderrConsole, clock: Callable[[], float] = time.monotonic) -> None:
        self.console, self.clock, self.started = console, clock, clock()
        self.due, self.validation_due, self.check_due = self.started + line_interval(0), self.started, self.started

    def on_notice(self, notice: str) -> None:
        """Print the notice."""
        self.console.print_line(notice)

    def on_gradient_check(self, points: int, hidden_size: int, seq_length: int, done: float) -> None:
        """Print a line if one is due."""
        if (now := self.clock()) >= self.check_due:
            self.started, self.check_due, self.due = now, now + SHORTEST_INTERVAL, now + SHORTEST_INTERVAL
            sizes = describe_check(points, hidden_size, seq_length)
            self.console.print_line(f"checking gradients: {sizes}: {int(100 * done)} %")

    def on_progress(self, run: Run, updates: int) -> None:
        """Print a line if one is due."""
        now = self.clock()
        validated_at = max((row.update for row in run.metrics[-1:] if row.validation_loss is not None), default=0)
        is_due = now >= self.due or (now >= self.validation_due and validated_at == run.state.update)
        if is_due or run.state.update >= updates:
            self.due, self.validation_due = now + line_interval(now - self.started), now + SHORTEST_INTERVAL
            self.console.print_line(", ".join(filter(None, describe_progress(run, updates).values())))

    def on_sample(self, run: Run, sample: Sample) -> None:
        """Print a sample of the preset ``reference`` with the smooth loss, except for the sample at the end."""
        if self.prints_samples and run.preset == "reference" and not run.stopped:
            S, T = sample.smooth_loss, run.config.seq_length
            loss = "" if S is None else f", smooth loss {T * S:.2f} nats per {T} characters ({S:.3f} nats/char)"
            self.console.print_line(f"update {sample.update:,}{loss}:\n{visible(sample.text)}\n")

    def on_warning(self, warning: str) -> None:
        """Print the warning."""
        self.console.print_line(f"warning: {warning}")


class ProgressBar(ProgressLines):
    """A bar, and the latest sample below it."""

    def __init__(self, console: StderrConsole, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(console, clock)
        from rich.live import Live  # importing these is slow
        from rich.progress import BarColumn, Progress, TextColumn

        self.output: Any = None  # of a notebook's cell
        self.live = Live(console=console, auto_refresh=False)
        epoch, updates, left = (TextColumn(f"{{task.fields[{name}]}}") for name in ("epoch", "updates", "left"))
        self.progress = Progress(epoch, BarColumn(bar_width=24), updates, left, console=console)
        self.task = self.progress.add_task("", total=1.0, epoch="", updates="", left="")
        self.text = Text()

    def on_notice(self, notice: str) -> None:
        """Show the notice."""
        text = Text(notice, style="dim")
        if self.console.is_jupyter:
            self._update_output(text)
        else:
            self.console.print(text)

    def on_gradient_check(self, points: int, hidden_size: int, seq_length: int, done: float) -> None:
        """Update the bar, a few times per second."""
        if (now := self.clock()) >= self.check_due:
            self.check_due = now + REFRESH
            fields = {"epoch": "checking gradients", "updates": f"{int(100 * done)} %", "left": ""}
            self.progress.update(self.task, completed=done, **fields)  # type: ignore[arg-type]
            self._show(Text(describe_check(points, hidden_size, seq_length)))

    def on_progress(self, run: Run, updates: int) -> None:
        """Update the bar."""
        fields = describe_progress(run, updates)
        self.progress.update(self.task, completed=min(1.0, run.state.update / updates), **fields)  # type: ignore[arg-type]
        self._show(Text(", ".join(filter(None, (fields["losses"], fields["speed"])))), Padding(self.text, (1, 2)))

    def _show(self, *lines: Text | Padding) -> None:
        """Show the bar, and lines below it."""
        content = Table.grid()
        for line in (self.progress, *lines):
            content.add_row(line)
        if self.console.is_jupyter:
            self._update_output(content)
        else:
            self.live.start()
            self.live.update(content, refresh=True)

    def on_sample(self, run: Run, sample: Sample) -> None:
        """Show the sample from the next update of the bar on."""
        super().on_sample(run, sample)
        self.text = Text(visible(sample.text), style="dim")

    def close(self) -> None:
        """Leave the bar as it is."""
        self.live.stop()

    def _update_output(self, content: Table | Text) -> None:
        """Show a line or the bar in a notebook, in place of what was shown before.

        Rich's live display and tqdm's bar need ipywidgets, which a saved notebook does not show without a kernel. An
        output that IPython updates is saved in its last state, as HTML and as text.
        """
        if self.output is None:
            from IPython import display

            create: Any = display.display
            self.output = create(content, display_id=True)
        else:
            self.output.update(content)


def describe_progress(run: Run, updates: int) -> dict[str, str]:
    """Describe the progress of a run that is expected to have so many updates.

    The epochs are counted from 1, with their number if no other limit ends the run. The average speed so far and the
    time left are empty after the first update, whose time says little.
    """
    state, config = run.state, run.config
    epoch = min(state.epoch + 1, config.epochs)
    ends_by_epochs = config.max_seconds is None and config.max_updates is None
    seconds_per_update = state.seconds / state.update
    speed = config.chars_per_update / seconds_per_update if seconds_per_update else 0
    losses = {"train": run.train_loss, "validation": run.history.latest_validation_loss}
    known = [f"{name} loss {loss:.3f}" for name, loss in losses.items() if loss is not None]
    left = timedelta(seconds=round(max(0, updates - state.update) * seconds_per_update))
    return {
        "epoch": f"epoch {epoch}/{config.epochs}" if ends_by_epochs else f"epoch {epoch}",
        "updates": f"update {state.update:,}/{updates:,}",
        "losses": f"{', '.join(known)} nats/char",
        "speed": f"{speed:,.0f} chars/s" if state.update > 1 else "",
        "left": f"{left} left" if state.update > 1 else "",
    }
