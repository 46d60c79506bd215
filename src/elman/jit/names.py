"""What kernels use of Numba when it compiles them, and imported then: that takes a third of a second."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from importlib import import_module
from typing import Any


class _Module:
    """A module that is imported on first use."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self._name), name)


types: Any = _Module("numba.types")
cgutils: Any = _Module("numba.core.cgutils")


class Intrinsic:
    """A function that emits code where a kernel calls it, see `numba.extending.intrinsic`."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    @cached_property
    def _numba_type_(self) -> Any:
        """The type by which Numba finds it."""
        from numba import extending
        from numba.core.registry import cpu_target

        context: Any = cpu_target.typing_context
        made: Any = extending.intrinsic(self.function)
        context.refresh()
        return context.resolve_value_type(made)


intrinsic: Any = Intrinsic
"""Decorates functions that kernels call without the first parameter, which a type checker cannot know."""

OVERLOADS: list[tuple[Any, dict[str, Any], Any]] = []
"""Functions of which Numba is told before it compiles the next kernel, and what chooses the code of their calls."""


def overload(function: Callable[..., Any], **options: Any) -> Callable[[Any], Any]:
    """Return the decorator of what chooses the code of a function, see `numba.extending.overload`."""

    def add(choose: Any) -> Any:
        OVERLOADS.append((function, options, choose))
        return choose

    return add
