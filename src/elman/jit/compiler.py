"""Numba: how it compiles a function, where it caches compiled kernels, and how a kernel calls another by its address.

Numba compiles a kernel that another one calls once more, as a part of the caller. That takes seconds for a long one, so
such a kernel is compiled by itself and called by address.
"""

import ctypes
import hashlib
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numba
from llvmlite import binding, ir
from numba import njit as numba_njit
from numba.core import cgutils, config, event, types
from numba.extending import intrinsic as numba_intrinsic

from elman.errors import quote
from elman.storage import kernel_dir

intrinsic: Any = numba_intrinsic
"""Decorates functions that kernels call without the first parameter, which a type checker cannot know."""

njit: Any = numba_njit
"""Compiles functions; `_nrt`, whether they count references, is not among the options that it declares."""

_typeof: Any = numba.typeof  # these have no annotations
_unliteral: Any = types.unliteral
_unpack_tuple: Any = cgutils.unpack_tuple
_config: Any = config  # its attributes are set at run time, where no type checker sees them


def has_feature(name: str) -> bool:
    """Return whether the processor that Numba compiles for has a feature, by its name in LLVM."""
    if _config.CPU_FEATURES is None:
        return bool(binding.get_host_cpu_features().get(name, False))
    return f"+{name}" in _config.CPU_FEATURES.split(",")


def _may_use_amx() -> bool:
    """Whether the processor has AMX for bfloat16 and Linux, which must be asked, lets this process use it."""
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
"""Whether kernels may use Advanced Matrix Extensions, see `elman.engine.numba.linalg.tile`."""


class CompileTimer(event.Listener):
    """Measures how long Numba compiles; of a function that is compiled within another, nothing is added."""

    def __init__(self) -> None:
        self.seconds, self._started, self._depth = 0.0, 0.0, 0

    def on_start(self, event: Any) -> None:
        """Start the clock."""
        self._depth += 1
        if self._depth == 1:
            self._started = time.monotonic()

    def on_end(self, event: Any) -> None:
        """Stop the clock."""
        self._depth -= 1
        if self._depth == 0:
            self.seconds += time.monotonic() - self._started


COMPILE_TIMER = CompileTimer()
_event: Any = event
_event.register("numba:compile", COMPILE_TIMER)


def kernel_sources() -> list[Path]:
    """Return the files that the kernels are compiled from: their own, and those that define constants in them."""
    package = Path(__file__).parents[2]
    folders = (package / "engine" / "numba", package / "compression", package / "network")
    return [source for folder in folders for source in sorted(folder.rglob("*.py"))]


def _kernel_cache() -> Path | None:
    """The directory for compiled kernels, or None, after a warning, if it is not writable.

    Numba recompiles a function when its own file changes, but not when a function that was inlined into it does, so
    the directory's name contains a digest of `kernel_sources`, and of whether the system allows AMX. It is in the
    user's cache, as the package's own directory may be read-only.
    """
    sources = b"".join(source.read_bytes() for source in kernel_sources())
    digest = hashlib.sha256(sources + bytes([HAS_AMX])).hexdigest()
    directory = kernel_dir() / f"kernels-{digest[:16]}"
    with suppress(OSError):
        directory.mkdir(parents=True, exist_ok=True)
    if directory.is_dir() and os.access(directory, os.W_OK):
        return directory
    variable = "NUMBA_CACHE_DIR" if os.environ.get("NUMBA_CACHE_DIR") else "ELMAN_CACHE"
    warnings.warn(
        f"cannot store compiled kernels in {quote(kernel_dir())}, so every command compiles them again: set {variable}"
        " to a folder that can be written",
        RuntimeWarning,
        stacklevel=2,
    )
    return None


_CACHE = _kernel_cache()


