"""Exceptions for errors that the caller can correct.

Every message is one line that says what is wrong, what was given and, if that adds something, how to correct it. The
command line prints it as ``error: …`` and exits with code 2; the library never exits, and prints nothing but the
progress of a training.

Messages are written with the options of the command line, ``--learning-rate``. In Python they name its arguments,
``learning_rate``, see `name_options`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

_OPTION = re.compile(
    r"""(?<!\w)'(?:[^'\\]|\\.)*'(?!\w) | "(?:[^"\\]|\\.)*"  # what was given, which stays as it is
    | (?<![\w-])--([a-z][a-z0-9]*(?:-[a-z0-9]+)*)(?:[ ](-?\d+(?:\.\d+)?)(?![\w.]*\w))?""",
    re.VERBOSE,
)
_ARGUMENTS = {
    "beam": "width",
    "like": "config=elman.open_run(RUN).config",
    "lines": "lines=True",
    "mixed-precision": "mixed_precision=True",
    "overwrite": "overwrite=True",
    "resume": "resume=True",
}
"""Options that Python names otherwise, or that have no value on the command line."""

_is_command_line = False


@contextmanager
def command_line() -> Iterator[None]:
    """Name options as the command line does while the block runs."""
    global _is_command_line
    before, _is_command_line = _is_command_line, True
    try:
        yield
    finally:
        _is_command_line = before


def name_options(text: str) -> str:
    """Return a text with its options named as the caller passes them: arguments, unless it is the command line.

    Examples
    --------
    >>> name_options("--grad-clip must be at least 0 (got '--x'); add --validation 0.1")
    "grad_clip must be at least 0 (got '--x'); add validation=0.1"
    """
    return text if _is_command_line else as_arguments(text)


def as_arguments(text: str) -> str:
    """Return a text with options of the command line replaced by the arguments of Python."""
    return _OPTION.sub(_as_argument, text)


def _as_argument(match: re.Match[str]) -> str:
    option, value = match.groups()
    if option is None:
        return match[0]
    name = _ARGUMENTS.get(option, option.replace("-", "_"))
    if match.string.startswith(" must ", match.end()):  # says what another value may be
        name = name.removesuffix("=True")
    return name if value is None else f"{name}={value}"


class ElmanError(Exception):
    """An error that the caller can correct; ``str(error)`` is a one-line message, see ``name_options``.

    Examples
    --------
    >>> import elman
    >>> try:
    ...     elman.Config(hidden_size=0)
    ... except elman.ElmanError as error:
    ...     print(error)
    hidden_size must be at least 1 (got 0)
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(name_options(message))


class NonFiniteLossError(ElmanError):
    """A loss in training is not finite; the last valid checkpoint is unchanged."""


class LockedError(ElmanError):
    """Another process writes to the directory."""


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
        package = (error.name or "").partition(".")[0]
        raise ElmanError(f"this requires {package}, which is not installed: pip install 'elman[{extra}]'") from None


MAX_SHOWN = 100
"""Characters of a value that a message shows at most."""
MAX_PATH_SHOWN = 260
"""The same of a path, which must stay recognizable."""


def shorten(value: object, length: int = MAX_SHOWN) -> str:
    """Return a value that was given as a message shows it: without the middle of a long one."""
    text = str(value)
    half = length // 2
    return text if len(text) <= length else f"{text[:half]}…{text[1 - half :]}"


def quote(value: object) -> str:
    """Return the literal of a value that was given, or of a path as a string, shortened as by `shorten`."""
    if isinstance(value, os.PathLike):
        return shorten(repr(os.fspath(value)), MAX_PATH_SHOWN)
    return shorten(repr(value))


def flag(name: str) -> str:
    """Return the command-line option of a setting, by which messages name it; see `name_options`."""
    return "--" + name.replace("_", "-")


def join_alternatives(names: Sequence[str]) -> str:
    """Return a list as in a sentence: a, b or c."""
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
