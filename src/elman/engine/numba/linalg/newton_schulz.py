"""The Newton-Schulz iteration of `elman.network.muon` on one square matrix; of symmetric products, half is computed.

A step is written as three products, so that sums of matrices are only additions to diagonals,

    A = X X'        Q = A (b I + c A) + a I        X <- Q X.

A and Q are symmetric, so only the tiles that touch their lower triangle are computed, and then mirrored.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba.jit import inlined
from elman.engine.numba.linalg.memory import aligned_zeros
from elman.engine.numba.linalg.panels import multiply_panels, pack_panels, pack_panels_transposed
from elman.engine.numba.linalg.simd import BYTES
from elman.engine.numba.linalg.tile import ACCUMULATORS, MAX_ROWS, even_split, tile
from elman.engine.numba.linalg.vector import transpose

Array = NDArray[np.floating]


class SquareWorkspace(NamedTuple):
    """Matrices (size, size), flat, whose size is a multiple of a vector."""

    X: Array
    A: Array
    Q: Array
    panels: Array
    zeros: Array  # (size,)


def make_square_workspace(size: int, dtype: np.dtype[np.floating]) -> SquareWorkspace:
    """Return a workspace for matrices of `size` rows and columns."""
    X, A, Q, panels = (aligned_zeros(size * size, dtype) for _ in range(4))
    return SquareWorkspace(X, A, Q, panels, aligned_zeros(size, dtype))


@inlined
def _multiply_symmetric(c, a, panels, panel_width, zeros, size):
    """C = A B for B in panels, where C is symmetric: the tiles above its diagonal are mirrored."""
    lanes = BYTES // c.itemsize
    tile_rows = even_split(size, MAX_ROWS)
    s = 0
    while s < size:
        columns = min(panel_width, size - s)
        r = s // tile_rows * tile_rows
        while r < size:
            tile(
                c, r * size + s, size, zeros, 0, 0, c, 0, a, r * size, size, 1, panels, s * size, columns,
                size, min(tile_rows, size - r), columns // lanes,
            )  # fmt: skip
            r += tile_rows
        s += panel_width
    for r in range(lanes, size, lanes):
        for s in range(0, r, lanes):
            transpose(c, s * size + r, size, c, r * size + s, size)


@inlined
def _scale_panels(panels, size, panel_width, factor, diagonal):
    """Multiply the square matrix in panels by `factor`, and add `diagonal` to its diagonal."""
    for i in range(size * size):
        panels[i] *= factor
    for k in range(size):
        s = k // panel_width * panel_width
        panels[s * size + k * min(panel_width, size - s) + k - s] += diagonal


@inlined
def iterate_newton_schulz(workspace, size, steps, a, b, c):
    """Make steps of the iteration on X, whose norm is at most 1, in place."""
    X, A, Q, panels, zeros = workspace.X, workspace.A, workspace.Q, workspace.panels, workspace.zeros
    panel_width = ACCUMULATORS // MAX_ROWS * BYTES // X.itemsize
    a, b, c = X.dtype.type(a), X.dtype.type(b), X.dtype.type(c)
    for _ in range(steps):
        pack_panels_transposed(panels, 0, X, 0, size, size, size, panel_width)
        _multiply_symmetric(A, X, panels, panel_width, zeros, size)
        pack_panels(panels, 0, A, 0, size, size, size, panel_width)
        _scale_panels(panels, size, panel_width, c, b)
        _multiply_symmetric(Q, A, panels, panel_width, zeros, size)
        for k in range(size):
            Q[k * (size + 1)] += a
        pack_panels(panels, 0, X, 0, size, size, size, panel_width)
        multiply_panels(X, 0, size, zeros, 0, 0, Q, 0, size, panels, 0, panel_width, size, size, size)
