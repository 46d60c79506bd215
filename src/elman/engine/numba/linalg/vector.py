"""Elementwise kernels on rows: copy, scale, sum, softmax's exponentials, AdaGrad, and the builder of the cells' own.

A row is `vectors` full vectors from a start in a flat array.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types

from elman.engine.numba.compiler import intrinsic
from elman.engine.numba.linalg.simd import BYTES, REGISTER_BYTES, Simd, declare_function, emit_prefetch, row_loops
from elman.engine.numba.linalg.tile import element_pointer

CACHE_LINE = 64
"""Bytes of a cache line."""

Emitter = tuple[Any, Callable[..., Any]]


class VectorView:
    """One vector of each row that an elementwise kernel works on."""

    def __init__(self, simd: Simd, rows: list[Any], offset: Any, block: Any) -> None:
        self.simd, self.rows, self.offset, self.block = simd, rows, offset, block

    def _address(self, row: int, block: int) -> Any:
        builder = self.simd.builder
        offset = builder.add(self.offset, builder.mul(self.block, self.block.type(block)))
        return builder.bitcast(builder.gep(self.rows[row], [offset]), self.simd.type.as_pointer())

    def load(self, row: int, block: int = 0) -> Any:
        """Load the vector of a row, or of one of its blocks, where the row has one for each gate."""
        return self.simd.load(self._address(row, block))

    def store(self, value: Any, row: int, block: int = 0) -> None:
        """Store a vector in a row or block, see `load`."""
        self.simd.store(value, self._address(row, block))


def elementwise_kernel(name: str, step: Callable[[Simd, VectorView], None]) -> Any:
    """Return the kernel ``name(arrays, starts, block, vectors)``, which does `step` for every vector of the rows.

    A row begins at its start in its flat array; the blocks of one row are `block` elements apart. The kernel is one
    LLVM function, called and never inlined.
    """

    @intrinsic
    def kernel(typingctx: Any, arrays: Any, starts: Any, block: Any, vectors: Any) -> Emitter:
        i, count = types.intp, len(arrays)

        def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            pairs = zip(cgutils.unpack_tuple(builder, values[0]), cgutils.unpack_tuple(builder, values[1]), strict=True)
            rows = [element_pointer(context, builder, arrays[0], array, start) for array, start in pairs]
            function = _elementwise_function(builder.module, name, rows, values[2].type, step)
            builder.call(function, [*rows, *values[2:]])
            return context.get_dummy_value()

        return types.void(arrays, types.UniTuple(i, count), i, i), emit

    return kernel


def _elementwise_function(
    module: Any, name: str, rows: list[Any], i: Any, step: Callable[[Simd, VectorView], None]
) -> Any:
    element = rows[0].type.pointee
    function, builder = declare_function(module, f"elman_{name}_{element}", [row.type for row in rows] + [i, i])
    if builder is None:
        return function
    *starts, block, vectors = function.args
    for simd, index in row_loops(builder, element, vectors):
        step(simd, VectorView(simd, starts, builder.mul(index, i(BYTES // simd.bytes)), block))
    builder.ret_void()
    return function


class RowPointers:
    """Pointers to the rows that a kernel takes as pairs of array and start."""

    def __init__(self, context: Any, builder: Any, signature: Any, values: Any, rows: int) -> None:
        self.builder = builder
        self.starts = [
            element_pointer(context, builder, signature.args[2 * n], values[2 * n], values[2 * n + 1])
            for n in range(rows)
        ]
        self.simd = Simd(builder, self.starts[0].type.pointee)

    def addresses(self, index: Any, simd: Simd | None = None) -> list[Any]:
        """The address of vector `index` of every row, by default as that of a vector of `BYTES`."""
        offset = self.builder.mul(index, index.type(self.simd.lanes))
        vector = (simd or self.simd).type.as_pointer()
        return [self.builder.bitcast(self.builder.gep(start, [offset]), vector) for start in self.starts]


@intrinsic
def add_to(typingctx: Any, total: Any, t: Any, row: Any, r: Any, vectors: Any) -> Emitter:
    """total <- total + row."""
    i = types.intp

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        pointers = RowPointers(context, builder, signature, values, 2)
        with cgutils.for_range(builder, values[-1]) as loop:
            total, row = pointers.addresses(loop.index)
            pointers.simd.store(pointers.simd.add(pointers.simd.load(total), pointers.simd.load(row)), total)
        return context.get_dummy_value()

    return types.void(total, i, row, i, i), emit


@intrinsic
def prefetch_row(typingctx: Any, row: Any, r: Any, vectors: Any) -> Emitter:
    """Bring a row into the first-level cache, all of its lines at the same time."""
    i = types.intp

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        pointers = RowPointers(context, builder, signature, values, 1)
        per_line = values[-1].type(CACHE_LINE // BYTES)
        lines = builder.sdiv(builder.add(values[-1], values[-1].type(CACHE_LINE // BYTES - 1)), per_line)
        with cgutils.for_range(builder, lines) as loop:
            emit_prefetch(builder, pointers.addresses(builder.mul(loop.index, per_line))[0])
        return context.get_dummy_value()

    return types.void(row, i, i), emit


@intrinsic
def copy(typingctx: Any, to: Any, t: Any, of: Any, o: Any, vectors: Any) -> Emitter:
    """to <- of."""
    i = types.intp

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        pointers = RowPointers(context, builder, signature, values, 2)
        with cgutils.for_range(builder, values[-1]) as loop:
            to, of = pointers.addresses(loop.index)
            pointers.simd.store(pointers.simd.load(of), to)
        return context.get_dummy_value()

    return types.void(to, i, of, i, i), emit


@intrinsic
def transpose(typingctx: Any, to: Any, t: Any, to_row: Any, of: Any, o: Any, of_row: Any) -> Emitter:
    """to <- of', a square matrix whose rows are one vector each, `to_row` and `of_row` elements apart."""
    i = types.intp

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        to, of = (element_pointer(context, builder, signature.args[n], values[n], values[n + 1]) for n in (0, 3))
        function = _transpose_function(builder.module, to.type, values[2].type)
        builder.call(function, [to, values[2], of, values[5]])
        return context.get_dummy_value()

    return types.void(to, i, i, of, i, i), emit


