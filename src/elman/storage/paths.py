"""What a path leads to: unlike for `Path`, one that is too long, has a zero byte or may not be read has no target."""

from __future__ import annotations

import os


def exists(path: str | os.PathLike[str]) -> bool:
    """Return whether there is a file, a directory or anything else."""
    return os.path.exists(path)  # noqa: PTH110


def is_directory(path: str | os.PathLike[str]) -> bool:
    """Return whether it is a directory or a link to one."""
    return os.path.isdir(path)  # noqa: PTH112


def is_file(path: str | os.PathLike[str]) -> bool:
    """Return whether it is a regular file or a link to one."""
    return os.path.isfile(path)  # noqa: PTH113


def make_absolute(path: str | os.PathLike[str]) -> str:
    """Return the path from the root; unlike by `Path.resolve`, links stay as they are, and a pattern stays one."""
    return os.path.abspath(path)  # noqa: PTH100
