"""The decorators of every kernel: Numba compiles it or, where Numba is not installed, the interpreter runs it.

Kernels of which the interpreter computes the same numbers are those without intrinsics and threads: the n-gram model
and everything in `elman.compression`. The compiled engine requires Numba.
"""

from collections.abc import Callable
from typing import Any

from elman.engine_registry import NUMBA_INSTALLED

FASTMATH = {"contract", "reassoc", "nsz", "arcp", "afn"}
"""Rewrites LLVM may make: all that change only the last bits of a rounding.

`nnan` and `ninf` are left out: they would let it assume that no NaN and no infinity exists, and training must
notice both.
"""


def compiled(*, allocates: bool = False, linked: bool = False, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Return the decorator that compiles a function with `options` and the options that all kernels share.

    A kernel that creates arrays `allocates`, one whose code becomes a part of its callers is `linked`, see
    `elman.jit.compiler.compile_function`.

    Without the option fastmath, Numba would compile a function that is called by a kernel with the fastmath of that
    kernel, if it is compiled there first, so it is always set.
    """
    if not NUMBA_INSTALLED:
        return lambda function: function
    from elman.jit.compiler import compile_function

    return lambda function: compile_function(
        function, {"fastmath": False} | options, allocates=allocates, linked=linked
    )


kernel = compiled(fastmath=FASTMATH)

called_kernel = compiled(fastmath=FASTMATH, no_cpython_wrapper=True)
"""For a kernel that only kernels call. It has no interface to Python, which takes up to half of the time to compile."""

linked_kernel = compiled(fastmath=FASTMATH, no_cpython_wrapper=True, linked=True)
"""For a short function that LLVM shall inline. It rounds nothing: the last bits could differ between the copies."""

allocating_kernel = compiled(fastmath=FASTMATH, allocates=True)
"""For a kernel that creates arrays, which takes longer to call and to compile."""

inlined = compiled(fastmath=FASTMATH, inline="always")
"""For the steps of a kernel, as a call copies every field of every array it passes. A step that is long, such as a
matrix product, is a `called_kernel`: it is compiled once for all its callers.
"""
