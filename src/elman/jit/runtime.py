"""Calls of compiled kernels: LLVM alone loads their code from the cache, because importing Numba takes a second.

A kernel gets its arguments as consecutive numbers of 64 bits, see `pack`, and is compiled for their types. Numba is
imported if the kernel has to be compiled.
"""

from __future__ import annotations

import ctypes
import hashlib
import struct
import sys
from ast import literal_eval
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, cached_property
from importlib import import_module
from pkgutil import resolve_name
from threading import RLock, local
from typing import Any, NamedTuple

import numpy as np
from llvmlite import binding

from elman.jit.cache import kernel_path, load_kernel

_LOCK = RLock()
"""Held while a kernel is loaded or compiled."""
_ENTRY: Any = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_char_p, ctypes.c_void_p)
_read_address, _HEADER = ctypes.c_ssize_t.from_address, object.__basicsize__
"""The address of an array's numbers is at the beginning of NumPy's structure of it, behind the header of any object.
The attributes `ctypes` and `__array_interface__` would account for most of the time of a call."""
_pack_integer, _pack_unsigned, _pack_float = (struct.Struct(code).pack for code in "qQd")


# --- Parts of Numba that are imported only when it compiles kernels, because that takes a third of a second ---


class _Module:
    """A module that is imported on first use."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self._name), name)


types: Any = _Module("numba.types")
cgutils: Any = _Module("numba.core.cgutils")


class Intrinsic:
    """A function that emits code where a kernel calls it, see `numba.extending.intrinsic`."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    @cached_property
    def _numba_type_(self) -> Any:
        """The type by which Numba finds it."""
        from numba import extending
        from numba.core.registry import cpu_target

        context: Any = cpu_target.typing_context
        made: Any = extending.intrinsic(self.function)
        context.refresh()
        return context.resolve_value_type(made)


intrinsic: Any = Intrinsic
"""Decorates functions that kernels call without the first parameter, which a type checker cannot know."""

OVERLOADS: list[tuple[Any, dict[str, Any], Any]] = []
"""Functions that Numba must know before it compiles the next kernel, and the functions that choose their code."""


def overload(function: Callable[..., Any], **options: Any) -> Callable[[Any], Any]:
    """Return the decorator of a function that chooses the code of `function`, see `numba.extending.overload`."""

    def add(choose: Any) -> Any:
        OVERLOADS.append((function, options, choose))
        return choose

    return add


# --- Arguments ---


class Address(int):
    """The address of a kernel, which is a pointer to it in kernels."""


class Packed(NamedTuple):
    """Arguments of a kernel."""

    kinds: tuple[str, ...]
    """Their types: 'int64' for a scalar; 'int64 2C' for an array, with 'r' if it is read-only; for a tuple, the name of
    its class and its fields, as in ``(None, 'int64', 'float64 1C')``: in quotation marks, as Python writes them."""
    data: bytes
    held: tuple[object, ...]
    """The arguments, whose arrays the data points to."""


def pack(*arguments: object) -> Packed:
    """Pack arguments, some of which may be packed already."""
    kinds, data = list[str](), list[bytes]()
    for argument in arguments:
        if type(argument) is Packed:
            kinds.extend(argument.kinds)
            data.append(argument.data)
        else:
            kinds.append(_pack(argument, data))
    return Packed(tuple(kinds), b"".join(data), arguments)


def _pack(value: Any, data: list[bytes]) -> str:
    """Append a value to the data; return its type. A field of a tuple may be packed already."""
    if type(value) is Packed:
        data.append(value.data)
        return value.kinds[0]
    if type(value) is int:
        data.append(_pack_integer(value))
        return "'int64'"
    if type(value) is Address:
        data.append(_pack_integer(value))
        return "'voidptr'"
    if isinstance(value, np.ndarray):
        flags, shape = value.flags, value.shape
        layout = "C" if flags.c_contiguous else "F" if flags.f_contiguous else "A"
        address = _read_address(id(value) + _HEADER).value
        data.append(_array_packer(len(shape))(value.size, address, *shape, *value.strides))
        return _array_kind(value.dtype, len(shape), layout, flags.writeable)
    if isinstance(value, tuple):
        kind = type(value)
        name = None if kind is tuple else f"{kind.__module__}:{kind.__qualname__}"
        return f"({', '.join([repr(name), *[_pack(each, data) for each in value]])})"
    if value is None:
        return "'none'"
    name = "bool" if isinstance(value, (bool, np.bool_)) else value.dtype.name if isinstance(value, np.generic) else ""
    if name.startswith("float") or isinstance(value, float):
        data.append(_pack_float(value))
        return repr(name or "float64")
    if not name:
        raise TypeError(f"cannot pass a {type(value).__name__} to a kernel")
    data.append((_pack_unsigned if name == "uint64" else _pack_integer)(int(value)))
    return repr(name)


