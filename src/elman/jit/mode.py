"""Whether kernels are compiled, and whether by Numba's public functions alone: in plain mode."""

from __future__ import annotations

import os
import re
import warnings

from elman.engine_registry import NUMBA_INSTALLED

NEWEST = {"numba": (0, 68), "llvmlite": (0, 50)}
"""The newest versions that are known to have the private names which `elman.jit.compiler` and `lowering` use."""

COMPILES = NUMBA_INSTALLED and os.environ.get("NUMBA_DISABLE_JIT", "0") in ("", "0")
"""Whether kernels are compiled."""


def find_unknown_version() -> str:
    """Return which package is newer than `NEWEST`, or has a version that cannot be read; empty if none is."""
    from elman.jit.processor import version_file  # which imports llvmlite

    for package, newest in NEWEST.items():
        version = re.search(rb"""version\w*"?(?: =|:) ["'](\d+)\.(\d+)""", version_file(package))
        if version is None or (int(version[1]), int(version[2])) > newest:
            found = "of an unknown version" if version is None else b".".join(version.groups()).decode()
            return f"{package} {found} is newer than {'.'.join(map(str, newest))}"
    return ""


def find_changed_name() -> str:
    """Return what fails if a small kernel is compiled with Numba's private names; empty if nothing does.

    What was compiled is in the cache, so this is done once for these versions.
    """
    try:
        from elman.jit.probe import compile_probe

        compile_probe()
    except Exception as error:  # whatever a changed name leads to
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
