"""Sweeps of tiny networks: their settings, workers in this process, and workers that are killed."""

import gc
import hashlib
import random
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from elman.runs.directory import CHECKPOINT
from elman.storage.tensors import read_tensors
from elman.text import read_corpus
from elman.training.train import train
from elman.tuning.controller import IDENTITY
from elman.tuning.results import SweepResult
from elman.tuning.settings import SweepSettings, create_settings
from elman.tuning.space import Dimension
from elman.tuning.storage import StorageAddress
from elman.tuning.trial import trial_directory
from elman.tuning.worker import WorkerOrder, work
from support.state import ROOT, TEXT

SPACE = (Dimension("learning_rate", low=0.01, high=0.3, log=True), Dimension("hidden_size", (3, 4, 5)))
OPTIONS: dict[str, Any] = {
    "engine": "numpy",
    "seq_length": 5,
    "max_updates": 60,
    "epochs": 1000,
    "sample_every": 0,
    "validation": 0.1,
    "validate_every": 20,
}
SLOW_OPTIONS = OPTIONS | {"max_updates": 1500, "validate_every": 250}
"""So that a worker can be killed in the middle of a trial."""
WORKER = ROOT / "tests" / "support" / "sweep_worker.py"


def write_text(folder: Path) -> Path:
    """Write a short text."""
    path = folder / "text.txt"
    path.write_text(TEXT * 9, encoding="utf-8")
    return path


def make_settings(folder: Path, **changes: Any) -> SweepSettings:
    """Return the settings of a sweep on the short text."""
    settings = SweepSettings(str(write_text(folder)), "reference", OPTIONS, SPACE, "random", "none", 7)
    settings = replace(settings, **changes)
    return create_settings(settings, settings.space)


def make_order(folder: Path, settings: SweepSettings, trials: int, storage: str | None = None) -> WorkerOrder:
    """Return the order for a worker."""
    sha256 = read_corpus(settings.corpus).sha256
    return WorkerOrder(str(folder / "sweep"), "sweep", storage, trials, sha256, settings.as_dict(), False)


def address_of(order: WorkerOrder) -> StorageAddress:
    """Return the address of the study of a worker."""
    return StorageAddress(Path(order.directory), order.study, order.storage)


def prepare(order: WorkerOrder) -> None:
    """Create the study as `elman.sweep` does."""
    settings = SweepSettings.from_dict(order.settings)
    with address_of(order).open(settings.pruner) as opened:
        opened.study.set_user_attr(IDENTITY, settings.identity(order.corpus_sha256))


def work_here(order: WorkerOrder) -> SweepResult:
    """Train all trials in this process."""
    gc.collect()  # releases the locks of a worker that was killed in this process, as the end of a process does
    work(order, threading.Event())
    return read_result(order)


def read_result(order: WorkerOrder) -> SweepResult:
    """Return the trials so far."""
    settings = SweepSettings.from_dict(order.settings)
    with address_of(order).open(settings.pruner) as opened:
        return SweepResult.of(opened.study, Path(order.directory), settings, order.trials)


class Worker:
    """A worker that writes checkpoints often, and what it writes to its standard output and error."""

    def __init__(self, order: WorkerOrder, log: Path) -> None:
        self.log = log
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, str(WORKER)], stdin=subprocess.PIPE, stdout=file, stderr=subprocess.STDOUT
            )
        assert self.process.stdin is not None
        self.process.stdin.write(order.as_line().encode())
        self.process.stdin.flush()

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def wait_for_trial(self) -> None:
        """Wait until it has begun a trial, or has ended."""
        while b'"start"' not in self.log.read_bytes() and self.is_alive:
            time.sleep(0.01)

    def kill(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.communicate()

    def wait(self) -> None:
        """Wait until it ends, without an error."""
        while self.is_alive:  # with its standard input open
            time.sleep(0.01)
        self.process.communicate()
        assert self.process.returncode == 0, self.log.read_text("utf-8")
        assert '"error"' not in self.log.read_text("utf-8")


def kill_workers(order: WorkerOrder, workers: int, kills: int, seed: int) -> int:
    """Train all trials with workers that are killed so often, each replaced by another; return the kills."""
    moments, killed = random.Random(seed), 0
    logs = Path(order.directory).parent
    alive = [Worker(order, logs / f"worker{n}.log") for n in range(workers)]
    while killed < kills and any(each.is_alive for each in alive):
        n = moments.randrange(workers)
        if moments.random() < 0.7:  # else perhaps while it is being started
            alive[n].wait_for_trial()
        time.sleep(moments.uniform(0, 0.8))
        if alive[n].is_alive:
            alive[n].kill()
            killed += 1
            alive[n] = Worker(order, logs / f"worker{n}.log")
    for each in alive:
        each.wait()
    return killed


def weights(run: Path) -> tuple[str, dict[str, bytes]]:
    """Return all tensors of a checkpoint, bit for bit, and a hash of its metrics without those of the clock."""
    rows = [line.split(",")[:5] for line in (run / "metrics.csv").read_text("utf-8").splitlines()]
    _, tensors = read_tensors(run / CHECKPOINT)
    return hashlib.sha256(repr(rows).encode()).hexdigest(), {name: a.tobytes() for name, a in tensors.items()}


def assert_as_never_killed(folder: Path, order: WorkerOrder) -> None:
    """Each trial is complete, once, with the numbers of a training that was not killed."""
    settings, result = SweepSettings.from_dict(order.settings), read_result(order)
    assert [(trial.number, trial.state) for trial in result.trials] == [(n, "complete") for n in range(order.trials)]
    for trial in result.trials:
        options: Any = settings.trial_options(trial.values)
        whole = folder / "whole" / str(trial.number)
        run = train(settings.corpus, out=whole, preset=settings.preset, progress=False, **options)
        assert trial.validation_loss == run.validation_loss
        assert trial.updates == run.state.update
        assert weights(trial_directory(result.directory, trial.number)) == weights(whole)
