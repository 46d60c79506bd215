"""A hint to the processor that a row of an array will be read soon."""

from __future__ import annotations

from typing import Any

from elman.engines import NUMBA_INSTALLED


def prefetch(array: Any, row: Any) -> None:
    """Let the cache line with the start of a row be fetched, without waiting for it; any row number is allowed.

    Only compiled kernels fetch anything. It is for loops over many rows that are read in no order: a load that has to
    wait for memory fills the queue in which the processor keeps what comes after it, a prefetch does not.
    """


if NUMBA_INSTALLED:
    from llvmlite import ir
    from numba import extending
    from numba.core import cgutils, types

    from elman.engine.numba.linalg.simd import emit_prefetch

    _cgutils: Any = cgutils
    _extending: Any = extending  # neither has annotations

    @_extending.type_callable(prefetch)
    def _type_prefetch(context: Any) -> Any:
        return lambda array, row: types.none

    @_extending.lower_builtin(prefetch, types.Array, types.Integer)
    def _lower_prefetch(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        stride = _cgutils.unpack_tuple(builder, array.strides)[0]
        offset = builder.mul(context.cast(builder, arguments[1], signature.args[1], types.int64), stride)
        emit_prefetch(builder, builder.gep(builder.bitcast(array.data, ir.IntType(8).as_pointer()), [offset]))
        return context.get_dummy_value()
