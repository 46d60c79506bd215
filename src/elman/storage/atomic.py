"""Atomic replacement of files."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from elman.errors import ElmanError

PART = ".part"
"""What the names of files end in that are not whole yet."""


def replace_file(path: Path, data: bytes) -> None:
    """Replace `path` by `data` at one stroke: written beside, synced, renamed, and the directory synced.

    Raises
    ------
    ElmanError
        If the system refuses; what was there before is untouched.
    """
    try:
        handle, name = tempfile.mkstemp(PART, f".{path.name}.", path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(0o666 & ~_umask())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        sync_directory(path.parent)
    except OSError as error:
        raise ElmanError(
            f"cannot write {str(path)!r} ({error.strerror}): make room or choose another --out; "
            "what was there before is untouched"
        ) from error


def sync_directory(folder: Path) -> None:
    """Have the new name of a file outlive a loss of power, not only its contents."""
    if os.name != "posix":  # elsewhere a directory cannot be opened
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some file systems do without
            raise
    finally:
        os.close(handle)


def _umask() -> int:
    """The permissions that new files do without; there is no way to read them but to set them."""
    os.umask(mask := os.umask(0))
    return mask
