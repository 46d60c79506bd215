"""Atomic operations on int64 arrays, by which two kernels that run at the same time hand each other work.

An array element that several threads use has a cache line of its own; see `LINE`.
"""

import sys
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types

from elman.engine.numba.compiler import intrinsic
from elman.engine.numba.linalg.tile import element_pointer

LINE = 16
"""Elements from one shared element to the next: 128 bytes, as processors fetch cache lines in pairs."""

PATIENCE = 20_000
"""Times that a thread looks for what it waits for before it does something else or lets other threads have its core."""

Emitter = tuple[Any, Callable[..., Any]]


@intrinsic
def load_acquire(typingctx: Any, array: Any, i: Any) -> Emitter:
    """Return array[i]; what another thread wrote before its `add_release` is visible afterwards."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        pointer = element_pointer(context, builder, signature.args[0], values[0], values[1])
        return builder.load_atomic(pointer, "acquire", 8)

    return types.int64(array, types.intp), emit


@intrinsic
def add_release(typingctx: Any, array: Any, i: Any, value: Any) -> Emitter:
    """Add to array[i], after everything that this thread wrote before."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        pointer = element_pointer(context, builder, signature.args[0], values[0], values[1])
        builder.atomic_rmw("add", pointer, values[2], "release")
        return context.get_dummy_value()

    return types.void(array, types.intp, types.int64), emit


@intrinsic
def increase_below(typingctx: Any, array: Any, i: Any, limit: Any) -> Emitter:
    """Add 1 to array[i] if it is below `limit`, and return its value before, else -1."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        integer: Any = ir.IntType(64)
        pointer = element_pointer(context, builder, signature.args[0], values[0], values[1])
        result: Any = cgutils.alloca_once(builder, integer)
        builder.store(integer(-1), result)
        attempt, end = builder.append_basic_block("attempt"), builder.append_basic_block("end")
        exchange = builder.append_basic_block("exchange")
        builder.branch(attempt)
        builder.position_at_end(attempt)
        value = builder.load_atomic(pointer, "monotonic", 8)
        builder.cbranch(builder.icmp_signed("<", value, values[2]), exchange, end)
        builder.position_at_end(exchange)
        pair = builder.cmpxchg(pointer, value, builder.add(value, integer(1)), "acq_rel", "monotonic")
        builder.store(value, result)
        succeeded = builder.extract_value(pair, 1)
        failed = builder.append_basic_block("failed")
        builder.cbranch(succeeded, end, failed)
        builder.position_at_end(failed)
        builder.store(integer(-1), result)
        builder.branch(attempt)
        builder.position_at_end(end)
        return builder.load(result)

    return types.int64(array, types.intp, types.int64), emit


_YIELD = "SwitchToThread" if sys.platform == "win32" else "sched_yield"
yield_thread = types.ExternalFunction(_YIELD, types.int32())
"""Let another thread have the core."""
