"""Loggers that write JSON lines: ``samples.jsonl`` of every run, and ``metrics.jsonl`` of ``--log jsonl``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from elman.runs.loggers.base import MetricsLogger, append_synced, read_if_exists
from elman.runs.records import Metrics, Sample
from elman.storage.atomic import replace_file
from elman.storage.untrusted import parse_strict_json, require_finite


class JsonlLogger(MetricsLogger):
    """Writes one JSON object per row of ``metrics.csv``, with the same keys and `learning_rate`."""

    target = "metrics.jsonl"
    help = "the metrics as one JSON object per row, with the learning rate"

    def __init__(self, directory: Path) -> None:
        self.path = directory / self.target

    def rewind(self, metrics: Sequence[Metrics], samples: Sequence[Sample]) -> None:
        """Keep the lines of these rows, and add missing ones, whose learning rate is not known."""
        rates = self._learning_rates()
        replace_file(self.path, _lines(replace(row, learning_rate=rates.get(row.update)) for row in metrics))

    def append(self, metrics: Sequence[Metrics], samples: Sequence[Sample]) -> None:
        """Add lines."""
        append_synced(self.path, _lines(metrics))

    def close(self) -> None:
        """Do nothing: every write is complete."""

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


class SamplesLogger(MetricsLogger):
    """Writes ``samples.jsonl``, from which a run's samples are read back."""

    target = "samples.jsonl"
    help = "the generated samples, one JSON object each"
    always_on = True

    def __init__(self, directory: Path) -> None:
        self.path = directory / self.target

    def rewind(self, metrics: Sequence[Metrics], samples: Sequence[Sample]) -> None:
        """Replace the file by the lines of these samples."""
        replace_file(self.path, _lines(samples))

    def append(self, metrics: Sequence[Metrics], samples: Sequence[Sample]) -> None:
        """Add lines."""
        append_synced(self.path, _lines(samples))

    def close(self) -> None:
        """Do nothing: every write is complete."""


def _lines(records: Iterable[Metrics] | Iterable[Sample]) -> bytes:
    # JSON's escapes keep each record on one line, whatever its text contains, and make lone surrogates writable.
    return "".join(json.dumps(asdict(record)) + "\n" for record in records).encode("ascii")
