"""Progress as a bar with the latest sample below it, on a terminal or in a notebook."""

from __future__ import annotations

from typing import Any, Protocol

from rich.live import Live
from rich.padding import Padding
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from elman.runs.records import Sample
from elman.runs.run import Run
from elman.training.progress.console import StderrConsole, visible
from elman.training.progress.display import ProgressDisplay
from elman.training.progress.fields import describe_progress


class Screen(Protocol):
    """A place whose content can be replaced."""

    def show(self, line: str) -> None:
        """Show a line before there is a bar."""

    def update(self, content: Table) -> None:
        """Show the bar, in place of what was shown before."""

    def close(self) -> None:
        """Leave what is shown."""


class TerminalScreen:
    """The lines of a terminal in which the cursor is."""

    def __init__(self, console: StderrConsole) -> None:
        self.console, self.live = console, Live(console=console, auto_refresh=False)

    def show(self, line: str) -> None:
        """Print a line, which stays."""
        self.console.print(Text(line, style="dim"))

    def update(self, content: Table) -> None:
        """Show the bar."""
        self.live.start()
        self.live.update(content, refresh=True)

    def close(self) -> None:
        """Move the cursor below the bar."""
        self.live.stop()


class NotebookScreen:
    """An output of a notebook's cell, which is updated in place.

    Rich's own live display and tqdm's bar need ipywidgets there, and without a running kernel a saved notebook does not
    show widgets. An output that IPython updates needs neither: what it showed last is saved as HTML and as text.
    """

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, line: str) -> None:
        """Show a line until there is a bar."""
        self._display(Text(line, style="dim"))

    def update(self, content: Table) -> None:
        """Show the bar."""
        self._display(content)

    def close(self) -> None:
        """Leave the output as it is."""

    def _display(self, content: Table | Text) -> None:
        if self._handle is None:
            from IPython import display

            create: Any = display.display
            self._handle = create(content, display_id=True)
        else:
            self._handle.update(content)


class ProgressBar(ProgressDisplay):
    """A bar, and the latest sample below it.

    Parameters
    ----------
    console : StderrConsole
    """

    def __init__(self, console: StderrConsole) -> None:
        self.console = console
        self.screen: Screen = NotebookScreen() if console.is_jupyter else TerminalScreen(console)
        epoch, updates, left = (TextColumn(f"{{task.fields[{name}]}}") for name in ("epoch", "updates", "left"))
        self.progress = Progress(epoch, BarColumn(bar_width=24), updates, left, console=console)
        self.task: TaskID | None = None
        self.text = Text()

    def show(self, line: str) -> None:
        """Show the line."""
        self.screen.show(line)

    def on_progress(self, run: Run, updates: int) -> None:
        """Update the bar."""
        fraction, fields = min(1.0, run.state.update / updates), describe_progress(run, updates)
        if self.task is None or self.progress.tasks[0].completed > fraction:  # another training has started
            for task in self.progress.task_ids:
                self.progress.remove_task(task)
            self.task = self.progress.add_task("", total=1.0, **fields._asdict())
        self.progress.update(self.task, completed=fraction, **fields._asdict())
        content = Table.grid()
        content.add_row(self.progress)
        content.add_row(Text(", ".join(filter(None, (fields.losses, fields.speed)))))
        content.add_row(Padding(self.text, (1, 2)))
        self.screen.update(content)

    def on_sample(self, sample: Sample) -> None:
        """Show the sample from the next update of the bar on."""
        self.text = Text(visible(sample.text), style="dim")

    def on_warning(self, warning: str) -> None:
        """Print the warning."""
        self.console.print_line(f"warning: {warning}")

    def close(self) -> None:
        """Leave the bar as it is."""
        self.screen.close()
