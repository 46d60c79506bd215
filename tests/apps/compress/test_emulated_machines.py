"""Files go to emulated machines and come back: AArch64, compiled and interpreted, and s390x, which is big-endian.

Skipped where qemu-user is not installed, or `scripts/emulated_machines` was not run.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.codec_subprocess import compare
from support.emulated_machines import AARCH64, S390X, WITHOUT_NUMBA, Machine
from support.state import ROOT

pytestmark = pytest.mark.slow

machines = pytest.mark.parametrize(
    "machine",
    [
        pytest.param(S390X, id="s390x"),
        pytest.param(AARCH64._replace(hidden=WITHOUT_NUMBA), id="aarch64-interpreted"),
        pytest.param(AARCH64, id="aarch64-compiled"),
    ],
)


@pytest.mark.parametrize(
    ("machine", "expected"),
    [(S390X, ["big", "s390x", False]), (AARCH64, ["little", "aarch64", True])],
    ids=["s390x", "aarch64"],
)
def test_it_is_that_machine(tmp_path: Path, machine: Machine, expected: list[object]) -> None:
    code = "import json, platform, sys; from elman.engine_registry import NUMBA_INSTALLED as has_numba\n"
    code += "print(json.dumps([sys.byteorder, platform.machine(), has_numba]))"
    assert json.loads(machine.python(tmp_path, "-c", code)) == expected


@machines
def test_machines_exchange_files(here: Path, there: Path, tmp_path: Path, machine: Machine) -> None:
    machine.python(tmp_path, ROOT / "tests" / "support" / "codec_subprocess.py", here, there)
    compare(here, there)
