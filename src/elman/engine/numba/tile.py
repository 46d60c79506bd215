"""The register-tiled matrix product that every compiled kernel is built from.

Every product of a recurrent network has one form,

    C[r, :] = D[r, :] + sum_k A[r, k] B[k, :]        r < rows, k < depth,

with the lanes of a vector along the contiguous axis of B, C and D. Holding a tile of C in registers over the entire
sum brings small products to the rate of a large ``sgemm``; Numba cannot express this, so that the loop nest is written
in vector operations (`elman.engine.numba.simd`).

A and B have the type of C, or they are integers of 32 bits that hold a pair of bfloat16 each: then

    C[r, :] = D[r, :] + sum_k (A[r, k]_0 B[k, :]_0 + A[r, k]_1 B[k, :]_1),

by Intel's Advanced Matrix Extensions (AMX) if the processor has them.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from llvmlite import binding, ir

from elman.engine.numba.simd import (
    BYTES,
    HAS_BFLOAT16,
    REGISTER_BYTES,
    Address,
    Simd,
    call_function,
    emit_prefetch,
)
from elman.jit import cgutils, inlined, intrinsic, kernel, types
from elman.jit.processor import HAS_AMX

AT_ONCE = REGISTER_BYTES // BYTES
"""Vectors per register."""
MAX_ROWS = 6
ACCUMULATORS = 12 * AT_ONCE
"""Vectors of C held in registers. With two registers of B and one broadcast of A they fit the 16 registers of AVX2.

AVX-512 has 32 registers, but more sums gain nothing: the ratio of two registers of B per six of A decides.
"""

MAX_VECTORS = 13 * AT_ONCE
"""Vectors of C if it is a single row: a matrix-vector product needs no register for B."""


CHAINED_SUMS = 12
MAX_CHAINED_VECTORS = CHAINED_SUMS // 2
"""A short row has sums in several chains, at most so many vectors in all: each sum waits for the previous one, and a
single chain of a few vectors would leave most of the processor's multipliers idle. The order of a sum must not depend
on the registers, so that there are as many as the registers of AVX2 hold.
"""

PREFETCH_ROWS = 8
"""Distance in rows of B from the row that is read to the row that is prefetched."""

AMX_ROWS, AMX_VECTORS = 16, 8
"""Rows of a register of AMX, also the terms that an instruction adds; and vectors that a row of registers holds."""
PAIR_ROWS, PAIR_VECTORS = (AMX_ROWS, AMX_VECTORS) if HAS_AMX else (MAX_ROWS, ACCUMULATORS // MAX_ROWS)
"""Rows and vectors of the largest tile of products of pairs."""
PAIR_TERMS = AMX_ROWS if HAS_AMX else 1
"""The number of terms of a sum of pairs is a multiple of this."""
HAS_FAST_PAIRS = HAS_AMX or (HAS_BFLOAT16 and binding.get_host_cpu_name().startswith("znver"))
"""Whether products of pairs are faster than products of float32: AMD's processors multiply twice as many at a time, but
Intel's need twice the time, except with AMX."""

_CASES = 32
"""More than the vectors of a row: the number of a tile's shape is `_CASES` times its rows, plus its vectors."""


def _emit_tile(builder: Any, operands: tuple[Any, ...], rows: int, vectors: int, chains: int = 1) -> None:
    """Emit the product for one tile of rows x vectors, with its sums in registers.

    With several chains, each sums every so many terms, and the remaining terms are added to the first one.
    """
    c, c_row, d, d_row, a, _, _, b, _, depth = operands
    columns = _columns(builder, c.kind, vectors)
    tile = [(r, q, simd) for r in range(rows) for q, simd in columns]
    zero = depth.type(0)
    sums = [simd.load(simd.address(d, d_row, r, q)) for r, q, simd in tile]
    values = [a.pointer, b.pointer, zero, *sums]
    if chains > 1:
        rest = [simd.constant(0.0) for _ in range(chains - 1) for _, _, simd in tile]
        values = _emit_terms(builder, operands, tile, columns, [*values, *rest], chains)
    results, rest = values[: 3 + len(tile)], values[3 + len(tile) :]
    # A single short row belongs to a small matrix, most of which is in the first-level cache.
    prefetches = rows == 1 and vectors > MAX_VECTORS // 2
    results = _emit_terms(builder, operands, tile, columns, results, 1, prefetches)[3:]
    for n, (r, q, simd) in enumerate(tile):
        total = results[n]
        for other in rest[n :: len(tile)]:
            total = simd.add(total, other)
        simd.store(total, simd.address(c, c_row, r, q))


