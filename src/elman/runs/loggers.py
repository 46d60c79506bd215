"""The metrics and the samples once more, in the formats of other tools: lines of JSON, and events for TensorBoard.

A log is kept as ``metrics.csv`` is: what is added is on the disk before the checkpoint that covers it, and when the run
is gone on with, what no checkpoint covers is taken away, and what is missing (because the run went on without the log
for a while) is put there.
"""

from __future__ import annotations

import json
import os
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from elman.errors import ElmanError, require_extra
from elman.runs.records import Log, Metrics, Sample
from elman.storage.atomic import replace_file
from elman.storage.untrusted import parse_strict_json, require_finite, require_regular_file

JSONL, TENSORBOARD = "metrics.jsonl", "tensorboard"
EVENTS = "events.out.tfevents.elman"
"""The one file of events; TensorBoard looks for what has tfevents in its name."""
SCALARS = ("smooth_loss", "loss", "validation_loss", "chars_per_second", "learning_rate")


class JsonLines:
    """One JSON object a row of ``metrics.csv``, with the same keys, and `learning_rate`.

    Parameters
    ----------
    folder : Path
        Of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / JSONL

    def rewind(self, metrics: Sequence[Metrics], samples: Sequence[Sample]) -> None:
        """Keep the lines of these rows, and add those that are missing, whose learning rate is not known."""
        rates = self._rates()
        replace_file(self.path, _lines(metrics, [rates.get(row.update) for row in metrics]))

    def append(self, metrics: Sequence[Metrics], rates: Sequence[float], samples: Sequence[Sample]) -> None:
        """Add lines."""
        _append(self.path, _lines(metrics, rates))

    def _rates(self) -> dict[int, float]:
        """Return the learning rates that the file tells, by their updates."""
        found: dict[int, float] = {}
        for line in _bytes(self.path).split(b"\n"):
            try:
                row = parse_strict_json(line.decode("utf-8"))
                found[row["update"]] = require_finite(row["learning_rate"], "learning_rate")
            except (ValueError, KeyError, TypeError):
                continue  # half a line, or one whose rate is not known
        return found


def _lines(metrics: Iterable[Metrics], rates: Iterable[float | None]) -> bytes:
    rows = (asdict(row) | {"learning_rate": rate} for row, rate in zip(metrics, rates, strict=True))
    return "".join(json.dumps(row) + "\n" for row in rows).encode("ascii")


class TensorBoard:
    """The rows as scalars and the samples as texts, of one step an update, in a file of events.

    Parameters
    ----------
    folder : Path
        Of the run.

    Raises
    ------
    ElmanError
        If tensorboardX is not installed.
    """

    def __init__(self, folder: Path) -> None:
        with require_extra("tensorboard"):
            from tensorboardX import summary
            from tensorboardX.proto.event_pb2 import Event
            from tensorboardX.record_writer import masked_crc32c
        self.path = folder / TENSORBOARD / EVENTS
        self._summary, self._event, self._checksum = summary, Event, masked_crc32c

    def rewind(self, metrics: Sequence[Metrics], samples: Sequence[Sample]) -> None:
        """Keep the events of these rows and samples, and add those that are missing; the rate of these is not known."""
        self.path.parent.mkdir(exist_ok=True)
        rows, texts = {row.update: row for row in metrics}, {sample.update: sample for sample in samples}
        data = self._record(self._event(wall_time=time.time(), file_version="brain.Event:2"))
        for event in self._kept():
            tags = {value.tag for value in event.summary.value}
            if (rows if tags & set(SCALARS) else texts).pop(event.step, None) is not None:
                data += self._record(event)
        data += self._events([*rows.values()], [None] * len(rows), texts.values())
        replace_file(self.path, data)

    def append(self, metrics: Sequence[Metrics], rates: Sequence[float], samples: Sequence[Sample]) -> None:
        """Add events."""
        _append(self.path, self._events(metrics, rates, samples))

    def _events(self, metrics: Sequence[Metrics], rates: Iterable[float | None], samples: Iterable[Sample]) -> bytes:
        events, now = [], time.time()
        for row, rate in zip(metrics, rates, strict=True):
            figures = asdict(row) | {"learning_rate": rate}
            told = [self._summary.scalar(name, figures[name]) for name in SCALARS if figures[name] is not None]
            # Rows are written together, and each belongs to the moment of its update.
            events.append(self._told(now - (metrics[-1].seconds - row.seconds), row.update, told))
        for sample in samples:
            events.append(self._told(now, sample.update, [self._summary.text("sample", _code(sample.text))]))
        return b"".join(map(self._record, events))

    def _told(self, moment: float, update: int, summaries: list[Any]) -> Any:
        """Return one event for all that is told of an update."""
        event = self._event(wall_time=moment, step=update)
        for summary in summaries:
            event.summary.MergeFrom(summary)
        return event

    def _record(self, event: Any) -> bytes:
        """Return an event as it stands in the file: its length and itself, a checksum behind each."""
        data: bytes = event.SerializeToString()
        length = struct.pack("<Q", len(data))
        return length + self._sum(length) + data + self._sum(data)

    def _sum(self, data: bytes) -> bytes:
        return struct.pack("<I", self._checksum(data))

    def _kept(self) -> Iterator[Any]:
        """Yield the events that the file holds whole; what stands behind half an event is lost."""
        rest = memoryview(_bytes(self.path))
        while len(rest) > 16:
            (size,) = struct.unpack("<Q", rest[:8])
            data, end = bytes(rest[12 : 12 + size]), rest[12 + size : 16 + size]
            if bytes(end) != self._sum(data):
                return
            try:
                event = self._event.FromString(data)
            except Exception:  # an error of protobuf's, which is no library of ours: another program wrote this
                return
            if event.summary.value:
                yield event
            rest = rest[16 + size :]


def _code(text: str) -> str:
    """Return a text as Markdown that shows it as it is; a lone surrogate, which no message can hold, as its escape."""
    writable = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(f"    {line}\n" for line in writable.split("\n"))


def _bytes(path: Path) -> bytes:
    """Return what a file holds; nothing where there is none."""
    return require_regular_file(path).read_bytes() if path.exists() else b""


def _append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


LOGS: dict[str, tuple[Callable[[Path], Log], str]] = {
    "jsonl": (JsonLines, JSONL),
    "tensorboard": (TensorBoard, TENSORBOARD),
}
"""By their names: what writes them, and where they are in the directory of the run."""


def open_logs(folder: Path, names: Sequence[str], *, resume: bool) -> list[Log]:
    """Return the logs to write: those that are named and, where a run is gone on with, those that are there.

    Raises
    ------
    ElmanError
        If there is no such log, or its library is not installed.
    """
    for name in names:
        if name not in LOGS:
            raise ElmanError(f"--log must be {' or '.join(LOGS)}, and {name!r} came: give one of them")
    there = [name for name, (_, place) in LOGS.items() if resume and os.path.exists(folder / place)]  # noqa: PTH110
    return [LOGS[name][0](folder) for name in dict.fromkeys([*names, *there])]
