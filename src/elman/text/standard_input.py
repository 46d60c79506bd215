"""Standard input as a text, and whether a text was piped to it."""

from __future__ import annotations

import os
import select
import stat
import sys
from io import BufferedReader
from typing import IO, cast

from elman.errors import ElmanError

PIPE_SECONDS = 5.0
"""How long a pipe may take to deliver its first bytes."""


def open_standard_input() -> IO[bytes]:
    """Return standard input as a stream of bytes.

    Raises
    ------
    ElmanError
        If the parent process closed it.
    """
    if sys.stdin is None:
        raise ElmanError("standard input is closed: use a file")
    return sys.stdin.buffer


def is_pipe() -> bool:
    """Whether standard input is a pipe."""
    try:
        return stat.S_ISFIFO(os.fstat(sys.stdin.fileno()).st_mode)
    except (AttributeError, OSError, ValueError):  # closed, or replaced by another object
        return False


def is_empty_pipe() -> bool:
    """Whether standard input is a pipe that has ended; one that is still open may deliver something."""
    if not is_pipe():
        return False
    try:
        ready, _, _ = select.select([sys.stdin.fileno()], [], [], 0)
        return bool(ready) and not cast(BufferedReader, sys.stdin.buffer).peek(1)
    except (OSError, ValueError):  # a pipe on Windows
        return False


def has_piped_text(seconds: float | None = None) -> bool:
    """Whether standard input is a pipe that delivers bytes, or a file redirected to it that is not empty.

    A terminal, the null device and a closed standard input are not; nor is a socket, which some programs pass to
    their children, or a file that was read in part, as the list that a shell loop reads. The pipe of another program
    may stay open without ever delivering anything.

    Parameters
    ----------
    seconds : float, optional
        How long to wait for the first bytes of a pipe; by default `PIPE_SECONDS`. A pipe that has ended is not
        waited for.
    """
    try:
        descriptor = sys.stdin.fileno()
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode):
            return os.lseek(descriptor, 0, os.SEEK_CUR) == 0 < status.st_size
        if not is_pipe():
            return False
        ready, _, _ = select.select([descriptor], [], [], PIPE_SECONDS if seconds is None else seconds)
        return bool(ready) and bool(cast(BufferedReader, sys.stdin.buffer).peek(1))
    except (AttributeError, OSError, ValueError):  # closed, replaced by another object, or a pipe on Windows
        return False
