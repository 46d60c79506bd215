"""Files are the same, and are read, in processes whose kernels are compiled in other ways or not at all."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.codec_subprocess import compare
from support.missing_packages import hide_packages
from support.state import ROOT

ELSEWHERE = [
    pytest.param({"NUMBA_DISABLE_JIT": "1"}, id="the interpreter alone"),
    pytest.param(
        {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}, id="the oldest instructions", marks=pytest.mark.slow
    ),
    pytest.param(
        {"NUMBA_LOOP_VECTORIZE": "0", "NUMBA_SLP_VECTORIZE": "0"}, id="one number at a time", marks=pytest.mark.slow
    ),
    pytest.param({"NUMBA_OPT": "1"}, id="little optimized", marks=pytest.mark.slow),
]


def elsewhere(*arguments: object, **environment: str) -> str:
    command = [sys.executable, str(ROOT / "tests" / "support" / "codec_subprocess.py"), *map(str, arguments)]
    environment = os.environ | environment
    path = [str(ROOT / "tests"), *filter(None, [environment.get("PYTHONPATH")])]
    environment |= {"PYTHONPATH": os.pathsep.join(path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("environment", ELSEWHERE)
def test_files_are_exchanged_with_a_process_compiled_otherwise(
    here: Path, there: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    if "NUMBA_CPU_NAME" not in environment:  # kernels of other options are cached under the same name
        environment = environment | {"ELMAN_CACHE": str(tmp_path / "cache")}
    elsewhere(here, there, **environment)
    compare(here, there)


def test_files_are_exchanged_with_a_process_without_numba(here: Path, there: Path, tmp_path: Path) -> None:
    elsewhere(here, there, **hide_packages(tmp_path / "hidden", "numba", "llvmlite", "scipy"))
    compare(here, there)


@pytest.mark.slow  # compiles everything; .ci/run has it
def test_no_product_is_fused_with_a_sum_and_many_are_taken_at_a_time(tmp_path: Path) -> None:
    counts = json.loads(elsewhere("--assembly", tmp_path, ELMAN_CACHE=str(tmp_path)))
    assert counts["fused"] == 0
    assert counts["packed"] > 10