def _emit_terms(
    builder: Any, operands: tuple[Any, ...], tile: list[Any], columns: list[Any], start: list[Any], chains: int,
    prefetches: bool = False,
) -> list[Any]:  # fmt: skip
    """Emit a loop that adds terms to the sums of all chains, as long as there is one for each.

    `start` contains the pointers to A and B, the number of terms that were added, and the sums; so does the result.
    """
    _, _, _, _, a, a_row, a_step, b, b_step, depth = operands
    before, loop, end = builder.block, builder.append_basic_block("loop"), builder.append_basic_block("sums")
    following_terms = builder.add(start[2], depth.type(chains))
    builder.cbranch(builder.icmp_signed("<=", following_terms, depth), loop, end)

    builder.position_at_end(loop)
    values = [builder.phi(value.type) for value in start]
    a_k, b_k, k, sums = a._replace(pointer=values[0]), b._replace(pointer=values[1]), values[2], values[3:]
    rows, totals, holds_pairs = 1 + max(r for r, _, _ in tile), [], isinstance(a.kind, ir.IntType)
    for chain in range(chains):
        b_vectors = {q: simd.load(simd.address(b_k, b_step, chain, q)) for q, simd in columns}
        if prefetches:
            ahead = builder.mul(b_step, b_step.type(PREFETCH_ROWS))
            for q, simd in columns:
                emit_prefetch(builder, simd.address(b_k, ahead, 1, q))
        step = builder.mul(a_step, a_step.type(chain))
        a_column = [
            a_k.add(builder, builder.add(builder.mul(a_row, a_row.type(r)), step)).load(builder) for r in range(rows)
        ]
        if holds_pairs:
            a_column = [builder.bitcast(pair, ir.FloatType()) for pair in a_column]
        totals += [
            (simd.muladd_pairs if holds_pairs else simd.muladd)(
                simd.broadcast(a_column[r]), b_vectors[q], sums[chain * len(tile) + n]
            )
            for n, (r, q, simd) in enumerate(tile)
        ]
    steps = [builder.mul(step, step.type(chains)) for step in (a_step, b_step)]
    following = [each.add(builder, step).pointer for each, step in zip((a_k, b_k), steps, strict=True)]
    following += [builder.add(k, k.type(chains)), *totals]
    for value, first, following_value in zip(values, start, following, strict=True):
        value.add_incoming(first, before)
        value.add_incoming(following_value, loop)
    last = builder.add(following[2], depth.type(chains))
    builder.cbranch(builder.icmp_signed("<=", last, depth), loop, end)

    builder.position_at_end(end)
    results = [builder.phi(value.type) for value in start]
    for result, first, following_value in zip(results, start, following, strict=True):
        result.add_incoming(first, before)
        result.add_incoming(following_value, loop)
    return results


def _columns(builder: Any, element: Any, vectors: int) -> list[tuple[int, Simd]]:
    """Divide a row of a tile among registers: the first vector in each, and the operations for its size."""
    full = vectors - vectors % AT_ONCE
    wide, narrow = Simd(builder, element, REGISTER_BYTES), Simd(builder, element)
    return [(q, wide) for q in range(0, full, AT_ONCE)] + [(q, narrow) for q in range(full, vectors)]


