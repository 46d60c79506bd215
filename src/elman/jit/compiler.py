"""Compilation by Numba: how a kernel is compiled and stored, and how Python's arguments become its arguments."""

from __future__ import annotations

import gc
import re
from ast import literal_eval
from collections.abc import Iterator
from contextlib import contextmanager
from pkgutil import resolve_name
from typing import Any

from numba import njit as numba_njit
from numba.core import compiler, serialize, types
from numba.extending import overload

from elman.compilation import COMPILATION
from elman.jit.cache import PROCESSOR, StoredKernel, load_kernel, store_kernel
from elman.jit.lowering import KernelCompiler, entry_name

Kernel = Any  # `elman.jit.runtime.Kernel`; that module imports this one

njit: Any = numba_njit
"""Compiles functions; the option `_nrt`, whether they count references, is missing in its declaration."""

_types: Any = types  # these have no annotations
_overload: Any = overload
_Result: Any = compiler.CompileResult
_serialize: Any = serialize


# --- Types ---


def describe_type(kind: Any) -> str:
    """Return the description of one of Numba's types, as `elman.jit.runtime.pack` describes the type of a value."""
    if isinstance(kind, _types.Array):
        return repr(f"{_name(kind.dtype)} {kind.ndim}{kind.layout}{'' if kind.mutable else 'r'}")
    if isinstance(kind, _types.BaseTuple):
        named = kind.instance_class if isinstance(kind, _types.BaseNamedTuple) else None
        name = named and f"{named.__module__}:{named.__qualname__}"
        return f"({', '.join([repr(name), *map(describe_type, kind.types)])})"
    return repr(_name(kind))


def _name(kind: Any) -> str:
    return "voidptr" if kind == _types.voidptr else str(_types.unliteral(kind))


def read_type(described: Any) -> Any:
    """Return the type that `describe_type` described, as `ast.literal_eval` reads it."""
    if isinstance(described, tuple):
        name, *fields = described
        return _types.BaseTuple.from_types(tuple(map(read_type, fields)), name and resolve_name(name))
    name, _, array = described.partition(" ")
    kind = getattr(_types, "boolean" if name == "bool" else name)
    if not array:
        return kind
    found = re.fullmatch(r"(\d+)([CFA])(r?)", array)
    assert found is not None
    return _types.Array(kind, int(found[1]), found[2], readonly=bool(found[3]))


def read_types(kinds: tuple[str, ...]) -> tuple[Any, ...]:
    """Return Numba's types of arguments."""
    return tuple(read_type(literal_eval(kind)) for kind in kinds)


# --- Kernels ---


def add_overloads(overloads: list[tuple[Any, dict[str, Any], Any]]) -> None:
    """Tell Numba about the functions that `elman.jit.overload` collected, and forget them."""
    while overloads:
        function, options, choose = overloads.pop()
        _overload(function, jit_options={"pipeline_class": KernelCompiler}, **options)(choose)


