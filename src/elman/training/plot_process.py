"""A process that imports Matplotlib while a training starts, and draws the plot of its losses at the end.

The import takes longer than a small training does. Here it runs on another core, while this process imports Numba.
"""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

from elman.processes import thread_count

TIMEOUT = 60.0
"""Seconds that drawing may take, before the process is given up; the first time, Matplotlib indexes all fonts."""

_process = ContextVar[subprocess.Popen[bytes] | None]("_process", default=None)


@contextmanager
def plot_process() -> Iterator[None]:
    """Let a process draw the plots of the trainings in the block. It ends with the block, or when this process does."""
    process = start_process() if find_spec("matplotlib") is not None and thread_count() > 1 else None
    token = _process.set(process)
    try:
        yield
    finally:
        _process.reset(token)
        if process is not None:
            with process:  # closes the pipe, and waits
                process.terminate()


def start_process() -> subprocess.Popen[bytes] | None:
    """Start the process, or return None if that is not possible: it is not needed."""
    if not sys.executable:  # in a program that embeds Python
        return None
    with suppress(OSError):
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "elman.training.plot_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in a terminal saves the run, whose plot is then drawn
        )
    return None


def draw(directory: Path) -> bool:
    """Draw the plot of the run in a directory; return whether a process has done it."""
    process = _process.get()
    if process is None or process.poll() is not None:
        return False
    try:
        process.communicate(os.fsencode(directory.absolute()), TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    return process.returncode == 0


def main() -> None:
    """Draw the plot of the run whose path is the standard input; of none if that is empty."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))  # so that Matplotlib removes temporary files
    gc.disable()  # imports create no cycles to free
    from elman.runs.directory import RunDirectory
    from elman.runs.plots import LossCurve, create_figure, plot_losses, save_figure

    create_figure("")[0].savefig(BytesIO())  # imports what drawing needs before the path arrives
    path = sys.stdin.buffer.read()
    if path:
        directory = RunDirectory(Path(os.fsdecode(path)))
        save_figure(plot_losses([LossCurve.of_directory(directory)]), directory.plot_path)


if __name__ == "__main__":
    main()
