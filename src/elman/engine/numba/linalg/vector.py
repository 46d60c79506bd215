"""The vector kernels beside the products: softmax's exponentials, AdaGrad, and sums, copies and multiples of rows.

Each works on `vectors` whole vectors from a start in a flat array.
"""

from collections.abc import Callable
from typing import Any

from numba.core import cgutils, types

from elman.engine.numba.jit import intrinsic
from elman.engine.numba.linalg.simd import Simd, called_function
from elman.engine.numba.linalg.tile import element_pointer

Emitter = tuple[Any, Callable[..., Any]]


class Rows:
    """The rows that a kernel is given, as places of their vectors."""

    def __init__(self, context: Any, builder: Any, signature: Any, values: Any, rows: int) -> None:
        self.builder = builder
        self.starts = [
            element_pointer(context, builder, signature.args[2 * n], values[2 * n], values[2 * n + 1])
            for n in range(rows)
        ]
        self.simd = Simd(builder, self.starts[0].type.pointee)

    def places(self, index: Any) -> list[Any]:
        """The address of vector `index` of every row."""
        offset = self.builder.mul(index, index.type(self.simd.lanes))
        return [
            self.builder.bitcast(self.builder.gep(start, [offset]), self.simd.type.as_pointer())
            for start in self.starts
        ]


@intrinsic
def add_to(typingctx: Any, total: Any, t: Any, row: Any, r: Any, vectors: Any) -> Emitter:
    """total <- total + row."""
    i = types.intp

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        rows = Rows(context, builder, signature, values, 2)
        with cgutils.for_range(builder, values[-1]) as loop:
            total, row = rows.places(loop.index)
            rows.simd.store(rows.simd.add(rows.simd.load(total), rows.simd.load(row)), total)
        return context.get_dummy_value()

    return types.void(total, i, row, i, i), emit


@intrinsic
def copy(typingctx: Any, to: Any, t: Any, of: Any, o: Any, vectors: Any) -> Emitter:
    """to <- of."""
    i = types.intp

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        rows = Rows(context, builder, signature, values, 2)
        with cgutils.for_range(builder, values[-1]) as loop:
            to, of = rows.places(loop.index)
            rows.simd.store(rows.simd.load(of), to)
        return context.get_dummy_value()

    return types.void(to, i, of, i, i), emit


@intrinsic
def transpose(typingctx: Any, to: Any, t: Any, to_row: Any, of: Any, o: Any, of_row: Any) -> Emitter:
    """to <- of', a square as wide as a vector, whose rows are `to_row` and `of_row` apart."""
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
        rows = Rows(context, builder, signature, values, 1)
        factor = rows.simd.broadcast(values[3])
        with cgutils.for_range(builder, values[2]) as loop:
            (row,) = rows.places(loop.index)
            rows.simd.store(rows.simd.mul(rows.simd.load(row), factor), row)
        return context.get_dummy_value()

    return types.void(row, i, i, row.dtype), emit


@intrinsic
def exponentials(typingctx: Any, row: Any, r: Any, vectors: Any, factor: Any) -> Emitter:
    """row <- e^((row - max) factor); return (sum, maximum).

    A lane at -infinity becomes 0, so padding takes no part. A NaN makes the sum a NaN.
    """
    i = types.intp

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        rows = Rows(context, builder, signature, values, 1)
        simd, vectors = rows.simd, values[2]
        largest = cgutils.alloca_once_value(builder, simd.load(rows.places(vectors.type(0))[0]))
        with cgutils.for_range(builder, vectors) as loop:
            (row,) = rows.places(loop.index)
            builder.store(simd.larger(simd.load(row), builder.load(largest)), largest)
        maximum = simd.across(simd.larger, builder.load(largest))
        maxima, factors = simd.broadcast(maximum), simd.broadcast(values[3])
        total = cgutils.alloca_once_value(builder, simd.constant(0.0))
        with cgutils.for_range(builder, vectors) as loop:
            (row,) = rows.places(loop.index)
            e = simd.exp(simd.mul(simd.sub(simd.load(row), maxima), factors))
            simd.store(e, row)
            builder.store(simd.add(builder.load(total), e), total)
        sums = [simd.across(simd.add, builder.load(total)), maximum]
        return context.make_tuple(builder, signature.return_type, sums)

    return types.UniTuple(row.dtype, 2)(row, i, i, row.dtype), emit


