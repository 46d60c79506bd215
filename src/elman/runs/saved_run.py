"""A run as its directory contains it: settings, metrics, samples and model, without the text and the training state."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elman.config import Config
from elman.inference import Model
from elman.notebook import render_table
from elman.runs.checkpoint import load_selected
from elman.runs.directory import CHECKPOINT, RunDirectory
from elman.runs.plots import LossCurve, plot_losses
from elman.runs.records import Metrics, Sample, summarize
from elman.runs.run import load
from elman.runs.spilled_list import SpilledList
from elman.runs.train_loss import last_train_loss

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def open_run(path: str | os.PathLike[str]) -> SavedRun:
    """Return the run in a directory that ``elman train`` or `elman.train` wrote; it may be in training still.

    Parameters
    ----------
    path : str or path

    Raises
    ------
    ElmanError
        If there is no run, or its files are truncated or altered.

    Examples
    --------
    >>> import elman
    >>> text = elman.Corpus.from_text("the cat sat on the mat. " * 40)
    >>> run = elman.train(text, out="runs/cats", preset="reference", hidden_size=16, max_updates=100, engine="numpy")
    >>> elman.open_run("runs/cats").config.hidden_size
    16
    """
    directory = RunDirectory(Path(path))
    return SavedRun(directory.path, directory.manifest().config, directory.metadata())


@dataclass(frozen=True, eq=False, repr=False)
class SavedRun:
    """A run in a directory; its files are read on first use.

    Parameters
    ----------
    path : Path
    config : Config
    metadata : dict
        The contents of ``run.json``: settings, alphabet, text, versions, machine.

    Examples
    --------
    >>> import elman
    >>> text = elman.Corpus.from_text("the cat sat on the mat. " * 40)
    >>> run = elman.train(text, out="runs/cats", preset="reference", hidden_size=16, max_updates=100, engine="numpy")
    >>> saved = elman.open_run("runs/cats")
    >>> saved.metrics[-1].update, saved.metadata["corpus"]["name"]
    (100, 'text')
    """

    path: Path
    config: Config
    metadata: dict[str, Any]

    @cached_property
    def metrics(self) -> SpilledList[Metrics]:
        """The rows of ``metrics.csv``."""
        return SpilledList(RunDirectory(self.path).metrics())

    @cached_property
    def samples(self) -> SpilledList[Sample]:
        """The samples of ``samples.jsonl``."""
        return SpilledList(RunDirectory(self.path).samples())

    @cached_property
    def model(self) -> Model:
        """The model that is selected for use, as `elman.load` returns it."""
        return load(self.path)

    @cached_property
    def validation_loss(self) -> float | None:
        """The validation loss of the selected network, in nats per character; None if nothing was held out."""
        directory = RunDirectory(self.path)
        return load_selected(self.path / CHECKPOINT).network.validation_loss if directory.holds_run() else None

    def plot(self) -> Figure:
        """Return a figure of the losses over the updates, in nats per character; requires the extra ``plot``."""
        return plot_losses([LossCurve(self.path.name, self.metrics, self.config)])

    def __repr__(self) -> str:
        """Summarize the run in one line."""
        updates = self.metrics[-1].update if self.metrics else 0
        loss = "" if self.validation_loss is None else f", validation loss {self.validation_loss:.3f}"
        return f"<SavedRun {str(self.path)!r} on {self.metadata['corpus']['name']!r}: {updates:,} updates{loss}>"

    def _repr_html_(self) -> str:
        train_loss = last_train_loss(self.config, self.metrics)
        rows = summarize(self.config, self.metadata["corpus"]["name"], self.metrics, train_loss)
        return render_table(f"Run {self.path}", {**rows, "validation loss": self.validation_loss})
