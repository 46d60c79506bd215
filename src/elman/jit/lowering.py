"""How Numba compiles a kernel: replacements for the passes in which it would spend most of its time.

Numba loads a whole named tuple of arrays, hundreds of numbers, to read one field, and again to overwrite it, and it
fills every variable with zeros after its last use. LLVM removes most of this code, but that takes as long as all other
passes. A kernel that counts no references needs none of it.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator
from itertools import count
from typing import Any, ClassVar

import numpy as np
from llvmlite import ir as llvm
from numba.core import cgutils, ir, lowering, types
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.funcdesc import default_mangler
from numba.core.inline_closurecall import InlineWorker
from numba.core.typed_passes import NativeLowering
from numba.core.untyped_passes import InlineInlinables

from elman.jit.processor import pointer_to

_types: Any = types
_Lower: Any = lowering.Lower  # these have no annotations
_Worker: Any = InlineWorker
_Block: Any = ir.Block
_default_mangler: Any = default_mangler
_Library: Any = JITCodeLibrary
_PassBuilder: Any = DefaultPassBuilder
_register_pass: Any = register_pass
_cgutils: Any = cgutils
_NamedTuple: Any = types.BaseNamedTuple
_INT32, _WORD = llvm.IntType(32), llvm.IntType(64)


class _KernelLower(_Lower):  # type: ignore[misc]
    """Translates a function; see the methods of `numba.core.lowering.Lower`."""

    def lower(self) -> None:
        """Translate it, and add the function that Python calls."""
        super().lower()
        if not self.context.enable_nrt and _is_result(self.fndesc.restype):
            _add_entry(self.context, self.library, self.fndesc)

    def alloca(self, name: str, type: Any) -> Any:
        """Allocate a variable; Numba would determine its size for a debugger, by a call of LLVM."""
        return _cgutils.alloca_once(self.builder, self.context.get_value_type(type), name=name)

    def storevar(self, value: Any, name: str, argidx: int | None = None) -> None:
        """Store a variable without reading its previous value."""
        if self.context.enable_nrt or name in self._singly_assigned_vars:
            super().storevar(value, name, argidx)
        else:
            self.builder.store(value, self.getvar(name))

    def delvar(self, name: str) -> None:
        """Leave a variable that counts no references as it is."""
        if self.context.enable_nrt:
            super().delvar(name)

    def lower_expr(self, resty: Any, expr: Any) -> Any:
        """Read a field of a variable without its other fields."""
        if expr.op == "getattr" and expr.value.name not in self._blk_local_varmap and not self.context.enable_nrt:
            kind = self.typeof(expr.value.name)
            if isinstance(kind, _NamedTuple) and expr.attr in kind.fields:
                index = kind.fields.index(expr.attr)
                variable = self.getvar(expr.value.name)
                indices, whole = [_INT32(0), _INT32(index)], self.context.get_value_type(kind)
                # LLVM 15, in Numba 0.61, has typed pointers: a given type would be the type of the result.
                kind_of_whole = whole if variable.type.is_opaque else None
                pointer = self.builder.gep(variable, indices, inbounds=True, source_etype=kind_of_whole)
                field = self.builder.load(pointer, typ=self.context.get_value_type(kind.types[index]))
                return self.context.cast(self.builder, field, kind.types[index], resty)
        return super().lower_expr(resty, expr)


def entry_name(symbol: str) -> str:
    """Return the symbol of the function that Python calls, given the symbol of a kernel.

    Its arguments are the addresses of the kernel's arguments, see `elman.jit.runtime.pack`, and of room for the result,
    or for the address of an exception if it does not return 0. Numba's interface to Python would need up to half of the
    time to compile.
    """
    return f"entry.{symbol}"


def _add_entry(context: Any, library: Any, fndesc: Any) -> None:
    """Add to the code of a kernel the function that Python calls."""
    module, call_conv = library.create_ir_module("entry"), context.call_conv
    kernel = llvm.Function(module, call_conv.get_function_type(fndesc.restype, fndesc.argtypes), fndesc.llvm_func_name)
    _, exception_kind, *kinds = (argument.type for argument in kernel.args)
    result_kind = context.data_model_manager[fndesc.restype].get_return_type()
    entry = llvm.Function(module, llvm.FunctionType(_INT32, [pointer_to(_WORD)] * 2), entry_name(kernel.name))
    builder, numbers = llvm.IRBuilder(entry.append_basic_block()), count()
    words = [each for kind in fndesc.argtypes for each in _list_words(kind, numbers)]
    arguments = [_load_word(builder, entry.args[0], *pair) for pair in zip(words, kinds, strict=True)]
    result, exception = (_cgutils.alloca_once(builder, each) for each in (result_kind, _WORD))
    exception_pointer = builder.bitcast(exception, exception_kind)
    status = builder.call(kernel, [result, exception_pointer, *arguments], attrs=("noinline",))
    with builder.if_else(builder.icmp_signed("==", status, _INT32(0))) as (returned, raised):
        with returned:
            value = context.get_returned_value(builder, fndesc.restype, builder.load(result, typ=result_kind))
            for n, word in enumerate(_to_words(builder, fndesc.restype, value)):
                builder.store(word, builder.gep(entry.args[1], [_WORD(n)], source_etype=_WORD))
        with raised:
            builder.store(builder.load(exception, typ=_WORD), entry.args[1])
    builder.ret(status)
    library.add_ir_module(module)


def _is_result(kind: Any) -> bool:
    """Return whether Python can build a result of one of Numba's types from its parts."""
    if isinstance(kind, _types.BaseTuple):
        return all(map(_is_result, kind.types))
    return isinstance(kind, _types.NoneType | _types.Number | _types.Boolean)


