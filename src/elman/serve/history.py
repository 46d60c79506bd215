"""The history of a run as the dashboard shows it: downsampled curves, samples and histograms."""

from __future__ import annotations

import math
import secrets
from array import array
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from elman.config import Config
from elman.network.parameters import Architecture, Array, Parameters, architecture
from elman.runs.records import Metrics, Sample, TrainLossEstimator, finite_or_none

MAX_BUCKETS = 1000
"""Maximum number of buckets of a curve; each contributes at most two points."""
MAX_SAMPLES = 200
"""Maximum number of samples sent at once; of more, the latest."""
BINS = 40
"""Bins of a histogram."""

Points = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]
"""Updates, seconds, and the values there."""


class MetricCurve:
    """Values of a metric over a run, ordered by update. One thread may append while others read.

    New points are returned as JSON: those under `update`, `seconds` and `value` replace the points that the client has
    from the update `since` on; `count` is what the client sends with its next request. The server keeps no state about
    its clients.
    """

    def __init__(self) -> None:
        self._updates, self._seconds, self._values = array("q"), array("d"), array("d")
        self._count = 0

    @property
    def last(self) -> int:
        """The update of the last point; -1 if there is none."""
        return self._updates[self._count - 1] if self._count else -1

    def append(self, update: int, seconds: float, value: float) -> None:
        """Append a point, unless its value is not finite or its update is not after the last."""
        if update > self.last and math.isfinite(value):
            self._updates.append(update)
            self._seconds.append(seconds)
            self._values.append(value)
            self._count += 1  # last, as readers use only what is counted

    def since(self, sent: int) -> dict[str, Any]:
        """Return the new points for a client that has the first `sent` points, downsampled."""
        count = self._count
        width, start = _bucket_width(count), 0
        if sent == count:
            start = count
        elif 0 < sent < count and _bucket_width(sent) == width:
            start = (sent - 1) // width * width  # the bucket of the point that was the last one is sent again
        points = self._points(start, count)
        since = int(points[0][0]) if start < count else self.last + 1
        return {"since": since, "count": count} | _as_json(downsample(points, width))

    def between(self, first: int, last: int) -> dict[str, Any]:
        """Return the points of the updates from `first` to `last`, and one more on either side, downsampled."""
        updates, seconds, values = self._points(0, self._count)
        low = max(0, int(np.searchsorted(updates, first)) - 1)
        high = int(np.searchsorted(updates, last, "right")) + 1
        points = updates[low:high], seconds[low:high], values[low:high]
        return _as_json(downsample(points, _bucket_width(len(points[0]))))

    def minimum(self) -> tuple[int, float] | None:
        """Return the update with the lowest value, and that value; None if there are no points."""
        updates, _, values = self._points(0, self._count)
        return (int(updates[values.argmin()]), float(values.min())) if len(values) else None

    def _points(self, start: int, end: int) -> Points:
        # Slices are copies: an array whose buffer is exported could not grow.
        columns = self._updates[start:end], self._seconds[start:end], self._values[start:end]
        updates, seconds, values = map(np.asarray, columns)
        return updates, seconds, values


def _bucket_width(count: int) -> int:
    """Return the points per bucket: the smallest power of two for which the buckets suffice."""
    width = 1
    while count > width * MAX_BUCKETS:
        width *= 2
    return width


def downsample(points: Points, width: int) -> Points:
    """Return the points with the lowest and the highest value of every bucket of `width` points, and the last point."""
    updates, seconds, values = points
    if width == 1 or not len(values):
        return points
    buckets = np.pad(values, (0, -len(values) % width), "edge").reshape(-1, width)
    starts = np.arange(len(buckets)) * width
    extremes = np.concatenate([starts + buckets.argmin(axis=1), starts + buckets.argmax(axis=1), [len(values)]])
    extremes = np.unique(np.minimum(extremes, len(values) - 1))
    return updates[extremes], seconds[extremes], values[extremes]


def _as_json(points: Points) -> dict[str, Any]:
    updates, seconds, values = points
    return {
        "update": updates.tolist(),
        "seconds": np.round(seconds, 6).tolist(),
        "value": [float(f"{value:.6g}") for value in values.tolist()],
    }


class ClientCursor(NamedTuple):
    """The data that a client has already: the number of points of each curve, and of samples.

    The curve of the train loss has as many points as that of the smooth loss.
    """

    smooth_loss: int = 0
    validation_loss: int = 0
    samples: int = 0


@dataclass(frozen=True)
class SampleEntry:
    """A sample, and whether it was requested from the dashboard."""

    sample: Sample
    is_requested: bool = False


