"""Errors that the caller can correct: what is wrong, what was given and how to correct it, in one line.

Messages name an option by `option`, ``f"{option.learning_rate} must be …"``: a user of the command line reads
``--learning-rate``, one of Python ``learning_rate``. A help text is for both: a template, ``"… {learning_rate} …"``,
which `FLAGS` and `ARGUMENTS` complete. What only the command line says writes its options as they are.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral
from typing import Any

_ARGUMENTS = {"beam": "width", "like": "config=elman.open_run(RUN).config"}  # options that Python names otherwise


class _Option(str):
    """The name of an option; a format specification is its value, ``True`` or ``False`` that of a flag."""

    __slots__ = ()

    def __format__(self, value: str) -> str:
        if not self.startswith("--"):
            return f"{self!s}={repr(value) if value[0].islower() else value}" if value else str(self)
        if value == "False":
            return f"--no-{self[2:]}"
        return f"{self!s} {value}" if value not in ("", "True") else str(self)


class _Options:
    """The options, by name as attributes or keys: as flags, or as in Python."""

    def __init__(self, are_flags: bool) -> None:
        self._are_flags = are_flags

    def __getitem__(self, name: str) -> _Option:
        return _Option(flag(name) if self._are_flags else _ARGUMENTS.get(name, name))

    def __getattr__(self, name: str) -> _Option:
        return self[name]


option, FLAGS, ARGUMENTS = _Options(False), _Options(True), _Options(False)
"""The options as the caller names them, as the command line does, and as Python does.

Examples
--------
>>> f"{option.grad_clip} must be at least 0; add {option.validation:0.1} or {option.resume:True}"
'grad_clip must be at least 0; add validation=0.1 or resume=True'
>>> "{grad_clip} must be at least 0; add {validation:0.1} or {resume:True}".format_map(FLAGS)
'--grad-clip must be at least 0; add --validation 0.1 or --resume'
"""


@contextmanager
def command_line(is_used: bool = True) -> Iterator[None]:
    """Name options as the command line does while the block runs, or as Python if it is not used."""
    before, option._are_flags = option._are_flags, is_used
    try:
        yield
    finally:
        option._are_flags = before


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
    """Turn an error of the system in the block into one line: ``cannot read 'a' (Permission denied)``, and a remedy."""
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
    """Report a missing library that the block imports and that `extra` would install."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        raise ElmanError(f"this requires {package}, which is not installed: pip install 'elman[{extra}]'") from None


MAX_SHOWN = 100  # characters of a value that a message shows at most
MAX_PATH_SHOWN = 260  # the same of a path, which must stay recognizable


def shorten(value: object, length: int = MAX_SHOWN) -> str:
    """Return a value that was given as a message shows it: without the middle of a long one."""
    text = str(value)
    half = length // 2
    return text if len(text) <= length else f"{text[:half]}…{text[1 - half :]}"


def quote(value: object) -> str:
    """Return the literal of a value that was given, or of a path as a string, shortened as by `shorten`."""
    if isinstance(value, os.PathLike):
        return shorten(repr(os.fspath(value)), MAX_PATH_SHOWN)
    return shorten(" ".join(map(str.strip, repr(value).splitlines())))  # the literal of an array has several lines


def flag(name: str) -> str:
    """Return the command-line option of a setting."""
    return "--" + name.replace("_", "-")


def check_range(name: str, value: Any, minimum: int, maximum: int | None = None) -> None:
    """Reject an option that is no integer or out of its range."""
    is_integer = isinstance(value, Integral) and not isinstance(value, bool)  # mypy would take a number for an Integral
    if not is_integer:
        raise ElmanError(f"{option[name]} must be an integer (got {quote(value)})")
    if value < minimum or (maximum is not None and value > maximum):
        expected = f"at least {minimum}" if maximum is None else f"from {minimum} to {maximum:,}"
        raise ElmanError(f"{option[name]} must be {expected} (got {shorten(value)})")


def join_alternatives(names: Sequence[str]) -> str:
    """Return a list as in a sentence: a, b or c."""
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def format_count(count: int, noun: str) -> str:
    """Return ``1 update`` or ``1,000 updates``."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def format_value(value: object) -> str:
    """Return a value as text: a number with separators of thousands."""
    if isinstance(value, float):
        return f"{value:,.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
