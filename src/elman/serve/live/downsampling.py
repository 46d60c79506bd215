"""Downsampling for display: curves reduced to the extremes of every bucket, arrays reduced to histograms."""

from __future__ import annotations

import math
from array import array
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.network.parameters import Architecture, Array, Parameters, architecture

MAX_BUCKETS = 1000
"""Maximum number of buckets of a curve; each contributes at most two points."""
MAX_SPEED_BUCKETS = 200
"""Maximum number of buckets for which the speed is reported."""
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

    def __len__(self) -> int:
        return self._count

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
        width = _bucket_width(count, MAX_BUCKETS)
        # The bucket that was not full the last time is sent again.
        start = sent // width * width if _has_same_buckets(sent, count, MAX_BUCKETS) else 0
        points = self._points(start, count)
        since = int(points[0][0]) if start < count else self._updates[count - 1] + 1 if count else 0
        return {"since": since, "count": count} | _as_json(downsample(points, width))

    def speeds_since(self, sent: int, chars_per_update: int) -> dict[str, Any]:
        """Return the new characters per second in the same way, over larger buckets."""
        count = self._count
        width = _bucket_width(count, MAX_SPEED_BUCKETS)
        start = (sent - 1) // width * width if _has_same_buckets(sent, count, MAX_SPEED_BUCKETS) else 0
        points = self._points(start, count)
        since = int(points[0][0]) + 1 if start else 0
        return {"since": since, "count": count} | _as_json(compute_speeds(points, width, chars_per_update))

    def between(self, first: int, last: int) -> dict[str, Any]:
        """Return the points of the updates from `first` to `last`, and one more on either side, downsampled."""
        updates, seconds, values = self._points(0, self._count)
        low = max(0, int(np.searchsorted(updates, first)) - 1)
        high = int(np.searchsorted(updates, last, "right")) + 1
        points = updates[low:high], seconds[low:high], values[low:high]
        return _as_json(downsample(points, _bucket_width(len(points[0]), MAX_BUCKETS)))

    def minimum(self) -> tuple[int, float] | None:
        """Return the update with the lowest value, and that value; None if there are no points."""
        updates, _, values = self._points(0, self._count)
        return (int(updates[values.argmin()]), float(values.min())) if len(values) else None

    def _points(self, start: int, end: int) -> Points:
        # Slices are copies: an array whose buffer is exported could not grow.
        columns = self._updates[start:end], self._seconds[start:end], self._values[start:end]
        updates, seconds, values = map(np.asarray, columns)
        return updates, seconds, values


def _has_same_buckets(sent: int, count: int, max_buckets: int) -> bool:
    """Return whether a curve was divided into buckets of the same width when it had `sent` points."""
    return 0 < sent <= count and _bucket_width(sent, max_buckets) == _bucket_width(count, max_buckets)


def _bucket_width(count: int, max_buckets: int) -> int:
    """Return the points per bucket: the smallest power of two for which the buckets suffice."""
    width = 1
    while count > width * max_buckets:
        width *= 2
    return width


def downsample(points: Points, width: int) -> Points:
    """Return the points with the lowest and the highest value of every bucket of `width` points."""
    updates, seconds, values = points
    if width == 1 or not len(values):
        return points
    buckets = np.pad(values, (0, -len(values) % width), "edge").reshape(-1, width)
    starts = np.arange(len(buckets)) * width
    extremes = np.concatenate([starts + buckets.argmin(axis=1), starts + buckets.argmax(axis=1)])
    extremes = np.unique(np.minimum(extremes, len(values) - 1))
    return updates[extremes], seconds[extremes], values[extremes]


def compute_speeds(points: Points, width: int, chars_per_update: int) -> Points:
    """Return the characters per second over every `width` points after the first, at the last of them."""
    updates, seconds, _ = points
    marks = np.unique([*range(0, len(updates), width), len(updates) - 1]) if len(updates) else np.zeros(0, int)
    characters, elapsed = np.diff(updates[marks]) * chars_per_update, np.diff(seconds[marks])
    ends, is_measured = marks[1:], elapsed > 0
    return updates[ends][is_measured], seconds[ends][is_measured], characters[is_measured] / elapsed[is_measured]


def _as_json(points: Points) -> dict[str, Any]:
    updates, seconds, values = points
    return {
        "update": updates.tolist(),
        "seconds": np.round(seconds, 3).tolist(),
        "value": [float(f"{value:.6g}") for value in values.tolist()],
    }


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