@cache
def _array_packer(ndim: int) -> Callable[..., bytes]:
    return struct.Struct(f"{2 + 2 * ndim}q").pack


@cache
def _array_kind(dtype: np.dtype[Any], ndim: int, layout: str, writeable: bool) -> str:
    name = dtype.name if dtype.isnative else dtype.str  # Numba refuses the latter
    return repr(f"{name} {ndim}{layout}{'' if writeable else 'r'}")


def _unpack(kind: Any, numbers: Iterator[int]) -> Any:
    """Return a result of a type that `literal_eval` read."""
    if isinstance(kind, tuple):
        fields = [_unpack(each, numbers) for each in kind[1:]]
        return tuple(fields) if kind[0] is None else resolve_name(kind[0])(*fields)
    if kind == "none":
        return None
    number = next(numbers)
    if kind.startswith("float"):
        return struct.unpack("d", _pack_integer(number))[0]
    return bool(number) if kind == "bool" else number % 2**64 if kind == "uint64" else number


# --- Kernels ---


class Entry:
    """The function that Python calls, of a kernel that is compiled for certain types of arguments."""

    def __init__(self, address: int, pointer: int, result: str) -> None:
        self.function, self.pointer = _ENTRY(address), pointer
        self.result = literal_eval(result)
        self.size = max(1, result.count("'") // 2)

    def __call__(self, data: bytes) -> Any:
        """Call it with packed arguments."""
        out = (ctypes.c_int64 * self.size)()
        if self.function(data, out):
            text, size = struct.unpack("Pi", ctypes.string_at(out[0], struct.calcsize("Pi")))
            from elman.jit.compiler import read_exception

            raise read_exception(ctypes.string_at(text, size))
        return None if self.result == "none" else _unpack(self.result, iter(out))


class Kernel:
    """A function that is compiled, or loaded, for the types of the arguments of each call.

    Kernels can call it, too, because Numba sees a dispatcher in its place.
    """

    def __init__(self, function: Callable[..., Any], options: dict[str, Any], allocates: bool, linked: bool) -> None:
        self.py_func, self.options, self.allocates, self.linked = function, options, allocates, linked
        self.name = f"{function.__module__}:{function.__qualname__}"
        self._entries: dict[tuple[str, ...], Entry] = {}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.dispatcher, name)

    def __deepcopy__(self, memo: Any) -> Kernel:
        return self

    def __call__(self, *arguments: object) -> Any:
        """Call it, without Python's global lock."""
        if self.allocates:
            return self.dispatcher(*arguments)
        packed = pack(*arguments)
        return self.find(packed.kinds)(packed.data)

    @cached_property
    def dispatcher(self) -> Any:
        """The object with which Numba compiles the function."""
        from elman.jit.compiler import add_overloads, make_dispatcher

        add_overloads(OVERLOADS)
        return make_dispatcher(self)

    @property
    def is_member(self) -> bool:
        """Whether a module defines it, from which another process can import it."""
        module, _, member = self.name.partition(":")
        return getattr(sys.modules.get(module), member, None) is self

    def is_missing(self, kinds: tuple[str, ...]) -> bool:
        """Return whether it can be stored for these types of arguments, but is not."""
        path = kernel_path(self.name, kinds) if self.is_member else None
        return path is not None and not path.exists()

    def find(self, kinds: tuple[str, ...]) -> Entry:
        """Return its entry for these types of arguments, after loading or compiling it if necessary."""
        entry = self._entries.get(kinds)
        if entry is None:
            with _LOCK:
                entry = self._entries.get(kinds) or self._load(kinds) or self._compile(kinds)
                self._entries[kinds] = entry
        return entry

    def _load(self, kinds: tuple[str, ...]) -> Entry | None:
        """Load it from the cache, if it is there."""
        stored = load_kernel(self.name, kinds) if self.is_member and not self.allocates else None
        if stored is None:
            return None
        for name, called in stored.called:
            resolve_name(name).find(called)
        engine = _engine()
        if not all(binding.address_of_symbol(each) for each in stored.external):
            return None  # only Numba defines the missing symbols
        engine.add_object_file(binding.ObjectFileRef.from_data(stored.code))
        engine.finalize_object()
        address, entry = (engine.get_function_address(name) for name in (stored.symbol, stored.entry))
        binding.add_symbol(stored.symbol, address)
        return Entry(entry, address, stored.result)

    def _compile(self, kinds: tuple[str, ...]) -> Entry:
        from elman.jit.compiler import compile_kernel

        symbol, address, entry, result = compile_kernel(self, kinds)
        binding.add_symbol(symbol, address)
        return Entry(entry, address, result)


