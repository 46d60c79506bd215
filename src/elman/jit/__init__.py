"""The decorators of every kernel: Numba compiles it or, where Numba is not installed, the interpreter runs it.

Kernels of which the interpreter computes the same numbers are those without intrinsics and threads: the n-gram model
and everything in `elman.apps.compress`. The compiled engine requires Numba.

Where Numba is of a version whose private names are known, `elman.jit.runtime` stores and calls kernels; in plain mode,
`elman.jit.plain` defines the same names by its public functions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from elman.jit.mode import COMPILES, is_plain

PLAIN = COMPILES and is_plain()
"""Whether kernels are compiled in plain mode."""

if TYPE_CHECKING or (COMPILES and not PLAIN):
    from elman.jit.runtime import UNUSED as UNUSED
    from elman.jit.runtime import KernelPointer as KernelPointer
    from elman.jit.runtime import Packed as Packed
    from elman.jit.runtime import Signature as Signature
    from elman.jit.runtime import call_kernel as call_kernel
    from elman.jit.runtime import call_pointer as call_pointer
    from elman.jit.runtime import cgutils as cgutils
    from elman.jit.runtime import intrinsic as intrinsic
    from elman.jit.runtime import is_recording as is_recording
    from elman.jit.runtime import kernel_pointer as kernel_pointer
    from elman.jit.runtime import make_kernel as make_kernel
    from elman.jit.runtime import overload as overload
    from elman.jit.runtime import pack as pack
    from elman.jit.runtime import record_kernels as record_kernels
    from elman.jit.runtime import types as types
elif PLAIN:
    from elman.jit.plain import *  # noqa: F403  # the same names

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
        return make_kernel(function, {"fastmath": False} | options, allocates, linked) if COMPILES else function

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
