"""How Numba compiles a kernel: the passes in which it would take most of its time.

Numba loads a whole named tuple of arrays, hundreds of numbers, to read one field, and again to overwrite it, and it
fills every variable with zeros after its last use. LLVM removes most of that, but it takes as long as all the rest. A
kernel that counts no references needs none of it.
"""

from __future__ import annotations

from typing import Any, ClassVar

from numba.core import cgutils, lowering, types
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.inline_closurecall import InlineWorker
from numba.core.typed_passes import NativeLowering
from numba.core.untyped_passes import InlineInlinables

_Lower: Any = lowering.Lower  # these have no annotations
_Worker: Any = InlineWorker
_PassBuilder: Any = DefaultPassBuilder
_register_pass: Any = register_pass
_cgutils: Any = cgutils
_NamedTuple: Any = types.BaseNamedTuple


class _KernelLower(_Lower):  # type: ignore[misc]
    """Translates a function; see the methods of `numba.core.lowering.Lower`."""

    def alloca(self, name: str, type: Any) -> Any:
        """Allocate a variable; Numba would determine its size for a debugger, by a call of LLVM."""
        return _cgutils.alloca_once(self.builder, self.context.get_value_type(type), name=name)

    def storevar(self, value: Any, name: str, argidx: int | None = None) -> None:
        """Store a variable without reading what it contains."""
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
                pointer = _cgutils.gep_inbounds(self.builder, self.getvar(expr.value.name), 0, index)
                return self.context.cast(self.builder, self.builder.load(pointer), kind.types[index], resty)
        return super().lower_expr(resty, expr)


@_register_pass(mutates_CFG=True, analysis_only=False)
class _KernelLowering(NativeLowering):
    _name = "kernel_lowering"

    @property
    def lowering_class(self) -> Any:
        return _KernelLower


class _InlineWorker(_Worker):  # type: ignore[misc]
    """Inlines functions, each of which is analysed once, not at every call."""

    analysed: ClassVar[dict[Any, Any]] = {}

    def run_untyped_passes(self, func: Any, enable_ssa: bool = False) -> Any:
        """Return the function before its types are known; the caller copies it."""
        self._compiler_pipeline = lambda state: _replace(_PassBuilder.define_untyped_pipeline(state))
        if func not in self.analysed:
            self.analysed[func] = super().run_untyped_passes(func, enable_ssa)
        return self.analysed[func]


@_register_pass(mutates_CFG=True, analysis_only=False)
class _Inlining(InlineInlinables):
    def _do_work(self, state: Any, work_list: Any, block: Any, i: int, expr: Any, inline_worker: Any) -> Any:
        inline_worker.__class__ = _InlineWorker
        return super()._do_work(state, work_list, block, i, expr, inline_worker)


_REPLACED = {NativeLowering: _KernelLowering, InlineInlinables: _Inlining}


def _replace(passes: Any) -> Any:
    """Let passes contain ours."""
    passes.passes = [(_REPLACED.get(each, each), title) for each, title in passes.passes]
    return passes


class KernelCompiler(CompilerBase):
    """Numba's passes, some of which are replaced by ours."""

    def define_pipelines(self) -> list[Any]:
        """Return the passes."""
        passes = _replace(_PassBuilder.define_nopython_pipeline(self.state))
        passes.finalize()
        return [passes]
