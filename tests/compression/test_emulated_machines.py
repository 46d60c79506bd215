"""Files go to emulated machines and come back: AArch64, compiled and interpreted, and s390x, which is big-endian.

Skipped where qemu-user is not installed, or `scripts/emulated_machines` was not run.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from support.codec_subprocess import compare
from support.missing_packages import hide_packages
from support.state import ROOT

pytestmark = pytest.mark.slow

MACHINES = Path(os.environ.get("ELMAN_TEST_MACHINES", ROOT / ".machines"))


class Machine(NamedTuple):
    """An emulated machine: Debian's name of its processor, qemu's, and those of its packages that are hidden."""

    processor: str
    name: str
    hidden: tuple[str, ...] = ()

    @property
    def root(self) -> Path:
        return MACHINES / self.processor

    def python(self, folder: Path, *arguments: object) -> str:
        if shutil.which(f"qemu-{self.name}") is None:
            pytest.skip(f"qemu-{self.name} is not installed: apt install qemu-user")
        if not (self.root / "usr" / "bin" / "python3").exists():
            pytest.skip(f"there is no {self.root}: run scripts/emulated_machines")
        environment = os.environ | hide_packages(folder / "hidden", *self.hidden)
        path = [environment["PYTHONPATH"], str(ROOT / "src"), str(ROOT / "tests")]
        environment |= {"PYTHONPATH": os.pathsep.join(path), "ELMAN_CACHE": str(self.root / "var/cache/elman")}
        # Debian's Numba has assertions, one of which fails where two threads are the first to call a kernel.
        environment |= {"PYTHON_CPU_COUNT": "1"}
        libraries = ":".join(f"/usr/lib/{self.name}-linux-gnu/{library}" for library in ("blas", "lapack"))
        done = subprocess.run(
            [f"qemu-{self.name}", "-L", self.root, "-E", f"LD_LIBRARY_PATH={libraries}",
             self.root / "usr" / "bin" / "python3", *map(str, arguments)],
            env=environment, capture_output=True, text=True, encoding="utf-8", check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout


WITHOUT_NUMBA = ("numba", "llvmlite")
AARCH64 = Machine("arm64", "aarch64")
S390X = Machine("s390x", "s390x", WITHOUT_NUMBA)

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
