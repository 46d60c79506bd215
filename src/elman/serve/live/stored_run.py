"""A run in a directory, for a page to look at: finished, or in training by another process, which only adds lines."""

from __future__ import annotations

import csv
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from elman.errors import ElmanError
from elman.runs.directory import CHECKPOINT, METRICS, SAMPLES, RunDirectory
from elman.runs.records import Metrics, parse_metrics, parse_samples
from elman.serve.live.histograms import histograms
from elman.serve.live.history import Progress, Written
from elman.storage.untrusted import require_int, require_regular_file, require_str, safe_message

LOOK_SECONDS = 0.5
"""Between two looks at the files, at least."""
_SPOILT = (OSError, ElmanError, ValueError, KeyError, TypeError, ArithmeticError, csv.Error)
"""What reading may raise where files are spoilt, or just being replaced."""
_T = TypeVar("_T")


class Tail:
    """The whole lines of a file that grows at its end, each once.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._which, self._read = self._status()[0], 0

    def replaced(self) -> bool:
        """Whether another file stands there now, or one that was cut."""
        which, size = self._status()
        return which != self._which or size < self._read

    def read(self, parse: Callable[[list[str]], list[_T]]) -> list[_T]:
        """Return what the lines say that were added since; half a line is left for later.

        Lines of which one says nothing that can be understood are left as well, and so is what follows them.
        """
        with require_regular_file(self.path).open("rb") as file:
            file.seek(self._read)
            whole = file.read().rpartition(b"\n")[0]
        if not whole:
            return []
        found = parse(whole.decode("utf-8").split("\n"))
        self._read += len(whole) + 1
        return found

    def _status(self) -> tuple[tuple[int, int], int]:
        status = require_regular_file(self.path).stat()
        return (status.st_dev, status.st_ino), status.st_size


class _Files:
    """What is read of a run directory until one of its files is replaced, as when the run is gone on with."""

    def __init__(self, directory: RunDirectory) -> None:
        self.about = _about(directory)
        self.progress = Progress(self.about["config"]["batch_size"] * self.about["config"]["seq_length"])
        self.metrics, self.samples = Tail(directory.path / METRICS), Tail(directory.path / SAMPLES)
        self.columns: list[str] = []
        self.last: Metrics | None = None

    def replaced(self) -> bool:
        """Whether what was read is not what is there now."""
        return self.metrics.replaced() or self.samples.replaced()

    def read(self) -> None:
        """Read what was added."""
        rows = self.metrics.read(self._rows)
        self.progress.add(rows)
        self.last = rows[-1] if rows else self.last
        self.progress.samples.extend(map(Written, self.samples.read(parse_samples)))

    def _rows(self, lines: list[str]) -> list[Metrics]:
        if self.columns:
            return parse_metrics(csv.DictReader(lines, self.columns))
        found = csv.DictReader(lines)
        rows = parse_metrics(found)
        self.columns = [*(found.fieldnames or ())]  # once all is understood: else the header will come again
        return rows


class KeptRun:
    """A run directory that a page looks at.

    Parameters
    ----------
    path : Path

    Raises
    ------
    ElmanError
        If there is no run in it, or its files cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.directory, self.name = RunDirectory(path), path.resolve().name
        self.directory.metrics()  # both say best what is wrong
        self.directory.samples()
        self._lock = threading.Lock()
        self._files, self._looked_at, self._fault = _Files(self.directory), time.monotonic() - LOOK_SECONDS, ""
        self._histograms: tuple[tuple[int, int], list[dict[str, Any]]] = ((0, 0), [])

    @property
    def progress(self) -> Progress:
        """As far as the files tell now."""
        with self._lock:
            if time.monotonic() - self._looked_at >= LOOK_SECONDS:
                self._look()
            return self._files.progress

    def about(self) -> dict[str, Any]:
        """Return what ``run.json`` says."""
        return self._files.about

    def status(self) -> dict[str, Any]:
        """Return where the run stands."""
        progress, last = self.progress, self._files.last
        status = {"stage": "kept", "warning": self._fault, "written": self._written(), "update": 0, "epoch": 0}
        if last is None:
            return status
        return status | {
            "update": last.update,
            "epoch": last.epoch,
            "seconds": round(last.seconds, 1),
            "smooth_loss": last.smooth_loss,
            "minimum": progress.rows.least(),
            "best": progress.scores.least(),
            "chars_per_second": round(last.update * progress.characters / last.seconds) if last.seconds else None,
        }

    def histograms(self) -> list[dict[str, Any]]:
        """Return those of the checkpoint; none while it cannot be read."""
        with self._lock:
            try:
                status = (self.directory.path / CHECKPOINT).stat()
                which = (status.st_ino, status.st_mtime_ns)
                if which != self._histograms[0]:
                    state = self.directory.load().state
                    self._histograms = (which, histograms(state.parameters, state.h))
            except (OSError, ElmanError):
                return []
            return self._histograms[1]

    def _look(self) -> None:
        """Read what is new; what cannot be read now may be there at the next look."""
        try:
            if self._files.replaced():
                self._files = _Files(self.directory)
            self._files.read()
            self._fault = ""
        except _SPOILT as error:
            self._fault = f"the files cannot be read now: {safe_message(error)}"
        self._looked_at = time.monotonic()

    def _written(self) -> float | None:
        """When the rows were written, in seconds since 1970."""
        try:
            return self._files.metrics.path.stat().st_mtime
        except OSError:
            return None


def _about(directory: RunDirectory) -> dict[str, Any]:
    """Return of ``run.json`` what a page shows, each what it should be."""
    described, beginning = directory.metadata(), directory.manifest()
    try:
        corpus = described["corpus"]
        text_of_it = {
            "name": require_str(corpus["name"], "the name of the text"),
            "chars": require_int(corpus["chars"], "the length of the text"),
            "alphabet_size": len(beginning.alphabet),
        }
    except (ValueError, KeyError, TypeError) as error:
        raise ElmanError(
            f"run.json in {str(directory.path)!r} cannot be used ({safe_message(error)}): restore it"
        ) from error
    return {"config": beginning.config.as_dict(), "corpus": text_of_it}
