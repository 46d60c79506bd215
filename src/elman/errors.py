"""Exceptions for errors that the caller can correct.

Every message is one line that says what is wrong, what was given and, if that adds something, how to correct it. The
command line prints it as ``error: …`` and exits with code 2; the library never prints and never exits.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class ElmanError(Exception):
    """An error that the caller can correct; ``str(error)`` is a one-line message."""


class NonFiniteLossError(ElmanError):
    """A loss in training is not finite; the last valid checkpoint is unchanged."""


@contextmanager
def require_extra(extra: str) -> Iterator[None]:
    """Report a missing library that the block imports and that `extra` would install.

    Raises
    ------
    ElmanError
        If it is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise ElmanError(f"this requires {error.name}, which is not installed: pip install 'elman[{extra}]'") from None


MAX_SHOWN = 100
"""Characters of a value that a message shows at most."""


def shorten(value: object) -> str:
    """Return a value that was given as a message shows it: without the middle of a long one."""
    text = str(value)
    half = MAX_SHOWN // 2
    return text if len(text) <= MAX_SHOWN else f"{text[:half]}…{text[1 - half :]}"


def quote(value: object) -> str:
    """Return the literal of a value that was given, or of a path as a string, shortened as by `shorten`."""
    return shorten(repr(os.fspath(value) if isinstance(value, os.PathLike) else value))


def flag(name: str) -> str:
    """Return the command-line option of a setting, by which errors name it."""
    return "--" + name.replace("_", "-")


def join_alternatives(names: Sequence[str]) -> str:
    """Return a list as in a sentence: a, b or c."""
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
