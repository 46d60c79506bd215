"""The hidden matrices in an update of Muon (`elman.network.muon`): blocks (m, m), each of which one thread updates."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from elman.engine.numba.batched.layout import W
from elman.engine.numba.batched.network import CompiledNetwork
from elman.engine.numba.jit import kernel
from elman.engine.numba.linalg.newton_schulz import SquareWorkspace, iterate_newton_schulz, make_square_workspace
from elman.network.muon import MOMENTUM, NEWTON_SCHULZ_COEFFICIENTS, NEWTON_SCHULZ_STEPS, NORM_EPSILON, STEP_SCALE
from elman.network.parameters import Array


class HiddenMatrices:
    """The blocks of the hidden matrices, which follow one another in theta, with a workspace for each thread.

    Parameters
    ----------
    network : CompiledNetwork

    Attributes
    ----------
    first, last : int
        Their range in theta.
    """

    def __init__(self, network: CompiledNetwork) -> None:
        self.network, size = network, network.sizes.m_row
        self.first, self.last = int(network.offsets[0, W]), network.sizes.V
        self.blocks = [slice(start, start + size**2) for start in range(self.first, self.last, size**2)]
        count = min(network.pool.workers, len(self.blocks))
        self.workspaces = [make_square_workspace(size, network.dtype) for _ in range(count)]

    def tasks(
        self, N: Array, rate: float, shrink: float, scale: float, grad_clip: float, done: Callable[[slice], None]
    ) -> list[Callable[[], None]]:
        """Return tasks that update all blocks and call `done` with the range of each."""

        def update(first: int, workspace: SquareWorkspace) -> None:
            network, s = self.network, self.network.sizes
            for block in self.blocks[first :: len(self.workspaces)]:
                _update_block(
                    network.theta[block], N[block], network.gradients[0, block], workspace, s.m_row,
                    rate * STEP_SCALE * math.sqrt(s.m), shrink, scale, grad_clip,
                )  # fmt: skip
                done(block)

        return [partial(update, n, workspace) for n, workspace in enumerate(self.workspaces)]


@kernel
def _update_block(theta, N, g, workspace, size, rate, shrink, scale, grad_clip):
    """Update one block of theta; the arguments are those of `elman.engine.numba.batched.optimizer`."""
    scalar, X = theta.dtype.type, workspace.X
    rate, shrink, scale, grad_clip = scalar(rate), scalar(shrink), scalar(scale), scalar(grad_clip)
    keep, new = scalar(MOMENTUM), scalar(1 - MOMENTUM)
    squares = 0.0
    for i in range(len(theta)):
        d = min(max(g[i] * scale, -grad_clip), grad_clip)
        N[i] = keep * N[i] + new * d
        X[i] = keep * N[i] + new * d
        squares += np.float64(X[i]) * np.float64(X[i])
    factor = scalar(1 / (np.sqrt(squares) + NORM_EPSILON))
    for i in range(len(theta)):
        X[i] *= factor
    a, b, c = NEWTON_SCHULZ_COEFFICIENTS
    iterate_newton_schulz(workspace, size, NEWTON_SCHULZ_STEPS, a, b, c)
    for i in range(len(theta)):
        theta[i] = shrink * theta[i] - rate * X[i]
