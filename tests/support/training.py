"""What the tests of training share: settings of a tiny network, who stops a run, and when two runs are one."""

from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

from elman.runs.checkpoint import Network, load_network
from elman.runs.records import Metrics, RunDirectory
from elman.runs.run import Run
from elman.training.callbacks import Nobody
from support.state import T, snapshot

M = 4
SMALL: dict[str, Any] = {"hidden_size": M, "seq_length": T, "sample_length": 20, "metrics_every": 7, "sample_every": 10}
EXACT: dict[str, Any] = SMALL | {"engine": "numpy", "dtype": "float64"}


class StopsAt(Nobody):
    """Asks to stop when this many updates are done, or at the next chance after them."""

    def __init__(self, update: int) -> None:
        self.update = update
        self.done = 0

    def progressed(self, run: Run, updates: int) -> None:
        self.done = run.state.update

    def stop_asked(self) -> bool:
        return self.done >= self.update


def rows(metrics: Sequence[Metrics]) -> list[tuple[object, ...]]:
    """Return rows without what the clock says."""
    return [astuple(row)[:5] for row in metrics]


def network(found: Network | None) -> object:
    """Return all that a network is, to the bit."""
    if found is None:
        return None
    arrays = found.parameters | {"h": found.h}
    return found.update, found.validation_loss, {name: array.tobytes() for name, array in arrays.items()}


def contents(folder: Path) -> dict[str, bytes]:
    """Return what is in a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_same(run: Run, expected: Run) -> None:
    """Two runs are one: the state to the bit, the curve, the texts and the networks kept."""
    assert snapshot(run.state) == snapshot(expected.state)
    assert rows(run.metrics) == rows(expected.metrics)
    assert run.samples == expected.samples
    assert network(run.best) == network(expected.best)
    assert network(run.kept) == network(expected.kept)
    assert run.stopped == expected.stopped


def assert_kept(folder: Path, expected: Run) -> None:
    """The directory holds that run: checkpoint, metrics, samples and the network to use."""
    directory = RunDirectory(folder)
    saved = directory.load()
    assert snapshot(saved.state) == snapshot(expected.state)
    assert network(saved.best) == network(expected.best)
    assert rows(directory.metrics()) == rows(expected.metrics)
    assert directory.samples() == expected.samples
    best = folder / "best.safetensors"
    assert network(load_network(best).network if best.exists() else None) == network(expected.kept)
