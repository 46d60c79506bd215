"""The protocol of loggers, those that write text files, and what several of them share."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from io import StringIO
from pathlib import Path
from typing import Any, ClassVar, Protocol

from elman.runs.records import COLUMNS, Metrics, Sample
from elman.storage.atomic import replace_file
from elman.storage.untrusted import parse_strict_json, require_finite, require_regular_file

RUN_JSON = "run.json"
"""The metadata of a run; it is written before the loggers of the run are started."""


class MetricsLogger(Protocol):
    """Writes the metrics and the samples of a run in one format.

    A logger is started by `rewind`, which makes it agree with the checkpoint, and then receives new records by
    `append`, always before the checkpoint that covers them is written. When `append` returns, the records must survive
    a power loss, as far as the logger writes the files itself. An `OSError` becomes the one-line error that names the
    directory.

    Parameters
    ----------
    directory : Path
        The directory of the run.
    """

    target: ClassVar[str]
    """The file or directory that it writes in the directory of the run; no two loggers share one."""
    help: ClassVar[str]
    """Its content for ``--help``: a phrase without a full stop."""
    extra: ClassVar[str] = ""
    """The optional dependency group that it needs, if any."""
    always_on: ClassVar[bool] = False
    """Whether every run has it; the others are named by ``--log``."""

    def __init__(self, directory: Path) -> None: ...

    @classmethod
    def remove(cls, directory: Path) -> None:
        """Remove the log of a run that is replaced, if there is one."""
        (directory / cls.target).unlink(missing_ok=True)

    def rewind(self, metrics: Sequence[Metrics], samples: Sequence[Sample]) -> None:
        """Contain exactly these records: drop later and partial ones, add missing ones. Of a new run there are none."""

    def append(self, metrics: Sequence[Metrics], samples: Sequence[Sample]) -> None:
        """Add records."""

    def close(self) -> None:
        """End the log: training has ended, or failed. By default, do nothing."""
        return


def append_synced(path: Path, data: bytes) -> None:
    """Append to a file and sync it to the disk."""
    with path.open("ab") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def read_if_exists(path: Path) -> bytes:
    """Return the contents of a file; nothing if it does not exist."""
    return require_regular_file(path).read_bytes() if path.exists() else b""


def read_run_json(directory: Path) -> dict[str, Any]:
    """Return the metadata of the run: its config, alphabet, corpus, versions and machine."""
    metadata: dict[str, Any] = parse_strict_json(require_regular_file(directory / RUN_JSON).read_text("utf-8"))
    return metadata


def without_surrogates(text: str) -> str:
    """Return a text whose lone surrogates, which no file can have, are replaced by escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


class CsvLogger(MetricsLogger):
    """Writes ``metrics.csv``, a header and a row each, from which a run's curve is read back."""

    target = "metrics.csv"
    help = "the metrics, one row each"
    always_on = True

    def __init__(self, directory: Path) -> None:
        self.path = directory / self.target

    def rewind(self, metrics: Sequence[Metrics], samples: Sequence[Sample]) -> None:
        """Replace the file by the header and these rows."""
        replace_file(self.path, (",".join(COLUMNS) + "\n").encode() + _csv_rows(metrics))

    def append(self, metrics: Sequence[Metrics], samples: Sequence[Sample]) -> None:
        """Add rows."""
        append_synced(self.path, _csv_rows(metrics))


class SamplesLogger(MetricsLogger):
    """Writes ``samples.jsonl``, from which a run's samples are read back."""

    target = "samples.jsonl"
    help = "the generated samples, one JSON object each"
    always_on = True

    def __init__(self, directory: Path) -> None:
        self.path = directory / self.target

    def rewind(self, metrics: Sequence[Metrics], samples: Sequence[Sample]) -> None:
        """Replace the file by the lines of these samples."""
        replace_file(self.path, _json_lines(samples))

    def append(self, metrics: Sequence[Metrics], samples: Sequence[Sample]) -> None:
        """Add lines."""
        append_synced(self.path, _json_lines(samples))


class JsonlLogger(MetricsLogger):
    """Writes one JSON object per row of ``metrics.csv``, with the same keys and `learning_rate`."""

    target = "metrics.jsonl"
    help = "the metrics as one JSON object per row, with the learning rate"

    def __init__(self, directory: Path) -> None:
        self.path = directory / self.target

    def rewind(self, metrics: Sequence[Metrics], samples: Sequence[Sample]) -> None:
        """Keep the lines of these rows, and add missing ones, whose learning rate is not known."""
        rates = self._learning_rates()
        replace_file(self.path, _json_lines(replace(row, learning_rate=rates.get(row.update)) for row in metrics))

    def append(self, metrics: Sequence[Metrics], samples: Sequence[Sample]) -> None:
        """Add lines."""
        append_synced(self.path, _json_lines(metrics))

    def _learning_rates(self) -> dict[int, float]:
        """Return the learning rates in the file, by update."""
        rates: dict[int, float] = {}
        for line in read_if_exists(self.path).split(b"\n"):
            try:
                row = parse_strict_json(line.decode("utf-8"))
                rates[row["update"]] = require_finite(row["learning_rate"], "learning_rate")
            except (ValueError, KeyError, TypeError):
                continue  # a partial line, or one without a learning rate
        return rates


def _csv_rows(metrics: Iterable[Metrics]) -> bytes:
    lines = StringIO()
    csv.writer(lines, lineterminator="\n").writerows([getattr(row, name) for name in COLUMNS] for row in metrics)
    return lines.getvalue().encode()


def _json_lines(records: Iterable[Metrics] | Iterable[Sample]) -> bytes:
    # JSON's escapes keep each record on one line, whatever its text contains, and make lone surrogates writable.
    return "".join(json.dumps(asdict(record)) + "\n" for record in records).encode("ascii")
