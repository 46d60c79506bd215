"""The run directory, as it is read: the files of one run, which agree at every instant; `elman.runs.writer` has why."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from elman.errors import ElmanError, option, quote
from elman.runs.checkpoint import Checkpoint, load_checkpoint
from elman.runs.history import Metrics, Sample, parse_metrics, parse_samples
from elman.runs.loggers import LOGGERS, MANIFEST, MAX_RECORDS
from elman.runs.manifest import RunManifest
from elman.runs.snapshot import BEST as BEST
from elman.runs.snapshot import CHECKPOINT as CHECKPOINT
from elman.storage import exists
from elman.storage.files import PARTIAL_SUFFIX
from elman.storage.tensors import read_description
from elman.storage.untrusted import MAX_FILE, parse_strict_json, read_regular_file, require_int, safe_message

METRICS, SAMPLES = LOGGERS["csv"].target, LOGGERS["samples"].target
PLOT, LOCK = "smooth_loss.png", ".lock"
FILES = (CHECKPOINT, BEST, METRICS, SAMPLES, MANIFEST)
"""The files of a run directory that cannot be made again without training."""
_T = TypeVar("_T")
_Record = TypeVar("_Record", Metrics, Sample)


class RunDirectory:
    """The files of one run, of which checkpoint, metrics and samples belong together."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def holds_run(self) -> bool:
        """Whether it contains a run, that is, a checkpoint."""
        return exists(self.path / CHECKPOINT)

    def is_empty(self) -> bool:
        """Whether it exists and is empty, except for files of a process that was killed right at the start."""
        try:
            return all(path.name in (LOCK, MANIFEST) or path.suffix == PARTIAL_SUFFIX for path in self.path.iterdir())
        except OSError:
            return False

    def require_unused(self, remedy: str = "") -> None:
        """Raise ElmanError if there is a run or a model."""
        if self.holds_run():
            raise ElmanError(f"{quote(self.path)} already contains a run; {remedy}choose another {option.out}")
        if (self.path / BEST).exists():
            raise ElmanError(f"{quote(self.path)} already contains a model; choose another {option.out}")

    def load(self) -> Checkpoint:
        """Load the checkpoint."""
        return load_checkpoint(self.path / CHECKPOINT)

    def metrics(self) -> list[Metrics]:
        """Read the rows of ``metrics.csv`` that the checkpoint covers; a full disk may leave more."""
        return self._select_covered(self.written_metrics())

    def written_metrics(self) -> list[Metrics]:
        """Read all rows of ``metrics.csv``."""
        return self._read(METRICS, lambda data: parse_metrics(_complete_lines(data)))

    def samples(self) -> list[Sample]:
        """Read the lines of ``samples.jsonl`` that the checkpoint covers."""
        return self._select_covered(self._read(SAMPLES, lambda data: parse_samples(_complete_lines(data))))

    def _select_covered(self, records: list[_Record]) -> list[_Record]:
        """Return the records that the checkpoint covers; all, if it cannot be read."""
        try:
            last = require_int(read_description(self.path / CHECKPOINT)["state"]["update"], "update")
        except (ValueError, KeyError, TypeError):
            return records
        return [record for record in records if record.update <= last]

    def read_manifest(self) -> dict[str, Any]:
        """Read ``run.json``."""
        return self._read(MANIFEST, lambda data: dict(parse_strict_json(data.decode("utf-8"))))

    def manifest(self) -> RunManifest:
        """Read and parse ``run.json``."""
        return self._read(MANIFEST, lambda data: RunManifest.parse(parse_strict_json(data.decode("utf-8"))))

    def manifest_if_valid(self) -> RunManifest | None:
        """Return the same; None if it is lost or damaged, since a run with a checkpoint is resumed without it, too."""
        try:
            return self.manifest()
        except ElmanError:
            return None

    def _read(self, name: str, parse: Callable[[bytes], _T]) -> _T:
        path = self.path / name
        try:
            return parse(read_regular_file(path, MAX_FILE if name == MANIFEST else MAX_RECORDS))
        except FileNotFoundError:
            if self.holds_run():
                raise ElmanError(f"the run in {quote(self.path)} has no {name}") from None
            raise ElmanError(f"no {name} in {quote(self.path)}; pass a run directory written by elman train") from None
        except NotADirectoryError:
            raise ElmanError(f"{quote(self.path)} is a file; pass a run directory written by elman train") from None
        except (OSError, ElmanError, ValueError, KeyError, TypeError, ArithmeticError, csv.Error) as error:
            remedy = "restore a copy or train again"
            raise ElmanError(f"{quote(path)} cannot be read as {name} ({safe_message(error)}); {remedy}") from error


def _complete_lines(data: bytes) -> list[str]:
    """Return lines without a partial one at the end, which a killed run may have left."""
    return data[: data.rfind(b"\n") + 1].decode("utf-8").split("\n")[:-1]