class _Stored:
    """Numba looks here for the code of a kernel before it compiles one, and stores it here afterwards."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel

    def load_overload(self, signature: Any, context: Any) -> Any:
        """Return the stored kernel, after loading the kernels it calls."""
        stored = load_kernel(self.kernel.name, tuple(map(describe_type, signature)))
        if stored is None:
            return None
        for name, kinds in stored.called:
            resolve_name(name).dispatcher.compile(read_types(kinds))
        context.refresh()
        name, bitcode, *rest = _serialize.cloudpickle.loads(stored.numba)
        return _Result._rebuild(context, (name, "object", (stored.code, bitcode)), *rest)

    def save_overload(self, signature: Any, result: Any) -> None:
        """Store a kernel that Numba has compiled."""
        stored = _describe_result(self.kernel, tuple(map(describe_type, signature)), result)
        (name, _, (code, bitcode)), *rest = result._reduce()
        store_kernel(stored._replace(code=code, numba=_serialize.dumps((name, bitcode, *rest))))


def make_dispatcher(kernel: Kernel) -> Any:
    """Return a function as compiled by Numba, with its options and the options that all kernels share.

    Numba counts references to arrays by atomic operations, at each slice and each access to a field of a tuple: almost
    half of the time of a small network's update. The caller of a kernel holds its arrays, so that only a kernel that
    `allocates` arrays of its own needs references; Numba refuses to compile any other kernel that allocates. Such a
    kernel has Numba's interface to Python; for all others it is `elman.jit.lowering.entry_name`.

    The code of a kernel is compiled once. Numba would compile it again as a part of each of its callers, which takes
    seconds for a long kernel. This is done only for a kernel that is `linked`, or not defined by a module.
    """
    # Python's check for a zero divisor at every division stops vectorization; IEEE division does not need it.
    options = kernel.options | {"error_model": "numpy", "nogil": True, "no_cfunc_wrapper": True}
    options |= {"_nrt": kernel.allocates, "no_cpython_wrapper": not kernel.allocates}
    dispatcher = njit(pipeline_class=KernelCompiler, **options)(kernel.py_func)
    if not kernel.allocates:
        dispatcher._insert = lambda *overload: None  # Python could not call it
    if kernel.is_member:
        dispatcher._cache = _Stored(kernel)
    return _check_calls(dispatcher, kernel)


def _check_calls(dispatcher: Any, kernel: Kernel) -> Any:
    """Let a call with a constant use the same machine code as a call with a variable, and refuse an unsafe one.

    Numba would compile a function once more for every constant that another kernel passes to it. A kernel must not
    return an array to another one, because only one of them may count references; an inlined function may. Only a
    kernel that counts references may return an array to Python.
    """
    get_call_template, compile_signature = dispatcher.get_call_template, dispatcher.compile
    is_called = kernel.is_member and not kernel.linked

    def compile_checked(signature: Any) -> Any:
        with _without_collection():
            entry_point = compile_signature(signature)
        if is_called:
            kinds = tuple(signature)
            dispatcher.overloads[kinds].library.kernel = kernel.name, tuple(map(describe_type, kinds))
        if not kernel.allocates and _returns_array(dispatcher):
            raise TypeError(f"{kernel.py_func.__name__} returns an array, but counts no references: it must be inlined")
        return entry_point

    def get_general_template(args: tuple[Any, ...], kws: dict[str, Any]) -> Any:
        template = get_call_template(
            tuple(map(_types.unliteral, args)), {name: _types.unliteral(kind) for name, kind in kws.items()}
        )
        if _returns_array(dispatcher):
            raise TypeError(f"{kernel.py_func.__name__} returns an array to a kernel: it must be inlined")
        return template

    dispatcher.get_call_template, dispatcher.compile = get_general_template, compile_checked
    return dispatcher


@contextmanager
def _without_collection() -> Iterator[None]:
    """Do not search the objects that Numba makes for cycles: the search needs a tenth of the time."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def compile_kernel(kernel: Kernel, kinds: tuple[str, ...]) -> tuple[str, int, int, str]:
    """Compile a kernel; return its symbol, its address, the address of its entry and the type of its result."""
    with COMPILATION.measure():
        types_of_arguments = read_types(kinds)
        kernel.dispatcher.compile(types_of_arguments)
        result = kernel.dispatcher.overloads[types_of_arguments]
        symbol = result.fndesc.llvm_func_name
        address, entry = (result.library.get_pointer_to_function(name) for name in (symbol, entry_name(symbol)))
    return symbol, address, entry, describe_type(result.signature.return_type)


def read_exception(data: bytes) -> BaseException:
    """Return the exception of a kernel, which Numba has put into its code."""
    exception, arguments, _ = _serialize.cloudpickle.loads(data)
    raised: BaseException = exception(*arguments)
    return raised


def _describe_result(kernel: Kernel, kinds: tuple[str, ...], result: Any) -> StoredKernel:
    """Return the description of a kernel to store, without its code."""
    module, called = result.library._final_module, result.library.called
    declared = [each.name for each in (*module.functions, *module.global_variables) if each.is_declaration]
    symbols = {
        resolve_name(name).dispatcher.overloads[read_types(kinds)].fndesc.llvm_func_name for name, kinds in called
    }
    external = [each for each in declared if each not in symbols and not each.startswith("llvm.")]
    symbol, returned = result.fndesc.llvm_func_name, describe_type(result.signature.return_type)
    return StoredKernel(kernel.name, kinds, PROCESSOR, called, external, symbol, entry_name(symbol), returned, b"", b"")


def _returns_array(dispatcher: Any) -> bool:
    """Return whether a compiled function returns an array, for any types of arguments that it is compiled for."""
    return any(_holds_array(signature.return_type) for signature in dispatcher.nopython_signatures)


def _holds_array(kind: Any) -> bool:
    """Return whether values of a type are arrays, or tuples that contain one, or either of them or None."""
    parts = (kind.type,) if isinstance(kind, _types.Optional) else getattr(kind, "types", ())
    return isinstance(kind, _types.Array) or any(map(_holds_array, parts))
