"""Products of whole batches, on matrices packed into panels of columns.

A panel holds a few vectors of every row of a matrix, row after row, so that a product reads it in one run from the
first cache while the sums stay in registers (`elman.engine.numba.linalg.tile`). Panels are filled once an update and read in
every step. The panel that begins at column s of a matrix with `depth` rows begins at s * depth, however wide it is.
"""

from elman.engine.numba.jit import inlined
from elman.engine.numba.linalg.simd import BYTES
from elman.engine.numba.linalg.tile import ACCUMULATORS, MAX_ROWS, even, tile
from elman.engine.numba.linalg.vector import copy, transpose

DEPTH = 128
"""Terms of a deep sum that are added at once, so that what they are made of stays in the first cache."""


@inlined
def pack(to, to_start, matrix, start, row, depth, columns, width):
    """B[k, j] = matrix[k, j], `depth` rows and `columns` columns, in panels `width` numbers wide.

    Columns and panels are whole vectors.
    """
    for s in range(0, columns, width):
        wide = min(width, columns - s)
        for k in range(depth):
            copy(to, to_start + s * depth + k * wide, matrix, start + k * row + s, wide * to.itemsize // BYTES)


@inlined
def pack_transposed(to, to_start, matrix, start, row, depth, columns, width):
    """B[k, j] = matrix[j, k]; columns and panels are whole vectors."""
    lanes = BYTES // to.itemsize
    whole = depth // lanes * lanes
    for s in range(0, columns, width):
        wide = min(width, columns - s)
        for j in range(s, s + wide, lanes):
            begin, of = to_start + s * depth + j - s, start + j * row
            for k in range(0, whole, lanes):
                transpose(to, begin + k * wide, wide, matrix, of + k, row)
            for k in range(whole, depth):
                for lane in range(lanes):
                    to[begin + k * wide + lane] = matrix[of + lane * row + k]


@inlined
def product(
    c, c_start, c_row, d, d_start, d_row, a, a_start, a_row, b, b_start, width, rows, depth, columns
):  # fmt: skip
    """C = D + A B for B in panels; D may be C, and ``d_row = 0`` adds one row to all."""
    lanes = BYTES // c.itemsize
    tile_rows = even(rows, MAX_ROWS)
    most = width // lanes if tile_rows == 1 else min(width // lanes, ACCUMULATORS // tile_rows)
    s = 0
    while s < columns:
        wide = min(width, columns - s)
        q = 0
        while q < wide:
            r = 0
            while r < rows:
                tile(
                    c, c_start + r * c_row + s + q, c_row, d, d_start + r * d_row + s + q, d_row, c, 0,
                    a, a_start + r * a_row, a_row, 1, b, b_start + s * depth + q, wide,
                    depth, min(tile_rows, rows - r), min(most, (wide - q) // lanes),
                )  # fmt: skip
                r += tile_rows
            q += most * lanes
        s += width


@inlined
def outer_sum(c, c_start, c_row, a, a_start, a_row, b, b_start, b_row, room, zeros, rows, depth, columns):
    """C = sum_k A[k, :]' B[k, :], a sum over `depth` rows of A (`rows` wide) and of B (`columns` wide).

    `zeros` is a row of C, and `room` takes `DEPTH` rows of B in panels. The columns of A that a tile needs stay in the
    first cache while the panels pass by.
    """
    lanes = BYTES // c.itemsize
    width = ACCUMULATORS // MAX_ROWS * lanes
    tile_rows = even(rows, MAX_ROWS)
    k = 0
    while k < depth:
        deep = min(DEPTH, depth - k)
        pack(room, 0, b, b_start + k * b_row, b_row, deep, columns, width)
        r = 0
        while r < rows:
            s = 0
            while s < columns:
                wide, corner = min(width, columns - s), c_start + r * c_row + s
                below = min(tile_rows, rows - r)
                if k == 0:
                    tile(
                        c, corner, c_row, zeros, 0, 0, c, 0, a, a_start + r, 1, a_row,
                        room, s * deep, wide, deep, below, wide // lanes,
                    )  # fmt: skip
                else:
                    tile(
                        c, corner, c_row, c, corner, c_row, c, 0, a, a_start + k * a_row + r, 1, a_row,
                        room, s * deep, wide, deep, below, wide // lanes,
                    )  # fmt: skip
                s += width
            r += tile_rows
        k += DEPTH
