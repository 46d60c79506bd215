"""Atomic replacement of files."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from elman.errors import ElmanError, quote

_FULL = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})
"""Errors of a disk, a file or a quota that is full; Windows has no quotas."""

PARTIAL_SUFFIX = ".part"
"""Suffix of temporary files that are still being written."""


def replace_file(path: Path, data: bytes | Iterable[bytes]) -> None:
    """Replace a file atomically: write a temporary file next to it, sync, rename, and sync the directory.

    Pieces of data may be computed while they are written. What is no file, such as /dev/null or a named pipe, is
    written to.

    Raises
    ------
    ElmanError
        If the file cannot be written; an existing file is left unchanged.
    """
    pieces = (data,) if isinstance(data, bytes) else data
    try:
        if path.is_char_device() or path.is_block_device() or path.is_fifo():
            with path.open("wb") as file:
                file.writelines(pieces)
        else:
            _replace(path, pieces)
    except OSError as error:
        raise ElmanError(
            f"cannot write {quote(path)} ({error.strerror}): {suggest_write_remedy(error)}; an existing file is left"
            " unchanged"
        ) from error


def _replace(path: Path, pieces: Iterable[bytes]) -> None:
    partial = path.parent / f".{path.name}.{secrets.token_hex(4)}{PARTIAL_SUFFIX}"
    file = partial.open("xb")  # unlike a file of `tempfile`, with the permissions of any new file
    try:
        with file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def suggest_write_remedy(error: OSError) -> str:
    """Return what to do about an output that cannot be written."""
    return f"{'free disk space or ' if error.errno in _FULL else ''}choose another --out"


def sync_directory(directory: Path) -> None:
    """Sync a directory, so that a renamed file survives a power loss under its new name."""
    if os.name != "posix":  # other systems cannot open a directory
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # not supported by some file systems
            raise
    finally:
        os.close(handle)
