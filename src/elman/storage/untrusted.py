"""What a file says, believed only after a look: JSON without surprises, and numbers that are what they should be."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import stat
from pathlib import Path
from typing import Any

MOST = 2**53
"""No count in a file is larger: every whole number up to it is a float64, and an int64, too."""


def strict_json(text: str) -> Any:
    """Return what a JSON text says.

    Raises
    ------
    ValueError
        If it is none, names a key twice, is nested too deeply, or has a number that is not finite.
    """
    try:
        return json.loads(text, object_pairs_hook=_each_once, parse_constant=_no_constant, parse_float=_finite)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands in it twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _finite(digits: str) -> float:
    if math.isfinite(number := float(digits)):
        return number
    raise ValueError("a number is beyond float64")


def count(value: Any, what: str, *, least: int = 0, most: int = MOST) -> int:
    """Return a whole number of that range.

    Raises
    ------
    ValueError
        If it is another thing.
    """
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{what} is no whole number from {least} to {most}")
    return value


def figure(value: Any, what: str) -> float:
    """Return a finite number.

    Raises
    ------
    ValueError
        If it is another thing.
    """
    if type(value) not in (int, float) or not -math.inf < value < math.inf or abs(value) > 1e300:
        raise ValueError(f"{what} is no finite number")
    return float(value)


def text(value: Any, what: str) -> str:
    """Return a text.

    Raises
    ------
    ValueError
        If it is another thing.
    """
    if type(value) is not str:
        raise ValueError(f"{what} is no text")
    return value


def no_giants(settings: Any) -> dict[str, Any]:
    """Return settings by name, none of them a whole number beyond `MOST`.

    Raises
    ------
    ValueError, TypeError
        If they are another thing.
    """
    for name, value in dict(settings).items():
        if type(value) is int:
            count(value, name)
    return dict(settings)


def digest(value: Any) -> str:
    """Return a SHA-256 in hexadecimal.

    Raises
    ------
    ValueError
        If it is another thing.
    """
    if not re.fullmatch("[0-9a-f]{64}", text(value, "the SHA-256 of the text")):
        raise ValueError("the SHA-256 of the text is none")
    return str(value)


def shown(error: Exception) -> str:
    """Return what an error says, in a line of bearable length that no terminal obeys: a file may speak in it."""
    line = " ".join(str(error).split())
    line = line if len(line) <= 200 else f"{line[:200]}…"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


def regular(path: Path) -> Path:
    """Return the path of a file that ends; a pipe or a device might not.

    Raises
    ------
    OSError
        If there is none, or it is another thing.
    """
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "No regular file")
    return path
