"""Matrix products for batches, on matrices packed into panels of columns.

A panel holds a few vectors of every row of a matrix, row after row, so that a product reads it sequentially from the
first-level cache while the sums stay in registers (`elman.engine.numba.linalg.tile`). Panels are packed once per
update and read in every time step. The panel that starts at column s of a matrix with `depth` rows begins at offset
s * depth, whatever the number of its columns.
"""

from typing import NamedTuple

from elman.engine.numba.jit import inlined, kernel
from elman.engine.numba.linalg.simd import BYTES
from elman.engine.numba.linalg.tile import ACCUMULATORS, MAX_ROWS, even_split, tile
from elman.engine.numba.linalg.vector import copy, transpose

DEPTH = 128
"""Block size of the summed dimension, chosen so that the operands of a block stay in the first-level cache."""


@kernel
def pack_panels(to, to_start, matrix, start, row, depth, columns, panel_width):
    """B[k, j] = matrix[k, j], `depth` rows and `columns` columns, in panels of `panel_width` columns.

    `columns` and `panel_width` are multiples of a vector.
    """
    for s in range(0, columns, panel_width):
        panel_columns = min(panel_width, columns - s)
        for k in range(depth):
            begin, of = to_start + s * depth + k * panel_columns, start + k * row + s
            copy(to, begin, matrix, of, panel_columns * to.itemsize // BYTES)


@kernel
def pack_panels_transposed(to, to_start, matrix, start, row, depth, columns, panel_width):
    """B[k, j] = matrix[j, k]; `columns` and `panel_width` are multiples of a vector."""
    lanes = BYTES // to.itemsize
    full = depth // lanes * lanes
    for s in range(0, columns, panel_width):
        panel_columns = min(panel_width, columns - s)
        for j in range(s, s + panel_columns, lanes):
            begin, of = to_start + s * depth + j - s, start + j * row
            for k in range(0, full, lanes):
                transpose(to, begin + k * panel_columns, panel_columns, matrix, of + k, row)
            for k in range(full, depth):
                for lane in range(lanes):
                    to[begin + k * panel_columns + lane] = matrix[of + lane * row + k]


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
    c, c_start, c_row, d, d_start, d_row, a, a_start, a_row, b, b_start, panel_width, rows, depth, columns, ranges
):  # fmt: skip
    """C = D + A B for B in panels; D may be C, and ``d_row = 0`` adds the same row to every row.

    Of the `columns`, those of `ranges` are computed, which begin and end at a multiple of a vector.
    """
    lanes = BYTES // c.itemsize
    tile_rows = max(1, even_split(rows, MAX_ROWS))
    max_vectors = panel_width // lanes if tile_rows == 1 else min(panel_width // lanes, ACCUMULATORS // tile_rows)
    for block in range(ranges.blocks):
        column = ranges.first + block * ranges.stride
        last = column + ranges.size
        while column < last:
            s = column // panel_width * panel_width
            panel_columns = min(panel_width, columns - s)
            vectors = min(max_vectors, (min(last, s + panel_columns) - column) // lanes)
            r = 0
            while r < rows:
                tile(
                    c, c_start + r * c_row + column, c_row, d, d_start + r * d_row + column, d_row,
                    a, a_start + r * a_row, a_row, 1, b, b_start + s * depth + column - s, panel_columns,
                    depth, min(tile_rows, rows - r), vectors,
                )  # fmt: skip
                r += tile_rows
            column += vectors * lanes


@kernel
def sum_outer_products(
    c, c_start, c_row, a, a_start, a_row, b, b_start, b_row, panels, p_start, zeros, depth, columns, ranges
):  # fmt: skip
    """C = sum_k A[k, :]' B[k, :], a sum over `depth` rows of A and of B, which has so many columns.

    The rows of C in `ranges` are computed. `zeros` is as long as a row of C; from `p_start` on, `panels` is workspace
    for `DEPTH` rows of B. The columns of A that a tile needs stay in the first-level cache while all panels are read.
    """
    lanes = BYTES // c.itemsize
    panel_width = ACCUMULATORS // MAX_ROWS * lanes
    tile_rows = even_split(ranges.size, MAX_ROWS)
    k = 0
    while k < depth:
        terms = min(DEPTH, depth - k)
        pack_panels(panels, p_start, b, b_start + k * b_row, b_row, terms, columns, panel_width)
        for block in range(ranges.blocks):
            r = ranges.first + block * ranges.stride
            last = r + ranges.size
            while r < last:
                tile_height = min(tile_rows, last - r)
                s = 0
                while s < columns:
                    panel_columns, corner = min(panel_width, columns - s), c_start + r * c_row + s
                    if k == 0:
                        tile(
                            c, corner, c_row, zeros, 0, 0, a, a_start + r, 1, a_row,
                            panels, p_start + s * terms, panel_columns, terms, tile_height, panel_columns // lanes,
                        )  # fmt: skip
                    else:
                        tile(
                            c, corner, c_row, c, corner, c_row, a, a_start + k * a_row + r, 1, a_row,
                            panels, p_start + s * terms, panel_columns, terms, tile_height, panel_columns // lanes,
                        )  # fmt: skip
                    s += panel_width
                r += tile_rows
        k += DEPTH
