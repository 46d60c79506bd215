"""Tests of paths, the cache directory, the atomic replacement of files, and parsers of untrusted content."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import secrets
import stat
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from elman.errors import MAX_INT, ElmanError, option, quote, report_system_errors

# Unlike the methods of `Path`, these return False for a path that is too long, has a zero byte or may not be read.
exists, is_directory, is_file = os.path.exists, os.path.isdir, os.path.isfile
# Unlike `Path.resolve`, this keeps links and glob patterns.
make_absolute = os.path.abspath


def real_path(path: Path) -> Path:
    """Return an absolute path without links; `Path.resolve` raises RuntimeError for a link to itself."""
    return Path(os.path.realpath(path))


def cache_dir() -> Path:
    """Return the directory of downloads and compiled kernels: `ELMAN_CACHE`, or the user's cache directory."""
    from platformdirs import user_cache_dir

    return Path(os.environ.get("ELMAN_CACHE") or user_cache_dir("elman"))


def writable_cache_dir() -> Path:
    """Return the directory in which downloads and temporary files are written.

    It is `cache_dir`, or the user's cache directory if `ELMAN_CACHE` names one that this user can only read.
    """
    from platformdirs import user_cache_dir

    directory = cache_dir()
    return Path(user_cache_dir("elman")) if exists(directory) and not os.access(directory, os.W_OK) else directory


def kernel_dir() -> Path:
    """Return the directory of compiled kernels, which has a subdirectory for each version of their source."""
    return Path(os.environ.get("NUMBA_CACHE_DIR") or cache_dir())


_FULL = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})
"""Error numbers of a full disk, file or quota; Windows has no quotas."""

PARTIAL_SUFFIX = ".part"  # suffix of temporary files that are still being written

Data = bytes | Iterable[bytes | memoryview]  # the contents of a file; pieces may be computed while they are written


def write_output(path: Path, data: Data) -> None:
    """Write the file that ``--out`` names; a device or a pipe, such as /dev/stdout, is written to and not replaced."""
    with _report_errors(path):
        is_stream = path.is_char_device() or path.is_block_device() or path.is_fifo()
        # If standard output is redirected to a file, /dev/stdout is a link to it.
        if is_stream or make_absolute(path).startswith(("/dev/", "/proc/")):
            with path.open("wb") as file:
                file.writelines(_pieces(data))
            return
    replace_file(path, data)


def replace_file(path: Path, data: Data) -> None:
    """Replace a file atomically: write a temporary file next to it, sync, rename, and sync the directory.

    A link, a pipe or a device is replaced like a file and not written to: a run directory may be someone else's.
    """
    replace_files({path: data})


def replace_files(contents: Mapping[Path, Data], *, remove: Sequence[Path] = (), place: str = "") -> None:
    """Write all files, remove others, and then replace one file after the other as `replace_file` does.

    An error suggests another `place`, by default another ``--out``.
    """
    partials = {path: path.parent / f".elman-{os.getpid()}-{secrets.token_hex(4)}{PARTIAL_SUFFIX}" for path in contents}
    for directory in {path.parent for path in contents}:
        remove_abandoned(directory)
    try:
        for path, partial in partials.items():
            with _report_errors(path, place), partial.open("xb") as file:  # with the default permissions of new files
                if path.is_dir() and not path.is_symlink():
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
                file.writelines(_pieces(contents[path]))
                file.flush()
                os.fsync(file.fileno())
        for path in remove:
            with _report_errors(path, place):
                path.unlink(missing_ok=True)
                sync_directory(path.parent)
        for path, partial in partials.items():
            with _report_errors(path, place):
                partial.replace(path)
                sync_directory(path.parent)
    finally:
        for partial in partials.values():
            with suppress(OSError):  # the file was renamed, or its directory does not exist
                partial.unlink()


def remove_abandoned(directory: Path, *, is_locked: bool = False) -> None:
    """Remove the temporary files of processes that were killed while they wrote to a directory.

    A file with the ID of this process is removed if only this process may write there: in a container, every process
    may have the same ID.
    """
    if os.name != "posix" or not is_directory(directory):  # on Windows the signal would end the process
        return
    for path in directory.glob(f".elman-*{PARTIAL_SUFFIX}"):
        with suppress(OSError, ValueError, OverflowError):  # it may be removed by now, or have any name
            number = int(path.name.split("-")[1])
            try:
                os.kill(number, 0)
            except ProcessLookupError:
                path.unlink()
            else:
                if is_locked and number == os.getpid():
                    path.unlink()


