"""The session of the tests: where signals are ignored, as in the background of a shell, and when it is interrupted."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.processes import is_alive
from support.state import ROOT

SESSION = """
import signal, subprocess, sys
from pathlib import Path


def test_that_starts_a_process_and_is_interrupted():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
    Path("pid").write_text(str(process.pid))
    signal.raise_signal(signal.SIGINT)
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the processes in /proc")
def test_an_interrupt_ends_what_tests_have_started(tmp_path: Path) -> None:
    (tmp_path / "test_session.py").write_text(SESSION, "utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "conftest", "-p", "no:cacheprovider", "test_session.py"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")])}

    def ignore() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    ended = subprocess.run(command, cwd=tmp_path, env=environment, preexec_fn=ignore, capture_output=True, text=True)
    assert ended.returncode == pytest.ExitCode.INTERRUPTED, ended.stdout + ended.stderr
    assert not is_alive(int((tmp_path / "pid").read_text("utf-8")))
