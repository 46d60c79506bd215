"""The decorators that compile every kernel, and the directory in which compiled kernels are cached."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit
from numba.core import config, types
from numba.extending import intrinsic as numba_intrinsic

from elman.paths import cache_dir

intrinsic: Any = numba_intrinsic
"""Decorates functions that kernels call without the first parameter, which a type checker cannot know."""

_unliteral: Any = types.unliteral
_config: Any = config  # its attributes are set at run time, where no type checker sees them

FASTMATH = {"contract", "reassoc", "nsz", "arcp", "afn"}
"""Rewrites LLVM may make: all that change only the last bits of a rounding.

`nnan` and `ninf` are left out: they would let it assume that no NaN and no infinity exists, and training must
notice both.
"""


def _kernel_cache() -> Path | None:
    """The directory for compiled kernels, or None if it is not writable.

    Numba recompiles a function when its own file changes, but not when a function that was inlined into it does, so
    the directory's name contains a digest of all kernel sources. It is in the user's cache, as the package's own
    directory may be read-only.
    """
    sources = sorted(Path(__file__).parent.rglob("*.py"))
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    directory = Path(_config.CACHE_DIR or cache_dir()) / f"kernels-{digest[:16]}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return directory if os.access(directory, os.W_OK) else None


_CACHE = _kernel_cache()


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Return the decorator that compiles a function with `options` and the options that all kernels share.

    Without the option fastmath, Numba would compile a function that is called by a kernel with the fastmath of that
    kernel, if it is compiled there first, so it is always set.
    """
    options = {"fastmath": False} | options
    # Python's check for a zero divisor at every division stops vectorization; IEEE division does not need it.
    decorator = njit(error_model="numpy", nogil=True, cache=_CACHE is not None, **options)

    def decorate(function: Callable[..., Any]) -> Any:
        # Numba reads the directory when it decorates; other users of Numba keep theirs.
        before, _config.CACHE_DIR = _config.CACHE_DIR, str(_CACHE or "")
        try:
            return decorator(function) if _config.DISABLE_JIT else _ignore_literals(decorator(function))
        finally:
            _config.CACHE_DIR = before

    return decorate


def _ignore_literals(dispatcher: Any) -> Any:
    """Let a call with a constant use the same machine code as one with a variable.

    Numba would compile a function once more for every constant that another kernel passes to it.
    """
    get_call_template = dispatcher.get_call_template

    def get_general_template(args: tuple[Any, ...], kws: dict[str, Any]) -> Any:
        return get_call_template(tuple(map(_unliteral, args)), {name: _unliteral(kind) for name, kind in kws.items()})

    dispatcher.get_call_template = get_general_template
    return dispatcher


kernel = compiled(fastmath=FASTMATH)

inlined = compiled(fastmath=FASTMATH, inline="always")
"""For the steps of a kernel. A call would copy every field of every array it passes, and a function with arithmetic of
its own would be compiled again within each of its callers; which of the copies runs could then differ between a process
that compiles and one that loads the result: only in the last bits, but then no run could be repeated bit for bit.

A matrix product is a `kernel`: it is long enough for a call, its arithmetic is in `elman.engine.numba.linalg.tile`, and
Numba would take longer to compile a copy of it at every call than for all the rest.
"""