def _list_words(kind: Any, numbers: Iterator[int]) -> list[Any]:
    """Return, for the parts of one of Numba's types, the numbers of their words, constants, or None for no pointer."""
    if isinstance(kind, _types.BaseTuple):
        return [each for part in kind.types for each in _list_words(part, numbers)]
    if isinstance(kind, _types.NoneType):
        return [None]
    if not isinstance(kind, _types.Array):
        return [next(numbers)]
    size, *rest = (next(numbers) for _ in range(2 + 2 * kind.ndim))
    # An array's owner and its parent, whose references are counted, are missing.
    return [None, None, size, _WORD(np.dtype(str(kind.dtype)).itemsize), *rest]


def _load_word(builder: Any, start: Any, word: Any, kind: Any) -> Any:
    """Return a part of an argument as a value of one of LLVM's types."""
    if not isinstance(word, int):
        return llvm.Constant(kind, None) if word is None else word
    pointer = builder.gep(start, [_WORD(word)], source_etype=_WORD)
    if isinstance(kind, llvm.PointerType):
        return builder.load(builder.bitcast(pointer, pointer_to(kind)), typ=kind)
    number = builder.load(pointer, typ=_WORD)
    if isinstance(kind, llvm.IntType):
        return builder.trunc(number, kind) if kind.width < _WORD.width else number
    number = builder.bitcast(number, llvm.DoubleType())
    return builder.fptrunc(number, kind) if isinstance(kind, llvm.FloatType) else number


def _to_words(builder: Any, kind: Any, value: Any) -> list[Any]:
    """Return a result of one of Numba's types as integers."""
    if isinstance(kind, _types.BaseTuple):
        pairs = zip(kind.types, _cgutils.unpack_tuple(builder, value), strict=True)
        return [each for pair in pairs for each in _to_words(builder, *pair)]
    if isinstance(kind, _types.Float):
        number = builder.fpext(value, llvm.DoubleType()) if kind.bitwidth == 32 else value
        return [builder.bitcast(number, _WORD)]
    if isinstance(kind, _types.NoneType):
        return []
    signed = isinstance(kind, _types.Integer) and kind.signed
    return [value if value.type == _WORD else (builder.sext if signed else builder.zext)(value, _WORD)]


