"""The hidden matrices in an update of Muon (`elman.network.muon`), in blocks (m, m) that threads share out."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from elman.engine.numba.batched.layout import W
from elman.engine.numba.batched.network import CompiledNetwork
from elman.engine.numba.jit import kernel
from elman.engine.numba.linalg.newton_schulz import PHASES, SquareWorkspace, make_square_workspace, run_phases
from elman.network.muon import MOMENTUM, NEWTON_SCHULZ_COEFFICIENTS, NEWTON_SCHULZ_STEPS, NORM_EPSILON, STEP_SCALE
from elman.network.parameters import Array

SHARED_SIZE = 256
"""Hidden size from which threads share a block. They wait for one another 9 times, which costs more than it saves for
smaller blocks."""
_ALL_PHASES = PHASES * NEWTON_SCHULZ_STEPS


class MuonStep(NamedTuple):
    """The numbers of an update of `elman.engine.numba.batched.optimizer`."""

    rate: float
    shrink: float
    scale: float
    grad_clip: float


class HiddenMatrices:
    """The blocks of the hidden matrices, which follow one another in theta, with a workspace for each thread.

    Every thread updates the same number of blocks by itself. Fewer blocks than threads are left, and the threads update
    them together, if they are large.

    Parameters
    ----------
    network : CompiledNetwork
    N : ndarray, shape (n,)
        The momentum, laid out like theta.

    Attributes
    ----------
    first, last : int
        Their range in theta.
    """

    def __init__(self, network: CompiledNetwork, N: Array) -> None:
        self.network, self.N, size = network, N, network.sizes.m_row
        self.first, self.last = int(network.offsets[0, W]), network.sizes.V
        blocks = [slice(start, start + size**2) for start in range(self.first, self.last, size**2)]
        workers = network.pool.workers
        separate = len(blocks) // workers * workers if size >= SHARED_SIZE else len(blocks)
        self.separate, self.shared = blocks[:separate], blocks[separate:]
        self.workspaces = [make_square_workspace(size, network.dtype) for _ in range(min(workers, len(blocks)))]

    def update(self, step: MuonStep) -> None:
        """Update all blocks, with the gradients of the last window."""
        pool = self.network.pool
        pool.run_all([partial(self._update_blocks, n, step) for n in range(len(self.workspaces))])
        for block in self.shared:
            workspace = self.workspaces[0]
            self._begin(block, workspace, step)
            for phase in range(_ALL_PHASES):
                pool.run_all(
                    [self._phases(workspace, phase, phase + 1, part, pool.workers) for part in range(pool.workers)]
                )
            self._end(block, workspace, step)

    def _update_blocks(self, n: int, step: MuonStep) -> None:
        """Update the separate blocks of one thread."""
        workspace = self.workspaces[n]
        for block in self.separate[n :: len(self.workspaces)]:
            self._begin(block, workspace, step)
            self._phases(workspace, 0, _ALL_PHASES, 0, 1)()
            self._end(block, workspace, step)

    def _begin(self, block: slice, workspace: SquareWorkspace, step: MuonStep) -> None:
        gradient = self.network.gradients[0, block]
        _update_momentum(self.N[block], gradient, workspace.X, step.scale, step.grad_clip)

    def _phases(self, workspace: SquareWorkspace, first: int, last: int, part: int, parts: int) -> Callable[[], object]:
        """Return the task that computes a part of some phases of the iteration."""
        size = self.network.sizes.m_row
        return partial(run_phases, workspace, size, first, last, part, parts, *NEWTON_SCHULZ_COEFFICIENTS)

    def _end(self, block: slice, workspace: SquareWorkspace, step: MuonStep) -> None:
        rate = step.rate * STEP_SCALE * math.sqrt(self.network.sizes.m)
        _make_step(self.network.theta[block], workspace.X, rate, step.shrink)


@kernel
def _update_momentum(N, g, X, scale, grad_clip):
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
def _make_step(theta, X, rate, shrink):
    """theta <- shrink theta - rate X."""
    rate, shrink = theta.dtype.type(rate), theta.dtype.type(shrink)
    for i in range(len(theta)):
        theta[i] = shrink * theta[i] - rate * X[i]
