"""The decorators of every kernel: Numba compiles it or, if Numba is not installed, the interpreter runs it.

The interpreter computes the same numbers with kernels without intrinsics and threads: the n-gram model and everything
in `elman.apps.compress`. The compiled engine requires Numba.

If the private names of the installed version of Numba are known, `elman.jit.runtime` stores and calls kernels; in plain
mode, `elman.jit.plain` defines the same names by Numba's public functions.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from elman.engine_registry import NUMBA_INSTALLED

# --- Whether kernels are compiled, and whether by Numba's public functions alone: in plain mode ---

NEWEST = {"numba": (0, 68), "llvmlite": (0, 50)}
"""The newest versions that are known to have the private names which `elman.jit.compiler` and `lowering` use."""


def find_unknown_version() -> str:
    """Return which package is newer than `NEWEST`, or has a version that cannot be read; empty if none is."""
    from elman.jit.processor import version_file  # it imports llvmlite

    for package, newest in NEWEST.items():
        version = re.search(rb"""version\w*"?(?: =|:) ["'](\d+)\.(\d+)""", version_file(package))
        if version is None or (int(version[1]), int(version[2])) > newest:
            found = "of an unknown version" if version is None else b".".join(version.groups()).decode()
            return f"{package} {found} is newer than {'.'.join(map(str, newest))}"
    return ""


def find_changed_name() -> str:
    """Return the error if a small kernel cannot be compiled with Numba's private names; empty if it can.

    The compiled kernel is in the cache, so that this is done once for these versions.
    """
    try:
        from elman.jit.probe import compile_probe

        compile_probe()
    except Exception as error:  # a changed name may lead to any exception
        return f"Numba's private names have changed ({type(error).__name__}: {str(error).partition(chr(10))[0]})"
    return ""


def is_plain() -> bool:
    """Return whether kernels are compiled in plain mode, with a warning unless it was asked for."""
    if os.environ.get("ELMAN_PLAIN_JIT", "0") not in ("", "0"):
        return True
    reason = find_unknown_version() or find_changed_name()
    if reason:
        warnings.warn(
            f"{reason}, so kernels are compiled in plain mode, in every command again: install an older Numba",
            RuntimeWarning,
            stacklevel=2,
        )
    return bool(reason)


PLAIN = NUMBA_INSTALLED and is_plain()
"""Whether kernels are compiled in plain mode."""

if TYPE_CHECKING or (NUMBA_INSTALLED and not PLAIN):
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


def bind(function: Callable[..., Any], *arguments: object) -> Callable[..., Any]:
    """Return a kernel with its first arguments packed once, which saves a microsecond for each array."""
    return partial(function, *((pack(*arguments),) if NUMBA_INSTALLED and not PLAIN else arguments))


# --- The decorators ---

FASTMATH = {"contract", "reassoc", "nsz", "arcp", "afn"}
"""Rewrites that LLVM may make: the ones that change only the last bits of a rounding.

`nnan` and `ninf` are left out: they would let LLVM assume that no NaN and no infinity exists, and training must
notice both.
"""


def compiled(*, allocates: bool = False, linked: bool = False, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Return the decorator that compiles a function with `options` and the options that all kernels share.

    A kernel that creates arrays `allocates`; a kernel whose code becomes a part of its callers is `linked`, see
    `elman.jit.compiler.make_dispatcher`.

    The option fastmath is always set. Without it, Numba would compile a function with the fastmath of the kernel that
    calls it, if it is compiled there first.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        return make_kernel(function, {"fastmath": False} | options, allocates, linked) if NUMBA_INSTALLED else function

    return decorate


exact = compiled()
"""IEEE arithmetic as written, without fastmath: the same bits on every machine."""
exact_step = compiled(inline="always")
"""The same for the steps of a kernel."""

kernel = compiled(fastmath=FASTMATH)

linked_kernel = compiled(fastmath=FASTMATH, linked=True)
"""For a short function that LLVM should inline. It must not round: the last bits could differ between the copies."""

allocating_kernel = compiled(fastmath=FASTMATH, allocates=True)
"""For a kernel that creates arrays, which is slower to call and to compile."""

inlined = compiled(fastmath=FASTMATH, inline="always")
"""For the steps of a kernel, because a call copies every field of every array it passes. A step that is long, such as a
matrix product, is a `kernel`: it is compiled once for all its callers.
"""
