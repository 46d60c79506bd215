"""Helpers for tests of training: settings of a tiny network, a callback that stops, and comparisons of runs."""

from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

from elman.runs.checkpoint import load_network
from elman.runs.directory import RunDirectory
from elman.runs.history import Metrics
from elman.runs.snapshot import Snapshot
from elman.text import Corpus
from elman.training import api
from elman.training.callbacks import TrainingCallback
from elman.training.run import Run
from support.state import T, snapshot

M = 4
SMALL: dict[str, Any] = {"preset": "reference", "hidden_size": M, "seq_length": T}
SMALL |= {"sample_length": 20, "metrics_every": 7, "sample_every": 10}
ROWS = [*range(1, 9), 10, 12, 14, 16, 20, 21, 24, 28, 32, 35]
"""The first updates that have a row there."""
EXACT: dict[str, Any] = SMALL | {"engine": "numpy", "dtype": "float64"}


def train(corpus: str | Path | Corpus = "python-docs", *, preset: str | None = None, **options: Any) -> Run:
    """Train from the settings of the reference experiment, whose numbers the tests know; a resumed run has its own."""
    if preset is None and not options.get("resume"):
        preset = "reference"
    return api.train(corpus, preset=preset, **options)


class StopsAt(TrainingCallback):
    def __init__(self, update: int) -> None:
        self.update = update
        self.done = 0

    def on_progress(self, run: Run, updates: int) -> None:
        self.done = run.state.update

    def should_stop(self) -> bool:
        return self.done >= self.update


class Listens(TrainingCallback):
    def __init__(self) -> None:
        self.notices: list[str] = []
        self.warnings: list[str] = []

    def on_notice(self, notice: str) -> None:
        self.notices.append(notice)

    def on_warning(self, warning: str) -> None:
        self.warnings.append(warning)


class Killed(TrainingCallback):
    """Raises after an update, or before the first, as if the process were killed."""

    def __init__(self, update: int = 0) -> None:
        self.update = update

    def on_compile(self) -> None:
        if not self.update:
            raise KeyboardInterrupt

    def on_progress(self, run: Run, updates: int) -> None:
        if run.state.update >= self.update:
            raise KeyboardInterrupt


def rows(metrics: Sequence[Metrics]) -> list[tuple[object, ...]]:
    return [astuple(row)[:5] for row in metrics]


def network(snapshot: Snapshot | None) -> object:
    if snapshot is None:
        return None
    arrays = {**snapshot.parameters, "h": snapshot.h}
    return snapshot.update, snapshot.validation_loss, {name: array.tobytes() for name, array in arrays.items()}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_same(run: Run, expected: Run) -> None:
    """Two runs are equal: the states bit for bit, the metrics, the samples and the selected networks."""
    assert snapshot(run.state) == snapshot(expected.state)
    assert rows(run.metrics) == rows(expected.metrics)
    assert run.samples == expected.samples
    assert network(run.best) == network(expected.best)
    assert network(run.selected) == network(expected.selected)
    assert run.stopped == expected.stopped


def assert_saved(folder: Path, expected: Run) -> None:
    """The directory contains that run: checkpoint, metrics, samples and the selected network."""
    directory = RunDirectory(folder)
    saved = directory.load()
    assert snapshot(saved.state) == snapshot(expected.state)
    assert network(saved.best) == network(expected.best)
    assert rows(directory.metrics()) == rows(expected.metrics)
    assert directory.samples() == expected.samples
    best = folder / "best.safetensors"
    assert network(load_network(best) if best.exists() else None) == network(expected.selected)


def results_of(run: Run) -> dict[str, Any]:
    """Return the results of a run, without the times of its last call."""
    times = {"preparation_seconds", "validation_seconds", "file_seconds"}
    return {name: value for name, value in run.results().items() if name not in times}
