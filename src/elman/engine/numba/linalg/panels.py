"""Matrix products for batches, on matrices packed into panels of columns.

A panel holds a few vectors of every row of a matrix, row after row, so that a product reads it sequentially from the
first-level cache while the sums stay in registers (`elman.engine.numba.linalg.tile`). Panels are packed once per
update and read in every time step.

The type of the packed arrays decides what a product multiplies: numbers of the type of the sums, or pairs of bfloat16
in a uint32, the elements 2 k and 2 k + 1 of the summed dimension, of which the processor multiplies twice as many at a
time. A sum has one term for each packed number: `depth` terms, or half as many. The panel that starts at column s of a
matrix begins at offset s * terms, whatever the number of its columns.
"""

from typing import NamedTuple

import numpy as np
from numba.core import types
from numba.extending import overload

from elman.engine.numba.jit import inlined, kernel
from elman.engine.numba.linalg.simd import BYTES
from elman.engine.numba.linalg.tile import ACCUMULATORS, MAX_ROWS, even_split, tile
from elman.engine.numba.linalg.vector import copy, transpose

TERMS = 128
"""Terms of a block of the summed dimension, chosen so that the operands of a block stay in the first-level cache."""
ROWS = 32 * MAX_ROWS
"""Rows that are packed in pairs at a time."""


def scratch_size(row: int) -> int:
    """Return the numbers of scratch that the products of matrices with rows of at most `row` elements need."""
    return max(TERMS, ROWS) * row


# --- Packing ---


@inlined
def round_pair(low, high):
    """Two float32, given by their bits, rounded to the nearest bfloat16: the first one in the lower half."""
    bias, one, half = np.uint32(0x7FFF), np.uint32(1), np.uint32(16)
    low = np.uint32(low + bias + ((low >> half) & one)) >> half
    high = np.uint32(high + bias + ((high >> half) & one)) & np.uint32(0xFFFF0000)
    return np.uint32(low | high)


@kernel
def _copy_rows(to, to_start, to_row, matrix, start, row, rows, columns):
    for r in range(rows):
        out, of = to[to_start + r * to_row :], matrix[start + r * row :]
        for j in range(columns):
            out[j] = of[j]


