"""Whatever call of the system fails, a command that writes leaves no partial file, and can be run again.

Each fault is one call of one command line that fails, writes less than it should, or ends the process: an open, write,
sync, rename, mkdir, unlink or close of a file in its folder, see `support.fault_program`. Afterwards a file under its
final name is the old one or the new one, an exit code of 0 means that all is there, an error is one line, and the same
command, run again, leaves what it leaves without a fault.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from elman.cli.frame import CORE, INSTALLED
from support.fault_program import READERS, WRITERS
from support.state import ROOT

COMPILER = shutil.which("cc")
SHIM = Path(__file__).parents[1] / "support" / "faults.c"


def test_every_command_writes_or_reads() -> None:
    """A new command is added to the one table or to the other."""
    assert {*CORE, *INSTALLED} == {*WRITERS, *READERS}
    assert not WRITERS.keys() & READERS


@pytest.mark.skipif(COMPILER is None or sys.platform != "linux", reason="faults are injected by a C library of Linux")
@pytest.mark.slow  # a fault of each command line takes a minute
@pytest.mark.parametrize("faults", [1, 3000])
def test_a_fault_leaves_nothing_partial_and_the_command_can_be_run_again(tmp_path: Path, faults: int) -> None:
    shim = tmp_path / "faults.so"
    subprocess.run([COMPILER or "", "-shared", "-fPIC", "-o", shim, SHIM], check=True)
    environment = os.environ | {"LD_PRELOAD": str(shim), "PYTHONPATH": os.pathsep.join(["tests", *sys.path])}
    command = [sys.executable, "-m", "support.fault_program", str(shim), str(faults)]
    ended = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True)
    result = json.loads(ended.stdout)
    assert result["found"] == []
    assert all(result["injected"].values())
    assert sum(result["injected"].values()) >= faults
