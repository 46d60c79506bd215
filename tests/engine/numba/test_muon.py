"""Muon in the compiled engine, beyond the conformance test: its iteration, and the arrays it leaves alone."""

from __future__ import annotations

import numpy as np
import pytest

from elman.engine import get_engine
from elman.engine.numba.muon import PHASES, SquareWorkspace, make_square_workspaces, run_phases
from elman.network import Optimizer
from elman.network.optimizer import NEWTON_SCHULZ_STEPS, is_hidden_matrix, orthogonalize
from elman.text import Windows
from support import tolerances as tolerances
from support.networks import make_state
from support.tolerances import largest_relative_error


@pytest.mark.parametrize(
    ("dtype", "packed_dtype", "tolerance"),
    [
        (np.float64, np.float64, tolerances.ORTHOGONALIZED),
        (np.float32, np.float32, tolerances.ORTHOGONALIZED_FLOAT32),
        (np.float32, np.uint32, tolerances.ORTHOGONALIZED_BFLOAT16),
    ],
)
@pytest.mark.parametrize(("m", "size"), [(1, 16), (16, 16), (13, 16), (24, 24), (40, 40), (100, 112), (129, 144)])
def test_the_iteration_is_that_of_the_reference(
    dtype: type[np.floating], packed_dtype: type[np.generic], tolerance: float, m: int, size: int
) -> None:
    """With padding, which stays zero, and with panels and tiles that are not full. The parts are bit-identical."""
    d = np.random.default_rng(m).normal(size=(m, m)).astype(dtype)
    results = []
    for parts in (1, 2, 3):
        workspaces = make_square_workspaces(1, size, np.dtype(dtype), np.dtype(packed_dtype))
        workspace = SquareWorkspace._make(array[0] for array in workspaces)
        X = workspace.X.reshape(size, size)
        X[:m, :m] = d / np.linalg.norm(d)
        for phase in range(PHASES * NEWTON_SCHULZ_STEPS):
            for part in range(parts):
                run_phases(workspace, size, phase, phase + 1, part, parts)
        results.append(X.tobytes())
    assert results.count(results[0]) == 3
    expected = orthogonalize(d[None].astype(np.float64))[0]
    assert largest_relative_error(X[:m, :m], expected) <= tolerance
    assert not X[m:].any()
    assert not X[:, m:].any()


@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_hidden_matrices_have_no_second_moment(engine: str) -> None:
    optimizer = Optimizer(0.01, 1.0, "muon", "norm", weight_decay=0.1, ema_decay=0.9)
    state = make_state(7, 20, 0.3, 400, np.float32, cell="gru", layers=2, batch_size=9, optimizer=optimizer)
    windows = Windows(np.random.default_rng(1).integers(0, 7, 500).astype(np.uint8), 6, 9)
    get_engine(engine).advance(state, windows, 5, optimizer)
    for name, M in state.M.items():
        assert M.any() != is_hidden_matrix(name), name
        assert state.N[name].any(), name