@kernel
def _copy_columns(to, to_start, to_row, matrix, start, row, rows, columns):
    for r in range(rows):
        copy(to, to_start + r * to_row, matrix, start + r * row, columns * to.itemsize // BYTES)


@kernel
def _round_rows(to, to_start, to_row, matrix, start, row, rows, columns):
    for r in range(rows):
        out, of = to[to_start + r * to_row :], matrix[start + r * row :].view(np.uint32)
        for k in range(columns // 2):
            out[k] = round_pair(of[2 * k], of[2 * k + 1])
        if columns % 2:
            out[columns // 2] = round_pair(of[columns - 1], np.uint32(0))


@kernel
def _round_columns(to, to_start, to_row, matrix, start, row, rows, columns):
    for k in range((rows + 1) // 2):
        out, low = to[to_start + k * to_row :], matrix[start + 2 * k * row :].view(np.uint32)
        if 2 * k + 1 < rows:
            high = matrix[start + (2 * k + 1) * row :].view(np.uint32)
            for j in range(columns):
                out[j] = round_pair(low[j], high[j])
        else:
            for j in range(columns):
                out[j] = round_pair(low[j], np.uint32(0))


@kernel
def _copy_transposed(to, to_start, matrix, start, row, depth, columns):
    lanes = BYTES // to.itemsize
    full = depth // lanes * lanes
    for j in range(0, columns, lanes):
        begin, of = to_start + j, start + j * row
        for k in range(0, full, lanes):
            transpose(to, begin + k * columns, columns, matrix, of + k, row)
        for k in range(full, depth):
            for lane in range(lanes):
                to[begin + k * columns + lane] = matrix[of + lane * row + k]


@kernel
def _round_transposed(to, to_start, matrix, start, row, depth, columns):
    for j in range(columns):
        of, begin = matrix[start + j * row :].view(np.uint32), to_start + j
        for k in range(depth // 2):
            to[begin + k * columns] = round_pair(of[2 * k], of[2 * k + 1])
        if depth % 2:
            to[begin + depth // 2 * columns] = round_pair(of[depth - 1], np.uint32(0))


def count_terms(packed, depth):
    """The terms of a sum over `depth` elements, by the type of a packed array."""
    raise NotImplementedError


@overload(count_terms)
def _count_terms(packed, depth):
    if isinstance(packed.dtype, types.Integer):
        return lambda packed, depth: (depth + 1) // 2
    return lambda packed, depth: depth


def pack_rows(to, to_start, to_row, matrix, start, row, rows, columns):
    """Pack `rows` rows, over whose `columns` elements a product sums."""
    raise NotImplementedError


@overload(pack_rows)
def _pack_rows(to, to_start, to_row, matrix, start, row, rows, columns):
    pack = _round_rows if isinstance(to.dtype, types.Integer) else _copy_rows
    return lambda to, to_start, to_row, matrix, start, row, rows, columns: pack(
        to, to_start, to_row, matrix, start, row, rows, columns
    )


def pack_columns(to, to_start, to_row, matrix, start, row, rows, columns):
    """Pack `columns` columns, over whose `rows` elements a product sums."""
    raise NotImplementedError


@overload(pack_columns)
def _pack_columns(to, to_start, to_row, matrix, start, row, rows, columns):
    pack = _round_columns if isinstance(to.dtype, types.Integer) else _copy_columns
    return lambda to, to_start, to_row, matrix, start, row, rows, columns: pack(
        to, to_start, to_row, matrix, start, row, rows, columns
    )


def pack_transposed(to, to_start, matrix, start, row, depth, columns):
    """Pack the columns B[k, j] = matrix[j, k] of one panel."""
    raise NotImplementedError


@overload(pack_transposed)
def _pack_transposed(to, to_start, matrix, start, row, depth, columns):
    pack = _round_transposed if isinstance(to.dtype, types.Integer) else _copy_transposed
    return lambda to, to_start, matrix, start, row, depth, columns: pack(
        to, to_start, matrix, start, row, depth, columns
    )


@kernel
def pack_panels(to, to_start, matrix, start, row, depth, columns, panel_width):
    """B[k, j] = matrix[k, j], `depth` rows and `columns` columns, in panels of `panel_width` columns.

    `columns` and `panel_width` are multiples of a vector.
    """
    for s in range(0, columns, panel_width):
        panel_columns = min(panel_width, columns - s)
        begin = to_start + s * count_terms(to, depth)
        pack_columns(to, begin, panel_columns, matrix, start + s, row, depth, panel_columns)


@kernel
def pack_panels_transposed(to, to_start, matrix, start, row, depth, columns, panel_width):
    """B[k, j] = matrix[j, k]; `columns` and `panel_width` are multiples of a vector."""
    for s in range(0, columns, panel_width):
        panel_columns = min(panel_width, columns - s)
        begin = to_start + s * count_terms(to, depth)
        pack_transposed(to, begin, matrix, start + s * row, row, depth, panel_columns)


# --- Products ---


class Ranges(NamedTuple):
    """The same range of each of several blocks of a row or column."""

    first: int
    size: int
    blocks: int
    stride: int  # from block to block


@inlined
def entire(n):
    """A row or column of n elements."""
    return Ranges(0, n, 1, n)


@kernel
def multiply_panels(
    c, c_start, c_row, d, d_start, d_row, a, a_start, a_row, b, b_start, panel_width, rows, depth, columns, ranges,
    scratch, scratch_start,
):  # fmt: skip
    """C = D + A B for B in panels; D may be C, and ``d_row = 0`` adds the same row to every row.

    Of the `columns`, those of `ranges` are computed, which begin and end at a multiple of a vector. `scratch` is None,
    or from `scratch_start` on workspace for `ROWS` rows of A in pairs.
    """
    lanes, terms, at_once = BYTES // c.itemsize, count_terms(b, depth), rows if scratch is None else ROWS
    for first in range(0, rows, at_once):
        n, c_first, d_first = min(at_once, rows - first), c_start + first * c_row, d_start + first * d_row
        if scratch is not None:
            pack_rows(scratch, scratch_start, terms, a, a_start + first * a_row, a_row, n, depth)
        tile_rows = max(1, even_split(n, MAX_ROWS))
        max_vectors = panel_width // lanes if tile_rows == 1 else min(panel_width // lanes, ACCUMULATORS // tile_rows)
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
                    if scratch is None:
                        tile(
                            c, c_at, c_row, d, d_at, d_row, a, a_start + r * a_row, a_row, 1,
                            b, b_first, panel_columns, terms, min(tile_rows, n - r), vectors,
                        )  # fmt: skip
                    else:
                        tile(
                            c, c_at, c_row, d, d_at, d_row, scratch, scratch_start + r * terms, terms, 1,
                            b, b_first, panel_columns, terms, min(tile_rows, n - r), vectors,
                        )  # fmt: skip
                    r += tile_rows
                column += vectors * lanes


@kernel
def sum_outer_products(
    c, c_start, c_row, a, a_start, a_row, b, b_start, b_row, panels, p_start, zeros, depth, columns, ranges,
    scratch, scratch_start,
):  # fmt: skip
    """C = sum_k A[k, :]' B[k, :], a sum over `depth` rows of A and of B, which has so many columns.

    The rows of C in `ranges` are computed. `zeros` is as long as a row of C; from `p_start` on, `panels` is workspace
    for `TERMS` packed rows of B. `scratch` is None, or the same for rows of A. The columns of A that a tile needs stay
    in the first-level cache while all panels are read.
    """
    lanes = BYTES // c.itemsize
    panel_width = ACCUMULATORS // MAX_ROWS * lanes
    tile_rows = even_split(ranges.size, MAX_ROWS)
    k, at_once = 0, TERMS if scratch is None else 2 * TERMS
    while k < depth:
        n, a_first = min(at_once, depth - k), a_start + k * a_row
        terms = count_terms(panels, n)
        pack_panels(panels, p_start, b, b_start + k * b_row, b_row, n, columns, panel_width)
        for block in range(ranges.blocks):
            r = ranges.first + block * ranges.stride
            last = r + ranges.size
            if scratch is not None:
                pack_columns(scratch, scratch_start + r, a_row, a, a_first + r, a_row, n, ranges.size)
            while r < last:
                tile_height, s = min(tile_rows, last - r), 0
                while s < columns:
                    panel_columns, corner, p_first = min(panel_width, columns - s), c_start + r * c_row + s, s * terms
                    vectors = panel_columns // lanes
                    d, d_first, d_row = (zeros, 0, 0) if k == 0 else (c, corner, c_row)
                    if scratch is None:
                        tile(
                            c, corner, c_row, d, d_first, d_row, a, a_first + r, 1, a_row,
                            panels, p_start + p_first, panel_columns, terms, tile_height, vectors,
                        )  # fmt: skip
                    else:
                        tile(
                            c, corner, c_row, d, d_first, d_row, scratch, scratch_start + r, 1, a_row,
                            panels, p_start + p_first, panel_columns, terms, tile_height, vectors,
                        )  # fmt: skip
                    s += panel_width
                r += tile_rows
        k += at_once
