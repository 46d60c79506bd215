"""Runs in directories, whatever their state: a run is opened, or summarized in a row of a table."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import chain
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from elman.config import Config
from elman.errors import ElmanError, VersionError, check_type, checks_types, format_count, quote
from elman.model import Model
from elman.model.loading import load
from elman.runs.directory import RunDirectory, RunManifest
from elman.runs.history import Metrics, Records, Sample, summarize
from elman.runs.plots import LossCurve, plot_losses
from elman.runs.writer import DirectoryLock
from elman.storage import exists, is_directory, is_file
from elman.text.sources import locate_source

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_T = TypeVar("_T")

READING = ("keep_crlf", "field", "lines", "mask", "mask_regex", "min_count")
"""Settings that decide how a text is read: the losses of runs that differ in one cannot be compared."""


@checks_types
def open_run(path: str | os.PathLike[str]) -> SavedRun:
    """Return the run in a directory that ``elman train`` or `elman.train` wrote; it may still be in training.

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
    return SavedRun(directory.path, directory.manifest().config, directory.read_manifest())


@dataclass(frozen=True, eq=False, repr=False)
class SavedRun:
    """A run in a directory; its files are read on first use.

    Examples
    --------
    >>> import elman
    >>> text = elman.Corpus.from_text("the cat sat on the mat. " * 40)
    >>> run = elman.train(text, out="runs/cats", preset="reference", hidden_size=16, max_updates=100, engine="numpy")
    >>> saved = elman.open_run("runs/cats")
    >>> saved.metrics[-1].update, saved.manifest["corpus"]["name"]
    (100, 'text')
    """

    path: Path
    config: Config
    manifest: dict[str, Any]
    """The contents of ``run.json``."""

    @cached_property
    def metrics(self) -> Records[Metrics]:
        """The rows of ``metrics.csv`` that the checkpoint covers."""
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
        return directory.load().selected.validation_loss if directory.holds_run() else None

    @checks_types
    def plot(self, *, smooth: bool = False, by: str = "updates", ax: Axes | None = None) -> Figure:
        """Return a figure of the losses, see ``elman.runs.plots.plot_losses``; requires the extra ``plot``."""
        return plot_losses([LossCurve(self.path.name, self.metrics, self.config)], smooth=smooth, by=by, ax=ax)

    @cached_property
    def _row(self) -> dict[str, Any]:
        return summarize_run(self.path)

    def __repr__(self) -> str:
        updates, loss = self._row["updates"], self._row["validation_loss"]
        shown = "" if loss is None else f", validation loss {loss:.3f}"
        done = f"{format_count(updates, 'update')}{shown}"
        return f"<SavedRun {str(self.path)!r} on {self.manifest['corpus']['name']!r}: {done}>"

    def _repr_html_(self) -> str:
        from elman.notebook import render_table

        return render_table(f"Run {self.path}", summarize(self.config, self._row))


