"""Numba: how it compiles a function, where it stores kernels, and how a kernel calls another one by its address."""

import ctypes
import gc
import hashlib
import json
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

import llvmlite
import numba
import numpy as np
from llvmlite import binding, ir
from numba import njit as numba_njit
from numba.core import caching, cgutils, config, event, types
from numba.core.registry import cpu_target
from numba.extending import intrinsic as numba_intrinsic

from elman.errors import ElmanError, quote
from elman.jit.lowering import KernelCompiler
from elman.storage import kernel_dir
from elman.storage.atomic import replace_file

intrinsic: Any = numba_intrinsic
"""Decorates functions that kernels call without the first parameter, which a type checker cannot know."""

njit: Any = numba_njit
"""Compiles functions; `_nrt`, whether they count references, is not among the options that it declares."""

_typeof: Any = numba.typeof  # these have no annotations
_unliteral: Any = types.unliteral
_unpack_tuple: Any = cgutils.unpack_tuple
_caching: Any = caching
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
    """Measures how long Numba compiles; of a function that is compiled within another, nothing is added.

    Meanwhile, Python does not look for cycles among all the objects that Numba makes, which takes a tenth of the time.
    """

    def __init__(self) -> None:
        self.seconds, self._started, self._depth, self._collects = 0.0, 0.0, 0, True

    def on_start(self, event: Any) -> None:
        """Start the clock."""
        self._depth += 1
        if self._depth == 1:
            self._started, self._collects = time.monotonic(), gc.isenabled()
            gc.disable()

    def on_end(self, event: Any) -> None:
        """Stop the clock."""
        self._depth -= 1
        if self._depth == 0:
            self.seconds += time.monotonic() - self._started
            if self._collects:
                gc.enable()


COMPILE_TIMER = CompileTimer()
_event: Any = event
_event.register("numba:compile", COMPILE_TIMER)


