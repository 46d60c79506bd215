"""Sweeps of tiny networks, and trials that are trained in this process."""

import hashlib
from pathlib import Path
from typing import Any

from elman.apps.sweep.loop import Workers
from elman.apps.sweep.results import SweepResult, trial_directory
from elman.apps.sweep.sweep import sweep
from elman.apps.sweep.worker import train_trial
from elman.runs.directory import CHECKPOINT
from elman.storage.tensors import read_tensors
from elman.training import TrainingCallback
from elman.training.api import train
from support.state import TEXT

SPACE = {"learning_rate": {"low": 0.01, "high": 0.3, "log": True}, "hidden_size": [3, 4, 5]}
OPTIONS: dict[str, Any] = {
    "preset": "reference", "engine": "numpy", "seq_length": 5, "max_updates": 60, "epochs": 1000, "sample_every": 0,
    "validation": 0.1, "validate_every": 20,
}  # fmt: skip


def write_text(folder: Path) -> Path:
    path = folder / "text.txt"
    path.write_text(TEXT * 9, encoding="utf-8")
    return path


def small_sweep(folder: Path, trials: int | None, **changes: Any) -> SweepResult:
    """Sweep the short text, by default by random search without pruning."""
    out = changes.pop("out", folder / "sweep")
    options = {"space": SPACE, "sampler": "random", "pruner": "none"} | OPTIONS | changes
    return sweep(write_text(folder), out=out, trials=trials, **options)


def train_here(workers: Workers, trial: Any) -> dict[str, Any]:
    """Train a trial in this process, without pruning; in place of `Workers.train_once`."""

    class Callback(TrainingCallback):
        def should_stop(self) -> bool:
            return workers.is_stopping

    corpus_sha256, options = workers.arguments(trial)
    return train_trial(corpus_sha256, options, Callback())


def weights(run: Path) -> tuple[str, dict[str, bytes]]:
    """Return all tensors of a checkpoint, bit for bit, and a hash of its metrics without those of the clock."""
    rows = [line.split(",")[:6] for line in (run / "metrics.csv").read_text("utf-8").splitlines()]
    _, tensors = read_tensors(run / CHECKPOINT)
    return hashlib.sha256(repr(rows).encode()).hexdigest(), {name: a.tobytes() for name, a in tensors.items()}


def assert_as_never_killed(folder: Path, result: SweepResult, trials: int) -> None:
    """Each trial is complete, once, with the numbers of a training that was not killed."""
    assert [(trial.number, trial.state) for trial in result.trials] == [(n, "complete") for n in range(trials)]
    for trial in result.trials:
        options: Any = result.settings.options | trial.values
        whole = folder / "whole" / str(trial.number)
        run = train(result.settings.corpus, out=whole, preset=result.settings.preset, progress=False, **options)
        assert (trial.validation_loss, trial.updates) == (run.validation_loss, run.state.update)
        assert weights(trial_directory(result.directory, trial.number)) == weights(whole)
