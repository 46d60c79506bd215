"""``samples.jsonl``: one JSON object per generated sample."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from elman.runs.loggers.base import MetricsLogger, append_synced
from elman.runs.records import Metrics, Sample
from elman.storage.atomic import replace_file


class SamplesLogger(MetricsLogger):
    """Writes ``samples.jsonl``, from which a run's samples are read back."""

    target = "samples.jsonl"
    help = "the generated samples, one JSON object each"
    always_on = True

    def __init__(self, folder: Path) -> None:
        self.path = folder / self.target

    def rewind(self, metrics: Sequence[Metrics], samples: Sequence[Sample]) -> None:
        """Replace the file by the lines of these samples."""
        replace_file(self.path, _lines(samples))

    def append(self, metrics: Sequence[Metrics], samples: Sequence[Sample]) -> None:
        """Add lines."""
        append_synced(self.path, _lines(samples))

    def close(self) -> None:
        """Do nothing: every write is complete."""


def _lines(samples: Iterable[Sample]) -> bytes:
    # JSON's escapes keep each sample on one line, whatever its text contains, and make lone surrogates writable.
    return "".join(json.dumps(asdict(sample)) + "\n" for sample in samples).encode()