@intrinsic
def scale(typingctx: Any, row: Any, r: Any, vectors: Any, factor: Any) -> Emitter:
    """row <- factor row."""
    i = types.intp

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        pointers = RowPointers(context, builder, signature, values, 1)
        factor = pointers.simd.broadcast(values[3])
        with cgutils.for_range(builder, values[2]) as loop:
            (row,) = pointers.addresses(loop.index)
            pointers.simd.store(pointers.simd.mul(pointers.simd.load(row), factor), row)
        return context.get_dummy_value()

    return types.void(row, i, i, row.dtype), emit


@intrinsic
def exponentials(typingctx: Any, row: Any, r: Any, vectors: Any, factor: Any) -> Emitter:
    """row <- e^((row - max) factor); return (sum, maximum).

    A lane at -infinity becomes 0, so padding does not contribute. A NaN makes the sum NaN.
    """
    i = types.intp

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        pointers = RowPointers(context, builder, signature, values, 1)
        simd, vectors = pointers.simd, values[2]
        lane_maxima = cgutils.alloca_once_value(builder, simd.load(pointers.addresses(vectors.type(0))[0]))
        with cgutils.for_range(builder, vectors) as loop:
            (row,) = pointers.addresses(loop.index)
            builder.store(simd.maximum(simd.load(row), builder.load(lane_maxima)), lane_maxima)
        maximum = simd.reduce(simd.maximum, builder.load(lane_maxima))
        total = cgutils.alloca_once_value(builder, simd.constant(0.0))
        for wide, index in row_loops(builder, simd.element, vectors):
            (row,) = pointers.addresses(index, wide)
            maxima, factors = wide.broadcast(maximum), wide.broadcast(values[3])
            e = wide.exp(wide.mul(wide.sub(wide.load(row), maxima), factors))
            wide.store(e, row)
            for part in wide.split(e):
                builder.store(simd.add(builder.load(total), part), total)
        sums = [simd.reduce(simd.add, builder.load(total)), maximum]
        return context.make_tuple(builder, signature.return_type, sums)

    return types.UniTuple(row.dtype, 2)(row, i, i, row.dtype), emit


@intrinsic
def adagrad(
    typingctx: Any, theta: Any, t: Any, M: Any, s: Any, gradient: Any, g: Any,
    vectors: Any, rate: Any, clip: Any, epsilon: Any,
) -> Emitter:  # fmt: skip
    """M <- M + g^2; theta <- theta - eta clip(g) / sqrt(M + epsilon)."""
    i, scalar = types.intp, theta.dtype
    signature = types.void(theta, i, M, i, gradient, i, i, scalar, scalar, scalar)

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        pointers = RowPointers(context, builder, signature, values, 3)
        function = _adagrad_function(builder.module, pointers.starts[0].type, values[6].type)
        builder.call(function, [*pointers.starts, *values[6:]])
        return context.get_dummy_value()

    return signature, emit


