"""Where the time of an update goes: the kernels of training, compiled with a timer around each of their parts.

`install` replaces functions in the modules of the compiled engine by ones that count processor cycles, before anything
is compiled; such a process must not share its cache of kernels. The package itself contains nothing of it. Cycles are
added up over the threads.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types

from elman.jit import cache, intrinsic, kernel, runtime

PARTS = (
    "forward: products", "backward: products", "activations of gates", "weight gradients",
    "output layer and softmax", "n-gram prior", "optimizer", "orthogonalization", "average of weights", "dropout masks",
    "packing of weights", "waiting at barriers",
)  # fmt: skip
FORWARD, BACKWARD, GATES, GRADIENTS, OUTPUT, PRIOR, OPTIMIZER, MUON, AVERAGE, DROPOUT, PACKING, WAITING = range(12)
KERNEL, K_ROW, M_ROW = len(PARTS), len(PARTS) + 1, len(PARTS) + 2
"""Behind the parts: cycles of the entire kernel, and the padded sizes by which products are told apart."""

CALLED = {
    "kernels": {
        "_compute_losses": OUTPUT, "_compute_layer_gradients": GRADIENTS, "add_prior": PRIOR,
        "compute_alpha_gradient": PRIOR, "apply_dropout": DROPOUT, "barrier": WAITING,
    },
    "training": {
        "pack_part": PACKING, "pack_recurrent": DROPOUT, "mask_recurrent": DROPOUT, "read_prior": PRIOR,
        "barrier": WAITING, "run_updates": KERNEL,
    },
    "muon": {"barrier": WAITING},
    "optimizer": {"_update_average": AVERAGE},
}  # fmt: skip
"""Functions that kernels call by name, by the module that calls them."""
BY_ADDRESS = {
    "forward_gru_rows": GATES, "backward_gru_rows": GATES, "reduce_gradients": OPTIMIZER, "update_range": OPTIMIZER,
    "update_momentum": OPTIMIZER, "make_step": OPTIMIZER, "run_phases": MUON,
}  # fmt: skip
"""Kernels that are called by their address; products, which are told apart by their sizes, are not among them."""

COUNTERS = np.zeros(M_ROW + 1, np.int64)
_ADDRESS = COUNTERS.ctypes.data

Emitter = tuple[Any, Callable[..., Any]]


@intrinsic
def _read_cycles(typingctx: Any) -> Emitter:
    """Return the processor's cycle counter."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind = ir.FunctionType(ir.IntType(64), [])
        return builder.call(builder.module.declare_intrinsic("llvm.readcyclecounter", [], kind), [])

    return types.int64(), emit


def _emit_address(builder: Any, index: Any) -> Any:
    base = ir.Constant(ir.IntType(64), _ADDRESS).inttoptr(ir.IntType(64).as_pointer())
    return builder.gep(base, [index])


@intrinsic
def _count(typingctx: Any, part: Any, cycles: Any) -> Emitter:
    """Add cycles to a counter, from any thread."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        builder.atomic_rmw("add", _emit_address(builder, values[0]), values[1], "monotonic")
        return context.get_dummy_value()

    return types.void(types.intp, types.int64), emit


@intrinsic
def _load(typingctx: Any, index: Any) -> Emitter:
    """Return a counter."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.load(_emit_address(builder, values[0]))

    return types.int64(types.intp), emit


@kernel
def count_cycles():  # type: ignore[no-untyped-def]
    """Return the processor's cycle counter."""
    return _read_cycles()


class _Timed(runtime.Kernel):
    """A kernel whose one parameter is a tuple of all arguments, which are passed in the same registers."""

    def find(self, kinds: tuple[str, ...]) -> runtime.Entry:
        """See `Kernel.find`."""
        return super().find((f"({', '.join(['None', *kinds])})",))


def _make_timed(function: Callable[..., Any]) -> _Timed:
    return _Timed(function, {}, allocates=False, linked=False)


def timed(function: Any, part: int) -> Any:
    """Return a kernel that counts the cycles of another one."""
    function = kernel(function.py_func)  # what is inlined cannot be called with a tuple of arguments

    @_make_timed
    def run(*arguments):  # type: ignore[no-untyped-def]
        began = _read_cycles()
        function(*arguments)
        _count(part, _read_cycles() - began)

    return run


def timed_product(function: Any) -> Any:
    """Return a kernel that counts the cycles of a product of matrices, as the part that its sizes belong to."""
    function, names = kernel(function.py_func), list(inspect.signature(function.py_func).parameters)
    of_sum = "D" not in names  # a sum of outer products is a gradient, that of a layer counted as a whole
    C, A = names.index("C"), names.index("A")

    @_make_timed
    def run(*arguments):  # type: ignore[no-untyped-def]
        began = _read_cycles()
        function(*arguments)
        cycles = _read_cycles() - began
        if arguments[C].row == _load(K_ROW) or arguments[A].row == _load(K_ROW):
            _count(OUTPUT, cycles)
        elif not of_sum:
            _count(BACKWARD if arguments[C].row == _load(M_ROW) else FORWARD, cycles)

    return run


def _timed_pointer(function: Any, *arguments: object) -> runtime.KernelPointer:
    """Return a pointer like `kernel_pointer`, to a kernel with a timer if the function is among those."""
    name = function.py_func.__name__
    if name not in _timed_kernels and ("multiply" in name or "outer" in name):
        _timed_kernels[name] = timed_product(function)
    elif name not in _timed_kernels:
        _timed_kernels[name] = timed(function, BY_ADDRESS[name]) if name in BY_ADDRESS else function
    return runtime.kernel_pointer(_timed_kernels[name], *arguments)


_timed_kernels: dict[str, Any] = {}


def install() -> None:
    """Put the timers into the modules of the compiled engine, of which no kernel may be compiled yet or in a cache."""
    assert cache.find_digest("elman.jit") is None
    for name, parts in CALLED.items():
        module = importlib.import_module(f"elman.engine.numba.{name}")
        for function, part in parts.items():
            setattr(module, function, timed(getattr(module, function), part))
    for name in ("workspace", "training", "muon"):
        caller: Any = importlib.import_module(f"elman.engine.numba.{name}")
        caller.kernel_pointer = _timed_pointer


def shares(counters: list[int], threads: int, cycles: int) -> dict[str, float]:
    """Return the share of each part in the time of all threads, of which each had so many cycles; the sum is 1."""
    parts, kernels = dict(zip(PARTS, counters, strict=False)), counters[KERNEL]
    parts[PARTS[OPTIMIZER]] -= parts[PARTS[AVERAGE]]  # which is a part of it
    parts["other loops and copies"] = kernels - sum(parts.values())
    parts["Python between calls, threads that wake"] = threads * cycles - kernels
    return {name: count / (threads * cycles) for name, count in parts.items()}
