"""The decorators of every kernel: Numba compiles it or, where Numba is not installed, the interpreter runs it.

Kernels of which the interpreter computes the same numbers are those without intrinsics and threads: the n-gram model
and everything in `elman.apps.compress`. The compiled engine requires Numba.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from importlib import import_module
from typing import Any

from elman.engine_registry import NUMBA_INSTALLED

COMPILES = NUMBA_INSTALLED and os.environ.get("NUMBA_DISABLE_JIT", "0") in ("", "0")
"""Whether kernels are compiled."""

FASTMATH = {"contract", "reassoc", "nsz", "arcp", "afn"}
"""Rewrites LLVM may make: all that change only the last bits of a rounding.

`nnan` and `ninf` are left out: they would let it assume that no NaN and no infinity exists, and training must
notice both.
"""


def compiled(*, allocates: bool = False, linked: bool = False, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Return the decorator that compiles a function with `options` and the options that all kernels share.

    A kernel that creates arrays `allocates`, one whose code becomes a part of its callers is `linked`, see
    `elman.jit.compiler.make_dispatcher`.

    Without the option fastmath, Numba would compile a function that is called by a kernel with the fastmath of that
    kernel, if it is compiled there first, so it is always set.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        if not COMPILES:
            return function
        from elman.jit.runtime import Kernel

        return Kernel(function, {"fastmath": False} | options, allocates, linked)

    return decorate


kernel = compiled(fastmath=FASTMATH)

linked_kernel = compiled(fastmath=FASTMATH, linked=True)
"""For a short function that LLVM shall inline. It rounds nothing: the last bits could differ between the copies."""

allocating_kernel = compiled(fastmath=FASTMATH, allocates=True)
"""For a kernel that creates arrays, which takes longer to call and to compile."""

inlined = compiled(fastmath=FASTMATH, inline="always")
"""For the steps of a kernel, as a call copies every field of every array it passes. A step that is long, such as a
matrix product, is a `kernel`: it is compiled once for all its callers.
"""


# --- What of Numba is used when it compiles, and imported then: that takes a third of a second ---


class _Module:
    """A module that is imported on first use."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self._name), name)


types: Any = _Module("numba.core.types")
cgutils: Any = _Module("numba.core.cgutils")


class Intrinsic:
    """A function that emits code where a kernel calls it, see `numba.extending.intrinsic`."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __deepcopy__(self, memo: Any) -> Intrinsic:
        return self

    @cached_property
    def _numba_type_(self) -> Any:
        from elman.jit.compiler import make_intrinsic

        return make_intrinsic(self.function)


intrinsic: Any = Intrinsic
"""Decorates functions that kernels call without the first parameter, which a type checker cannot know."""

OVERLOADS: list[tuple[Any, dict[str, Any], Any]] = []
"""Functions that kernels call, and what chooses the code of a call by the types of its arguments."""


def overload(function: Callable[..., Any], **options: Any) -> Callable[[Any], Any]:
    """Return the decorator of what chooses the code of a function, see `numba.extending.overload`."""

    def add(choose: Any) -> Any:
        OVERLOADS.append((function, options, choose))
        if "elman.jit.compiler" in sys.modules:
            sys.modules["elman.jit.compiler"].add_overloads()
        return choose

    return add


# --- How long it takes ---


class Compilation:
    """The compilation of kernels in this process."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.watchers: list[Callable[[], object]] = []
        """Called at the beginning of each."""

    @contextmanager
    def measure(self) -> Iterator[None]:
        """Measure the time of the block, in which kernels are compiled; it is within no other such block."""
        started = time.monotonic()
        for watch in self.watchers:
            watch()
        try:
            yield
        finally:
            self.seconds += time.monotonic() - started


COMPILATION = Compilation()
