"""The one kind of error that a person can cause.

Every message is one line that says what was needed, what came, and what to do. The command line turns
it into ``error: …`` and exit code 2; the library never prints and never exits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class ElmanError(Exception):
    """Something the caller can put right; ``str(error)`` is the one line that says how."""


class NonFiniteLossError(ElmanError):
    """Training met a loss that is not finite; the last good checkpoint is untouched."""


@contextmanager
def needing(extra: str) -> Iterator[None]:
    """Import in the block what an extra brings.

    Raises
    ------
    ElmanError
        If it is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise ElmanError(
            f"this needs the library {error.name}, and it is not installed: pip install 'elman[{extra}]'"
        ) from None
