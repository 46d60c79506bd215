"""The history of a run: rows of metrics, generated samples, their strict parsers, and the train loss at each row."""

from __future__ import annotations

import csv
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from statistics import fmean
from typing import Any, NamedTuple, TypeVar, overload

from elman.config import Config
from elman.errors import format_count, require_extra
from elman.storage.files import parse_strict_json, require_finite, require_int, require_str

NEWEST = 1000
"""Newest records of a run with a directory that stay in memory, together with at most as many older records."""

DECAY = 0.999
"""Decay of the smooth loss per update."""
RECENT_FRACTION = 0.1
"""The train loss is the mean loss over this last fraction of the updates."""
MIN_RECENT_UPDATES = 20
"""The train loss averages at least so many updates; in the presets, these always include a row."""
SMOOTH_UPDATES = 10_000
"""Update from which the smooth loss, which averages some 1,000 updates, does not lag behind noticeably."""
MIN_CHARS = 250
"""The train loss averages the losses of at least so many characters."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Metrics:
    """The metrics after `update` updates: a row of ``metrics.csv``."""

    update: int
    """Updates completed."""
    epoch: float
    """Epochs completed, such as 0.26."""
    smooth_loss: float
    """The smooth loss, an exponential moving average of `loss` with decay 0.999, in nats per character."""
    loss: float
    """The loss of this update, the mean over all characters of its batch, in nats per character."""
    train_loss: float
    """The weighted mean loss of about the last tenth of the updates, in nats per character."""
    validation_loss: float | None
    """Loss of the held-out text in nats per character, where it was evaluated."""
    seconds: float
    """Seconds spent in updates since the start of the run."""
    chars_per_second: float
    """Characters trained on per second since the previous row."""
    learning_rate: float
    """The learning rate of this update."""


COLUMNS = tuple(column.name for column in fields(Metrics))
"""The header of ``metrics.csv``."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A line of ``samples.jsonl``: text generated after `update` updates.

    Examples
    --------
    >>> import elman
    >>> text = elman.Corpus.from_text("the cat sat on the mat. " * 40)
    >>> run = elman.train(text, preset="reference", hidden_size=16, max_updates=100, engine="numpy")
    >>> run.samples[0].update
    0
    """

    update: int
    smooth_loss: float | None
    """The smooth loss in nats per character; None before the first update."""
    text: str

    def _repr_html_(self) -> str:
        from elman.notebook import render_text

        return render_text(f"sample after {format_count(self.update, 'update')}", self.text)


class Records(Sequence[T]):
    """Records; the older ones may be only in a file, from which `read` returns all. One thread appends."""

    def __init__(self, records: Iterable[T] = (), read: Callable[[], list[T]] | None = None) -> None:
        self._read = read
        self._split: tuple[int, list[T]] = (0, list(records))  # number of records only in the file, and the others

    def append(self, record: T) -> None:
        """Add a record."""
        self._split[1].append(record)

    def spill(self) -> None:
        """Drop older records from memory; the file must contain all of them by now."""
        older, newest = self._split
        if self._read is not None and len(newest) > 2 * NEWEST:
            self._split = (older + len(newest) - NEWEST, newest[-NEWEST:])

    def to_pandas(self) -> Any:
        """Return the records as a ``pandas.DataFrame``, a column per field."""
        with require_extra("pandas"):
            from pandas import DataFrame
        return DataFrame([asdict(record) for record in self])  # type: ignore[call-overload]

    def __repr__(self) -> str:
        return f"<{format_count(len(self), 'record')}{f', the last {self[-1]!r}' if len(self) else ''}>"

    def __len__(self) -> int:
        older, newest = self._split
        return older + len(newest)

    def __iter__(self) -> Iterator[T]:
        return iter(self[:])

    def __reversed__(self) -> Iterator[T]:
        return reversed(self[:])

    def __eq__(self, other: object) -> bool:
        return self[:] == list(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    @overload
    def __getitem__(self, at: int) -> T: ...
    @overload
    def __getitem__(self, at: slice) -> list[T]: ...
    def __getitem__(self, at: int | slice) -> T | list[T]:
        older, newest = self._split
        indices = range(older + len(newest))[at]  # raises IndexError beyond the end
        first = indices if isinstance(indices, int) else min(indices, default=older)
        if self._read is not None and first < older:
            older, newest = 0, self._read()[:older] + newest
        return newest[indices - older] if isinstance(indices, int) else [newest[index - older] for index in indices]


class Losses(NamedTuple):
    """The losses at an update, in nats per character, from which later train losses are computed."""

    update: int
    smooth_loss: float
    loss: float


class TrainLossEstimator:
    """Computes the train loss, comparable with the validation loss; all losses are in nats per character.

    The train loss is a weighted mean of the losses since the last row before the recent updates: the last tenth of the
    updates, or at least the last 20. A loss has `DECAY` times the weight of the loss after it. This mean follows from
    the smooth loss at both ends:

        S_b = decay^(b - a) S_a + (1 - decay^(b - a)) mean

    Before there is such a row, the train loss is the mean loss of the rows or, if they cover too few characters, the
    smooth loss. It depends only on the rows, so it is the same for a resumed run and for a run that is read from its
    files.
    """

    def __init__(self, config: Config, rows: Iterable[Metrics] = ()) -> None:
        self._chars_per_update = config.chars_per_update
        self._min_recent = max(MIN_RECENT_UPDATES, -(-MIN_CHARS // config.chars_per_update))
        self._rows = deque[Losses]()  # from the last row that precedes the recent updates
        for row in rows:
            self.append(row.update, row.smooth_loss, row.loss)

    def append(self, update: int, smooth_loss: float, loss: float) -> float:
        """Add the next row, and return the train loss there."""
        self._rows.append(Losses(update, smooth_loss, loss))
        while len(self._rows) > 1 and self._rows[1].update <= self._first_recent(update):
            self._rows.popleft()
        return self.at(update, smooth_loss)

    def at(self, update: int, smooth_loss: float) -> float:
        """Return the train loss at an update after the last row, or at it, where the smooth loss is `smooth_loss`."""
        first = self._first_recent(update)
        start = next((row for row in reversed(self._rows) if row.update <= first), None)
        if start is not None:
            return mean_since(start, update, smooth_loss)
        if len(self._rows) * self._chars_per_update >= MIN_CHARS:
            return fmean(row.loss for row in self._rows)
        return smooth_loss

    def _first_recent(self, update: int) -> int:
        """Return the last update before the recent ones; there is at least one recent update."""
        return update - max(self._min_recent, int(RECENT_FRACTION * update))


def mean_since(start: Losses, update: int, smooth_loss: float) -> float:
    """Return the weighted mean of the losses since a row, see `TrainLossEstimator`."""
    weight = DECAY ** (update - start.update)
    return (smooth_loss - weight * start.smooth_loss) / (1 - weight)


def parse_metrics(lines: Iterable[str]) -> list[Metrics]:
    """Parse the lines of ``metrics.csv``; raise ValueError, KeyError, TypeError or csv.Error if one is wrong."""
    rows = csv.DictReader(lines)
    if rows.fieldnames not in (None, [*COLUMNS]):
        raise ValueError("its header was not written by this version")
    return [Metrics(**_parse_row(row)) for row in rows]


def _parse_row(row: dict[str, str]) -> dict[str, Any]:
    if None in row or None in row.values():
        raise ValueError("a row does not have as many fields as the header")
    update, *others = row
    numbers = {name: require_finite(float(row[name]), name) for name in others if row[name]}
    return {update: require_int(int(row[update]), update), "validation_loss": None, **numbers}


def parse_samples(lines: Iterable[str]) -> list[Sample]:
    """Parse lines of ``samples.jsonl``; raise ValueError, KeyError or TypeError if one is wrong."""
    samples = []
    for line in map(parse_strict_json, lines):
        loss = None if line["smooth_loss"] is None else require_finite(line["smooth_loss"], "smooth_loss")
        samples.append(Sample(require_int(line["update"], "update"), loss, require_str(line["text"], "text")))
    return samples


def finite_or_none(value: float) -> float | None:
    """Return a number that JSON can represent: None for nan and the infinities."""
    return value if math.isfinite(value) else None


def summarize(config: Config, results: Mapping[str, Any]) -> dict[str, object]:
    """Return the network, the text and the progress of a run, for a table."""
    return {
        "text": results["text"],
        "network": "counts" if config.is_counts_only else f"{config.layers} x {config.cell} {config.hidden_size}",
        "updates": results["updates"],
        "seconds": round(round(results["seconds"], 3), 1),  # the seconds of a run in memory are rounded already
        "train loss": results["train_loss"],
        "validation loss": results["validation_loss"],
    }
