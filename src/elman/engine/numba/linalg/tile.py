"""The register-tiled matrix product that every compiled kernel is built from.

Every product of a recurrent network has one form,

    C[r, :] = D[r, :] + sum_k A[r, k] B[k, :]        r < rows, k < depth,

with the lanes of a vector along the contiguous axis of B, C and D. Holding a tile of C in registers over the entire
sum is what brings small products to the rate of a large ``sgemm``; Numba cannot express this, so the loop nest
is written in vector operations (`elman.engine.numba.linalg.simd`). For a single row, the activation of the vanilla
RNN or its derivative can be fused in as an epilogue, applied before the row leaves the registers.
"""

from collections.abc import Callable
from typing import Any

from numba.core import cgutils, types

from elman.engine.numba.compiler import intrinsic
from elman.engine.numba.jit import inlined, kernel
from elman.engine.numba.linalg.simd import BYTES, REGISTER_BYTES, Simd, declare_function

AT_ONCE = REGISTER_BYTES // BYTES
"""Vectors per register."""
MAX_ROWS = 6
ACCUMULATORS = 12 * AT_ONCE
"""Vectors of C held in registers. With two registers of B and one broadcast of A they fit the 16 registers of AVX2.

AVX-512 has 32 registers, but more sums gain nothing: two registers of B per six of A are what matters.
"""

MAX_VECTORS = 13 * AT_ONCE
"""Vectors of C if it is a single row: a matrix-vector product needs no register for B."""


_CASES = 32
"""More than the vectors of a row: the number of a tile's shape is `_CASES` times its rows, plus its vectors."""


def _no_epilogue(simd: Simd, total: Any, e: Any) -> Any:
    return total


def _tanh_epilogue(simd: Simd, total: Any, e: Any) -> Any:
    """tanh of the sum and a bias."""
    return simd.tanh(simd.add(total, e))


def _tanh_backward_epilogue(simd: Simd, total: Any, h: Any) -> Any:
    """(1 - h^2) times the sum."""
    return simd.sub(total, simd.mul(simd.mul(h, h), total))


def _emit_tile(
    builder: Any, operands: tuple[Any, ...], rows: int, vectors: int, epilogue: Callable[[Simd, Any, Any], Any]
) -> None:
    """Emit the product for one tile of rows x vectors, with its sums in registers."""
    c, c_row, d, d_row, e, a, a_row, a_step, b, b_step, depth = operands
    columns = _columns(builder, c.type.pointee, vectors)
    tile = [(r, q, simd) for r in range(rows) for q, simd in columns]
    # LLVM's mem2reg turns stack slots that are only loaded and stored into registers.
    sums = {(r, q): cgutils.alloca_once(builder, simd.type) for r, q, simd in tile}
    a_pointer, b_pointer = (cgutils.alloca_once_value(builder, start) for start in (a, b))
    for r, q, simd in tile:
        builder.store(simd.load(simd.address(d, d_row, r, q)), sums[r, q])
    with cgutils.for_range(builder, depth):
        a_k, b_k = builder.load(a_pointer), builder.load(b_pointer)
        b_vectors = {q: simd.load(simd.address(b_k, b_step, 0, q)) for q, simd in columns}
        for r in range(rows):
            offset = builder.mul(a_row, a_row.type(r))
            a_rk = builder.load(builder.gep(a_k, [offset]))
            for q, simd in columns:
                total = simd.muladd(simd.broadcast(a_rk), b_vectors[q], builder.load(sums[r, q]))
                builder.store(total, sums[r, q])
        builder.store(builder.gep(a_k, [a_step]), a_pointer)
        builder.store(builder.gep(b_k, [b_step]), b_pointer)
    for r, q, simd in tile:
        extra = simd.load(simd.address(e, c_row, r, q)) if epilogue is not _no_epilogue else None
        simd.store(epilogue(simd, builder.load(sums[r, q]), extra), simd.address(c, c_row, r, q))


def _columns(builder: Any, element: Any, vectors: int) -> list[tuple[int, Simd]]:
    """Divide a row of a tile among registers: the first vector in each, and the operations for its size."""
    full = vectors - vectors % AT_ONCE
    wide, narrow = Simd(builder, element, REGISTER_BYTES), Simd(builder, element)
    return [(q, wide) for q in range(0, full, AT_ONCE)] + [(q, narrow) for q in range(full, vectors)]


