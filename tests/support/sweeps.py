"""Sweeps of tiny networks, and workers in this process."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from elman.runs.directory import CHECKPOINT
from elman.storage.tensors import read_tensors
from elman.text import read_corpus
from elman.training.train import train
from elman.tuning.results import SweepResult, trial_directory
from elman.tuning.sweep import sweep
from elman.tuning.worker import Channel, TrialOrder, Worker, train_trial
from support.state import TEXT

SPACE = {"learning_rate": {"low": 0.01, "high": 0.3, "log": True}, "hidden_size": [3, 4, 5]}
OPTIONS: dict[str, Any] = {
    "preset": "reference",
    "engine": "numpy",
    "seq_length": 5,
    "max_updates": 60,
    "epochs": 1000,
    "sample_every": 0,
    "validation": 0.1,
    "validate_every": 20,
}


def write_text(folder: Path) -> Path:
    path = folder / "text.txt"
    path.write_text(TEXT * 9, encoding="utf-8")
    return path


def small_sweep(folder: Path, trials: int, **changes: Any) -> SweepResult:
    """Sweep the short text, by default by random search without pruning."""
    out = changes.pop("out", folder / "sweep")
    options = {"space": SPACE, "sampler": "random", "pruner": "none"} | OPTIONS | changes
    return sweep(write_text(folder), out=out, trials=trials, **options)


class Events:
    """Stands for the channel of a worker process; records what it emits, and never prunes."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.stopped = cast(Any, type("NeverStopped", (), {"is_set": lambda self: False}))()

    def emit(self, event: str, **values: object) -> None:
        self.events.append({"event": event} | values)

    def receive(self) -> dict[str, Any] | None:
        return {"prune": False}


class LocalWorker(Worker):
    """A worker that trains in a thread of this process."""

    def train(self, trial: TrialOrder) -> Iterator[dict[str, Any]]:
        channel = Events()
        train_trial(trial, read_corpus(trial.corpus), cast(Channel, channel))
        yield from channel.events

    def send(self, message: Mapping[str, Any]) -> None:
        pass


def weights(run: Path) -> tuple[str, dict[str, bytes]]:
    """Return all tensors of a checkpoint, bit for bit, and a hash of its metrics without those of the clock."""
    rows = [line.split(",")[:5] for line in (run / "metrics.csv").read_text("utf-8").splitlines()]
    _, tensors = read_tensors(run / CHECKPOINT)
    return hashlib.sha256(repr(rows).encode()).hexdigest(), {name: a.tobytes() for name, a in tensors.items()}


def assert_as_never_killed(folder: Path, result: SweepResult, trials: int) -> None:
    """Each trial is complete, once, with the numbers of a training that was not killed."""
    assert [(trial.number, trial.state) for trial in result.trials] == [(n, "complete") for n in range(trials)]
    for trial in result.trials:
        options: Any = result.settings.trial_options(trial.values)
        whole = folder / "whole" / str(trial.number)
        run = train(result.settings.corpus, out=whole, preset=result.settings.preset, progress=False, **options)
        assert trial.validation_loss == run.validation_loss
        assert trial.updates == run.state.update
        assert weights(trial_directory(result.directory, trial.number)) == weights(whole)