def _mangle(name: str, kinds: Any, **numba_only: Any) -> str:
    """Return the name of a kernel for the linker, the same in every process; Numba's contains an unordered set."""
    digest = hashlib.sha256(", ".join(map(str, kinds)).encode()).hexdigest()[:16]
    return str(_default_mangler(f"{name}.{digest}", ()))


class _KernelLibrary(_Library):  # type: ignore[misc]
    """The code of a kernel without the code of the kernels it calls, which the linker finds by their names."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.enable_object_caching()
        self.called: list[Any] = []
        """The kernels and the types of their arguments."""

    def _optimize_functions(self, module: Any) -> None:
        """Do not optimize yet: the passes over the whole module do it."""
        module.data_layout = self._codegen._data_layout

    def add_linking_library(self, library: Any) -> None:
        """Let the kernel call the functions that a library defines."""
        kernel = getattr(library, "kernel", None)
        if kernel is None:
            super().add_linking_library(library)
        called = getattr(library, "called", []) if kernel is None else [kernel]
        self.called += [each for each in called if each not in self.called]


@_register_pass(mutates_CFG=True, analysis_only=False)
class _KernelLowering(NativeLowering):
    _name = "kernel_lowering"

    def run_pass(self, state: Any) -> bool:
        """Translate the function to machine code."""
        if "<locals>" not in state.func_id.func_qualname:
            state.targetctx.mangler = _mangle  # the context belongs to this function alone
        state.library = _KernelLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        return bool(super().run_pass(state))

    @property
    def lowering_class(self) -> Any:
        return _KernelLower


class _Copy(_Block):  # type: ignore[misc]
    """A block that is already a copy: Numba would copy it twice, each time with all variables of its function."""

    def __deepcopy__(self, memo: Any) -> _Copy:
        return self


class _InlineWorker(_Worker):  # type: ignore[misc]
    """Inlines functions; each is analysed once, not at every call."""

    analysed: ClassVar[dict[Any, Any]] = {}

    def run_untyped_passes(self, func: Any, enable_ssa: bool = False) -> Any:
        """Return a copy of the function before its types are known."""
        self._compiler_pipeline = lambda state: _replace(_PassBuilder.define_untyped_pipeline(state))
        if func not in self.analysed:
            self.analysed[func] = super().run_untyped_passes(func, enable_ssa)
        function = self.analysed[func].copy()
        function.blocks = copy.deepcopy(function.blocks)
        for block in function.blocks.values():
            block.__class__ = _Copy
        return function

    def inline_ir(self, *arguments: Any, **options: Any) -> Any:
        """Inline the copy."""
        inlined = super().inline_ir(*arguments, **options)
        for _, block in inlined[-1]:
            block.__class__ = _Block
        return inlined


@_register_pass(mutates_CFG=True, analysis_only=False)
class _Inlining(InlineInlinables):
    def _do_work(self, state: Any, work_list: Any, block: Any, i: int, expr: Any, inline_worker: Any) -> Any:
        inline_worker.__class__ = _InlineWorker
        return super()._do_work(state, work_list, block, i, expr, inline_worker)


_REPLACED = {NativeLowering: _KernelLowering, InlineInlinables: _Inlining}


def _replace(passes: Any) -> Any:
    """Replace Numba's passes by ours."""
    passes.passes = [(_REPLACED.get(each, each), title) for each, title in passes.passes]
    return passes


class KernelCompiler(CompilerBase):
    """Numba's passes, some of which are replaced by ours."""

    def define_pipelines(self) -> list[Any]:
        """Return the passes."""
        passes = _replace(_PassBuilder.define_nopython_pipeline(self.state))
        passes.finalize()
        return [passes]