def _tile_function(module: Any, pointer: Any, i: Any, epilogue: Callable[..., Any], max_rows: int) -> Any:
    """The LLVM function that selects the loop for its arguments `rows` and `vectors` at run time."""
    parameters = [pointer, i, pointer, i, pointer, pointer, i, i, pointer, i, i, i, i]
    function, builder = declare_function(module, f"elman{epilogue.__name__}_{pointer.pointee}", parameters)
    if builder is None:
        return function
    *operands, rows, vectors = function.args
    end = function.append_basic_block("end")
    choice = builder.switch(builder.add(builder.mul(rows, i(_CASES)), vectors), end)
    for r in range(1, max_rows + 1):
        for q in range(1, (MAX_VECTORS if r == 1 else ACCUMULATORS // r) + 1):
            block = function.append_basic_block(f"tile.{r}x{q}")
            choice.add_case(i(r * _CASES + q), block)
            builder.position_at_end(block)
            _emit_tile(builder, tuple(operands), r, q, epilogue)
            builder.branch(end)
    builder.position_at_end(end)
    builder.ret_void()
    return function


def element_pointer(context: Any, builder: Any, array_type: Any, array: Any, start: Any) -> Any:
    """The address of an element of a flat array."""
    return builder.gep(context.make_array(array_type)(context, builder, array).data, [start])


def _make_tile(epilogue: Callable[..., Any], max_rows: int) -> Any:
    """Return the intrinsic that calls the tile function with this epilogue."""

    @intrinsic
    def tile(
        typingctx: Any, c: Any, c_start: Any, c_row: Any, d: Any, d_start: Any, d_row: Any, e: Any, e_start: Any,
        a: Any, a_start: Any, a_row: Any, a_step: Any, b: Any, b_start: Any, b_step: Any,
        depth: Any, rows: Any, vectors: Any,
    ) -> tuple[Any, Callable[..., Any]]:  # fmt: skip
        i = types.intp
        signature = types.void(c, i, i, d, i, i, e, i, a, i, i, i, b, i, i, i, i, i)

        def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            def pointer(position: int) -> Any:
                array, start = values[position], values[position + 1]
                return element_pointer(context, builder, signature.args[position], array, start)

            c, d, e, a, b = (pointer(position) for position in (0, 3, 6, 8, 12))
            function = _tile_function(builder.module, c.type, values[1].type, epilogue, max_rows)
            c_row, d_row, a_row, a_step = values[2], values[5], values[10], values[11]
            builder.call(function, [c, c_row, d, d_row, e, a, a_row, a_step, b, *values[14:]])
            return context.get_dummy_value()

        return signature, emit

    return tile


tile = _make_tile(_no_epilogue, MAX_ROWS)
_tanh_tile = _make_tile(_tanh_epilogue, 1)
_tanh_backward_tile = _make_tile(_tanh_backward_epilogue, 1)


@inlined
def even_split(n, maximum):
    """The size of the fewest equal parts of n no larger than `maximum`; the last part may be smaller."""
    if n <= maximum:
        return n
    parts = (n + maximum - 1) // maximum
    return (n + parts - 1) // parts


@inlined
def strip_width(vectors):
    """Vectors per strip of a padded row; see `elman.engine.numba.linalg.memory`."""
    return even_split(vectors, MAX_VECTORS)


@kernel
def multiply(
    c, c_start, c_row, d, d_start, d_row, a, a_start, a_row, a_step, b, b_start, b_step, b_strip,
    rows, depth, vectors,
):  # fmt: skip
    """C = D + A B, where D may be C.

    Parameters
    ----------
    c, d, a, b : ndarray, shape (n,)
        Flat storage. Row r of C begins at ``c_start + r * c_row``, and of D likewise: ``d_row = 0`` adds the same
        row, a bias, to every row of the product. A[r, k] is at ``a_start + r * a_row + k * a_step``. Strip s of
        row k of B is at ``b_start + s * b_strip + k * b_step``.
    rows, depth : int
        Rows of A and C; number of terms of each sum.
    vectors : int
        Columns of B and C in vectors of `BYTES`: a multiple of the strip width, or less than one strip.
    """
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
                    c, c_start + r * c_row + column, c_row, d, d_start + r * d_row + column, d_row, c, 0,
                    a, a_start + r * a_row, a_row, a_step, b, b_start + q * lanes, b_step,
                    depth, min(tile_rows, rows - r), min(tile_vectors, width - q),
                )  # fmt: skip
                r += tile_rows
            q += tile_vectors
        strip += width
        b_start += b_strip


@inlined
def matvec_tanh(c, c_start, d, d_start, bias, a, a_start, b, m, m_row, reverse):
    """C = tanh(D + bias + A B), a row of m units padded to m_row, with B an m x m matrix in strips.

    If `reverse`, the sum goes from the last k to the first: with alternating directions, a call starts with
    the rows of B that the previous one ended with, which are still in the first-level cache.
    """
    columns = strip_width(m_row * c.itemsize // BYTES) * BYTES // c.itemsize
    first, step = (m - 1, -1) if reverse else (0, 1)
    strip, next_strip = (m_row - columns, -columns) if reverse else (0, columns)
    while 0 <= strip < m_row:
        _tanh_tile(
            c, c_start + strip, 0, d, d_start + strip, 0, bias, strip, a, a_start + first, 0, step,
            b, strip * m_row + first * columns, step * columns, m, 1, columns * c.itemsize // BYTES,
        )  # fmt: skip
        strip += next_strip


@inlined
def matvec_tanh_backward(c, c_start, h, h_start, a, a_start, b, m, m_row, reverse, depth):
    """C = (1 - h^2) (C + A B) with the first `depth` rows of B; otherwise like `matvec_tanh`."""
    columns = strip_width(m_row * c.itemsize // BYTES) * BYTES // c.itemsize
    first, step = (m - 1, -1) if reverse else (0, 1)
    strip, next_strip = (m_row - columns, -columns) if reverse else (0, columns)
    while 0 <= strip < m_row:
        _tanh_backward_tile(
            c, c_start + strip, 0, c, c_start + strip, 0, h, h_start + strip, a, a_start + first, 0, step,
            b, strip * m_row + first * columns, step * columns, depth, 1, columns * c.itemsize // BYTES,
        )  # fmt: skip
        strip += next_strip
