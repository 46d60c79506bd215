"""Benchmarks that reach into the package: what they name exists."""

import importlib
import runpy
from pathlib import Path

import pytest

MARKS = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "kernel_marks.py"))


@pytest.mark.parametrize("name", MARKS["CALLED"])
def test_the_kernels_with_timers_exist(name: str) -> None:
    module = importlib.import_module(f"elman.engine.numba.{name}")
    assert [function for function in MARKS["CALLED"][name] if not hasattr(module, function)] == []