make_kernel = Kernel


@cache
def _engine() -> Any:
    """Return the LLVM engine that loads machine code, with the options of Numba."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    target = binding.Target.from_triple(binding.get_process_triple())
    reloc = "static" if target.name.startswith("x86") else "default"
    machine = target.create_target_machine(reloc=reloc, codemodel="jitdefault", jit=True)
    return binding.create_mcjit_compiler(binding.parse_assembly(""), machine)


Signature = tuple[Kernel, tuple[str, ...]]
"""A kernel and the types of its arguments."""


class _Recording(local):
    """The list of `record_kernels` in this thread: another thread may train at the same time."""

    kernels: list[Signature] | None = None


_recording = _Recording()


@contextmanager
def record_kernels() -> Iterator[list[Signature]]:
    """Yield a list to which `kernel_pointer` and `call_kernel` add kernels in the block instead of compiling them.

    Pointers that are made in the block are not valid.
    """
    recorded: list[Signature] = []
    _recording.kernels = recorded
    try:
        yield recorded
    finally:
        _recording.kernels = None


def is_recording() -> bool:
    """Whether `record_kernels` is in use."""
    return _recording.kernels is not None


def call_kernel(kernel: Any, *arguments: object) -> None:
    """Call a kernel that returns nothing, unless kernels are recorded."""
    if _recording.kernels is None:
        kernel(*arguments)
    else:
        _recording.kernels.append((kernel, pack(*arguments).kinds))


# --- Calls by address ---


class KernelPointer(NamedTuple):
    """The address of a kernel that is compiled for certain types of arguments."""

    address: Address
    digest: int  # of these types


UNUSED = KernelPointer(Address(0), 0)
"""A placeholder for the pointer to a kernel that is not called and therefore need not be compiled."""


def _digest(kinds: Sequence[str]) -> int:
    """Return a number that depends on types and is the same in every process."""
    return int.from_bytes(hashlib.sha256(", ".join(kinds).encode()).digest()[:7], "little")


def kernel_pointer(kernel: Kernel, *arguments: object) -> KernelPointer:
    """Return a pointer to a kernel, compiled for the types of these arguments if it is not yet."""
    kinds = pack(*arguments).kinds
    if _recording.kernels is not None:
        _recording.kernels.append((kernel, kinds))
        return KernelPointer(Address(0), _digest(kinds))
    return KernelPointer(Address(kernel.find(kinds).pointer), _digest(kinds))


@intrinsic
def call_pointer(typingctx: Any, pointer: Any, arguments: Any) -> tuple[Any, Callable[..., Any]]:
    """Call a kernel that returns nothing with a tuple of arguments, which must have the types of its pointer."""
    from elman.jit.compiler import describe_type

    kinds = tuple(arguments)

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        address, digest = cgutils.unpack_tuple(builder, values[0])
        is_other = builder.icmp_unsigned("!=", digest, digest.type(_digest([describe_type(kind) for kind in kinds])))
        with builder.if_then(is_other, likely=False):
            message = "a kernel is called with arguments of types that it is not compiled for"
            context.call_conv.return_user_exc(builder, TypeError, (message,))
        kind = context.call_conv.get_function_type(types.none, kinds)
        # A typed pointer is llvmlite's only way to tell the type of a function that is called by its address.
        function = builder.bitcast(address, kind.as_pointer())
        status, _ = context.call_conv.call_function(
            builder, function, types.none, kinds, cgutils.unpack_tuple(builder, values[1])
        )
        with builder.if_then(status.is_error, likely=False):
            context.call_conv.return_status_propagate(builder, status)
        return context.get_dummy_value()

    return types.none(pointer, arguments), emit
