"""The hidden matrices in an update of Muon (`elman.network.muon`), in blocks (m, m), each that of one gate."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from elman.engine.numba.batched.layout import Sizes
from elman.engine.numba.compiler import KernelPointer, call_pointer, kernel_pointer
from elman.engine.numba.jit import inlined, kernel
from elman.engine.numba.linalg.newton_schulz import (
    PHASES,
    SquareWorkspace,
    make_square_workspaces,
    run_phases,
    select_square,
)
from elman.engine.numba.threads import barrier
from elman.network.muon import MOMENTUM, NEWTON_SCHULZ_COEFFICIENTS, NEWTON_SCHULZ_STEPS, NORM_EPSILON, STEP_SCALE

SHARED_SIZE = 256
"""Hidden size from which threads share a block. They wait for one another after each phase, which costs more than it
saves for smaller blocks.
"""
_ALL_PHASES = PHASES * NEWTON_SCHULZ_STEPS
_A, _B, _C = NEWTON_SCHULZ_COEFFICIENTS


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


def make_hidden_matrices(
    first: int, last: int, sizes: Sizes, dtype: np.dtype[np.floating], threads: int
) -> HiddenMatrices:
    """Return the blocks between two offsets in theta, with a workspace for each thread."""
    size = sizes.m_row
    workspaces = make_square_workspaces(threads, size, dtype)
    workspace = SquareWorkspace._make(array[0] for array in workspaces)
    return HiddenMatrices(
        first, (last - first) // size**2, size, STEP_SCALE * np.sqrt(sizes.m),
        workspaces,
        kernel_pointer(update_momentum, *[workspace.X] * 3, 1.0, 1.0),
        kernel_pointer(run_phases, workspace, size, 0, 0, 0, 1, 1.0, 1.0, 1.0),
        kernel_pointer(make_step, *[workspace.X] * 2, 1.0, 1.0),
    )  # fmt: skip


@inlined
def update_hidden(thread, hidden, rate, shrink, scale, grad_clip, theta, N, gradient):
    """Update all blocks, from a gradient that is multiplied by `scale`.

    Every thread updates the same number of blocks by itself. Fewer blocks than threads are left, and the threads update
    them together, if they are large.
    """
    size, rate = hidden.size, rate * hidden.step_scale
    together = hidden.blocks % thread.size if size >= SHARED_SIZE else 0
    for block in range(thread.rank, hidden.blocks - together, thread.size):
        start, workspace = hidden.first + block * size * size, select_square(hidden.workspaces, thread.rank)
        end = start + size * size
        call_pointer(hidden.momentum, (N[start:end], gradient[start:end], workspace.X, scale, grad_clip))
        call_pointer(hidden.phases, (workspace, size, 0, _ALL_PHASES, 0, 1, _A, _B, _C))
        call_pointer(hidden.step, (theta[start:end], workspace.X, rate, shrink))
    for block in range(hidden.blocks - together, hidden.blocks):
        start, workspace = hidden.first + block * size * size, select_square(hidden.workspaces, 0)
        end = start + size * size
        barrier(thread)  # the workspace is free
        if thread.rank == 0:
            call_pointer(hidden.momentum, (N[start:end], gradient[start:end], workspace.X, scale, grad_clip))
        for phase in range(_ALL_PHASES):
            barrier(thread)
            call_pointer(hidden.phases, (workspace, size, phase, phase + 1, thread.rank, thread.size, _A, _B, _C))
        barrier(thread)
        if thread.rank == 0:
            call_pointer(hidden.step, (theta[start:end], workspace.X, rate, shrink))


@kernel
def update_momentum(N, g, X, scale, grad_clip):
    """Update the momentum of one block; X becomes what is orthogonalized, with norm 1."""
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
