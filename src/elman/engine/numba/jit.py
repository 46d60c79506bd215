"""How every kernel is compiled and where the result is kept, said once."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit
from numba.core import config
from numba.extending import intrinsic as numba_intrinsic

from elman.paths import cache_dir

intrinsic: Any = numba_intrinsic
"""What it decorates is called in kernels without the first parameter, which no type checker can know."""

_config: Any = config  # its attributes are made while it runs, where no type checker sees them

FASTMATH = {"contract", "reassoc", "nsz", "arcp", "afn"}
"""Rewrites LLVM may make: all that only moves the last bits of a rounding.

`nnan` and `ninf` are left out: they would let it assume that no NaN and no infinity exists, and training must
notice both.
"""


def _kernel_folder() -> Path | None:
    """The folder for compiled kernels, or None where nothing can be written.

    Numba throws a compiled function away when its own file changes, but not when a function that was inlined into
    it does, so the folder's name holds a digest of all the kernels' sources. It stands in the user's cache, as the
    package's own folder may be read-only.
    """
    sources = sorted(Path(__file__).parent.rglob("*.py"))
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    folder = Path(_config.CACHE_DIR or cache_dir()) / f"kernels-{digest[:16]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


_FOLDER = _kernel_folder()


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Return the decorator that compiles a function with `options` and what all kernels share."""
    # Python's zero test on every division stops vectorisation; IEEE division does not need it.
    decorator = njit(error_model="numpy", nogil=True, cache=_FOLDER is not None, **options)

    def decorate(function: Callable[..., Any]) -> Any:
        # Numba reads the folder when it decorates; other users of Numba keep theirs.
        before, _config.CACHE_DIR = _config.CACHE_DIR, str(_FOLDER or "")
        try:
            return decorator(function)
        finally:
            _config.CACHE_DIR = before

    return decorate


kernel = compiled(fastmath=FASTMATH)

inlined = compiled(fastmath=FASTMATH, inline="always")
"""For the steps of a kernel. A call would copy every field of every array it hands over, each function would be
compiled again within each that calls it, and which of the copies runs could differ between a process that
compiles and one that loads the result: in the last bits, but no run could be repeated to the bit.
"""
