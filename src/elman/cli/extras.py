"""What takes a library that is not installed with everything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from elman.errors import ElmanError


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
