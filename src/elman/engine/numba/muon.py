"""The hidden matrices in an update of Muon (`elman.network.optimizer`), in blocks (m, m), one for each gate.

A step of the Newton-Schulz iteration is written as three products,

    (1)  A = X X'        (2)  Q = c A A + b A + a I        (3)  X <- Q X.

A and Q are symmetric. Therefore only the tiles that touch their lower triangle are computed, and then mirrored. Each
product is a phase. In a phase no panel of columns depends on another, so that threads can share the panels, and the
result for a panel does not depend on how they do.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba.panels import count_terms, pack_columns, pack_rows, pack_transposed, tile_shape
from elman.engine.numba.simd import BYTES, aligned_zeros
from elman.engine.numba.threads import barrier
from elman.engine.numba.tile import even_split, tile
from elman.engine.numba.vector import transpose
from elman.engine.numba.workspace import BatchedNetwork
from elman.jit import KernelPointer, call_pointer, inlined, kernel, kernel_pointer
from elman.network.optimizer import MOMENTUM, NEWTON_SCHULZ_COEFFICIENTS, NEWTON_SCHULZ_STEPS, NORM_EPSILON, STEP_SCALE
from elman.network.parameters import Array

SHARED_SIZE = 256
"""Hidden size from which threads share a block. They wait for one another after each phase, which costs more than it
saves for smaller blocks.
"""
PHASES = 3
"""Phases of a step."""
_ALL_PHASES = PHASES * NEWTON_SCHULZ_STEPS
_A, _B, _C = NEWTON_SCHULZ_COEFFICIENTS


class SquareWorkspace(NamedTuple):
    """Matrices (size, size), flat, whose size is a multiple of a vector; with an axis for threads, if there are any."""

    X: Array
    A: Array
    Q: Array
    left: Array | NDArray[np.uint32]  # packed rows of the left factor of a product
    panels: Array | NDArray[np.uint32]  # the right factor, see `elman.engine.numba.panels`
    zeros: Array  # (size,)


def make_square_workspaces(
    threads: int, size: int, dtype: np.dtype[Any], packed_dtype: np.dtype[Any]
) -> SquareWorkspace:
    """Return a workspace for matrices of `size` rows and columns, at least 16, for each thread."""
    X, A, Q = (aligned_zeros(threads * size**2, dtype).reshape(threads, -1) for _ in range(3))
    left, panels = (aligned_zeros(threads * size**2, packed_dtype).reshape(threads, -1) for _ in range(2))
    return SquareWorkspace(X, A, Q, left, panels, aligned_zeros(threads * size, dtype).reshape(threads, -1))


@inlined
def select_square(workspaces, n, thread):
    """Return the n-th workspace, with the left factor of a thread."""
    return SquareWorkspace(
        workspaces.X[n], workspaces.A[n], workspaces.Q[n], workspaces.left[thread.rank], workspaces.panels[n],
        workspaces.zeros[n],
    )  # fmt: skip


@inlined
def _multiply_rows(c, workspace, s, columns, size, first):
    """Compute, in the columns from s on, the rows from `first` on of the product of the packed factors."""
    terms = count_terms(workspace.panels, size)
    tile_rows, r = even_split(size - first, tile_shape(workspace.panels)[0]), first
    while r < size:
        tile(
            c, r * size + s, size, workspace.zeros, 0, 0, workspace.left, r * terms, terms, 1,
            workspace.panels, s * terms, columns, terms, min(tile_rows, size - r), columns * c.itemsize // BYTES,
        )  # fmt: skip
        r += tile_rows


@inlined
def _mirror(c, s, columns, size):
    """Mirror the columns from s on of a symmetric matrix, whose rows from s on are computed."""
    lanes = BYTES // c.itemsize
    for q in range(s, s + columns, lanes):
        for r in range(q + lanes, size, lanes):
            transpose(c, q * size + r, size, c, r * size + q, size)


@kernel
def run_phases(workspace, size, first, last, part, parts):
    """Compute every `parts`-th panel, from panel `part` on, in phases `first` to `last` - 1 of all steps.

    X has a norm of at most 1 before the first phase. If a call computes several phases, `parts` must be 1.
    """
    X, A, Q, panels = workspace.X, workspace.A, workspace.Q, workspace.panels
    panel_width, terms = tile_shape(panels)[1] * BYTES // X.itemsize, count_terms(panels, size)
    a, b, c = X.dtype.type(_A), X.dtype.type(_B), X.dtype.type(_C)
    for phase in range(first, last):
        product = phase % PHASES
        factor = X if product == 0 else A if product == 1 else Q
        pack_rows(workspace.left, 0, terms, factor, 0, size, size, size)
        s = part * panel_width
        while s < size:
            columns = min(panel_width, size - s)
            if product == 0:  # (1)
                pack_transposed(panels, s * terms, X, s * size, size, size, columns)
                _multiply_rows(A, workspace, s, columns, size, s)
                _mirror(A, s, columns, size)
            elif product == 1:  # (2)
                pack_columns(panels, s * terms, columns, A, s, size, size, columns)
                _multiply_rows(Q, workspace, s, columns, size, s)
                for r in range(s, size):
                    row, source = Q[r * size + s : r * size + s + columns], A[r * size + s : r * size + s + columns]
                    for j in range(columns):
                        row[j] = c * row[j] + b * source[j]
                for k in range(s, s + columns):
                    Q[k * (size + 1)] += a
                _mirror(Q, s, columns, size)
            else:  # (3)
                pack_columns(panels, s * terms, columns, X, s, size, size, columns)
                _multiply_rows(X, workspace, s, columns, size, 0)
            s += parts * panel_width


class HiddenMatrices(NamedTuple):
    """The blocks of the hidden matrices, which follow one another in theta."""

    first: int
    blocks: int
    size: int  # rows and columns of a block, padded
    step_scale: float  # 0.1 sqrt(m)
    workspaces: SquareWorkspace  # with an axis for the threads
    momentum: KernelPointer
    phases: KernelPointer
    step: KernelPointer


def make_hidden_matrices(first: int, last: int, network: BatchedNetwork) -> HiddenMatrices:
    """Return the blocks between two offsets in theta, with a workspace for each thread."""
    size, m = network.sizes.m_row, network.sizes.m
    workspaces = make_square_workspaces(network.team.max_threads, size, network.dtype, network.packed_dtype)
    workspace = SquareWorkspace._make(array[0] for array in workspaces)
    return HiddenMatrices(
        first, (last - first) // size**2, size, STEP_SCALE * np.sqrt(m),
        workspaces,
        kernel_pointer(update_momentum, *[workspace.X] * 3, 1.0, 1.0),
        kernel_pointer(run_phases, workspace, size, 0, 0, 0, 1),
        kernel_pointer(make_step, *[workspace.X] * 2, 1.0, 1.0),
    )  # fmt: skip


@inlined
def update_hidden(thread, hidden, rate, shrink, scale, grad_clip, theta, N, gradient):
    """Update all blocks, from a gradient that is multiplied by `scale`.

    Every thread updates the same number of blocks by itself. The threads update the remaining blocks, fewer than there
    are threads, together if the blocks are large.
    """
    size, rate = hidden.size, rate * hidden.step_scale
    together = hidden.blocks % thread.size if size >= SHARED_SIZE else 0
    for block in range(thread.rank, hidden.blocks - together, thread.size):
        start, workspace = hidden.first + block * size * size, select_square(hidden.workspaces, thread.rank, thread)
        end = start + size * size
        call_pointer(hidden.momentum, (N[start:end], gradient[start:end], workspace.X, scale, grad_clip))
        call_pointer(hidden.phases, (workspace, size, 0, _ALL_PHASES, 0, 1))
        call_pointer(hidden.step, (theta[start:end], workspace.X, rate, shrink))
    for block in range(hidden.blocks - together, hidden.blocks):
        start, workspace = hidden.first + block * size * size, select_square(hidden.workspaces, 0, thread)
        end = start + size * size
        barrier(thread)  # the workspace is free
        if thread.rank == 0:
            call_pointer(hidden.momentum, (N[start:end], gradient[start:end], workspace.X, scale, grad_clip))
        for phase in range(_ALL_PHASES):
            barrier(thread)
            call_pointer(hidden.phases, (workspace, size, phase, phase + 1, thread.rank, thread.size))
        barrier(thread)
        if thread.rank == 0:
            call_pointer(hidden.step, (theta[start:end], workspace.X, rate, shrink))


@kernel
def update_momentum(N, g, X, scale, grad_clip):
    """Update the momentum of one block; X becomes the matrix to orthogonalize, with norm 1."""
    scalar = X.dtype.type
    scale, grad_clip, keep, new = scalar(scale), scalar(grad_clip), scalar(MOMENTUM), scalar(1 - MOMENTUM)
    squares = 0.0
    for i in range(len(X)):
        d = min(max(g[i] * scale, -grad_clip), grad_clip)
        N[i] = keep * N[i] + new * d
        X[i] = keep * N[i] + new * d
        squares += np.float64(X[i]) * np.float64(X[i])
    factor = scalar(1 / (np.sqrt(squares) + NORM_EPSILON))
    for i in range(len(X)):
        X[i] *= factor


@kernel
def make_step(theta, X, rate, shrink):
    """theta <- shrink theta - rate X."""
    rate, shrink = theta.dtype.type(rate), theta.dtype.type(shrink)
    for i in range(len(theta)):
        theta[i] = shrink * theta[i] - rate * X[i]