def _pieces(data: Data) -> Iterable[bytes | memoryview]:
    return (data,) if isinstance(data, bytes) else data


def _report_errors(path: Path, place: str = "") -> AbstractContextManager[None]:
    return report_system_errors(
        f"write {quote(path)}",
        lambda error: f"{suggest_write_remedy(error, place)}; an existing file is left unchanged",
    )


def suggest_write_remedy(error: OSError, place: str = "") -> str:
    """Return the remedy for an output that cannot be written, after a colon: choose another place or ``--out``."""
    return f": {'free disk space or ' if error.errno in _FULL else ''}choose another {place or option.out}"


def sync_directory(directory: Path) -> None:
    """Sync a directory, so that a renamed file survives a power loss under its new name."""
    if os.name != "posix":  # Windows cannot open a directory
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # not supported by some file systems
            raise
    finally:
        os.close(handle)


# --- Parsers of untrusted files; invalid content raises `ValueError` ---

MAX_FILE = 1 << 24  # bytes of a file of settings: a file with an alphabet of all characters is smaller
MAX_OPTIONS = 1 << 20  # bytes of a file of options
_MAX_FINITE = 1e300
_MAX_MESSAGE = 200


def parse_strict_json(text: str) -> Any:
    """Parse a JSON text without duplicate keys, numbers that are not finite, and deep nesting."""
    try:
        return json.loads(
            text, object_pairs_hook=_reject_duplicate_keys, parse_constant=_reject_constant, parse_float=_parse_float
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _reject_duplicate_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise ValueError("it contains a duplicate key")
    return result


def _reject_constant(name: str) -> Any:
    raise ValueError(f"{name} is not valid JSON")


def _parse_float(digits: str) -> float:
    if math.isfinite(number := float(digits)):
        return number
    raise ValueError("a number exceeds the range of float64")


def require_int(value: Any, name: str, *, minimum: int = 0, maximum: int = MAX_INT) -> int:
    """Return an integer in a range."""
    if type(value) is not int or not minimum <= value <= maximum:
        raise ValueError(f"{name} must be an integer from {minimum} to {maximum}")
    return value


def require_finite(value: Any, name: str) -> float:
    """Return a finite number."""
    if type(value) not in (int, float) or not abs(value) <= _MAX_FINITE:  # nan is not in a range
        raise ValueError(f"{name} must be a finite number")
    return float(value)


def require_str(value: Any, name: str) -> str:
    """Return a string."""
    if type(value) is not str:
        raise ValueError(f"{name} must be a string")
    return value


def require_sha256(value: Any) -> str:
    """Return the SHA-256 of a text in hexadecimal."""
    if not re.fullmatch("[0-9a-f]{64}", require_str(value, "the SHA-256 of the text")):
        raise ValueError("the SHA-256 of the text must have 64 hexadecimal digits")
    return str(value)


def safe_message(error: Exception) -> str:
    """Return the message of an error, which may quote an untrusted file, as one short line of printable characters."""
    # Python ends the message of an integer that has too many digits with advice for programmers.
    line = " ".join(str(error).partition("; use sys.set_int_max_str_digits")[0].split())
    line = line if len(line) <= _MAX_MESSAGE else f"{line[:_MAX_MESSAGE]}…"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


def require_regular_file(path: Path) -> Path:
    """Return the path of a regular file, or raise `OSError`; reading a pipe or a device might never end."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "Not a regular file")
    return path


def read_regular_file(path: Path, max_bytes: int = MAX_FILE) -> bytes:
    """Return the contents of a regular file of at most `max_bytes`, or raise `OSError`."""
    if require_regular_file(path).stat().st_size > max_bytes:
        raise OSError(errno.EFBIG, f"it is larger than {max_bytes:,} bytes")
    return path.read_bytes()


def read_toml(path: Path) -> dict[str, Any]:
    """Return the contents of a TOML file of options, or raise an `ElmanError`."""
    from tomllib import loads  # a training run reads no TOML

    try:
        with report_system_errors(f"read {quote(path)}"):
            return loads(read_regular_file(path, MAX_OPTIONS).decode("utf-8-sig"))
    except ValueError as error:  # not UTF-8, or not TOML
        raise ElmanError(f"{quote(path)} is not a TOML file ({safe_message(error)})") from None
    except RecursionError:
        raise ElmanError(f"{quote(path)} is not a TOML file of options (it is nested too deeply)") from None
