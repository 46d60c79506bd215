"""Runs in directories: opened, or summarized in a row of a table each, whatever state a run is in."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from elman.config import Config
from elman.errors import ElmanError, quote
from elman.inference import Model
from elman.notebook import render_table
from elman.runs.checkpoint import Checkpoint, load_selected
from elman.runs.directory import CHECKPOINT, METRICS, RunDirectory
from elman.runs.models import load
from elman.runs.plots import LossCurve, plot_losses
from elman.runs.records import Metrics, Records, Sample, last_train_loss, summarize

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_T = TypeVar("_T")


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
        The contents of ``run.json``.

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
    def metrics(self) -> Records[Metrics]:
        """The rows of ``metrics.csv``."""
        return Records(RunDirectory(self.path).metrics())

    @cached_property
    def samples(self) -> Records[Sample]:
        """The samples of ``samples.jsonl``."""
        return Records(RunDirectory(self.path).samples())

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


# --- All runs in directories ---


@dataclass(frozen=True)
class RunSummary:
    """A run as ``elman runs`` lists it; None is a value that is not known.

    Parameters
    ----------
    run : str
        The path of its directory.
    text : str or None
        The name of the text it is trained on.
    cell : str or None
    layers, hidden_size : int or None
    updates : int
        Updates done.
    seconds : float
        Spent in them.
    train_loss : float or None
        The recent train loss, in nats per character.
    validation_loss : float or None
        That of the model that is used, in nats per character: the lowest.
    stopped : str
        Why it ended, as in `Run.stopped`; empty if it has not.
    status : str
        ``ended``; ``running``; ``incomplete``, which is a run that was killed; ``damaged``.
    error : str
        Which file of a damaged run cannot be read, and why.
    """

    run: str
    text: str | None = None
    cell: str | None = None
    layers: int | None = None
    hidden_size: int | None = None
    updates: int = 0
    seconds: float = 0.0
    train_loss: float | None = None
    validation_loss: float | None = None
    stopped: str = ""
    status: str = ""
    error: str = ""


def runs(*directories: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[dict[str, Any]]:
    """Return a row for every run in directories: the lowest validation loss first, and those without one last.

    Parameters
    ----------
    *directories : path or list of paths
        Each is searched for run directories, and so are all directories in it.

    Returns
    -------
    list of dict
        The rows of ``elman runs --json``, whose keys are the fields of ``RunSummary``: ``run``, ``text``, ``cell``,
        ``layers``, ``hidden_size``, ``updates``, ``seconds``, ``train_loss`` and ``validation_loss`` in nats per
        character, ``stopped``, ``status`` and ``error``.

    Raises
    ------
    ElmanError
        If a directory does not exist.

    Examples
    --------
    >>> import elman
    >>> text = elman.Corpus.from_text("the cat sat on the mat. " * 40)
    >>> run = elman.train(text, out="runs/cats", preset="reference", hidden_size=16, max_updates=100, engine="numpy")
    >>> [(row["run"], row["cell"], row["updates"]) for row in elman.runs("runs")]
    [('runs/cats', 'rnn', 100)]
    """
    paths = chain.from_iterable([each] if isinstance(each, str | os.PathLike) else each for each in directories)
    return [asdict(summary) for summary in summarize_runs(paths)]


def summarize_runs(directories: Iterable[str | os.PathLike[str]]) -> list[RunSummary]:
    """Summarize all runs in directories, as `runs`."""
    summaries = {path: summarize_run(path) for directory in directories for path in find_runs(Path(directory))}
    return sorted(summaries.values(), key=_rank)


def find_runs(directory: Path) -> list[Path]:
    """Return the run directories among a directory and all in it, in the order of their paths.

    Raises
    ------
    ElmanError
        If it does not exist.
    """
    if not os.path.isdir(directory):  # noqa: PTH112 (a path that the system refuses to inspect does not exist)
        if os.path.exists(directory):  # noqa: PTH110
            raise ElmanError(f"{quote(directory)} is a file; pass a directory that contains runs")
        raise ElmanError(f"there is no directory {quote(directory)}")
    return sorted(Path(path) for path, _, _ in os.walk(directory) if _is_run(RunDirectory(Path(path))))


def _is_run(directory: RunDirectory) -> bool:
    """Return whether a directory contains a run; a ``run.json`` alone may be another program's."""
    if directory.holds_run():
        return True
    return directory.has_manifest() and (
        os.path.exists(directory.path / METRICS)  # noqa: PTH110 (likewise)
        or _attempt(directory.manifest, []) is not None
    )


def summarize_run(path: Path) -> RunSummary:
    """Summarize a run from what can be read of it."""
    directory, errors = RunDirectory(path), list[str]()
    is_running = directory.lock.is_held()
    checkpoint = _attempt(directory.load, errors) if directory.holds_run() else None
    manifest = _attempt(directory.manifest, errors)
    metrics = _attempt(directory.metrics, errors if checkpoint else []) or []
    config = checkpoint.config if checkpoint else manifest.config if manifest else None
    stopped = manifest.stopped if manifest else ""
    has_ended = checkpoint is not None and stopped
    return RunSummary(
        str(path),
        manifest.corpus.name if manifest else None,
        config.cell if config else None,
        config.layers if config else None,
        config.hidden_size if config else None,
        metrics[-1].update if metrics else checkpoint.state.update if checkpoint else 0,
        metrics[-1].seconds if metrics else 0.0,
        last_train_loss(config, metrics) if config else None,
        _validation_loss(checkpoint, metrics),
        stopped,
        "running" if is_running else "damaged" if errors else "ended" if has_ended else "incomplete",
        "" if is_running or not errors else errors[0],
    )


def _attempt(read: Callable[[], _T], errors: list[str]) -> _T | None:
    """Return what can be read, or None after adding the error."""
    try:
        return read()
    except ElmanError as error:
        errors.append(str(error))
        return None


def _validation_loss(checkpoint: Checkpoint | None, metrics: Iterable[Metrics]) -> float | None:
    """Return the validation loss of the selected network; that of a killed run may not be in the checkpoint yet."""
    losses = [row.validation_loss for row in metrics]
    if checkpoint is not None:
        losses.append(checkpoint.selected.validation_loss)
    return min((loss for loss in losses if loss is not None), default=None)


def _rank(summary: RunSummary) -> tuple[float, float, str]:
    losses = summary.validation_loss, summary.train_loss
    validation, train = (float("inf") if loss is None else loss for loss in losses)
    return validation, train, summary.run
