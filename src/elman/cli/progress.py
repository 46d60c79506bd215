"""The progress of a command that may take minutes, on standard error: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.progress import BarColumn, Progress, TextColumn

from elman.engine.compilation import COMPILING, watch_compilation
from elman.training.progress import INTERVAL, StderrConsole, visible

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
    """Yield a function that shows how much of something is done; a bar disappears at the end of the block.

    Parameters
    ----------
    title : str
        What is being done.
    total : float or None
        How much there is to do. None if it is not known: then it is bytes that are done.
    quiet : bool
        Whether to show nothing.
    clock : callable
        Returns the time in seconds.
    """
    console = StderrConsole()
    if quiet:
        yield lambda done: None
        return
    with watch_compilation(lambda: console.print(COMPILING, highlight=False)):
        if console.is_watched:
            with _bar(title, total, console, clock) as show:
                yield show
        else:
            yield _lines(title, total, console, clock)


class _Rate:
    """Estimates the time left, from when something is first known to be done: before, kernels may be compiled.

    Parameters
    ----------
    total : float or None
        As in `show_progress`.
    """

    def __init__(self, total: float | None) -> None:
        self.total = total
        self.first: tuple[float, float] | None = None

    def describe(self, done: float, now: float) -> str:
        """Return how much is done and, where it can be estimated, the time left."""
        if self.total is None:
            return f"{done / 1e3:,.0f} kB"
        then, before = self.first = self.first or (now, done)
        percent = f"{int(100 * done / self.total)} %"
        if done == before:
            return percent
        left = timedelta(seconds=round((now - then) * (self.total - done) / (done - before)))
        return f"{percent}, {left} left"


@contextmanager
def _bar(title: str, total: float | None, console: StderrConsole, clock: Callable[[], float]) -> Iterator[ShowDone]:
    state = TextColumn("{task.fields[state]}", markup=False)
    columns = [TextColumn("{task.description}", markup=False), *([BarColumn(24)] if total else []), state]
    bar = Progress(*columns, console=console, auto_refresh=False, transient=True)
    task = bar.add_task(visible(title), total=total, state="")
    rate, due = _Rate(total), clock() + DELAY

    def show(done: float) -> None:
        nonlocal due
        if (now := clock()) >= due:
            due = now + REFRESH
            bar.start()
            bar.update(task, completed=done, state=rate.describe(done, now))
            bar.refresh()

    try:
        yield show
    finally:
        bar.stop()


def _lines(title: str, total: float | None, console: StderrConsole, clock: Callable[[], float]) -> ShowDone:
    rate, due = _Rate(total), clock() + INTERVAL

    def show(done: float) -> None:
        nonlocal due
        if (now := clock()) >= due:
            due = now + INTERVAL
            console.print_line(f"{title}: {rate.describe(done, now)}")

    return show
