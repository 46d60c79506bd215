"""Numba: how it compiles a function, and the directory in which compiled kernels are cached."""

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


def kernel_sources() -> list[Path]:
    """Return the files that the kernels are compiled from: their own, and those that define constants in them."""
    package = Path(__file__).parents[2]
    folders = (package / "engine" / "numba", package / "compression", package / "network")
    return [source for folder in folders for source in sorted(folder.rglob("*.py"))]


def _kernel_cache() -> Path | None:
    """The directory for compiled kernels, or None if it is not writable.

    Numba recompiles a function when its own file changes, but not when a function that was inlined into it does, so
    the directory's name contains a digest of `kernel_sources`. It is in the user's cache, as the package's own
    directory may be read-only.
    """
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in kernel_sources())).hexdigest()
    directory = Path(_config.CACHE_DIR or cache_dir()) / f"kernels-{digest[:16]}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return directory if os.access(directory, os.W_OK) else None


_CACHE = _kernel_cache()


def compile_function(function: Callable[..., Any], options: dict[str, Any]) -> Any:
    """Return a function as compiled by Numba on its first call, with `options` and those that all kernels share."""
    # Python's check for a zero divisor at every division stops vectorization; IEEE division does not need it.
    decorator = njit(error_model="numpy", nogil=True, cache=_CACHE is not None, **options)
    # Numba reads the directory when it decorates; other users of Numba keep theirs.
    before, _config.CACHE_DIR = _config.CACHE_DIR, str(_CACHE or "")
    try:
        return decorator(function) if _config.DISABLE_JIT else _ignore_literals(decorator(function))
    finally:
        _config.CACHE_DIR = before


def _ignore_literals(dispatcher: Any) -> Any:
    """Let a call with a constant use the same machine code as one with a variable.

    Numba would compile a function once more for every constant that another kernel passes to it.
    """
    get_call_template = dispatcher.get_call_template

    def get_general_template(args: tuple[Any, ...], kws: dict[str, Any]) -> Any:
        return get_call_template(tuple(map(_unliteral, args)), {name: _unliteral(kind) for name, kind in kws.items()})

    dispatcher.get_call_template = get_general_template
    return dispatcher
