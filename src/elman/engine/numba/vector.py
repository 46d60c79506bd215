"""Elementwise kernels on rows: copy, scale, sum, the exponentials of softmax, AdaGrad, and a builder for cells.

A row is `vectors` full vectors from a start in a flat array.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from elman.engine.numba.simd import (
    BYTES,
    CACHE_LINE,
    REGISTER_BYTES,
    Address,
    Simd,
    call_function,
    emit_prefetch,
    row_loops,
)
from elman.engine.numba.tile import element_address, row_kernel
from elman.jit import cgutils, intrinsic, types

Emitter = tuple[Any, Callable[..., Any]]


class VectorView:
    """One vector of each row that an elementwise kernel works on."""

    def __init__(self, simd: Simd, rows: list[Address], offset: Any, block: Any) -> None:
        self.simd, self.rows, self.offset, self.block = simd, rows, offset, block

    def _address(self, row: int, block: int) -> Address:
        builder = self.simd.builder
        offset = builder.add(self.offset, builder.mul(self.block, self.block.type(block)))
        return self.rows[row].add(builder, offset).cast(builder, self.simd.type)

    def load(self, row: int, block: int = 0) -> Any:
        """Load the vector of a row, or of one of its blocks if the row has one for each gate."""
        return self.simd.load(self._address(row, block))

    def store(self, value: Any, row: int, block: int = 0) -> None:
        """Store a vector in a row or block, see `load`."""
        self.simd.store(value, self._address(row, block))


def elementwise_kernel(step: Callable[[Simd, VectorView], None]) -> Any:
    """Return the kernel of rows, `block` and `vectors` that does `step` for every vector of the rows.

    The blocks of one row are `block` elements apart.
    """

    def emit_loops(builder: Any, *operands: Any) -> None:
        *rows, block, vectors = operands
        for simd, index in row_loops(builder, rows[0].kind, vectors):
            step(simd, VectorView(simd, rows, builder.mul(index, index.type(BYTES // simd.bytes)), block))

    def emit(builder: Any, *operands: Any) -> None:
        call_function(builder, f"elman_{step.__name__}_{operands[0].kind}", operands, emit_loops)

    return row_kernel(emit)


@row_kernel
def add_to(builder: Any, total: Any, row: Any, vectors: Any) -> None:
    """total <- total + row."""
    simd = Simd(builder, total.kind)
    with cgutils.for_range(builder, vectors) as loop:
        target = simd.vector(total, loop.index)
        simd.store(simd.add(simd.load(target), simd.load(simd.vector(row, loop.index))), target)


@row_kernel
def prefetch_row(builder: Any, row: Any, vectors: Any) -> None:
    """Bring a row into the first-level cache, all of its lines at the same time."""
    simd, per_line = Simd(builder, row.kind), vectors.type(CACHE_LINE // BYTES)
    lines = builder.sdiv(builder.add(vectors, vectors.type(CACHE_LINE // BYTES - 1)), per_line)
    with cgutils.for_range(builder, lines) as loop:
        emit_prefetch(builder, simd.vector(row, builder.mul(loop.index, per_line)))


@row_kernel
def copy(builder: Any, target: Any, source: Any, vectors: Any) -> None:
    """target <- source."""
    simd = Simd(builder, target.kind)
    with cgutils.for_range(builder, vectors) as loop:
        simd.store(simd.load(simd.vector(source, loop.index)), simd.vector(target, loop.index))


def _transpose_kernel(load: Callable[[Simd, Any, Any, int], Any], name: str) -> Any:
    """Return the kernel target <- source', of a square matrix with one vector per row.

    Its arguments are `target`, `target_row`, `source` and `source_row`, where ``_row`` are the elements from one row to
    the next. `load(simd, source, source_row, r)` returns row r.
    """

    def emit_transpose(builder: Any, target: Any, target_row: Any, source: Any, source_row: Any) -> None:
        simd = Simd(builder, source.kind)
        rows = [load(simd, source, source_row, r) for r in range(simd.lanes)]
        for r, column in enumerate(simd.transpose(rows)):
            simd.store(column, simd.address(target, target_row, r))

    def emit(builder: Any, *operands: Any) -> None:
        call_function(builder, f"elman_{name}_{operands[0].kind}", operands, emit_transpose)

    return row_kernel(emit)


def _load_row_pairs(simd: Simd, source: Any, source_row: Any, r: int) -> Any:
    first, second = (simd.load(simd.address(source, source_row, r, column)) for column in (0, 1))
    low, high = ([*range(half, 2 * simd.lanes, 2)] for half in (0, 1))
    return simd.round_pairs(simd.shuffle(first, second, low), simd.shuffle(first, second, high))


transpose = _transpose_kernel(lambda simd, source, row, r: simd.load(simd.address(source, row, r)), "transpose")
transpose_row_pairs = _transpose_kernel(_load_row_pairs, "transpose_row_pairs")
"""For pairs of bfloat16, rounded from elements that follow one another in a row of float32."""
transpose_column_pairs = _transpose_kernel(
    lambda simd, source, row, r: simd.round_pairs(
        *(simd.load(simd.address(source, row, k)) for k in (2 * r, 2 * r + 1))
    ),
    "transpose_column_pairs",
)
"""For pairs of bfloat16, rounded from elements that follow one another in a column of float32."""


@row_kernel
def scale(builder: Any, row: Any, vectors: Any, factor: Any) -> None:
    """row <- factor row."""
    simd = Simd(builder, row.kind)
    factor = simd.broadcast(factor)
    with cgutils.for_range(builder, vectors) as loop:
        address = simd.vector(row, loop.index)
        simd.store(simd.mul(simd.load(address), factor), address)


@intrinsic
def exponentials(typingctx: Any, row: Any, r: Any, vectors: Any, factor: Any) -> Emitter:
    """row <- e^((row - max) factor); return (sum, maximum).

    A lane at -infinity becomes 0, so that padding does not contribute. A NaN makes the sum NaN.
    """
    i = types.intp

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        row, vectors = element_address(context, builder, signature.args[0], *values[:2]), values[2]
        simd = Simd(builder, row.kind)
        lane_maxima = cgutils.alloca_once_value(builder, simd.load(simd.vector(row, vectors.type(0))))
        with cgutils.for_range(builder, vectors) as loop:
            x = simd.load(simd.vector(row, loop.index))
            builder.store(simd.maximum(x, builder.load(lane_maxima)), lane_maxima)
        maximum = simd.reduce(simd.maximum, builder.load(lane_maxima))
        total = cgutils.alloca_once_value(builder, simd.constant(0.0))
        for wide, index in row_loops(builder, simd.element, vectors):
            address = wide.vector(row, index)
            maxima, factors = wide.broadcast(maximum), wide.broadcast(values[3])
            e = wide.exp(wide.mul(wide.sub(wide.load(address), maxima), factors))
            wide.store(e, address)
            for part in wide.split(e):
                builder.store(simd.add(builder.load(total), part), total)
        sums = [simd.reduce(simd.add, builder.load(total)), maximum]
        return context.make_tuple(builder, signature.return_type, sums)

    return types.UniTuple(row.dtype, 2)(row, i, i, row.dtype), emit


@row_kernel
def adagrad(builder: Any, *operands: Any) -> None:
    """M <- M + g^2; theta <- theta - eta clip(g) / sqrt(M + epsilon).

    The operands are rows of theta, M and g, the number of their vectors, eta, the limit of clipping and epsilon.
    """
    call_function(builder, f"elman_adagrad_{operands[0].kind}", operands, _emit_adagrad)


def _emit_adagrad(builder: Any, theta: Any, M: Any, gradient: Any, vectors: Any, *scalars: Any) -> None:
    element = theta.kind
    for simd, index in row_loops(builder, element, vectors, _adagrad_size(element)):
        addresses = [simd.vector(start, index) for start in (theta, M, gradient)]
        _emit_adagrad_step(simd, addresses, [simd.broadcast(value) for value in scalars])


@row_kernel
def adagrad_rows(builder: Any, *operands: Any) -> None:
    """`adagrad` for as many rows as a vector has lanes, each of `vectors` vectors, and for their transpose.

    The transpose is stored in rows that are `column_row` elements apart. The operands after the vectors are the first
    of these rows and `column_row`. The processor overlaps the shuffles with the arithmetic.
    """
    call_function(builder, f"elman_adagrad_rows_{operands[0].kind}", operands, _emit_adagrad_rows)


def _emit_adagrad_rows(
    builder: Any, theta: Any, M: Any, gradient: Any, vectors: Any, columns: Any, column_row: Any, *scalars: Any
) -> None:
    element = theta.kind
    block = Simd(builder, element)
    row = builder.mul(vectors, vectors.type(block.lanes))
    for simd, index in row_loops(builder, element, vectors, _adagrad_size(element)):
        hyperparameters = [simd.broadcast(value) for value in scalars]
        offset = builder.mul(index, index.type(block.lanes))
        starts = [start.add(builder, offset) for start in (theta, M, gradient)]
        updated = [
            simd.split(_emit_adagrad_step(simd, [simd.address(start, row, r) for start in starts], hyperparameters))
            for r in range(block.lanes)
        ]
        corner = columns.add(builder, builder.mul(offset, column_row))
        transposed = [column for rows in zip(*updated, strict=True) for column in block.transpose(list(rows))]
        for r, column in enumerate(transposed):
            block.store(column, block.address(corner, column_row, r))


def _adagrad_size(element: Any) -> int:
    """Return the bytes of the vectors of AdaGrad, see `Simd.div_sqrt`."""
    return BYTES if isinstance(element, ir.FloatType) else REGISTER_BYTES


def _emit_adagrad_step(simd: Simd, addresses: list[Any], hyperparameters: list[Any]) -> Any:
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
