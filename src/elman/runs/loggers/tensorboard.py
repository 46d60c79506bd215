"""``tensorboard/``: event files that TensorBoard shows."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from elman.errors import require_extra
from elman.runs.history import Metrics, Sample
from elman.runs.loggers import LoggerSpec, MetricsLogger, list_values, make_directory, without_surrogates

EVENTS = "events.out.tfevents.*"
"""The event files, one for each start of the run; TensorBoard reads them in the order of their names."""
TRAIN, VALIDATION = "loss/train", "loss/validation"
"""Comparable losses under tags that TensorBoard shows in one group."""


class TensorBoardLogger(MetricsLogger):
    """Writes the metrics as scalars and the samples as texts, with the update as the step.

    A resumed run adds an event file, which begins with the step from which TensorBoard discards the events of earlier
    files (``purge_step``). `tensorboardX.SummaryWriter` writes in another thread, in which an error would be lost.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        with require_extra("tensorboard"):
            from tensorboardX import summary
            from tensorboardX.event_file_writer import EventsWriter
            from tensorboardX.proto.event_pb2 import Event, SessionLog
        self._summary, self._open, self._event, self._session_log = summary, EventsWriter, Event, SessionLog
        self._writer: Any = None

    @classmethod
    def remove(cls, path: Path) -> None:
        """Remove the event files, and their directory unless it contains other files."""
        if path.is_symlink():
            path.unlink()
        for events in path.glob(EVENTS):
            events.unlink()
        with suppress(OSError):
            path.rmdir()

    def rewind(self, metrics: Sequence[Metrics], samples: Sequence[Sample]) -> None:
        """Begin an event file that replaces everything after the last of these rows, and add what is missing."""
        if not metrics:
            self.remove(self.path)
        make_directory(self.path)
        files = len(list(self.path.glob(EVENTS)))
        # From this step on, earlier files do not count: the last one may contain a sample that is dropped.
        first = metrics[-1].update if files else 0
        # The name contains the second and the host: the number distinguishes files of the same second.
        self._writer = self._open(str(self.path / "events"), f".{files:06}")
        self._write(time.time(), first, session_log=self._session_log(status=self._session_log.START))
        self.append([row for row in metrics if row.update >= first], [each for each in samples if each.update >= first])

    def append(self, metrics: Sequence[Metrics], samples: Sequence[Sample]) -> None:
        """Add events."""
        now = time.time()
        for row in metrics:
            values = list_values(row) | {TRAIN: row.train_loss}
            if row.validation_loss is not None:
                values[VALIDATION] = row.validation_loss
            scalars = [self._summary.scalar(name, value) for name, value in values.items()]
            # Rows are written in batches, but each belongs to the moment of its update.
            self._write_summaries(now - (metrics[-1].seconds - row.seconds), row.update, scalars)
        for sample in samples:  # as a Markdown code block, which shows a text unchanged
            block = "".join(f"    {line}\n" for line in without_surrogates(sample.text).split("\n"))
            self._write_summaries(now, sample.update, [self._summary.text("sample", block)])
        self._writer.flush()

    def close(self) -> None:
        """Close the event file."""
        if self._writer is not None:
            writer, self._writer = self._writer, None
            writer.close()

    def _write_summaries(self, moment: float, update: int, summaries: Iterable[Any]) -> None:
        values = [value for each in summaries for value in each.value]
        self._write(moment, update, summary={"value": values})

    def _write(self, moment: float, update: int, **contents: Any) -> None:
        self._writer.write_event(self._event(wall_time=moment, step=update, **contents))


SPEC = LoggerSpec(
    f"{__name__}:TensorBoardLogger", "tensorboard", "the metrics and samples for TensorBoard", extra="tensorboard"
)
