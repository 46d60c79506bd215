"""What a step of a cell does element by element: the nonlinear part between two products.

It reads and writes a few rows at the same place. Each is one LLVM function, called and never inlined.
"""

from collections.abc import Callable
from typing import Any

from numba.core import cgutils, types

from elman.engine.numba.jit import intrinsic
from elman.engine.numba.linalg.simd import Simd, called_function
from elman.engine.numba.linalg.tile import element_pointer


class Place:
    """One vector of every row that a step works on."""

    def __init__(self, simd: Simd, rows: list[Any], here: Any, block: Any) -> None:
        self.simd, self.rows, self.here, self.block = simd, rows, here, block

    def _address(self, row: int, block: int) -> Any:
        builder = self.simd.builder
        offset = builder.add(self.here, builder.mul(self.block, self.block.type(block)))
        return builder.bitcast(builder.gep(self.rows[row], [offset]), self.simd.type.as_pointer())

    def load(self, row: int, block: int = 0) -> Any:
        """The vector of a row, or of the block of it that belongs to another gate."""
        return self.simd.load(self._address(row, block))

    def store(self, value: Any, row: int, block: int = 0) -> None:
        """Put a vector there."""
        self.simd.store(value, self._address(row, block))


def along_rows(name: str, step: Callable[[Simd, Place], None]) -> Any:
    """Return the kernel ``name(arrays, starts, block, vectors)``: `step` for every vector of the rows.

    A row begins at its start in its flat array; the blocks of one row are `block` numbers apart.
    """

    @intrinsic
    def kernel(typingctx: Any, arrays: Any, starts: Any, block: Any, vectors: Any) -> tuple[Any, Callable[..., Any]]:
        i, count = types.intp, len(arrays)

        def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            pairs = zip(cgutils.unpack_tuple(builder, values[0]), cgutils.unpack_tuple(builder, values[1]), strict=True)
            rows = [element_pointer(context, builder, arrays[0], array, start) for array, start in pairs]
            builder.call(_function(builder.module, name, rows, values[2].type, step), [*rows, *values[2:]])
            return context.get_dummy_value()

        return types.void(arrays, types.UniTuple(i, count), i, i), emit

    return kernel


def _function(module: Any, name: str, rows: list[Any], i: Any, step: Callable[[Simd, Place], None]) -> Any:
    number = rows[0].type.pointee
    function, builder = called_function(module, f"elman_{name}_{number}", [row.type for row in rows] + [i, i])
    if builder is None:
        return function
    simd = Simd(builder, number)
    *starts, block, vectors = function.args
    with cgutils.for_range(builder, vectors) as loop:
        step(simd, Place(simd, starts, builder.mul(loop.index, i(simd.lanes)), block))
    builder.ret_void()
    return function
