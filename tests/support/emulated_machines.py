"""Pythons of other processors, run by qemu-user; `scripts/emulated_machines` unpacks them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from support.missing_packages import hide_packages
from support.state import ROOT

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