def _call_row(builder: Any, arguments: Sequence[Any], *, chained: bool = False) -> None:
    """Call the LLVM function for a tile of one row, which selects the loop for its argument `vectors` at run time.

    If `chained`, the function sums short rows in several chains, and calls the other function for long rows.
    """
    name = f"elman_{'chained_' if chained else ''}row_{arguments[0].kind}_{arguments[2].kind}"
    call_function(builder, name, arguments, _emit_chained_row if chained else _emit_row)


def _emit_row(builder: Any, *arguments: Any) -> None:
    _emit_row_cases(builder, arguments, [(n, 1, n, 1) for n in range(1, MAX_VECTORS + 1)])


def _emit_chained_row(builder: Any, *arguments: Any) -> None:
    vectors = arguments[-1]
    is_short = builder.icmp_signed("<=", vectors, vectors.type(MAX_CHAINED_VECTORS))
    with builder.if_else(is_short) as (short, long):
        with short:
            cases = [(n, 1, n, CHAINED_SUMS // n) for n in range(1, MAX_CHAINED_VECTORS + 1)]
            _emit_row_cases(builder, arguments, cases)
        with long:
            _call_row(builder, arguments)


def _emit_row_cases(builder: Any, arguments: tuple[Any, ...], cases: list[tuple[int, int, int, int]]) -> None:
    c, d, a, a_step, b, b_step, depth, vectors = arguments
    zero = vectors.type(0)
    _emit_cases(builder, (c, zero, d, zero, a, zero, a_step, b, b_step, depth), vectors, cases)


def _emit_tiles(builder: Any, *arguments: Any) -> None:
    """Emit the function for a tile of any number of rows: it selects by its arguments `rows` and `vectors`."""
    c, _, d, _, a, _, a_step, b, b_step, depth, rows, vectors = arguments
    with builder.if_else(builder.icmp_signed("==", rows, rows.type(1))) as (row, tile):
        with row:
            _call_row(builder, [c, d, a, a_step, b, b_step, depth, vectors])
        with tile:
            shapes = [(r, q) for r in range(2, MAX_ROWS + 1) for q in range(1, ACCUMULATORS // r + 1)]
            choice = builder.add(builder.mul(rows, rows.type(_CASES)), vectors)
            _emit_cases(builder, arguments[:10], choice, [(r * _CASES + q, r, q, 1) for r, q in shapes])


def _emit_cases(builder: Any, operands: tuple[Any, ...], choice: Any, cases: list[tuple[int, int, int, int]]) -> None:
    """Emit the tile of (rows, vectors, chains) for each value of `choice`; none for other values."""
    end = builder.append_basic_block("end")
    switch = builder.switch(choice, end)
    for value, rows, vectors, chains in cases:
        block = builder.append_basic_block(f"tile.{rows}x{vectors}")
        switch.add_case(choice.type(value), block)
        builder.position_at_end(block)
        _emit_tile(builder, operands, rows, vectors, chains)
        builder.branch(end)
    builder.position_at_end(end)


# --- The tile of pairs by AMX ---
#
# A tile register holds 16 rows of 64 bytes. One instruction adds the product of A (16 x 16 pairs) and B (16 pairs x 16
# columns) to C (16 x 16 numbers), at 16 times the rate of vectors in float32. A row of registers of C is computed at a
# time: four registers.

_AMX_ROW_BYTES = 64
_LAST, _A, _B, _LAST_B = 3, 4, (5, 7), 6
"""Registers: the ones of C before `_LAST`, `_A` and `_B` have full rows; `_LAST` and `_LAST_B` may have half."""

_INT8, _INT64 = ir.IntType(8), ir.IntType(64)


def _amx_configuration(rows: int, last_bytes: int) -> list[int]:
    """Return the 64 bytes that set the registers' shapes: `rows` rows of C, with `last_bytes` bytes in `_LAST`."""
    palette, columns, lengths = 1, [0] * 16, [0] * 16
    for register in range(8):
        columns[register] = last_bytes if register in (_LAST, _LAST_B) else _AMX_ROW_BYTES
        lengths[register] = AMX_ROWS if register in (*_B, _LAST_B) else rows
    return [palette, *[0] * 15, *(byte for n in columns for byte in n.to_bytes(2, "little")), *lengths]


def _call_amx(builder: Any, name: str, *arguments: Any) -> None:
    """Call an intrinsic function; a Python number is the number of a register."""
    values = [_INT8(each) if isinstance(each, int) else each for each in arguments]
    kind = ir.FunctionType(ir.VoidType(), [value.type for value in values])
    builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.{name}"), values)


def _emit_amx_tile(builder: Any, *operands: Any) -> None:
    """Emit the function C = D + A B for up to `AMX_ROWS` rows and `AMX_VECTORS` vectors, see `multiply`.

    A row of A is contiguous, and the number of terms is a multiple of `AMX_ROWS`.
    """
    *matrices, rows, vectors = operands
    configurations = [_amx_configuration(r, size) for r in range(1, AMX_ROWS + 1) for size in (_AMX_ROW_BYTES, BYTES)]
    data = bytearray(byte for each in configurations for byte in each)
    table = cgutils.global_constant(builder, "elman_amx_shapes", ir.Constant(ir.ArrayType(_INT8, len(data)), data))
    half = builder.and_(vectors, vectors.type(1))
    number = builder.add(builder.mul(builder.sub(rows, rows.type(1)), rows.type(2)), half)
    start = Address(table, table.value_type).cast(builder, _INT8)
    _call_amx(builder, "ldtilecfg", start.add(builder, builder.mul(number, number.type(_AMX_ROW_BYTES))).pointer)
    end = builder.append_basic_block("end")
    registers = builder.udiv(builder.add(vectors, vectors.type(1)), vectors.type(2))
    switch = builder.switch(registers, end)
    for count in range(1, AMX_VECTORS // 2 + 1):
        block = builder.append_basic_block(f"registers.{count}")
        switch.add_case(registers.type(count), block)
        builder.position_at_end(block)
        _emit_amx_terms(builder, matrices, [*range(count - 1), _LAST])
        builder.branch(end)
    builder.position_at_end(end)
    _call_amx(builder, "tilerelease")


def _emit_amx_terms(builder: Any, matrices: Sequence[Any], registers: list[int]) -> None:
    """Emit the sum of all terms in the registers of C."""
    c, c_row, d, d_row, a, a_row, b, b_step, depth = matrices
    c_bytes, d_bytes, a_bytes, b_bytes = (builder.mul(row, row.type(4)) for row in (c_row, d_row, a_row, b_step))

    def address(start: Any, column: int = 0, offset: Any = None) -> Any:
        at = _INT64(column * _AMX_ROW_BYTES)
        return start.cast(builder, _INT8).add(builder, at if offset is None else builder.add(offset, at)).pointer

    for column, register in enumerate(registers):
        _call_amx(builder, "tileloadd64", register, address(d, column), d_bytes)
    with cgutils.for_range(builder, builder.udiv(depth, depth.type(AMX_ROWS))) as loop:
        a_offset = builder.mul(loop.index, _INT64(_AMX_ROW_BYTES))
        b_offset = builder.mul(loop.index, builder.mul(b_bytes, _INT64(AMX_ROWS)))
        _call_amx(builder, "tileloadd64", _A, address(a, 0, a_offset), a_bytes)
        for column, register in enumerate(registers):
            of_b = _LAST_B if register == _LAST else _B[column % 2]
            _call_amx(builder, "tileloadd64", of_b, address(b, column, b_offset), b_bytes)
            _call_amx(builder, "tdpbf16ps", register, _A, of_b)
    for column, register in enumerate(registers):
        _call_amx(builder, "tilestored64", register, address(c, column), c_bytes)


# --- Calls ---


def element_address(context: Any, builder: Any, array_type: Any, array: Any, start: Any) -> Address:
    """Return the address of an element of a flat array."""
    data = cgutils.create_struct_proxy(array_type)(context, builder, value=array).data
    return Address(data, context.get_data_type(array_type.dtype)).add(builder, start)


def row_kernel(emit: Callable[..., None]) -> Any:
    """Return the kernel that ``emit(builder, *operands)`` emits.

    Two of its arguments, a flat array and where a row starts in it, are one operand: the address of the row. The other
    arguments are integers, or scalars of the type of the first array.
    """

    @intrinsic
    def kernel(typingctx: Any, *kinds: Any) -> tuple[Any, Callable[..., Any]]:
        scalar = kinds[0].dtype
        arguments = [
            each if isinstance(each, types.Array) else scalar if isinstance(each, types.Float) else types.intp
            for each in kinds
        ]

        def emit_call(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            operands, pairs = [], iter(zip(arguments, cgutils.unpack_tuple(builder, values[0]), strict=True))
            for kind, value in pairs:
                is_row = isinstance(kind, types.Array)
                operands.append(element_address(context, builder, kind, value, next(pairs)[1]) if is_row else value)
            emit(builder, *operands)
            return context.get_dummy_value()

        return types.void(types.Tuple(arguments)), emit_call

    return kernel


@row_kernel
def tile(builder: Any, *operands: Any) -> None:
    """C = D + A B for a tile, see `multiply` for its arguments."""
    c, a = operands[0].kind, operands[4].kind
    if HAS_AMX and isinstance(a, ir.IntType):
        without_step = [*operands[:6], *operands[7:]]  # the step of A is 1
        call_function(builder, "elman_amx_tile", without_step, _emit_amx_tile)
    else:
        call_function(builder, f"elman_tile_{c}_{a}", operands, _emit_tiles)


@row_kernel
def row_tile(builder: Any, *operands: Any) -> None:
    """`tile` for a single row, which has several chains of sums if it is short."""
    _call_row(builder, operands, chained=True)


class Matrix(NamedTuple):
    """A matrix in a flat array."""

    data: Any
    start: int  # where it begins
    row: int  # elements from one row to the next; 0 for the same row again and again, such as a bias


class Strips(NamedTuple):
    """A matrix that is cut into strips of columns, each as wide as a row of sums that fits the registers."""

    data: Any
    start: int
    step: int  # elements from one row of a strip to the next …
    strip: int  # … and from one strip to the next


@inlined
def even_split(n, maximum):
    """Return the size of the fewest equal parts of n no larger than `maximum`; the last part may be smaller."""
    if n <= maximum:
        return n
    parts = (n + maximum - 1) // maximum
    return (n + parts - 1) // parts


@inlined
def strip_width(vectors):
    """Return the vectors per strip of a padded row; see `elman.engine.numba.online_engine`."""
    return even_split(vectors, MAX_VECTORS)


@kernel
def multiply(C, D, A, a_step, B, rows, depth, vectors):
    """C = D + A B, where D may be C.

    Parameters
    ----------
    C, D, A : Matrix
        Elements of a row of A are `a_step` apart.
    B : Strips
    rows, depth : int
        Rows of A and C; number of terms of each sum.
    vectors : int
        Columns of B and C in vectors of `BYTES`: a multiple of the strip width, or less than one strip.
    """
    c, c_start, c_row = C
    d, d_start, d_row = D
    a, a_start, a_row = A
    b, b_start, b_step, b_strip = B
    lanes = BYTES // c.itemsize
    width = strip_width(vectors)
    tile_rows = even_split(rows, MAX_ROWS)
    tile_vectors = even_split(width, MAX_VECTORS if tile_rows == 1 else ACCUMULATORS // tile_rows)
    strip = 0
    while strip < vectors:  # a range with a step would divide to compute its length
        q = 0
        while q < width:
            column = (strip + q) * lanes
            r = 0
            while r < rows:
                tile(
                    c, c_start + r * c_row + column, c_row, d, d_start + r * d_row + column, d_row,
                    a, a_start + r * a_row, a_row, a_step, b, b_start + q * lanes, b_step,
                    depth, min(tile_rows, rows - r), min(tile_vectors, width - q),
                )  # fmt: skip
                r += tile_rows
            q += tile_vectors
        strip += width
        b_start += b_strip
