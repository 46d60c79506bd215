"""A run directory as a source for the dashboard: finished, or in training in another process, which appends to it."""

from __future__ import annotations

import csv
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from elman.errors import ElmanError, quote
from elman.runs.directory import CHECKPOINT, METRICS, SAMPLES, RunDirectory
from elman.runs.records import Metrics, parse_metrics, parse_samples
from elman.serve.history import RunHistory, SampleEntry, compute_histograms
from elman.storage.untrusted import require_int, require_regular_file, require_str, safe_message

REFRESH_SECONDS = 0.5
"""Minimum interval between two reads of the files."""
_READ_ERRORS = (OSError, ElmanError, ValueError, KeyError, TypeError, ArithmeticError, csv.Error)
"""Exceptions of reading files that are corrupted, or are just being replaced."""
_T = TypeVar("_T")


class Tail:
    """Reads the complete lines of a file that grows at its end, each of them once.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file_id, self._position = self._status()[0], 0

    def is_replaced(self) -> bool:
        """Return whether the path is another file now, or the file was truncated."""
        file_id, size = self._status()
        return file_id != self._file_id or size < self._position

    def read(self, parse: Callable[[list[str]], list[_T]]) -> list[_T]:
        """Parse the complete lines that were added since the last call.

        If parsing raises, the same lines are read again by the next call.
        """
        with require_regular_file(self.path).open("rb") as file:
            file.seek(self._position)
            lines = file.read().rpartition(b"\n")[0]
        if not lines:
            return []
        parsed = parse(lines.decode("utf-8").split("\n"))
        self._position += len(lines) + 1
        return parsed

    def _status(self) -> tuple[tuple[int, int], int]:
        status = require_regular_file(self.path).stat()
        return (status.st_dev, status.st_ino), status.st_size


class _Files:
    """The files of a run directory, valid until one of them is replaced, as happens when the run is resumed."""

    def __init__(self, directory: RunDirectory) -> None:
        self.about = _read_about(directory)
        self.history = RunHistory(directory.manifest().config)
        self.metrics, self.samples = Tail(directory.path / METRICS), Tail(directory.path / SAMPLES)
        self.columns: list[str] = []
        self.last: Metrics | None = None

    def is_replaced(self) -> bool:
        """Return whether a file was replaced."""
        return self.metrics.is_replaced() or self.samples.is_replaced()

    def read(self) -> None:
        """Read the added lines."""
        metrics = self.metrics.read(self._parse_metrics)
        self.history.extend(metrics)
        self.last = metrics[-1] if metrics else self.last
        self.history.samples.extend(map(SampleEntry, self.samples.read(parse_samples)))

    def _parse_metrics(self, lines: list[str]) -> list[Metrics]:
        if self.columns:
            return parse_metrics(csv.DictReader(lines, self.columns))
        table = csv.DictReader(lines)
        metrics = parse_metrics(table)
        self.columns = [*(table.fieldnames or ())]  # only after parsing, as the header is read again if it fails
        return metrics


class DashboardRun:
    """A run directory that the dashboard displays.

    Parameters
    ----------
    path : Path
    name : str
        Its name on the dashboard; by default that of the directory.

    Raises
    ------
    ElmanError
        If it contains no run, or its files cannot be read.
    """

    def __init__(self, path: Path, name: str = "") -> None:
        self.directory, self.name = RunDirectory(path), name or path.resolve().name
        self.directory.metrics()  # these two give the best error messages
        self.directory.samples()
        self._lock = threading.Lock()
        self._files, self._refreshed_at, self._warning = _Files(self.directory), time.monotonic() - REFRESH_SECONDS, ""
        self._histograms: tuple[tuple[int, int], list[dict[str, Any]]] = ((0, 0), [])

    @property
    def history(self) -> RunHistory:
        """The history so far, as recorded in the files."""
        with self._lock:
            if time.monotonic() - self._refreshed_at >= REFRESH_SECONDS:
                self._refresh()
            return self._files.history

    def about(self) -> dict[str, Any]:
        """Return the contents of ``run.json``."""
        return self._files.about

    def status(self) -> dict[str, Any]:
        """Return the current status."""
        history, last = self.history, self._files.last
        status = {"stage": "saved", "warning": self._warning, "written": self._modified_at(), "update": 0, "epoch": 0}
        if last is None:
            return status
        characters = last.update * history.config.chars_per_update
        return status | {
            "update": last.update,
            "epoch": last.epoch,
            "seconds": round(last.seconds, 1),
            "smooth_loss": last.smooth_loss,
            "train_loss": history.last_train_loss,
            "minimum": history.smooth_loss.minimum(),
            "best": history.validation_loss.minimum(),
            "chars_per_second": round(characters / last.seconds) if last.seconds else None,
        }

    def histograms(self) -> list[dict[str, Any]]:
        """Return histograms of the checkpoint; empty while it cannot be read."""
        with self._lock:
            try:
                status = (self.directory.path / CHECKPOINT).stat()
                version = (status.st_ino, status.st_mtime_ns)
                if version != self._histograms[0]:
                    state = self.directory.load().state
                    self._histograms = (version, compute_histograms(state.parameters, state.h))
            except (OSError, ElmanError):
                return []
            return self._histograms[1]

    def _refresh(self) -> None:
        """Read new data. An error becomes a warning, and the next call tries again."""
        try:
            if self._files.is_replaced():
                self._files = _Files(self.directory)
            self._files.read()
            self._warning = ""
        except _READ_ERRORS as error:
            self._warning = f"the files cannot be read at the moment: {safe_message(error)}"
        self._refreshed_at = time.monotonic()

    def _modified_at(self) -> float | None:
        """Return when metrics were last written, in seconds since 1970."""
        try:
            return self._files.metrics.path.stat().st_mtime
        except OSError:
            return None


def _read_about(directory: RunDirectory) -> dict[str, Any]:
    """Return the validated parts of ``run.json`` that the dashboard displays."""
    described, manifest = directory.metadata(), directory.manifest()
    try:
        corpus = described["corpus"]
        validated = {
            "name": require_str(corpus["name"], "the name of the text"),
            "chars": require_int(corpus["chars"], "the length of the text"),
            "alphabet_size": len(manifest.alphabet),
        }
    except (ValueError, KeyError, TypeError) as error:
        raise ElmanError(f"invalid run.json in {quote(directory.path)} ({safe_message(error)})") from error
    return {"config": asdict(manifest.config), "corpus": validated}
