"""Kernels for NEON, compiled and run by an emulated AArch64, give the results of the engine ``numpy``.

Skipped where qemu-user is not installed, or `scripts/emulated_machines` was not run.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support import tolerances
from support.emulated_machines import AARCH64

pytestmark = pytest.mark.slow

COMPARE = """
import json, sys
from elman.engine import get_engine
from elman.network import Optimizer
from elman.testing import check_engine
dtype, cell, optimizer, order = sys.argv[1:]
steps = Optimizer(0.001, 1.0, optimizer, "norm")
network = {"dtype": dtype, "cell": cell, "optimizer": steps, "layers": 2, "ngram_order": int(order)}
result = check_engine(get_engine("numba"), K=20, m=32, T=6, batch_size=3, **network)
window = [result.loss, result.final_state, result.session, *result.gradients.values()]
print(json.dumps([max(window), max(result.trajectory, result.end), result.same_counts]))
"""


@pytest.mark.parametrize(
    ("dtype", "network", "window", "trajectory"),
    [
        ("float64", ("gru", "muon", "3"), tolerances.COMPILED, tolerances.COMPILED_TRAJECTORY),
        ("float32", ("lstm", "adam", "0"), tolerances.COMPILED_FLOAT32, tolerances.COMPILED_TRAJECTORY_FLOAT32),
    ],
    ids=["gru", "lstm"],
)
def test_neon_kernels_conform(
    tmp_path: Path, dtype: str, network: tuple[str, str, str], window: float, trajectory: float
) -> None:
    errors = json.loads(AARCH64.python(tmp_path, "-c", COMPARE, dtype, *network))
    assert errors[0] <= window
    assert errors[1] <= trajectory
    assert errors[2]
