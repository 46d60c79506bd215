"""Arguments that are run directories, or directories that contain some."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from elman.errors import ElmanError

T = TypeVar("T")


def read_runs(paths: Sequence[Path], read: Callable[[Path, str], T]) -> list[T]:
    """Read the runs in directories, and warn of those that cannot be read.

    Parameters
    ----------
    paths : sequence of Path
        Run directories, and directories that are searched for them.
    read : callable
        Reads a run directory, and is told under which name to show it.

    Raises
    ------
    ElmanError
        If one of `paths` is itself a run that cannot be read, or contains no run.
    """
    found = list(dict.fromkeys(run for path in paths for run in _runs_in(path)))
    return [item for path in found for item in _read(path, name_run(path, found), read, must=path in paths)]


def _runs_in(path: Path) -> list[Path]:
    """Return the runs in a directory, or the path itself, whose error tells what it lacks."""
    from elman.runs.saved_runs import find_runs

    return (find_runs(path) if path.is_dir() else []) or [path]


def _read(path: Path, name: str, read: Callable[[Path, str], T], *, must: bool) -> list[T]:
    try:
        return [read(path, name)]
    except ElmanError as error:
        if must:
            raise
        print(f"warning: {error}", file=sys.stderr)
        return []


def name_run(path: Path, others: Sequence[Path]) -> str:
    """Return the name of a run directory or, where another one has the same name, its path."""
    name = path.resolve().name
    return name if sum(other.resolve().name == name for other in others) == 1 else str(path)