@intrinsic
def adagrad_rows(
    typingctx: Any, theta: Any, t: Any, M: Any, s: Any, gradient: Any, g: Any, vectors: Any,
    columns: Any, c: Any, column_row: Any, rate: Any, clip: Any, epsilon: Any,
) -> Emitter:  # fmt: skip
    """`adagrad` for as many rows as a vector has lanes, each of `vectors` vectors, and for their transpose.

    The transpose is stored in `columns`, whose rows are `column_row` elements apart. The processor overlaps its
    shuffles with the arithmetic.
    """
    i, scalar = types.intp, theta.dtype
    signature = types.void(theta, i, M, i, gradient, i, i, columns, i, i, scalar, scalar, scalar)

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        pointers = RowPointers(context, builder, signature, values, 3)
        function = _adagrad_rows_function(builder.module, pointers.starts[0].type, values[6].type)
        corner = element_pointer(context, builder, signature.args[7], values[7], values[8])
        builder.call(function, [*pointers.starts, values[6], corner, *values[9:]])
        return context.get_dummy_value()

    return signature, emit


def _transpose_function(module: Any, pointer: Any, integer: Any) -> Any:
    function, builder = declare_function(
        module, f"elman_transpose_{pointer.pointee}", [pointer, integer, pointer, integer]
    )
    if builder is None:
        return function
    simd = Simd(builder, pointer.pointee)
    to, to_row, of, of_row = function.args
    rows = [simd.load(simd.address(of, of_row, r)) for r in range(simd.lanes)]
    for r, column in enumerate(simd.transpose(rows)):
        simd.store(column, simd.address(to, to_row, r))
    builder.ret_void()
    return function


def _adagrad_function(module: Any, pointer: Any, integer: Any) -> Any:
    element = pointer.pointee
    parameters = [pointer, pointer, pointer, integer, element, element, element]
    function, builder = declare_function(module, f"elman_adagrad_{element}", parameters)
    if builder is None:
        return function
    theta, M, gradient, vectors, *scalars = function.args
    for simd, index in row_loops(builder, element, vectors, _adagrad_size(element)):
        offset = builder.mul(index, integer(BYTES // simd.bytes))
        _adagrad_step(
            simd,
            [simd.address(builder.gep(start, [offset]), integer(0), 0) for start in (theta, M, gradient)],
            [simd.broadcast(value) for value in scalars],
        )
    builder.ret_void()
    return function


def _adagrad_rows_function(module: Any, pointer: Any, integer: Any) -> Any:
    element = pointer.pointee
    parameters = [pointer, pointer, pointer, integer, pointer, integer, element, element, element]
    function, builder = declare_function(module, f"elman_adagrad_rows_{element}", parameters)
    if builder is None:
        return function
    theta, M, gradient, vectors, columns, column_row, *scalars = function.args
    block = Simd(builder, element)
    row = builder.mul(vectors, integer(block.lanes))
    for simd, index in row_loops(builder, element, vectors, _adagrad_size(element)):
        hyperparameters = [simd.broadcast(value) for value in scalars]
        offset = builder.mul(index, integer(block.lanes))
        starts = [builder.gep(start, [offset]) for start in (theta, M, gradient)]
        updated = [
            simd.split(_adagrad_step(simd, [simd.address(start, row, r) for start in starts], hyperparameters))
            for r in range(block.lanes)
        ]
        corner = builder.gep(columns, [builder.mul(offset, column_row)])
        transposed = [column for rows in zip(*updated, strict=True) for column in block.transpose(list(rows))]
        for r, column in enumerate(transposed):
            block.store(column, block.address(corner, column_row, r))
    builder.ret_void()
    return function


def _adagrad_size(element: Any) -> int:
    """Return the bytes of the vectors of AdaGrad, see `Simd.div_sqrt`."""
    return BYTES if isinstance(element, ir.FloatType) else REGISTER_BYTES


def _adagrad_step(simd: Simd, addresses: list[Any], hyperparameters: list[Any]) -> Any:
    """Emit AdaGrad for one vector of theta, which is stored and returned."""
    theta, M, gradient = addresses
    rate, clip, epsilon = hyperparameters
    g = simd.load(gradient)
    squared_grads = simd.muladd(g, g, simd.load(M))
    simd.store(squared_grads, M)
    clipped = simd.maximum(simd.minimum(g, clip), simd.builder.fneg(clip))
    delta = simd.div_sqrt(simd.mul(rate, clipped), simd.add(squared_grads, epsilon))
    updated = simd.sub(simd.load(theta), delta)
    simd.store(updated, theta)
    return updated
