"""The compiled Newton-Schulz iteration against that of the reference."""

from __future__ import annotations

import numpy as np
import pytest

from elman.engine.numba.linalg.newton_schulz import PHASES, make_square_workspace, run_phases
from elman.network.muon import NEWTON_SCHULZ_COEFFICIENTS, NEWTON_SCHULZ_STEPS, orthogonalize
from support import tolerances as tolerances
from support.tolerances import largest_relative_error


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("m", "size"), [(1, 16), (8, 8), (13, 16), (24, 24), (40, 40), (100, 112), (129, 144)])
def test_it_is_that_of_the_reference_in_any_number_of_parts(dtype: type[np.floating], m: int, size: int) -> None:
    """With padding, which stays zero, and with panels and tiles that are not full. The parts are bit-identical."""
    d = np.random.default_rng(m).normal(size=(m, m)).astype(dtype)
    results = []
    for parts in (1, 2, 3):
        workspace = make_square_workspace(size, np.dtype(dtype))
        X = workspace.X.reshape(size, size)
        X[:m, :m] = d / np.linalg.norm(d)
        for phase in range(PHASES * NEWTON_SCHULZ_STEPS):
            for part in range(parts):
                run_phases(workspace, size, phase, phase + 1, part, parts, *NEWTON_SCHULZ_COEFFICIENTS)
        results.append(X.tobytes())
    assert results.count(results[0]) == 3
    expected = orthogonalize(d[None].astype(np.float64))[0]
    tolerance = tolerances.ORTHOGONALIZED if dtype is np.float64 else tolerances.ORTHOGONALIZED_FLOAT32
    assert largest_relative_error(X[:m, :m], expected) <= tolerance
    assert not X[m:].any()
    assert not X[:, m:].any()
