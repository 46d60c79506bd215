"""``metrics.csv``: a header and one row per record of metrics."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from io import StringIO
from pathlib import Path

from elman.runs.loggers.base import MetricsLogger, append_synced
from elman.runs.records import COLUMNS, Metrics, Sample
from elman.storage.atomic import replace_file


class CsvLogger(MetricsLogger):
    """Writes ``metrics.csv``, from which a run's curve is read back."""

    target = "metrics.csv"
    help = "the metrics, one row each"
    always_on = True

    def __init__(self, directory: Path) -> None:
        self.path = directory / self.target

    def rewind(self, metrics: Sequence[Metrics], samples: Sequence[Sample]) -> None:
        """Replace the file by the header and these rows."""
        replace_file(self.path, (",".join(COLUMNS) + "\n").encode() + _rows(metrics))

    def append(self, metrics: Sequence[Metrics], samples: Sequence[Sample]) -> None:
        """Add rows."""
        append_synced(self.path, _rows(metrics))

    def close(self) -> None:
        """Do nothing: every write is complete."""


def _rows(metrics: Iterable[Metrics]) -> bytes:
    lines = StringIO()
    csv.writer(lines, lineterminator="\n").writerows([getattr(row, name) for name in COLUMNS] for row in metrics)
    return lines.getvalue().encode()