def kernel_sources() -> dict[str, Path]:
    """Return, by module, the files that kernels are compiled from: their own, and those that define their constants."""
    root = Path(__file__).parents[2]
    folders = (root / "elman" / folder for folder in ("jit", "engine/numba", "compression", "network", "ngram"))
    paths = (path for folder in folders for path in sorted(folder.rglob("*.py")))
    return {".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


def digest_sources(sources: Mapping[str, bytes]) -> dict[str, str]:
    """Return, by module, the digest of what its kernels are compiled from.

    That is its code and the code of those of the modules that it imports, directly or not: without comments and
    docstrings, wherever it is in its file. It includes whether the system allows AMX.
    """
    codes = {
        module: list(_walk(compile(source, module, "exec", dont_inherit=True, optimize=2)))
        for module, source in sources.items()
    }
    imports = {module: sources.keys() & _imported_modules(code) for module, code in codes.items()}
    described = {module: repr([_describe(each) for each in code]).encode() for module, code in codes.items()}
    digests = {}
    for module in sources:
        found, added = {module}, {module}
        while added:
            added = {name for each in added for name in imports[each]} - found
            found |= added
        code = b"".join(described[name] for name in sorted(found))
        digests[module] = hashlib.sha256(code + bytes([HAS_AMX])).hexdigest()
    return digests


def _walk(code: CodeType) -> Iterator[CodeType]:
    """Yield the code of a module, and of the functions and classes in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _walk(constant)


def _describe(code: CodeType) -> tuple[Any, ...]:
    """Return what code does, without where it is."""
    constants = [
        sorted(map(repr, each)) if isinstance(each, frozenset) else each  # whose order differs between processes
        for each in code.co_consts
        if not isinstance(each, CodeType)
    ]
    names = code.co_name, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
    return (
        code.co_code,
        code.co_exceptiontable,
        constants,
        names,
        code.co_argcount,
        code.co_kwonlyargcount,
        code.co_flags,
    )


def _imported_modules(codes: Sequence[CodeType]) -> Iterator[str]:
    """Yield the names of what a module may import: each, and each in each."""
    names = {name for code in codes for name in code.co_names}
    packages = {name for name in names if name.startswith("elman.")}
    yield from (*names, *(f"{package}.{name}" for package in packages for name in names))


def _open_cache() -> dict[str, str] | None:
    """Return the digests of `digest_sources`, or None, after a warning, if kernels cannot be stored.

    They are stored for these very sources, as compiling all of them takes a while.
    """
    sources = {module: path.read_bytes() for module, path in kernel_sources().items()}
    digest = hashlib.sha256(bytes([HAS_AMX]))
    for module, source in sources.items():
        digest.update(module.encode() + source)
    path = _kernel_folder(digest.hexdigest()) / "digests.json"
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
    if not (path.parent.is_dir() and os.access(path.parent, os.W_OK)):
        variable = "NUMBA_CACHE_DIR" if os.environ.get("NUMBA_CACHE_DIR") else "ELMAN_CACHE"
        warnings.warn(
            f"cannot store compiled kernels in {quote(kernel_dir())}, so every command compiles them again: set"
            f" {variable} to a folder that can be written",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    with suppress(OSError, ValueError):
        digests: dict[str, str] = json.loads(path.read_bytes())
        return digests
    digests = digest_sources(sources)
    with suppress(ElmanError):
        replace_file(path, json.dumps(digests).encode())
    return digests


_VERSIONS = [platform.python_version(), numba.__version__, llvmlite.__version__, np.__version__]


def _kernel_folder(digest: str) -> Path:
    """The folder for what depends on the sources with a digest; the package's own may be read-only.

    Environments with the same versions share it, and those with others have their own.
    """
    return kernel_dir() / f"kernels-{hashlib.sha256(repr([digest, *_VERSIONS]).encode()).hexdigest()[:16]}"


_CACHE = _open_cache()


class _Locator(_caching._CacheLocator):  # type: ignore[misc]
    """Where a kernel is stored. Numba compiles one again when its file changes, but not when what it calls does."""

    def __init__(self, function: Callable[..., Any], file: str) -> None:
        digests = _CACHE or {}
        others = "".join(digests.values()).encode()  # of a kernel outside the package, as in a test
        digest = digests.get(function.__module__) or hashlib.sha256(others + Path(file).read_bytes()).hexdigest()
        self._py_file, self._folder = file, _kernel_folder(digest)

    @classmethod
    def from_function(cls, py_func: Callable[..., Any], py_file: str) -> Any:
        return cls(py_func, py_file)

    def get_cache_path(self) -> str:
        return str(self._folder)

    def get_source_stamp(self) -> str:
        return self._folder.name

    def get_disambiguator(self) -> str:
        return "kernel"


class _CacheEntry(_caching.CompileResultCacheImpl):  # type: ignore[misc]
    """What is stored of a kernel: its code, and which others it calls."""

    _locator_classes = (_Locator,)

    def reduce(self, result: Any) -> Any:
        """Return what can be pickled."""
        called = [(member_name(kernel), kinds) for kernel, kinds in result.library.called]
        return called, super().reduce(result)

    def rebuild(self, target_context: Any, stored: Any) -> Any:
        """Return the code, after that of the kernels it calls."""
        called, result = stored
        for name, kinds in called:
            find_member(name).compile(kinds)
        return super().rebuild(target_context, result)


class _CacheFiles(_caching.IndexDataCacheFile):  # type: ignore[misc]
    """A file for each signature and processor: no index, which processes that compile at once would overwrite."""

    def path(self, key: tuple[Any, ...]) -> Path:
        """Where the code is stored."""
        return Path(self._data_path(self._data_name(_digest(key))))

    def flush(self) -> None:
        """Remove the code for all signatures."""
        for path in Path(self._cache_path).glob(f"{Path(self._index_name).stem}.*.nbc"):
            path.unlink(missing_ok=True)

    def save(self, key: tuple[Any, ...], data: Any) -> None:
        """Store code."""
        self._save_data(self.path(key).name, (key, data))

    def load(self, key: tuple[Any, ...]) -> Any:
        """Return code, or None if it is not there."""
        try:
            stored_key, data = self._load_data(self.path(key).name)
        except Exception:  # of a file that is missing or damaged, whatever it raises
            return None
        return data if stored_key == key else None


class _KernelCache(_caching.FunctionCache):  # type: ignore[misc]
    _impl_class = _CacheEntry

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file = _CacheFiles(
            self._cache_path, self._impl.filename_base, self._impl.locator.get_source_stamp()
        )

    def contains(self, kinds: tuple[Any, ...]) -> bool:
        """Whether the code for these types of arguments is stored."""
        return bool(self._cache_file.path(self._index_key(kinds, cpu_target.target_context.codegen())).exists())


def compile_function(
    function: Callable[..., Any], options: dict[str, Any], *, allocates: bool = False, linked: bool = False
) -> Any:
    """Return a function as compiled by Numba on its first call, with `options` and those that all kernels share.

    Numba counts references to arrays by atomic operations, at each slice and each access to a field of a tuple: almost
    half of the time of a small network's update. The caller of a kernel holds its arrays, so only what `allocates`
    arrays of its own needs references; Numba refuses to compile anything else that does.

    The code of a kernel is compiled once. Numba would compile it again as a part of each of its callers, which takes
    seconds for a long one; only a kernel that is `linked`, or not defined by a module, is.
    """
    # Python's check for a zero divisor at every division stops vectorization; IEEE division does not need it.
    options |= {"error_model": "numpy", "nogil": True, "no_cfunc_wrapper": True, "_nrt": allocates}
    dispatcher = njit(pipeline_class=KernelCompiler, **options)(function)
    if _config.DISABLE_JIT:
        return dispatcher
    if options.get("no_cpython_wrapper"):
        dispatcher._insert = lambda *overload: None  # it is not what Python could call
        dispatcher._compile_for_args = lambda *arguments: _make_interface(dispatcher)
    if _CACHE is not None:
        dispatcher._cache = _KernelCache(function)
    return _check_calls(dispatcher, allocates, linked)


@cache
def _make_interface(dispatcher: Any) -> Any:
    """Return what calls a kernel without an interface to Python, as a test does; it is not stored."""
    return njit(lambda *arguments: dispatcher(*arguments))


def _check_calls(dispatcher: Any, allocates: bool, linked: bool) -> Any:
    """Let a call with a constant use the same machine code as one with a variable, and refuse one that is unsafe.

    Numba would compile a function once more for every constant that another kernel passes to it. A kernel must not
    return an array to another one, as not both of them may count references; what is inlined may. To Python, only
    one that counts them may.
    """
    function: Any = dispatcher.py_func
    get_call_template, compile_signature = dispatcher.get_call_template, dispatcher.compile

    def compile_checked(signature: Any) -> Any:
        entry_point = compile_signature(signature)
        member: Any = getattr(sys.modules.get(function.__module__), function.__name__, None)
        if not linked and member is dispatcher:
            kinds = tuple(signature)
            dispatcher.overloads[kinds].library.kernel = dispatcher, kinds
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


def member_name(kernel: Any) -> str:
    """Return the names of the module that defines a kernel and of the kernel."""
    return f"{kernel.py_func.__module__}:{kernel.py_func.__name__}"


def find_member(name: str) -> Any:
    """Return what a module defines, by the names of both."""
    module, _, member = name.partition(":")
    return getattr(import_module(module), member)


def _returns_array(dispatcher: Any) -> bool:
    """Whether a compiled function returns an array, for any of the types of arguments it is compiled for."""
    return any(_holds_array(signature.return_type) for signature in dispatcher.nopython_signatures)


def _holds_array(kind: Any) -> bool:
    """Whether values of a type are arrays, or tuples of which one is, or either of them or None."""
    parts = (kind.type,) if isinstance(kind, types.Optional) else getattr(kind, "types", ())
    return isinstance(kind, types.Array) or any(map(_holds_array, parts))


Signature = tuple[Any, tuple[Any, ...]]
"""A kernel and the types of its arguments."""
_recorded: list[Signature] | None = None


@contextmanager
def record_kernels() -> Iterator[list[Signature]]:
    """Yield a list to which kernels are added in the block, by `kernel_pointer` and `call_kernel`, and not compiled.

    Pointers that are made in the block are not valid.
    """
    global _recorded
    recorded: list[Signature] = []
    _recorded = recorded
    try:
        yield recorded
    finally:
        _recorded = None


def is_recording() -> bool:
    """Whether `record_kernels` is in use."""
    return _recorded is not None


def call_kernel(kernel: Any, *arguments: object) -> None:
    """Call a kernel that returns nothing, unless kernels are recorded."""
    if _recorded is None:
        kernel(*arguments)
    else:
        _recorded.append((kernel, tuple(_typeof(argument) for argument in arguments)))


def has_stored(kernel: Any) -> bool:
    """Whether anything of the module of a kernel is stored, or nothing can be."""
    cache = getattr(kernel, "_cache", None)
    return not isinstance(cache, _KernelCache) or Path(cache.cache_path).is_dir()


class KernelPointer(NamedTuple):
    """The address of a kernel that is compiled for certain types of arguments."""

    address: int
    digest: int  # of these types


def _digest(kinds: Sequence[Any]) -> int:
    """Return a number that depends on types, or a key of the cache, and is the same in every process."""
    names = ", ".join(str(kind) for kind in kinds)
    return int.from_bytes(hashlib.sha256(names.encode()).digest()[:7], "little")


def kernel_pointer(kernel: Any, *arguments: object) -> KernelPointer:
    """Return a pointer to a kernel, compiled for the types of these arguments if it is not yet."""
    kinds = tuple(_typeof(argument) for argument in arguments)
    if _recorded is not None:
        _recorded.append((kernel, kinds))
        return KernelPointer(0, _digest(kinds))
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
