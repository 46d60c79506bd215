"""Plain mode: kernels are compiled with the documented functions of Numba only.

It is for versions of Numba that `elman.jit.compiler` does not know, and defines the same names as `elman.jit.runtime`.
Numba compiles a kernel into each of its callers and counts references, and nothing is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any

import numba
from numba.core import cgutils as cgutils
from numba.core import event
from numba.extending import intrinsic as intrinsic
from numba.extending import overload as overload

from elman.compilation import COMPILATION

types: Any = numba.types
KernelPointer = Any
"""A C function, which Numba knows by the types of its arguments alone: its callers are compiled once."""
UNUSED = None


class Packed(tuple[object, ...]):
    """Arguments of a kernel."""

    __slots__ = ()


def pack(*arguments: Any) -> Any:
    """Join arguments, some of which may be joined already; a single argument is returned as it is."""
    if len(arguments) == 1:
        return arguments[0]
    return Packed(each for one in arguments for each in (one if type(one) is Packed else (one,)))


_OPTIONS: dict[Any, dict[str, Any]] = {}
"""The options with which each kernel is compiled."""


def make_kernel(function: Callable[..., Any], options: dict[str, Any], allocates: bool, linked: bool) -> Any:
    """Return a function that Numba compiles at its first call."""
    # Python's check for a zero divisor at every division stops vectorization; IEEE division does not need it.
    options = options | {"error_model": "numpy"}
    kernel = numba.njit(nogil=True, **options)(function)
    _OPTIONS[kernel] = options
    return kernel


def call_kernel(kernel: Any, *arguments: object) -> None:
    """Call a kernel that returns nothing."""
    kernel(*pack(*arguments, Packed()))


def kernel_pointer(kernel: Any, *arguments: object) -> Any:
    """Return a pointer to a kernel, compiled for the types of these arguments."""
    return _compile(kernel, types.void(*map(numba.typeof, arguments)))


@cache
def _compile(kernel: Any, signature: Any) -> Any:
    _LISTENER.on_start()
    try:
        return numba.cfunc(signature, **_OPTIONS[kernel])(kernel.py_func)
    finally:
        _LISTENER.on_end()


def call_pointer(pointer: Any, arguments: Any) -> None:
    """Call a kernel that returns nothing with a tuple of arguments."""
    raise NotImplementedError  # Numba compiles the result of `_choose_call` instead


@overload(call_pointer)
def _choose_call(pointer, arguments):
    if isinstance(pointer, types.FunctionType):
        return lambda pointer, arguments: pointer(*arguments)
    return lambda pointer, arguments: None  # `UNUSED`: the call is compiled, but not reached


def is_recording() -> bool:
    """Return False: no list of kernels is made."""
    return False


@contextmanager
def record_kernels() -> Iterator[list[Any]]:
    """Yield an empty list."""
    yield []


class _Listener(event.Listener):
    """Measures how long Numba compiles; while it compiles a function it may compile others, which are part of it."""

    def __init__(self) -> None:
        self.depth, self.measured = 0, ExitStack()

    def on_start(self, event: Any = None) -> None:
        """Begin with the outermost function."""
        if self.depth == 0:
            self.measured.enter_context(COMPILATION.measure())
        self.depth += 1

    def on_end(self, event: Any = None) -> None:
        """End with the outermost function."""
        self.depth -= 1
        if self.depth == 0:
            self.measured.close()


_LISTENER = _Listener()
event.register("numba:compile", _LISTENER)
