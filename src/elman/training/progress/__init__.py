"""The progress of a training, shown on standard error or in a notebook.

A bar with the latest sample on a terminal and in a notebook; elsewhere plain lines, as for a log.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from elman.training.progress.display import ProgressDisplay

if TYPE_CHECKING:
    from elman.training.progress.console import StderrConsole


def create_display(progress: bool | None, console: StderrConsole) -> ProgressDisplay:
    """Return the display for where the console writes.

    Parameters
    ----------
    progress : bool or None
        Whether to show progress; None shows it on a terminal and in a notebook only.
    console : StderrConsole
    """
    from elman.training.progress.bar import ProgressBar
    from elman.training.progress.lines import ProgressLines

    if progress is False:
        return ProgressDisplay()
    if console.is_watched:
        return ProgressBar(console)
    return ProgressLines(console) if progress else ProgressDisplay()


@contextmanager
def open_display(progress: bool | None) -> Iterator[ProgressDisplay]:
    """Yield a display on standard error, as `create_display`, which ends with the block."""
    if progress is False:  # Rich is not imported
        yield ProgressDisplay()
        return
    from elman.training.progress.console import StderrConsole

    display = create_display(progress, StderrConsole())
    try:
        yield display
    finally:
        display.close()
