"""Training in two processes of torchrun. Skipped without PyTorch."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elman.runs.directory import RunDirectory
from support.networks import numbers
from support.state import ROOT, snapshot
from support.training import EXACT, train

pytest.importorskip("torch")

TEXT = "Wer reitet so spät durch Nacht und Wind? Es ist der Vater mit seinem Kind. " * 6
OPTIONS = EXACT | {
    "engine": "torch", "device": "cpu", "cell": "gru", "layers": 2, "batch_size": 3, "ngram_order": 3, "dropout": 0.2,
    "dropout_kind": "plain", "optimizer": "sgd", "grad_clip_mode": "norm", "ema_decay": 0.9, "validation": 0.2,
}  # fmt: skip
"""Three rows for two processes."""


def start(out: Path, *arguments: object, module: str = "elman") -> subprocess.Popen[str]:
    """Begin a training in several processes."""
    text = out.parent / "text"
    text.write_text(TEXT, encoding="utf-8")
    options = [part for name, value in OPTIONS.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=1", "-m", module]
    command = [sys.executable, *torchrun, "train", str(text), "--out", str(out), "--json", *options]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}"}
    command += map(str, arguments)
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=environment, **pipes)


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Wait for the end of a training; return its results."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    results: dict[str, Any] = json.loads(out)  # of one process only
    return results


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 20 updates in two processes."""
    out = tmp_path_factory.mktemp("two") / "run"
    assert finish(start(out, "--max-updates", 20))["updates"] == 20
    return out


def test_two_processes_compute_what_one_does(two: Path) -> None:
    expected = train(two.parent / "text", **OPTIONS, max_updates=20)
    saved = RunDirectory(two).load()
    for kind in ("parameters", "N", "average"):
        for name, array in getattr(expected.state, kind).items():
            np.testing.assert_allclose(getattr(saved.state, kind)[name], array, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(numbers(saved.state.hidden), numbers(expected.state.hidden), rtol=1e-10, atol=1e-12)
    assert saved.state.smooth_loss == pytest.approx(expected.state.smooth_loss, rel=1e-10)
    assert saved.selected.validation_loss == pytest.approx(expected.validation_loss, rel=1e-10)


def test_resume_with_as_many_processes_is_exact(two: Path, tmp_path: Path) -> None:
    finish(start(tmp_path / "run", "--max-updates", 9))
    finish(start(tmp_path / "run", "--max-updates", 20, "--resume"))
    assert snapshot(RunDirectory(tmp_path / "run").load().state) == snapshot(RunDirectory(two).load().state)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the processes in /proc")
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_changes_nothing(tmp_path: Path, rank: int) -> None:
    """Torchrun starts all processes again, which resume from the checkpoint."""
    limits = ("--epochs", 1000, "--max-updates", 300, "--validate-every", 300)
    runs = [tmp_path / "killed", tmp_path / "whole"]
    runs[0].mkdir()
    process = start(runs[0], *limits, "--resume", module="support.frequent_checkpoints")
    deadline = time.monotonic() + 200
    while not (runs[0] / "checkpoint.safetensors").exists() or RunDirectory(runs[0]).load().state.update < 10:
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
    os.kill(find_process(process.pid, rank), signal.SIGKILL)
    assert finish(process)["updates"] == 300
    finish(start(runs[1], *limits))
    states = [RunDirectory(run).load().state for run in runs]

    assert snapshot(states[0]) == snapshot(states[1])


def find_process(parent: int, rank: int) -> int:
    """Return the id of the process that torchrun started with a rank."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                is_child = f"PPid:\t{parent}\n" in (folder / "status").read_text(encoding="utf-8")
                if is_child and f"\0RANK={rank}\0".encode() in (folder / "environ").read_bytes():
                    return int(folder.name)
            except OSError:  # it has ended
                continue
    raise AssertionError(f"no process of rank {rank}")
