"""Points in the code at which a run is killed."""

from collections.abc import Callable, Iterable
from itertools import count
from typing import Any

import pytest


class Killed(BaseException):
    """Ends a run as a signal would, at a chosen point."""


def kill_at(patch: pytest.MonkeyPatch, last: int, when: str, functions: Iterable[tuple[Any, str]]) -> None:
    """Raise `Killed` before or after the call of this number, counted over some functions, and at every later one."""
    calls = count(1)

    def dying(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            number = next(calls)
            if number > last or (number == last and when == "before"):
                raise Killed
            result = function(*arguments, **keywords)
            if number == last:
                raise Killed
            return result

        return call

    for owner, name in functions:
        patch.setattr(owner, name, dying(getattr(owner, name)))
