"""The one register-tiled product that every compiled kernel is built from.

Every product of a recurrent network has one form,

    C[r, :] = D[r, :] + sum_k A[r, k] B[k, :]        r < rows, k < depth,

with the lanes of a vector along the contiguous axis of B, C and D. LLVM's loop vectoriser keeps C in memory
for it; holding a tile of C in registers over the whole sum is what brings small products to the rate of a
large ``sgemm``. Numba cannot say "keep these in registers", so this file writes the loop nest in LLVM's own
vector types. They belong to no processor: LLVM lowers a vector of 32 bytes to one AVX register, to half
of an AVX-512 register or to two NEON registers, and a multiply followed by an add (flag ``contract``) to a
fused one where there is one.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from elman.engine.numba.options import inlined

LANE_BYTES = 32
"""Bytes of a vector: 8 float32 or 4 float64. Rows of padded arrays are a multiple of it."""

_MAX_ROWS = 6
_ACCUMULATORS = 12
"""Vectors of C held at once. With two of B and one broadcast of A they fit the 16 registers of AVX2."""

_MAX_VECTORS = 13
"""Vectors of a single row: a matrix-vector product needs no register for B."""


class _Vectors:
    """Vector loads and stores at the end of one builder, for one element type."""

    def __init__(self, builder: Any, element: Any) -> None:
        self.builder = builder
        self.bytes = 4 if isinstance(element, ir.FloatType) else 8
        self.lanes = LANE_BYTES // self.bytes
        self.type = ir.VectorType(element, self.lanes)

    def constant_mask(self, lanes: list[int]) -> Any:
        return ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), lanes)

    def place(self, start: Any, stride: Any, row: int, column: int = 0) -> Any:
        """The address of vector `column` of row `row`."""
        offset = self.builder.mul(stride, stride.type(row))
        offset = self.builder.add(offset, stride.type(column * self.lanes))
        return self.builder.bitcast(self.builder.gep(start, [offset]), self.type.as_pointer())

    def load(self, place: Any) -> Any:
        value = self.builder.load(place)
        value.align = self.bytes
        return value

    def store(self, value: Any, place: Any) -> None:
        self.builder.store(value, place).align = self.bytes

    def broadcast(self, scalar: Any) -> Any:
        undefined = ir.Constant(self.type, ir.Undefined)
        single = self.builder.insert_element(undefined, scalar, ir.IntType(32)(0))
        return self.builder.shuffle_vector(single, undefined, self.constant_mask([0] * self.lanes))


def _tile_loop(builder: Any, arguments: tuple[Any, ...], rows: int, vectors: int) -> None:
    """Emit the product for one tile of rows x vectors, its sums in registers."""
    c, c_row, d, d_row, a, a_row, a_step, b, b_step, depth = arguments
    simd = _Vectors(builder, c.type.pointee)
    tile = [(r, q) for r in range(rows) for q in range(vectors)]
    # Stack slots that are only loaded and stored become registers (LLVM's mem2reg).
    sums = {rq: cgutils.alloca_once(builder, simd.type) for rq in tile}
    a_now, b_now = (cgutils.alloca_once_value(builder, start) for start in (a, b))
    for r, q in tile:
        builder.store(simd.load(simd.place(d, d_row, r, q)), sums[r, q])
    with cgutils.for_range(builder, depth):
        a_k, b_k = builder.load(a_now), builder.load(b_now)
        b_vectors = [simd.load(simd.place(b_k, b_step, 0, q)) for q in range(vectors)]
        for r in range(rows):
            offset = builder.mul(a_row, a_row.type(r))
            a_rk = simd.broadcast(builder.load(builder.gep(a_k, [offset])))
            for q in range(vectors):
                product = builder.fmul(a_rk, b_vectors[q], flags=["contract"])
                total = builder.fadd(builder.load(sums[r, q]), product, flags=["contract"])
                builder.store(total, sums[r, q])
        builder.store(builder.gep(a_k, [a_step]), a_now)
        builder.store(builder.gep(b_k, [b_step]), b_now)
    for r, q in tile:
        simd.store(builder.load(sums[r, q]), simd.place(c, c_row, r, q))


def _tile_function(module: Any, pointer: Any, i: Any) -> Any:
    """The LLVM function that chooses, while running, the loop for these rows and vectors.

    It is one function, called and never inlined: a copy of thirty loops at every call would multiply the time
    that compiling takes.
    """
    name = f"elman_tile_{pointer.pointee}"
    if name in module.globals:
        return module.globals[name]
    parameters = [pointer, i, pointer, i, pointer, i, i, pointer, i, i, i, i]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), parameters), name)
    function.linkage = "linkonce_odr"
    function.attributes.add("noinline")
    *arguments, rows, vectors = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    end = function.append_basic_block("end")
    choice = builder.switch(builder.add(builder.mul(rows, i(16)), vectors), end)
    for r in range(1, _MAX_ROWS + 1):
        for q in range(1, (_MAX_VECTORS if r == 1 else _ACCUMULATORS // r) + 1):
            block = function.append_basic_block(f"tile.{r}x{q}")
            choice.add_case(i(r * 16 + q), block)
            builder.position_at_end(block)
            _tile_loop(builder, tuple(arguments), r, q)
            builder.branch(end)
    builder.position_at_end(end)
    builder.ret_void()
    return function


def _element_pointer(context: Any, builder: Any, array_type: Any, array: Any, start: Any) -> Any:
    return builder.gep(context.make_array(array_type)(context, builder, array).data, [start])


@intrinsic
def _tile(
    typingctx: Any, c: Any, c_start: Any, c_row: Any, d: Any, d_start: Any, d_row: Any,
    a: Any, a_start: Any, a_row: Any, a_step: Any, b: Any, b_start: Any, b_step: Any,
    depth: Any, rows: Any, vectors: Any,
) -> tuple[Any, Callable[..., Any]]:  # fmt: skip
    i = types.intp
    signature = types.void(c, i, i, d, i, i, a, i, i, i, b, i, i, i, i, i)

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        def pointer(position: int) -> Any:
            array, start = values[position], values[position + 1]
            return _element_pointer(context, builder, signature.args[position], array, start)

        c, d, a, b = pointer(0), pointer(3), pointer(6), pointer(10)
        tile = _tile_function(builder.module, c.type, values[1].type)
        c_row, d_row, a_row, a_step = values[2], values[5], values[8], values[9]
        builder.call(tile, [c, c_row, d, d_row, a, a_row, a_step, b, *values[12:]])
        return context.get_dummy_value()

    return signature, emit


@inlined
def _even(n, most):
    """The size of the fewest parts of n that are no larger than `most`; the last may be smaller."""
    if n <= most:
        return n
    parts = (n + most - 1) // most
    return (n + parts - 1) // parts


@inlined
def multiply(
    c, c_start, c_row, d, d_start, d_row, a, a_start, a_row, a_step, b, b_start, b_step,
    rows, depth, vectors,
):  # fmt: skip
    """C = D + A B, where D may be C.

    Parameters
    ----------
    c, d, a, b : ndarray, shape (n,)
        Flat storage. Row r of C begins at ``c_start + r * c_row``, and of D likewise: ``d_row = 0`` adds one row,
        a bias, to every row of the product. A[r, k] is at ``a_start + r * a_row + k * a_step``, and
        row k of B at ``b_start + k * b_step``. A negative step sums from the last k to the first.
    rows, depth : int
        Rows of A and C; length of the sum.
    vectors : int
        Columns of B and C in vectors of `LANE_BYTES`.
    """
    lanes = LANE_BYTES // c.itemsize
    tile_rows = _even(rows, _MAX_ROWS)
    tile_vectors = _even(vectors, _MAX_VECTORS if tile_rows == 1 else _ACCUMULATORS // tile_rows)
    for q in range(0, vectors, tile_vectors):
        for r in range(0, rows, tile_rows):
            _tile(
                c, c_start + r * c_row + q * lanes, c_row,
                d, d_start + r * d_row + q * lanes, d_row,
                a, a_start + r * a_row, a_row, a_step,
                b, b_start + q * lanes, b_step,
                depth, min(tile_rows, rows - r), min(tile_vectors, vectors - q),
            )  # fmt: skip


@intrinsic
def _transpose_tile(
    typingctx: Any, to: Any, to_start: Any, to_row: Any, of: Any, of_start: Any, of_row: Any
) -> tuple[Any, Callable[..., Any]]:
    i = types.intp
    signature = types.void(to, i, i, of, i, i)

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        to, to_start, to_row, of, of_start, of_row = values
        to = _element_pointer(context, builder, signature.args[0], to, to_start)
        of = _element_pointer(context, builder, signature.args[3], of, of_start)
        simd = _Vectors(builder, to.type.pointee)
        n = simd.lanes
        rows = [simd.load(simd.place(of, of_row, r)) for r in range(n)]
        low, high = (simd.constant_mask([h * n // 2 + k // 2 + (k % 2) * n for k in range(n)]) for h in range(2))
        # Interleaving the first half of the rows with the second, log2(n) times, transposes.
        for _ in range(n.bit_length() - 1):
            halves = zip(rows[: n // 2], rows[n // 2 :], strict=True)
            rows = [builder.shuffle_vector(x, y, mask) for x, y in halves for mask in (low, high)]
        for r in range(n):
            simd.store(rows[r], simd.place(to, to_row, r))
        return context.get_dummy_value()

    return signature, emit


@inlined
def transpose(to, to_start, to_row, of, of_start, of_row, rows, columns):
    """Write the transpose of `rows` x `columns` numbers, both multiples of the lanes of a vector."""
    lanes = LANE_BYTES // to.itemsize
    for r in range(0, rows, lanes):
        for q in range(0, columns, lanes):
            _transpose_tile(to, to_start + q * to_row + r, to_row, of, of_start + r * of_row + q, of_row)
