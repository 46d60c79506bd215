"""Validation of untrusted files: strict JSON, and values of a type and range; what is not valid is a `ValueError`."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import stat
from pathlib import Path
from typing import Any

from elman.errors import ElmanError, quote, report_system_errors

MAX_FILE = 1 << 24  # bytes of a file of settings: one with an alphabet of all characters is smaller
MAX_OPTIONS = 1 << 20  # bytes of a file of options
MAX_INT = 2**53
"""Maximum of every integer in a file: up to it, every integer can be represented as a float64, and as an int64."""

_MAX_FINITE = 1e300
_MAX_MESSAGE = 200


def parse_strict_json(text: str) -> Any:
    """Parse a JSON text without duplicate keys, numbers that are not finite, and deep nesting."""
    try:
        return json.loads(
            text,
            object_pairs_hook=_reject_duplicate_keys,
            parse_constant=_reject_constant,
            parse_float=_parse_finite_float,
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


def _parse_finite_float(digits: str) -> float:
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
    if type(value) not in (int, float) or not abs(value) <= _MAX_FINITE:  # nan is not
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
    line = " ".join(str(error).split())
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
    """Return the contents of a regular file that is not larger, or raise `OSError`."""
    if require_regular_file(path).stat().st_size > max_bytes:
        raise OSError(errno.EFBIG, f"it is larger than {max_bytes:,} bytes")
    return path.read_bytes()


def read_toml(path: Path) -> dict[str, Any]:
    """Return the contents of a TOML file of options, or raise an `ElmanError`."""
    from tomllib import loads  # a training reads none

    try:
        with report_system_errors(f"read {quote(path)}"):
            return loads(read_regular_file(path, MAX_OPTIONS).decode("utf-8-sig"))
    except ValueError as error:  # not UTF-8, or not TOML
        raise ElmanError(f"{quote(path)} is not a TOML file ({error})") from None
    except RecursionError:
        raise ElmanError(f"{quote(path)} is not a TOML file of options (it is nested too deeply)") from None