def list_runs(*directories: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[dict[str, Any]]:
    """Return a row for every run in directories, by text and how it is read; the lowest validation loss comes first.

    Parameters
    ----------
    *directories : path or list of paths
        Each is searched for run directories, with all its subdirectories.

    Returns
    -------
    list of dict
        The rows of ``elman runs --json``; None is a value that is not known.

        - ``run``, ``text``, ``text_sha256``: the path of the directory, and name and hash of the text.
        - ``reading``: how the text is read, such as ``lines, mask all``; empty if it is read as it is. Losses of texts
          that are read in different ways cannot be compared.
        - ``best``: whether it is the best of the runs that read this text in this way.
        - ``cell``, ``layers``, ``hidden_size``.
        - ``updates``, ``seconds``: the updates done, and the seconds spent on them, according to the checkpoint.
        - ``unsaved_updates``: further updates in ``metrics.csv``, after a full disk; a resumed run repeats them.
        - ``train_loss``, ``validation_loss``: the train loss of the last row of ``metrics.csv``, and the validation
          loss of the model that is used, the lowest; in nats per character.
        - ``kept_update``: the update of that model.
        - ``stopped``: why it ended; empty if it has not.
        - ``status``: ``ended``, ``running``, ``incomplete`` (the run was killed) or ``damaged``.
        - ``error``: which file of a damaged run cannot be read, and why.

    Raises
    ------
    ElmanError
        If a directory does not exist.

    Examples
    --------
    >>> import elman
    >>> text = elman.Corpus.from_text("the cat sat on the mat. " * 40)
    >>> run = elman.train(text, out="runs/cats", preset="reference", hidden_size=16, max_updates=100, engine="numpy")
    >>> [(row["run"], row["cell"], row["updates"]) for row in elman.list_runs("runs")]
    [('runs/cats', 'rnn', 100)]
    """
    paths = [*chain.from_iterable(each if isinstance(each, list | tuple) else [each] for each in directories)]
    for path in paths:
        check_type("directories", path, "os.PathLike[str]")
    found = dict.fromkeys(run for path in paths for run in find_runs(Path(path)))
    rows, texts = sorted(map(summarize_run, found), key=_rank), set[tuple[str | None, ...]]()
    for row in rows:
        text = row["text_sha256"], row["reading"]
        row["best"] = not row["error"] and text not in texts
        texts.add(text)
    return rows


def select_best(rows: Sequence[dict[str, Any]], text: str) -> dict[str, Any]:
    """Return the row of the best run on a text, named by its file or its name, among the rows of `list_runs`."""
    found = [row for row in rows if row["best"] and _is_on(row, text)]
    if not found:
        names = sorted({quote(row["text"]) for row in rows if row["text"]})
        raise ElmanError(f"there is no run on {quote(text)}; the runs are on {', '.join(names) or 'no text'}")
    if len({row["text_sha256"] for row in found}) > 1:
        raise ElmanError(f"{len(found)} texts are named {quote(text)}: pass the file of one of them")
    if len(found) > 1:
        readings = "; ".join(row["reading"] or "as it is" for row in found)
        reason = f"cannot be compared, as they read it in different ways ({readings})"
        remedy = "pass the directories of runs that read it in one way"
        raise ElmanError(f"the losses of the runs on {quote(text)} {reason}: {remedy}")
    return found[0]


def find_runs(directory: Path) -> list[Path]:
    """Return the run directories among a directory, which must exist, and its subdirectories, sorted by path."""
    if not is_directory(directory):
        is_file = f"{quote(directory)} is a file; pass a directory that contains runs"
        raise ElmanError(is_file if exists(directory) else f"there is no directory {quote(directory)}")
    paths = [Path(path) for path, _, _ in os.walk(directory)]
    return sorted(path for path in paths if RunDirectory(path).holds_run())


def summarize_run(path: Path) -> dict[str, Any]:
    """Return the row of a run from the files that can be read; saved values come from its checkpoint if it has one."""
    directory, errors = RunDirectory(path), list[ElmanError]()
    is_running = DirectoryLock(path).is_held()
    checkpoint = _attempt(directory.load, errors)
    manifest = _attempt(directory.manifest, errors)
    metrics = _attempt(directory.written_metrics, errors) or []
    config = checkpoint.config if checkpoint else manifest.config if manifest else None
    last = checkpoint.state if checkpoint else metrics[-1] if metrics else None
    update = last.update if last else 0
    saved = [row for row in metrics if row.update <= update]
    has_ended, selected = checkpoint and manifest and manifest.stopped, checkpoint and checkpoint.selected
    settings = {name: getattr(config, name, None) for name in READING}
    problem = "other version" if any(isinstance(error, VersionError) for error in errors) else "damaged"
    return {
        "run": str(path),
        "text": manifest.corpus.name if manifest else None,
        "text_sha256": manifest.corpus.sha256 if manifest else checkpoint.corpus_sha256 if checkpoint else None,
        "reading": ", ".join(f"{name} {value}".removesuffix(" True") for name, value in settings.items() if value),
        **{name: getattr(config, name, None) for name in ("cell", "layers", "hidden_size", "seed")},
        "setting": config and manifest and _name_setting(manifest),
        "updates": update,
        "unsaved_updates": metrics[-1].update - update if len(saved) < len(metrics) else 0,
        "seconds": last.seconds if last else 0.0,
        "train_loss": saved[-1].train_loss if saved else None,
        "validation_loss": selected and selected.validation_loss,
        "kept_update": selected and selected.update,
        "stopped": manifest.stopped if manifest else "",
        "bytes": sum(each.stat().st_size for each in path.iterdir() if is_file(each)),
        "status": "running" if is_running else problem if errors else "ended" if has_ended else "incomplete",
        "error": "" if is_running or not errors else str(errors[0]),
    }


def _name_setting(manifest: RunManifest) -> str:
    """Return a short name for the text and the settings of a run, which is the same for all seeds."""
    settings = LossCurve("", (), manifest.config).settings() | {"seed": None}
    origin = manifest.corpus.sha256, manifest.init_from and manifest.init_from.sha256
    return hashlib.sha256(json.dumps([*origin, settings], sort_keys=True).encode()).hexdigest()[:8]


def compare_settings(first: Path, second: Path) -> dict[str, list[Any]]:
    """Return the settings and texts in which two runs differ, each with both values."""
    one, other = map(_list_settings, (first, second))
    return {name: [one[name], other[name]] for name in one if one[name] != other[name]}


def _list_settings(path: Path) -> dict[str, Any]:
    directory = RunDirectory(path)
    manifest, ngrams = directory.manifest(), directory.load().state.parameters.ngrams
    return {
        "text": manifest.corpus.name,
        "text_sha256": manifest.corpus.sha256,
        "preset": manifest.preset or None,
        "init_from": manifest.init_from and manifest.init_from.path,
        **asdict(manifest.config),
        "ngrams": None if ngrams is None else ngrams.describe(),
    }


def _attempt(read: Callable[[], _T], errors: list[ElmanError]) -> _T | None:
    try:
        return read()
    except ElmanError as error:
        errors.append(error)
        return None


def _rank(row: dict[str, Any]) -> tuple[Any, ...]:
    """Return the key that sorts rows by text, by how it is read, and by loss; rows that cannot be read are last."""
    losses = (inf if row[name] is None else row[name] for name in ("validation_loss", "train_loss"))
    text = row["text"] is None, row["text"] or "", row["text_sha256"] or "", row["reading"]
    return *text, bool(row["error"]), *losses, row["run"]


def _is_on(row: dict[str, Any], text: str) -> bool:
    manifest = RunDirectory(Path(row["run"])).manifest_if_valid()
    files = [] if manifest is None else [file.path for file in manifest.corpus.files]
    return row["text"] == text or files == [locate_source(text)]
