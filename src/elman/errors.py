"""Errors that the caller can correct; one line says what is wrong, what was given and how to correct it.

Messages name an option by `option`, ``f"{option.learning_rate} must be …"``: a user of the command line reads
``--learning-rate``, a user of Python ``learning_rate``. A help text is for both: it is a template,
``"… {learning_rate} …"``, which `FLAGS` or `ARGUMENTS` complete. Messages of the command line alone name options
literally.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import wraps
from inspect import signature
from itertools import chain
from math import isfinite
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ParamSpec, TypeGuard, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_ARGUMENTS = {"beam": "width", "hotword": "hotwords", "like": "config=elman.open_run(RUN).config"}
"""Options with another name in Python."""


class _Option(str):
    """The name of an option; a format specification is its value, ``True`` or ``False`` for a flag."""

    __slots__ = ()

    def __format__(self, value: str) -> str:
        if not self.startswith("--"):
            return f"{self!s}={repr(value) if value[0].islower() else value}" if value else str(self)
        if value == "False":
            return f"--no-{self[2:]}"
        return f"{self!s} {value}" if value not in ("", "True") else str(self)


class _Options:
    """The options, available as attributes or keys, written as flags or as in Python."""

    def __init__(self, are_flags: bool) -> None:
        self.are_flags = are_flags

    def __getitem__(self, name: str) -> _Option:
        return _Option(flag(name) if self.are_flags else _ARGUMENTS.get(name, name))

    def __getattr__(self, name: str) -> _Option:
        return self[name]


option, FLAGS, ARGUMENTS = _Options(False), _Options(True), _Options(False)
"""The options as the caller, the command line and Python name them.

Examples
--------
>>> f"{option.grad_clip} must be at least 0; add {option.validation:0.1} or {option.resume:True}"
'grad_clip must be at least 0; add validation=0.1 or resume=True'
>>> "{grad_clip} must be at least 0; add {validation:0.1} or {resume:True}".format_map(FLAGS)
'--grad-clip must be at least 0; add --validation 0.1 or --resume'
"""


@contextmanager
def command_line(is_used: bool = True) -> Iterator[None]:
    """Name options as the command line does while the block runs, or as Python does if `is_used` is false."""
    before, option.are_flags = option.are_flags, is_used
    try:
        yield
    finally:
        option.are_flags = before


class ElmanError(Exception):
    """An error that the caller can correct; ``str(error)`` is a one-line message.

    Examples
    --------
    >>> import elman
    >>> elman.Config(layers=0)
    Traceback (most recent call last):
    elman.errors.ElmanError: layers must be at least 1 (got 0)
    """


@contextmanager
def report_system_errors(
    attempt: str, remedy: Callable[[Any], str] | str = "", errors: tuple[type[Exception], ...] = (OSError,)
) -> Iterator[None]:
    """Turn a system error in the block into one line: ``cannot read 'a' (Permission denied)``, and a remedy."""
    try:
        yield
    except errors as error:
        ending = remedy if isinstance(remedy, str) else remedy(error)
        raise ElmanError(f"cannot {attempt} ({getattr(error, 'strerror', error)}){ending}") from error


class NonFiniteLossError(ElmanError):
    """A loss in training is not finite; the last valid checkpoint is unchanged."""


class LockedError(ElmanError):
    """Another process writes to the directory."""


class VersionError(ElmanError):
    """A file was written by a version of Elman with another format."""


@contextmanager
def require_extra(extra: str) -> Iterator[None]:
    """Report a library that the block cannot import and that `extra` would install."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        raise ElmanError(f"this requires {package}, which is not installed: pip install 'elman[{extra}]'") from None
    except (ImportError, ValueError) as error:  # such as a backend of Matplotlib that does not exist
        raise ElmanError(f"a library of 'elman[{extra}]' cannot be imported ({shorten(error)})") from None


MAX_SHOWN = 100  # maximum characters of a value in a message
MAX_PATH_SHOWN = 260  # maximum characters of a path, which must stay recognizable


def shorten(value: object, length: int = MAX_SHOWN) -> str:
    """Return a given value for a message: in one line, without the middle of a long value."""
    text, half = " ".join(map(str.strip, _convert(value, str).splitlines())), length // 2
    return text if len(text) <= length else f"{text[:half]}…{text[1 - half :]}"


def quote(value: object) -> str:
    """Return the literal of a given value, or of a path as a string, shortened by `shorten`."""
    if isinstance(value, os.PathLike):
        return shorten(repr(os.fspath(value)), MAX_PATH_SHOWN)
    return shorten(_convert(value, repr))


def _convert(value: object, convert: Callable[[object], str]) -> str:
    try:
        return convert(value)
    except Exception:  # Python does not convert an integer of 5,000 digits, and a user's object may raise anything
        return hex(value) if isinstance(value, int) else type(value).__name__


def flag(name: str) -> str:
    """Return the command-line option of a setting."""
    return "--" + name.replace("_", "-")


# --- The arguments of functions ---

MAX_INT = 2**53
"""Maximum of an integer: every integer up to it can be represented as a float64 and as an int64."""
MAX_SEED = 2**64 - 1


