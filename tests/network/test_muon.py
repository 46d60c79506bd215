"""The orthogonalization of Muon."""

from __future__ import annotations

import numpy as np
import pytest

from elman.network.optimizer import STEP_SCALE, is_hidden_matrix, muon_step, orthogonalize
from elman.network.parameters import Architecture, Array
from support import tolerances as tolerances
from support.cells import COMPILED_CELLS
from support.tolerances import largest_relative_error

M = 12
LOWEST, HIGHEST = 0.68, 1.21
"""The band in which the coefficients leave singular values, as the module says."""


def with_singular_values(s: Array) -> Array:
    """Return a matrix (m, m) with these singular values and random singular vectors."""
    left, right = (np.linalg.qr(np.random.default_rng(seed).normal(size=(len(s), len(s))))[0] for seed in (1, 2))
    d: Array = (left * s) @ right
    return d


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_singular_values_end_near_one(dtype: type[np.floating], scale: float) -> None:
    d = scale * with_singular_values(np.geomspace(0.05, 0.6, M)).astype(dtype)
    X = orthogonalize(d[None])[0]
    assert X.dtype == dtype
    s = np.linalg.svd(X, compute_uv=False)
    assert LOWEST <= s.min() <= s.max() <= HIGHEST


def test_every_singular_value_grows_to_the_band_from_a_fiftieth_of_the_norm() -> None:
    for smallest in np.geomspace(0.02, 1, 500):
        s = np.linalg.svd(orthogonalize(np.diag([smallest, 1.0])[None])[0], compute_uv=False)
        assert LOWEST <= s.min() <= s.max() <= HIGHEST


def test_singular_vectors_stay() -> None:
    d = with_singular_values(np.linspace(0.1, 1, M))
    left, _, right = np.linalg.svd(d)
    rotated = left.T @ orthogonalize(d[None])[0] @ right.T
    np.testing.assert_allclose(rotated, np.diag(np.diag(rotated)), atol=tolerances.OPTIMIZER)


def test_blocks_are_orthogonalized_by_themselves() -> None:
    g = np.random.default_rng(1).normal(size=(3 * M, M))
    step = muon_step(np.zeros_like(g), g)
    for row in range(0, 3 * M, M):
        block = g[row : row + M].copy()
        alone = muon_step(np.zeros_like(block), 100 * block)
        assert largest_relative_error(step[row : row + M], alone) < 1e-6  # the norm's epsilon does not scale
    assert np.sqrt(np.mean(step**2)) == pytest.approx(STEP_SCALE, rel=0.25)


def test_no_gradient_is_no_step() -> None:
    zeros = np.zeros((M, M))
    np.testing.assert_array_equal(muon_step(zeros.copy(), zeros), zeros)


@pytest.mark.parametrize("cell", COMPILED_CELLS)
def test_hidden_matrices(cell: str) -> None:
    hidden = {name for name in Architecture(7, 4, cell, 3, context_length=2).shapes() if is_hidden_matrix(name)}
    assert hidden == {"W", "W2", "W3", "U2", "U3"}
