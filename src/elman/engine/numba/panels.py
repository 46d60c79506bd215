"""Matrix products for batches, on matrices packed into panels of columns.

A panel holds a few vectors of every row of a matrix, row after row, so that a product reads it sequentially from the
first-level cache while the sums stay in registers (`elman.engine.numba.tile`). Panels are packed once per
update and read in every time step.

The type of the packed arrays determines the factors of a product: numbers of the type of the sums, or pairs of bfloat16
in a uint32, which are the elements 2 k and 2 k + 1 of the summed dimension. The processor multiplies twice as many
pairs at a time. A sum has one term for each packed number: `depth` terms, or half as many. The panel that starts at
column s of a matrix begins at offset s * terms, whatever the number of its columns.
"""

from typing import Any, NamedTuple

import numpy as np

from elman.engine.numba.simd import BYTES
from elman.engine.numba.tile import (
    ACCUMULATORS,
    MAX_ROWS,
    PAIR_ROWS,
    PAIR_TERMS,
    PAIR_VECTORS,
    even_split,
    tile,
)
from elman.engine.numba.vector import copy, transpose, transpose_column_pairs, transpose_row_pairs
from elman.jit import inlined, kernel, linked_kernel, overload, types

TERMS = 128
"""Terms of a block of the summed dimension, chosen so that the operands of a block stay in the first-level cache."""
ROWS = 32 * MAX_ROWS
"""Rows that are packed in pairs at a time."""


def scratch_size(row: int) -> int:
    """Return the numbers of scratch that products of matrices with rows of at most `row` elements need, at least 16."""
    return max(TERMS, ROWS) * row


# --- Packing ---


@inlined
def even_terms(terms):
    """Return so many terms of pairs, rounded up to a multiple of `PAIR_TERMS`: the additional terms are zero."""
    return (terms + PAIR_TERMS - 1) // PAIR_TERMS * PAIR_TERMS


@inlined
def round_pair(low, high):
    """Return two float32, given by their bits, rounded to the nearest bfloat16: the first one in the lower half."""
    bias, one, half = np.uint32(0x7FFF), np.uint32(1), np.uint32(16)
    low = np.uint32(low + bias + ((low >> half) & one)) >> half
    high = np.uint32(high + bias + ((high >> half) & one)) & np.uint32(0xFFFF0000)
    return np.uint32(low | high)


@inlined
def _clear_terms(target, target_start, target_row, terms, columns):
    """Set the terms from so many on, up to a multiple of `PAIR_TERMS`, to zero."""
    for k in range(terms, even_terms(terms)):
        for j in range(columns):
            target[target_start + k * target_row + j] = 0


@kernel
def _copy_rows(target, target_start, target_row, matrix, start, row, rows, columns):
    for r in range(rows):
        out, source = target[target_start + r * target_row :], matrix[start + r * row :]
        for j in range(columns):
            out[j] = source[j]