def check_range(name: str, value: Any, minimum: int, maximum: int = MAX_INT) -> None:
    """Reject an option that is not an integer or out of its range."""
    check_type(name, value, "int")
    if not minimum <= value <= maximum:
        limits = f"at least {minimum}" if value < minimum else f"at most {maximum:,}"
        expected = limits if maximum >= MAX_INT else f"from {minimum} to {maximum:,}"
        raise ElmanError(f"{option[name]} must be {expected} (got {shorten(value)})")


def check_number(
    name: str, value: Any, requirement: str = "finite", is_met: Callable[[float], bool] = isfinite
) -> float:
    """Return an option as a float, or reject an option that is not a number or out of its range."""
    check_type(name, value, "float")
    with suppress(OverflowError):  # for an integer that exceeds the largest float
        if is_met(number := float(value)):
            return number
    raise ElmanError(f"{option[name]} must be {requirement} (got {shorten(value)})")


def _is_number(value: object, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def is_path(value: object) -> TypeGuard[str | os.PathLike[str]]:
    """Return whether a value is a path, and not one of bytes, such as an entry of ``os.scandir(b".")``."""
    return isinstance(value, str) or (isinstance(value, os.PathLike) and isinstance(os.fspath(value), str))


def _is_valid_path(value: object) -> bool:
    with suppress(ValueError):  # for a lone surrogate, which no file system allows
        return is_path(value) and b"\0" not in os.fsencode(value)
    return False


_TYPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "int": (lambda value: _is_number(value, Integral), "an integer"),
    "float": (lambda value: _is_number(value, Real), "a number"),
    "bool": (lambda value: type(value).__name__.strip("_") == "bool", "True or False"),  # NumPy's, too
    "str": (lambda value: isinstance(value, str), "a string"),
    "bytes": (lambda value: isinstance(value, bytes | bytearray | memoryview), "bytes"),
    "os.PathLike[str]": (_is_valid_path, "a path"),
    "Literal": (lambda value: isinstance(value, str), "a string"),
    "Callable": (callable, "a function"),
    "None": (lambda value: value is None, "None"),
    "Alphabet": (lambda value: type(value).__name__ == "Alphabet", "an Alphabet"),
    "Indices": (lambda value: type(value).__name__ == "ndarray", "an array of integers"),
}
"""Type in an annotation -> whether a value has the type, and the name of the type in an error."""


def check_type(name: str, value: Any, annotation: str) -> None:
    """Reject an argument that has none of its annotation's types, if `_TYPES` has all of these types."""
    kinds = [each if each == "os.PathLike[str]" else each.partition("[")[0] for each in annotation.split(" | ")]
    kinds = [each for each in kinds if each != "str" or "os.PathLike[str]" not in kinds]
    if {*kinds} <= _TYPES.keys() and not any(_TYPES[each][0](value) for each in kinds):
        expected = join_alternatives([_TYPES[each][1] for each in kinds])
        raise ElmanError(f"{option[name]} must be {expected} (got {quote(value)})")


def list_items(name: str, values: Any, kind: type = object, expected: str = "strings") -> list[Any]:
    """Return the items of an iterable that was passed; all must be of one kind.

    A set has no order. The items of a mapping or a DataFrame are its keys or the names of its columns.
    """
    if isinstance(values, set | frozenset):
        raise ElmanError(f"{option[name]} must be in an order (got a set): pass a list")
    if isinstance(values, Mapping) or getattr(values, "ndim", 1) != 1:
        raise ElmanError(f"{option[name]} must be {expected} (got a {type(values).__name__}): pass a list or a column")
    with suppress(TypeError, ValueError):  # not an iterable, or a closed file
        found = [*values]
        if all(isinstance(each, kind) for each in found):
            return found
    raise ElmanError(f"{option[name]} must be {expected} (got {quote(values)})")


def list_strings(name: str, values: Any) -> list[str]:
    """Return the strings of an iterable that was passed."""
    return list_items(name, values, str)


def checks_types(function: Callable[P, R]) -> Callable[P, R]:
    """Return a function that rejects arguments whose types differ from their annotations, by `check_type`."""
    names, annotations = [*signature(function).parameters], function.__annotations__

    @wraps(function)
    def check(*args: P.args, **kwargs: P.kwargs) -> R:
        for name, value in chain(zip(names, args, strict=False), kwargs.items()):
            check_type(name, value, annotations.get(name, ""))
        return function(*args, **kwargs)

    return check


def join_command(*words: object) -> str:
    """Return a command for a shell; a path that begins like an option gets a directory."""
    return shlex.join(f"./{word}" if isinstance(word, Path) and str(word)[0] == "-" else str(word) for word in words)


def join_alternatives(names: Sequence[str]) -> str:
    """Return the names as in a sentence: a, b or c."""
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def format_count(count: int, noun: str) -> str:
    """Return ``1 update`` or ``1,000 updates``."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def format_value(value: object) -> str:
    """Return a value as text; numbers have thousands separators."""
    if isinstance(value, float):
        return f"{value:,.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
