"""The Newton-Schulz iteration of `elman.network.muon` on one square matrix; of symmetric products, half is computed.

A step is written as three products, so that sums of matrices are only additions to diagonals,

    (1)  A = X X'        (2)  Q = A (b I + c A) + a I        (3)  X <- Q X.

A and Q are symmetric, so only the tiles that touch their lower triangle are computed, and then mirrored. Each product
is a phase. In a phase no panel of columns depends on another, so threads can share the panels, and what is computed for
a panel does not depend on how they do.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba.jit import inlined, kernel
from elman.engine.numba.linalg.padding import aligned_zeros
from elman.engine.numba.linalg.panels import entire, multiply_panels, pack_panels, pack_panels_transposed
from elman.engine.numba.linalg.simd import BYTES
from elman.engine.numba.linalg.tile import ACCUMULATORS, MAX_ROWS, even_split, tile
from elman.engine.numba.linalg.vector import transpose

Array = NDArray[np.floating]

PHASES = 3
"""Phases of a step."""


class SquareWorkspace(NamedTuple):
    """Matrices (size, size), flat, whose size is a multiple of a vector; with an axis for threads, if there are any."""

    X: Array
    A: Array
    Q: Array
    panels: Array
    zeros: Array  # (size,)


def make_square_workspaces(threads: int, size: int, dtype: np.dtype[np.floating]) -> SquareWorkspace:
    """Return a workspace for matrices of `size` rows and columns for each thread."""
    X, A, Q, panels = (aligned_zeros(threads * size**2, dtype).reshape(threads, -1) for _ in range(4))
    return SquareWorkspace(X, A, Q, panels, aligned_zeros(threads * size, dtype).reshape(threads, -1))


@inlined
def select_square(workspaces, n):
    """The workspace of the n-th thread."""
    return SquareWorkspace(
        workspaces.X[n], workspaces.A[n], workspaces.Q[n], workspaces.panels[n], workspaces.zeros[n]
    )  # fmt: skip


@inlined
def _multiply_symmetric(c, a, panels, s, columns, zeros, size):
    """C = A B for `columns` columns from s on, with B in panels: the rows from s on, mirrored to columns of C."""
    lanes = BYTES // c.itemsize
    tile_rows = even_split(size - s, MAX_ROWS)
    r = s
    while r < size:
        tile(
            c, r * size + s, size, zeros, 0, 0, a, r * size, size, 1, panels, s * size, columns,
            size, min(tile_rows, size - r), columns // lanes,
        )  # fmt: skip
        r += tile_rows
    for q in range(s, s + columns, lanes):
        for r in range(q + lanes, size, lanes):
            transpose(c, q * size + r, size, c, r * size + q, size)


@kernel
def run_phases(workspace, size, first, last, part, parts, a, b, c):
    """Compute every `parts`-th panel, from panel `part` on, in phases `first` to `last` - 1 of all steps.

    X has a norm of at most 1 before the first phase. Several phases in one call are for one part of one.
    """
    X, A, Q, panels, zeros = workspace.X, workspace.A, workspace.Q, workspace.panels, workspace.zeros
    panel_width = ACCUMULATORS // MAX_ROWS * BYTES // X.itemsize
    a, b, c = X.dtype.type(a), X.dtype.type(b), X.dtype.type(c)
    for phase in range(first, last):
        s = part * panel_width
        while s < size:
            start, columns = s * size, min(panel_width, size - s)
            if phase % PHASES == 0:  # (1)
                pack_panels_transposed(panels, start, X, start, size, size, columns, panel_width)
                _multiply_symmetric(A, X, panels, s, columns, zeros, size)
            elif phase % PHASES == 1:  # (2)
                pack_panels(panels, start, A, s, size, size, columns, panel_width)
                panel = panels[start : start + columns * size]
                for i in range(len(panel)):
                    panel[i] *= c
                for j in range(columns):
                    panel[(s + j) * columns + j] += b
                _multiply_symmetric(Q, A, panels, s, columns, zeros, size)
                for k in range(s, s + columns):
                    Q[k * (size + 1)] += a
            else:  # (3)
                pack_panels(panels, start, X, s, size, size, columns, panel_width)
                multiply_panels(
                    X, s, size, zeros, 0, 0, Q, 0, size, panels, start, panel_width, size, size, columns,
                    entire(columns),
                )  # fmt: skip
            s += parts * panel_width
