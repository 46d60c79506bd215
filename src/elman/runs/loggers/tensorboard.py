"""``tensorboard/``: an event file that TensorBoard shows, with losses in nats per character."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from elman.config import Config
from elman.errors import require_extra
from elman.runs.loggers.base import MetricsLogger, append_synced, read_config, read_if_exists
from elman.runs.records import Metrics, Sample
from elman.runs.train_loss import TrainLossEstimator
from elman.storage.atomic import replace_file

EVENTS = "events.out.tfevents.elman"
"""The only event file; TensorBoard looks for names that contain tfevents."""
RATE, SAMPLE = "learning_rate", "sample"
PER_WINDOW = ("smooth_loss", "loss")
SCALARS = (*PER_WINDOW, "validation_loss", "chars_per_second", RATE)
TRAIN, VALIDATION = "loss/train", "loss/validation"
"""Comparable losses under tags that TensorBoard shows in one group."""


class TensorBoardLogger(MetricsLogger):
    """Writes the metrics as scalars and the samples as texts, with the update as the step.

    Raises
    ------
    ElmanError
        If tensorboardX is not installed.
    """

    target = "tensorboard"
    help = "the metrics and samples for TensorBoard, losses in nats per character"
    extra = "tensorboard"

    def __init__(self, directory: Path) -> None:
        with require_extra(self.extra):
            from tensorboardX import summary
            from tensorboardX.proto.event_pb2 import Event
            from tensorboardX.record_writer import masked_crc32c
        self.directory, self.path = directory, directory / self.target / EVENTS
        self._summary, self._event, self._checksum = summary, Event, masked_crc32c
        self._seq_length, self._train_loss = 1, TrainLossEstimator(Config())

    @classmethod
    def remove(cls, directory: Path) -> None:
        """Remove the event file, and its directory unless something else is in there."""
        (directory / cls.target / EVENTS).unlink(missing_ok=True)
        with suppress(OSError):
            (directory / cls.target).rmdir()

    def rewind(self, metrics: Sequence[Metrics], samples: Sequence[Sample]) -> None:
        """Rewrite the file for these records, with the times and learning rates that it has of them."""
        config = read_config(self.directory)
        self._seq_length, self._train_loss = config.seq_length, TrainLossEstimator(config)
        self.path.parent.mkdir(exist_ok=True)
        now = time.time()
        old_rows: dict[int, tuple[float, float | None]] = {}  # their times and learning rates
        old_samples: dict[int, float] = {}  # their times
        for event in self._existing():
            values = {value.tag: value for value in event.summary.value}
            if values.keys() & set(SCALARS):
                old_rows[event.step] = event.wall_time, _scalar(values.get(RATE))
            else:
                old_samples[event.step] = event.wall_time
        events = [self._event(wall_time=now, file_version="brain.Event:2")]
        for row in metrics:
            moment, rate = old_rows.get(row.update, (now, None))
            events.append(self._row_event(moment, replace(row, learning_rate=rate)))
        events += [self._sample_event(old_samples.get(sample.update, now), sample) for sample in samples]
        replace_file(self.path, self._records(events))

    def append(self, metrics: Sequence[Metrics], samples: Sequence[Sample]) -> None:
        """Add events."""
        now = time.time()
        # Rows are written in batches, but each belongs to the moment of its update.
        events = [self._row_event(now - (metrics[-1].seconds - row.seconds), row) for row in metrics]
        events += [self._sample_event(now, sample) for sample in samples]
        append_synced(self.path, self._records(events))

    def close(self) -> None:
        """Do nothing: every write is complete."""

    def _row_event(self, moment: float, row: Metrics) -> Any:
        values = {name: getattr(row, name) for name in SCALARS}
        values |= {name: values[name] / self._seq_length for name in PER_WINDOW}
        values |= {TRAIN: self._train_loss.append(row), VALIDATION: row.validation_loss}
        scalars = [self._summary.scalar(name, value) for name, value in values.items() if value is not None]
        return self._merge(moment, row.update, scalars)

    def _sample_event(self, moment: float, sample: Sample) -> Any:
        return self._merge(moment, sample.update, [self._summary.text(SAMPLE, _code_block(sample.text))])

    def _merge(self, moment: float, update: int, summaries: Iterable[Any]) -> Any:
        event = self._event(wall_time=moment, step=update)
        for summary in summaries:
            event.summary.MergeFrom(summary)
        return event

    def _records(self, events: Iterable[Any]) -> bytes:
        """Return events as TFRecords: the length and the data, each followed by its checksum."""
        parts = []
        for event in events:
            data: bytes = event.SerializeToString()
            length = struct.pack("<Q", len(data))
            parts += [length, self._masked_crc(length), data, self._masked_crc(data)]
        return b"".join(parts)

    def _masked_crc(self, data: bytes) -> bytes:
        return struct.pack("<I", self._checksum(data))

    def _existing(self) -> Iterator[Any]:
        """Yield the intact events of the file; everything after a damaged one is lost."""
        rest = memoryview(read_if_exists(self.path))
        while len(rest) > 16:
            (size,) = struct.unpack("<Q", rest[:8])
            data, checksum = bytes(rest[12 : 12 + size]), rest[12 + size : 16 + size]
            if bytes(checksum) != self._masked_crc(data):
                return
            try:
                event = self._event.FromString(data)
            except Exception:  # protobuf's own error, not a dependency of ours: another program wrote this
                return
            if event.summary.value:
                yield event
            rest = rest[16 + size :]


def _scalar(value: Any) -> float | None:
    """Return the number of a summary's value, in whichever of its two fields it is stored."""
    if value is None:
        return None
    return float(value.simple_value if value.WhichOneof("value") == "simple_value" else value.tensor.float_val[0])


def _code_block(text: str) -> str:
    """Return a text as a Markdown code block, which shows it unchanged; lone surrogates become escapes."""
    writable = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(f"    {line}\n" for line in writable.split("\n"))
