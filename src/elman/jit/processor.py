"""The target and the tools of the compilation: the processor, LLVM, and the version of Numba."""

import ctypes
import os
import platform
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from llvmlite import binding, ir


def pointer_to(kind: Any) -> Any:
    """Return LLVM's type of a pointer to a value of type `kind`; recent versions have one type for all pointers."""
    return getattr(kind, "as_pointer", ir.PointerType)()


def version_file(package: str) -> bytes:
    """Return the file that identifies the version of Numba, without importing it, which takes a third of a second."""
    found = find_spec(package)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).with_name("_version.py").read_bytes()


def has_feature(name: str) -> bool:
    """Return whether the processor that Numba compiles for has a feature, by its name in LLVM."""
    generic = os.environ.get("NUMBA_CPU_NAME", "").lower() == "generic"
    features = os.environ.get("NUMBA_CPU_FEATURES", "" if generic else None)
    if features is None:
        return bool(binding.get_host_cpu_features().get(name, False))
    return f"+{name}" in features.split(",")


def _may_use_amx() -> bool:
    """Return whether the processor has AMX for bfloat16 and Linux, which must be asked, lets this process use it."""
    if (
        not has_feature("amx-bf16")
        or binding.llvm_version_info < (20,)
        or sys.platform != "linux"
        or platform.machine() != "x86_64"
    ):
        return False
    arch_prctl, request_permission, tile_data = 158, 0x1023, 18
    return bool(ctypes.CDLL(None).syscall(arch_prctl, request_permission, tile_data) == 0)


HAS_AMX = _may_use_amx()
"""Whether kernels may use Advanced Matrix Extensions, see `elman.engine.numba.tile`."""