@kernel
def _copy_columns(target, target_start, target_row, matrix, start, row, rows, columns):
    for r in range(rows):
        copy(target, target_start + r * target_row, matrix, start + r * row, columns * target.itemsize // BYTES)


@kernel
def _copy_transposed(target, target_start, matrix, start, row, depth, columns):
    lanes = BYTES // target.itemsize
    full = depth // lanes * lanes
    for j in range(0, columns, lanes):
        begin, source = target_start + j, start + j * row
        for k in range(0, full, lanes):
            transpose(target, begin + k * columns, columns, matrix, source + k, row)
        for k in range(full, depth):
            for lane in range(lanes):
                target[begin + k * columns + lane] = matrix[source + lane * row + k]


@kernel
def _round_rows(target, target_start, target_row, matrix, start, row, rows, columns):
    terms = (columns + 1) // 2
    for r in range(rows):
        out, source = target[target_start + r * target_row :], matrix[start + r * row :].view(np.uint32)
        for k in range(columns // 2):
            out[k] = round_pair(source[2 * k], source[2 * k + 1])
        if columns % 2:
            out[columns // 2] = round_pair(source[columns - 1], np.uint32(0))
        _clear_terms(target, target_start + r * target_row, 1, terms, 1)


@kernel
def _round_columns(target, target_start, target_row, matrix, start, row, rows, columns):
    for k in range((rows + 1) // 2):
        out, low = target[target_start + k * target_row :], matrix[start + 2 * k * row :].view(np.uint32)
        if 2 * k + 1 < rows:
            high = matrix[start + (2 * k + 1) * row :].view(np.uint32)
            for j in range(columns):
                out[j] = round_pair(low[j], high[j])
        else:
            for j in range(columns):
                out[j] = round_pair(low[j], np.uint32(0))
    _clear_terms(target, target_start, target_row, (rows + 1) // 2, columns)


@kernel
def _round_transposed(target, target_start, matrix, start, row, depth, columns):
    lanes = BYTES // target.itemsize
    full = depth // (2 * lanes) * lanes
    for j in range(0, columns, lanes):
        begin, source = target_start + j, start + j * row
        for k in range(0, full, lanes):
            transpose_row_pairs(target, begin + k * columns, columns, matrix, source + 2 * k, row)
        for lane in range(lanes):
            bits = matrix[source + lane * row :].view(np.uint32)
            for k in range(full, (depth + 1) // 2):
                high = bits[2 * k + 1] if 2 * k + 1 < depth else np.uint32(0)
                target[begin + k * columns + lane] = round_pair(bits[2 * k], high)
    _clear_terms(target, target_start, columns, (depth + 1) // 2, columns)


@kernel
def _pack_column_pairs(target, target_start, target_row, matrix, start, row, rows, columns):
    """Pack `columns` columns as rows of pairs; `columns` is a multiple of a vector."""
    lanes = BYTES // target.itemsize
    full = rows // (2 * lanes) * lanes
    for j in range(0, columns, lanes):
        begin, source = target_start + j * target_row, start + j
        for k in range(0, full, lanes):
            transpose_column_pairs(target, begin + k, target_row, matrix, source + 2 * k * row, row)
        for lane in range(lanes):
            bits = matrix[source + lane :].view(np.uint32)
            for k in range(full, (rows + 1) // 2):
                high = bits[(2 * k + 1) * row] if 2 * k + 1 < rows else np.uint32(0)
                target[begin + lane * target_row + k] = round_pair(bits[2 * k * row], high)
            _clear_terms(target, begin + lane * target_row, 1, (rows + 1) // 2, 1)


def _by_type(of_numbers, of_pairs):
    """Return a function that calls one of two kernels, by the type of the packed array that is its first argument."""

    def select(packed, *arguments):
        raise NotImplementedError

    @overload(select)
    def implement(packed, *arguments):
        selected = of_pairs if isinstance(packed.dtype, types.Integer) else of_numbers
        return lambda packed, *arguments: selected(packed, *arguments)

    return select


@linked_kernel
def _count_numbers(packed, depth):
    return depth


@linked_kernel
def _count_pairs(packed, depth):
    return even_terms((depth + 1) // 2)


@linked_kernel
def _number_tile(packed):
    return MAX_ROWS, ACCUMULATORS // MAX_ROWS


@linked_kernel
def _pair_tile(packed):
    return PAIR_ROWS, PAIR_VECTORS


count_terms = _by_type(_count_numbers, _count_pairs)
"""The terms of a sum over `depth` elements."""
tile_shape = _by_type(_number_tile, _pair_tile)
"""The rows and vectors of the largest tile."""
pack_rows = _by_type(_copy_rows, _round_rows)
"""Pack `rows` rows, over whose `columns` elements a product sums."""
pack_columns = _by_type(_copy_columns, _round_columns)
"""Pack `columns` columns, over whose `rows` elements a product sums."""
pack_transposed = _by_type(_copy_transposed, _round_transposed)
"""Pack the columns B[k, j] = matrix[j, k] of one panel."""


@kernel
def pack_panels(target, target_start, matrix, start, row, depth, columns, panel_width):
    """B[k, j] = matrix[k, j], `depth` rows and `columns` columns, in panels of `panel_width` columns.

    `columns` and `panel_width` are multiples of a vector.
    """
    for s in range(0, columns, panel_width):
        panel_columns = min(panel_width, columns - s)
        begin = target_start + s * count_terms(target, depth)
        pack_columns(target, begin, panel_columns, matrix, start + s, row, depth, panel_columns)


@kernel
def pack_panels_transposed(target, target_start, matrix, start, row, depth, columns, panel_width):
    """B[k, j] = matrix[j, k]; `columns` and `panel_width` are multiples of a vector."""
    for s in range(0, columns, panel_width):
        panel_columns = min(panel_width, columns - s)
        begin = target_start + s * count_terms(target, depth)
        pack_transposed(target, begin, matrix, start + s * row, row, depth, panel_columns)


# --- Products ---


class Ranges(NamedTuple):
    """The same range of each of several blocks of a row or column."""

    first: int
    size: int
    blocks: int
    stride: int  # from block to block


class Panels(NamedTuple):
    """A matrix in panels."""

    data: Any
    start: int
    width: int  # columns of a panel


class Scratch(NamedTuple):
    """Workspace from an element of an array on."""

    data: Any
    start: int


@inlined
def entire(n):
    """Return a range with a row or column of n elements."""
    return Ranges(0, n, 1, n)


def _left_factor(scratch, a):
    """Return the array of the left factor of a product: packed pairs, or A itself if `scratch` is None."""
    raise NotImplementedError


@overload(_left_factor, inline="always")  # a test of a value would compile the products of both
def _select_left_factor(scratch, a):
    return (lambda scratch, a: a) if isinstance(scratch, types.NoneType) else (lambda scratch, a: scratch)


@kernel
def multiply_panels(C, D, A, B, rows, depth, columns, ranges, scratch, scratch_start):
    """C = D + A B for B in `Panels`; D may be C.

    The columns in `ranges`, which begin and end at a multiple of a vector, are computed out of all `columns`. `scratch`
    is None, or contains workspace from `scratch_start` on for `ROWS` rows of A in pairs.
    """
    c, c_start, c_row = C
    d, d_start, d_row = D
    a, a_start, a_row = A
    b, b_start, panel_width = B
    lanes, terms, at_once = BYTES // c.itemsize, count_terms(b, depth), max(1, rows) if scratch is None else ROWS
    shape = tile_shape(b)
    for first in range(0, rows, at_once):
        n, c_first, d_first = min(at_once, rows - first), c_start + first * c_row, d_start + first * d_row
        if scratch is not None:
            pack_rows(scratch, scratch_start, terms, a, a_start + first * a_row, a_row, n, depth)
        tile_rows, max_vectors = max(1, even_split(n, shape[0])), panel_width // lanes
        if scratch is None and tile_rows > 1:
            max_vectors = min(max_vectors, ACCUMULATORS // tile_rows)
        for block in range(ranges.blocks):
            column = ranges.first + block * ranges.stride
            last = column + ranges.size
            while column < last:
                s = column // panel_width * panel_width
                panel_columns = min(panel_width, columns - s)
                vectors = min(max_vectors, (min(last, s + panel_columns) - column) // lanes)
                b_first, r = b_start + s * terms + column - s, 0
                while r < n:
                    c_at, d_at = c_first + r * c_row + column, d_first + r * d_row + column
                    a_at, a_next = (
                        (a_start + r * a_row, a_row) if scratch is None else (scratch_start + r * terms, terms)
                    )
                    tile(
                        c, c_at, c_row, d, d_at, d_row, _left_factor(scratch, a), a_at, a_next, 1,
                        b, b_first, panel_columns, terms, min(tile_rows, n - r), vectors,
                    )  # fmt: skip
                    r += tile_rows
                column += vectors * lanes


@kernel
def sum_outer_products(C, A, B, packed, zeros, depth, columns, ranges, scratch, scratch_start):
    """C = sum_k A[k, :]' B[k, :], a sum over `depth` rows of A and of B, which has so many columns.

    The rows of C in `ranges` are computed. `zeros` is as long as a row of C; `packed` is workspace for `TERMS` packed
    rows of B; `scratch` is None or workspace for rows of A in pairs. The columns of A that a tile needs stay in the
    first-level cache while all panels are read.
    """
    c, c_start, c_row = C
    a, a_start, a_row = A
    b, b_start, b_row = B
    panels, p_start = packed
    lanes = BYTES // c.itemsize
    shape = tile_shape(panels)
    panel_width, tile_rows = shape[1] * lanes, even_split(ranges.size, shape[0])
    k, at_once = 0, TERMS if scratch is None else 2 * TERMS
    while k < depth:
        n, a_first = min(at_once, depth - k), a_start + k * a_row
        terms = count_terms(panels, n)
        pack_panels(panels, p_start, b, b_start + k * b_row, b_row, n, columns, panel_width)
        for block in range(ranges.blocks):
            r = ranges.first + block * ranges.stride
            last = r + ranges.size
            if scratch is not None:
                _pack_column_pairs(scratch, scratch_start + r * terms, terms, a, a_first + r, a_row, n, ranges.size)
            while r < last:
                tile_height, s = min(tile_rows, last - r), 0
                while s < columns:
                    panel_columns, corner, p_first = min(panel_width, columns - s), c_start + r * c_row + s, s * terms
                    vectors = panel_columns // lanes
                    d, d_first, d_row = (zeros, 0, 0) if k == 0 else (c, corner, c_row)
                    a_at, a_next, a_step = (a_first + r, 1, a_row)
                    if scratch is not None:
                        a_at, a_next, a_step = (scratch_start + r * terms, terms, 1)
                    tile(
                        c, corner, c_row, d, d_first, d_row, _left_factor(scratch, a), a_at, a_next, a_step,
                        panels, p_start + p_first, panel_columns, terms, tile_height, vectors,
                    )  # fmt: skip
                    s += panel_width
                r += tile_rows
        k += at_once