def compile_function(function: Callable[..., Any], options: dict[str, Any], *, allocates: bool = False) -> Any:
    """Return a function as compiled by Numba on its first call, with `options` and those that all kernels share.

    Numba counts references to arrays by atomic operations, at each slice and each access to a field of a tuple: almost
    half of the time of a small network's update. The caller of a kernel holds its arrays, so only what `allocates`
    arrays of its own needs references; Numba refuses to compile anything else that does.
    """
    # Python's check for a zero divisor at every division stops vectorization; IEEE division does not need it.
    decorator = njit(error_model="numpy", nogil=True, cache=_CACHE is not None, _nrt=allocates, **options)
    # Numba reads the directory when it decorates; other users of Numba keep theirs.
    before, _config.CACHE_DIR = _config.CACHE_DIR, str(_CACHE or "")
    try:
        return decorator(function) if _config.DISABLE_JIT else _check_calls(decorator(function), allocates)
    finally:
        _config.CACHE_DIR = before


def _check_calls(dispatcher: Any, allocates: bool) -> Any:
    """Let a call with a constant use the same machine code as one with a variable, and refuse one that is unsafe.

    Numba would compile a function once more for every constant that another kernel passes to it. A kernel must not
    return an array to another one, as not both of them may count references; what is inlined may. To Python, only
    one that counts them may.
    """
    get_call_template, compile_signature = dispatcher.get_call_template, dispatcher.compile

    def compile_checked(signature: Any) -> Any:
        entry_point = compile_signature(signature)
        if not allocates and _returns_array(dispatcher):
            raise TypeError(
                f"{dispatcher.py_func.__name__} returns an array, but counts no references: it must be inlined"
            )
        return entry_point

    def get_general_template(args: tuple[Any, ...], kws: dict[str, Any]) -> Any:
        template = get_call_template(
            tuple(map(_unliteral, args)), {name: _unliteral(kind) for name, kind in kws.items()}
        )
        if _returns_array(dispatcher):
            raise TypeError(f"{dispatcher.py_func.__name__} returns an array to a kernel: it must be inlined")
        return template

    dispatcher.get_call_template, dispatcher.compile = get_general_template, compile_checked
    return dispatcher


def _returns_array(dispatcher: Any) -> bool:
    """Whether a compiled function returns an array, for any of the types of arguments it is compiled for."""
    return any(_holds_array(signature.return_type) for signature in dispatcher.nopython_signatures)


def _holds_array(kind: Any) -> bool:
    """Whether values of a type are arrays, or tuples of which one is, or either of them or None."""
    parts = (kind.type,) if isinstance(kind, types.Optional) else getattr(kind, "types", ())
    return isinstance(kind, types.Array) or any(map(_holds_array, parts))


class KernelPointer(NamedTuple):
    """The address of a kernel that is compiled for certain types of arguments."""

    address: int
    digest: int  # of these types


def _digest(kinds: Sequence[Any]) -> int:
    """Return a number that depends on types, and is the same in every process."""
    names = ", ".join(str(kind) for kind in kinds)
    return int.from_bytes(hashlib.sha256(names.encode()).digest()[:7], "little")


def kernel_pointer(kernel: Any, *arguments: object) -> KernelPointer:
    """Return a pointer to a kernel, compiled for the types of these arguments if it is not yet."""
    kinds = tuple(_typeof(argument) for argument in arguments)
    kernel.compile(kinds)
    result = kernel.overloads[kinds]
    return KernelPointer(result.library.get_pointer_to_function(result.fndesc.llvm_func_name), _digest(kinds))


@intrinsic
def call_pointer(typingctx: Any, pointer: Any, arguments: Any) -> tuple[Any, Callable[..., Any]]:
    """Call a kernel that returns nothing with a tuple of arguments, which must have the types of its pointer."""
    kinds = tuple(arguments)

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        address, digest = _unpack_tuple(builder, values[0])
        is_other = builder.icmp_unsigned("!=", digest, ir.Constant(digest.type, _digest(kinds)))
        with builder.if_then(is_other, likely=False):
            message = "a kernel is called with arguments of other types than it is compiled for"
            context.call_conv.return_user_exc(builder, TypeError, (message,))
        kind = context.call_conv.get_function_type(types.none, kinds)
        function = builder.inttoptr(address, kind.as_pointer())
        status, _ = context.call_conv.call_function(
            builder, function, types.none, kinds, _unpack_tuple(builder, values[1])
        )
        with builder.if_then(status.is_error, likely=False):
            context.call_conv.return_status_propagate(builder, status)
        return context.get_dummy_value()

    return types.none(pointer, arguments), emit