@intrinsic
def adagrad(
    typingctx: Any, theta: Any, t: Any, M: Any, s: Any, gradient: Any, g: Any,
    vectors: Any, rate: Any, clip: Any, epsilon: Any,
) -> Emitter:  # fmt: skip
    """M <- M + g^2; theta <- theta - eta clip(g) / sqrt(M + epsilon)."""
    i, number = types.intp, theta.dtype
    signature = types.void(theta, i, M, i, gradient, i, i, number, number, number)

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        rows = Rows(context, builder, signature, values, 3)
        function = _adagrad_function(builder.module, rows.starts[0].type, values[6].type)
        builder.call(function, [*rows.starts, *values[6:]])
        return context.get_dummy_value()

    return signature, emit


@intrinsic
def adagrad_rows(
    typingctx: Any, theta: Any, t: Any, M: Any, s: Any, gradient: Any, g: Any, vectors: Any,
    columns: Any, c: Any, column_row: Any, rate: Any, clip: Any, epsilon: Any,
) -> Emitter:  # fmt: skip
    """`adagrad` for as many rows as a vector has lanes, each of `vectors` vectors; and their transpose.

    The transpose goes to `columns`, whose rows are `column_row` apart. Its shuffles run beside the arithmetic.
    """
    i, number = types.intp, theta.dtype
    signature = types.void(theta, i, M, i, gradient, i, i, columns, i, i, number, number, number)

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        rows = Rows(context, builder, signature, values, 3)
        function = _adagrad_rows_function(builder.module, rows.starts[0].type, values[6].type)
        corner = element_pointer(context, builder, signature.args[7], values[7], values[8])
        builder.call(function, [*rows.starts, values[6], corner, *values[9:]])
        return context.get_dummy_value()

    return signature, emit


def _transpose_function(module: Any, pointer: Any, integer: Any) -> Any:
    function, builder = called_function(
        module, f"elman_transpose_{pointer.pointee}", [pointer, integer, pointer, integer]
    )
    if builder is None:
        return function
    simd = Simd(builder, pointer.pointee)
    to, to_row, of, of_row = function.args
    rows = [simd.load(simd.place(of, of_row, r)) for r in range(simd.lanes)]
    for r, column in enumerate(simd.transposed(rows)):
        simd.store(column, simd.place(to, to_row, r))
    builder.ret_void()
    return function


def _adagrad_function(module: Any, pointer: Any, integer: Any) -> Any:
    number = pointer.pointee
    parameters = [pointer, pointer, pointer, integer, number, number, number]
    function, builder = called_function(module, f"elman_adagrad_{number}", parameters)
    if builder is None:
        return function
    simd = Simd(builder, number)
    theta, M, gradient, vectors, *numbers = function.args
    rule = [simd.broadcast(value) for value in numbers]
    with cgutils.for_range(builder, vectors) as loop:
        here = builder.mul(loop.index, integer(simd.lanes))
        _step(simd, [simd.place(builder.gep(start, [here]), integer(0), 0) for start in (theta, M, gradient)], rule)
    builder.ret_void()
    return function


def _adagrad_rows_function(module: Any, pointer: Any, integer: Any) -> Any:
    number = pointer.pointee
    parameters = [pointer, pointer, pointer, integer, pointer, integer, number, number, number]
    function, builder = called_function(module, f"elman_adagrad_rows_{number}", parameters)
    if builder is None:
        return function
    simd = Simd(builder, number)
    theta, M, gradient, vectors, columns, column_row, *numbers = function.args
    rule = [simd.broadcast(value) for value in numbers]
    row = builder.mul(vectors, integer(simd.lanes))
    with cgutils.for_range(builder, vectors) as loop:
        here = builder.mul(loop.index, integer(simd.lanes))
        starts = [builder.gep(start, [here]) for start in (theta, M, gradient)]
        stepped = [_step(simd, [simd.place(start, row, r) for start in starts], rule) for r in range(simd.lanes)]
        corner = builder.gep(columns, [builder.mul(here, column_row)])
        for r, column in enumerate(simd.transposed(stepped)):
            simd.store(column, simd.place(corner, column_row, r))
    builder.ret_void()
    return function


def _step(simd: Simd, places: list[Any], rule: list[Any]) -> Any:
    """AdaGrad for one vector of theta, which is stored and returned."""
    theta, M, gradient = places
    rate, clip, epsilon = rule
    g = simd.load(gradient)
    squares = simd.muladd(g, g, simd.load(M))
    simd.store(squares, M)
    clipped = simd.larger(simd.smaller(g, clip), simd.builder.fneg(clip))
    step = simd.over_root(simd.mul(rate, clipped), simd.add(squares, epsilon))
    stepped = simd.sub(simd.load(theta), step)
    simd.store(stepped, theta)
    return stepped
