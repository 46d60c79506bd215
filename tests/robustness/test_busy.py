"""The smallest case of ``benchmarks/busy.py``: updates and the prior of a training beside busy processes."""

import json
import subprocess
import sys
from pathlib import Path

import elman
from support.state import TEXT


def test_a_training_beside_busy_processes_makes_a_model(tmp_path: Path) -> None:
    (tmp_path / "text").write_text(TEXT * 300, "utf-8")
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
    try:
        command = [sys.executable, "-m", "elman", "train", "text", "-o", "run", "--preset", "quick", "--json", "-q"]
        options = [
            "--validation",
            "0.1",
            "--hidden-size",
            "16",
            "--max-seconds",
            "4",
        ]  # twice that at most, for 300 updates
        output = subprocess.run([*command, *options], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    finally:
        for process in busy:
            process.kill()
            process.wait()
    results = json.loads(output)
    assert results["updates"] >= 300 or results["epochs"] >= 9
    assert results["validation_loss"] <= results["counts_loss"]
    assert elman.load(tmp_path / "run").snapshot().parameters.prior.is_on
