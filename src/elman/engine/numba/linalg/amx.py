"""The product of a tile by Intel's Advanced Matrix Extensions (AMX), which multiply pairs of bfloat16.

A tile register holds 16 rows of 64 bytes. One instruction adds the product of A (16 x 16 pairs) and B (16 pairs x 16
columns) to C (16 x 16 numbers), at 16 times the rate of vectors in float32. A row of registers of C is computed at a
time: `VECTORS` vectors, four registers.
"""

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils

from elman.engine.numba.linalg.simd import BYTES

ROWS = 16
"""Rows of a register, and terms that one instruction adds."""
VECTORS = 8
"""Vectors of C per row of registers."""

_ROW_BYTES = 64
_LAST, _A, _B, _LAST_B = 3, 4, (5, 7), 6
"""Registers: those of C before `_LAST` have full rows, as have `_A` and `_B`; `_LAST` and `_LAST_B` may have half."""

_INT8, _INT64 = ir.IntType(8), ir.IntType(64)
_ADDRESS = _INT8.as_pointer()


def _configuration(rows: int, last_bytes: int) -> list[int]:
    """The 64 bytes that set the shapes of the registers, for so many rows of C, of which the last has so many bytes."""
    palette, columns, lengths = 1, [0] * 16, [0] * 16
    for register in range(8):
        columns[register] = last_bytes if register in (_LAST, _LAST_B) else _ROW_BYTES
        lengths[register] = ROWS if register in (*_B, _LAST_B) else rows
    return [palette, *[0] * 15, *(byte for n in columns for byte in n.to_bytes(2, "little")), *lengths]


def _call(builder: Any, name: str, *arguments: Any) -> None:
    """Call an intrinsic function; a Python number is that of a register."""
    values = [_INT8(each) if isinstance(each, int) else each for each in arguments]
    kind = ir.FunctionType(ir.VoidType(), [value.type for value in values])
    builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.{name}"), values)


def emit_tile(builder: Any, *operands: Any) -> None:
    """Emit the function C = D + A B for at most `ROWS` rows and `VECTORS` vectors of columns, see `tile.multiply`.

    A row of A is contiguous, and the number of terms is a multiple of `ROWS`.
    """
    *matrices, rows, vectors = operands
    configurations = [_configuration(r, size) for r in range(1, ROWS + 1) for size in (_ROW_BYTES, BYTES)]
    data = bytearray(byte for each in configurations for byte in each)
    table = cgutils.global_constant(builder, "elman_amx_shapes", ir.Constant(ir.ArrayType(_INT8, len(data)), data))
    half = builder.and_(vectors, vectors.type(1))
    number = builder.add(builder.mul(builder.sub(rows, rows.type(1)), rows.type(2)), half)
    shape = builder.gep(builder.bitcast(table, _ADDRESS), [builder.mul(number, number.type(_ROW_BYTES))])
    _call(builder, "ldtilecfg", shape)
    end = builder.append_basic_block("end")
    registers = builder.udiv(builder.add(vectors, vectors.type(1)), vectors.type(2))
    switch = builder.switch(registers, end)
    for count in range(1, VECTORS // 2 + 1):
        block = builder.append_basic_block(f"registers.{count}")
        switch.add_case(registers.type(count), block)
        builder.position_at_end(block)
        _emit_terms(builder, matrices, [*range(count - 1), _LAST])
        builder.branch(end)
    builder.position_at_end(end)
    _call(builder, "tilerelease")


def _emit_terms(builder: Any, matrices: Sequence[Any], registers: list[int]) -> None:
    """Emit the sum of all terms in the registers of C."""
    c, c_row, d, d_row, a, a_row, b, b_step, depth = matrices
    c_bytes, d_bytes, a_bytes, b_bytes = (builder.mul(row, row.type(4)) for row in (c_row, d_row, a_row, b_step))

    def address(start: Any, column: int = 0, offset: Any = None) -> Any:
        pointer = builder.bitcast(start, _ADDRESS)
        at = _INT64(column * _ROW_BYTES)
        return builder.gep(pointer, [at if offset is None else builder.add(offset, at)])

    for column, register in enumerate(registers):
        _call(builder, "tileloadd64", register, address(d, column), d_bytes)
    with cgutils.for_range(builder, builder.udiv(depth, depth.type(ROWS))) as loop:
        a_offset = builder.mul(loop.index, _INT64(_ROW_BYTES))
        b_offset = builder.mul(loop.index, builder.mul(b_bytes, _INT64(ROWS)))
        _call(builder, "tileloadd64", _A, address(a, 0, a_offset), a_bytes)
        for column, register in enumerate(registers):
            of_b = _LAST_B if register == _LAST else _B[column % 2]
            _call(builder, "tileloadd64", of_b, address(b, column, b_offset), b_bytes)
            _call(builder, "tdpbf16ps", register, _A, of_b)
    for column, register in enumerate(registers):
        _call(builder, "tilestored64", register, address(c, column), c_bytes)