@dataclass(eq=False)
class RunHistory:
    """Curves and samples of a run from its first update on. One thread may append while others read.

    Parameters
    ----------
    config : Config
        Of the run.
    session : str
        Changes when the history starts anew, so that clients discard what they have.
    smooth_loss, train_loss, validation_loss : MetricCurve
        In nats per window, per character and per character.
    samples : list of SampleEntry
    """

    config: Config
    session: str = field(default_factory=lambda: secrets.token_hex(8))
    smooth_loss: MetricCurve = field(default_factory=MetricCurve)
    train_loss: MetricCurve = field(default_factory=MetricCurve)
    validation_loss: MetricCurve = field(default_factory=MetricCurve)
    samples: list[SampleEntry] = field(default_factory=list)
    last_train_loss: float | None = field(default=None, init=False)
    """The train loss at the last point."""

    def __post_init__(self) -> None:
        self._estimator = TrainLossEstimator(self.config)

    def extend(self, metrics: Sequence[Metrics]) -> None:
        """Append rows of metrics."""
        for row in metrics:
            self._add(row.update, row.seconds, row.smooth_loss, self._estimator.append(row))
            if row.validation_loss is not None:
                self.validation_loss.append(row.update, row.seconds, row.validation_loss)

    def add_point(self, update: int, seconds: float, smooth_loss: float) -> None:
        """Append a point of the smooth loss and of the train loss between two rows."""
        self._add(update, seconds, smooth_loss, self._estimator.at(update, smooth_loss))

    def _add(self, update: int, seconds: float, smooth_loss: float, train_loss: float) -> None:
        self.smooth_loss.append(update, seconds, smooth_loss)
        self.train_loss.append(update, seconds, train_loss)
        self.last_train_loss = finite_or_none(train_loss)

    def since(self, cursor: ClientCursor) -> dict[str, Any]:
        """Return the data that a client lacks."""
        return {
            "session": self.session,
            "smooth_loss": self.smooth_loss.since(cursor.smooth_loss),
            "train_loss": self.train_loss.since(cursor.smooth_loss),
            "validation_loss": self.validation_loss.since(cursor.validation_loss),
            "samples": self._samples_since(cursor.samples),
        }

    def between(self, first: int, last: int) -> dict[str, Any]:
        """Return the curves from one update to another, in more detail."""
        return {
            "session": self.session,
            "smooth_loss": self.smooth_loss.between(first, last),
            "train_loss": self.train_loss.between(first, last),
            "validation_loss": self.validation_loss.between(first, last),
        }

    def _samples_since(self, sent: int) -> dict[str, Any]:
        count = len(self.samples)
        new = self.samples[max(sent, count - MAX_SAMPLES) : count]
        return {"count": count, "new": [asdict(entry.sample) | {"requested": entry.is_requested} for entry in new]}


class RunSource(Protocol):
    """A run that the dashboard displays."""

    name: str

    @property
    def history(self) -> RunHistory:
        """The history so far."""

    def about(self) -> dict[str, Any]:
        """Return the contents of ``run.json``; empty as long as they are not known."""

    def status(self) -> dict[str, Any]:
        """Return the current status."""

    def histograms(self) -> list[dict[str, Any]]:
        """Return histograms of the weights and of the hidden states; empty as long as there are none."""


def compute_histograms(parameters: Parameters, states: Array) -> list[dict[str, Any]]:
    """Return a histogram of every parameter array and of every state vector of every layer.

    D  numbers in the state

    Parameters
    ----------
    parameters : Parameters
    states : ndarray, shape (…, D)
        States of several batch rows or moments.

    Returns
    -------
    list of dict
        `name`; `low` and `high`, the outer edges of the bins; and `counts`, the numbers in each bin.
    """
    arrays = (*parameters.items(), *_split_states(architecture(parameters), states))
    return [_histogram(name, array) for name, array in arrays]


def _split_states(network: Architecture, states: Array) -> list[tuple[str, Array]]:
    m, names = network.m, [vector.symbol for vector in network.spec.state]
    vectors: list[tuple[str, Array]] = []
    for layer in range(network.layers):
        for name in names:
            start = len(vectors) * m
            vectors.append((f"{name}{layer + 1 if layer else ''}", states[..., start : start + m]))
    return vectors


def _histogram(name: str, array: Array) -> dict[str, Any]:
    finite = array[np.isfinite(array)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    if low == high:  # such as biases that are still 0
        low, high = low - 0.5, high + 0.5
    counts, _ = np.histogram(finite, BINS, (low, high))
    return {"name": name, "low": low, "high": high, "counts": counts.tolist()}
