"""What a path leads to, where the cache is, and the atomic replacement of files."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from elman.errors import option, quote, report_system_errors

# Unlike for `Path`, a path that is too long, has a zero byte or may not be read leads to nothing.
exists, is_directory, is_file = os.path.exists, os.path.isdir, os.path.isfile
# Unlike by `Path.resolve`, links stay as they are, and a pattern stays one.
make_absolute = os.path.abspath


def cache_dir() -> Path:
    """Return the directory of downloads and compiled kernels: `ELMAN_CACHE`, or the user's cache directory."""
    from platformdirs import user_cache_dir

    return Path(os.environ.get("ELMAN_CACHE") or user_cache_dir("elman"))


def kernel_dir() -> Path:
    """Return the directory that has a directory of compiled kernels for each version of their source."""
    return Path(os.environ.get("NUMBA_CACHE_DIR") or cache_dir())


_FULL = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})
"""Errors of a disk, a file or a quota that is full; Windows has no quotas."""

PARTIAL_SUFFIX = ".part"  # suffix of temporary files that are still being written

Data = bytes | Iterable[bytes | memoryview]  # the contents of a file; pieces may be computed while they are written


def write_output(path: Path, data: Data) -> None:
    """Write the file that ``--out`` names; a device or a pipe, such as /dev/stdout, is written to and not replaced."""
    with _report_errors(path):
        is_stream = path.is_char_device() or path.is_block_device() or path.is_fifo()
        # Standard output may be redirected to a file, to which /dev/stdout is a link.
        is_stream = is_stream or make_absolute(path).startswith(("/dev/", "/proc/"))
        if is_stream:
            with path.open("wb") as file:
                file.writelines(_pieces(data))
    if not is_stream:
        replace_file(path, data)


def replace_file(path: Path, data: Data) -> None:
    """Replace a file atomically: write a temporary file next to it, sync, rename, and sync the directory.

    A link, a pipe or a device is replaced like a file and not written to: a run directory may be someone else's.
    """
    replace_files({path: data})


def replace_files(contents: Mapping[Path, Data], *, remove: Sequence[Path] = ()) -> None:
    """Replace files as by `replace_file`, one after the other, once all of them are written and others removed."""
    suffix = f".{secrets.token_hex(4)}{PARTIAL_SUFFIX}"
    partials = {path: path.parent / f".{path.name}{suffix}" for path in contents}
    try:
        for path, partial in partials.items():
            with _report_errors(path), partial.open("xb") as file:  # with the permissions of any new file
                if path.is_dir() and not path.is_symlink():
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
                file.writelines(_pieces(contents[path]))
                file.flush()
                os.fsync(file.fileno())
        for path in remove:
            with _report_errors(path):
                path.unlink(missing_ok=True)
                sync_directory(path.parent)
        for path, partial in partials.items():
            with _report_errors(path):
                partial.replace(path)
                sync_directory(path.parent)
    finally:
        for partial in partials.values():
            with suppress(OSError):  # it was renamed, or its directory does not exist
                partial.unlink()


def _pieces(data: Data) -> Iterable[bytes | memoryview]:
    return (data,) if isinstance(data, bytes) else data


def _report_errors(path: Path) -> AbstractContextManager[None]:
    return report_system_errors(
        f"write {quote(path)}", lambda error: f"{suggest_write_remedy(error)}; an existing file is left unchanged"
    )


def suggest_write_remedy(error: OSError) -> str:
    """Return what to do about an output that cannot be written, after a colon."""
    return f": {'free disk space or ' if error.errno in _FULL else ''}choose another {option.out}"


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
