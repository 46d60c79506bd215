"""Exceptions for errors that the caller can correct.

Every message is one line that says what is wrong, what was given and, if that adds something, how to correct it. The
command line prints it as ``error: …`` and exits with code 2; the library never exits, and prints nothing but the
progress of a training.
"""

from __future__ import annotations

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


def flag(name: str) -> str:
    """Return the command-line option of a setting, by which errors name it."""
    return "--" + name.replace("_", "-")


def join_alternatives(names: Sequence[str]) -> str:
    """Return a list as in a sentence: a, b or c."""
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
