"""Curves of any length, thinned to what a page can show: of every stretch the least and the greatest value."""

from __future__ import annotations

import math
from array import array
from typing import Any

import numpy as np
from numpy.typing import NDArray

STRETCHES = 1000
"""Into which a curve is divided at most; each gives two points at most."""
SPEEDS = 200
"""Stretches at most whose speed is told."""

Points = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]
"""The updates, the seconds, and the values there."""


class Curve:
    """Values over a run, in the order of its updates. One thread may add to it while others read.

    What is new is told as JSON: the points under `update`, `seconds` and `value` take the place of those that the page
    has from the update `since` on; `count` is what the page knows then. It need not be told the same again: the server
    keeps nothing about the page.
    """

    def __init__(self) -> None:
        self._updates, self._seconds, self._values = array("q"), array("d"), array("d")
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def last(self) -> int:
        """The update of the last point; -1 where there is none."""
        return self._updates[self._count - 1] if self._count else -1

    def add(self, update: int, seconds: float, value: float) -> None:
        """Add a point, if it is a number and comes behind the last."""
        if update > self.last and math.isfinite(value):
            self._updates.append(update)
            self._seconds.append(seconds)
            self._values.append(value)
            self._count += 1  # last: what is not counted is not read

    def since(self, known: int) -> dict[str, Any]:
        """Return what is new for a page that knows the first `known` points, thinned."""
        count = self._count
        width = _width(count, STRETCHES)
        # The stretch that was not full then is told again.
        start = known // width * width if _fits(known, count, STRETCHES) else 0
        points = self._points(start, count)
        since = int(points[0][0]) if start < count else self._updates[count - 1] + 1 if count else 0
        return {"since": since, "count": count} | _columns(thinned(points, width))

    def speeds_since(self, known: int, characters: int) -> dict[str, Any]:
        """Return likewise the characters a second, over longer stretches, where an update reads so many."""
        count = self._count
        width = _width(count, SPEEDS)
        start = (known - 1) // width * width if _fits(known, count, SPEEDS) else 0
        points = self._points(start, count)
        since = int(points[0][0]) + 1 if start else 0
        return {"since": since, "count": count} | _columns(speeds(points, width, characters))

    def between(self, first: int, last: int) -> dict[str, Any]:
        """Return the points of the updates from `first` to `last`, and one more at either side, thinned."""
        updates, seconds, values = self._points(0, self._count)
        low = max(0, int(np.searchsorted(updates, first)) - 1)
        high = int(np.searchsorted(updates, last, "right")) + 1
        points = updates[low:high], seconds[low:high], values[low:high]
        return _columns(thinned(points, _width(len(points[0]), STRETCHES)))

    def least(self) -> tuple[int, float] | None:
        """Return the update with the least value, and that; None where there is none."""
        updates, _, values = self._points(0, self._count)
        return (int(updates[values.argmin()]), float(values.min())) if len(values) else None

    def _points(self, start: int, end: int) -> Points:
        # A slice is a copy; an array that is lent could not grow.
        columns = self._updates[start:end], self._seconds[start:end], self._values[start:end]
        updates, seconds, values = map(np.asarray, columns)
        return updates, seconds, values


def _fits(known: int, count: int, stretches: int) -> bool:
    """Whether what a page knows of a curve is divided as the curve is now."""
    return 0 < known <= count and _width(known, stretches) == _width(count, stretches)


def _width(count: int, stretches: int) -> int:
    """Points in a stretch: the least power of two with which they suffice."""
    width = 1
    while count > width * stretches:
        width *= 2
    return width


def thinned(points: Points, width: int) -> Points:
    """Return of every `width` points the one with the least value and the one with the greatest."""
    updates, seconds, values = points
    if width == 1 or not len(values):
        return points
    whole = np.pad(values, (0, -len(values) % width), "edge").reshape(-1, width)
    starts = np.arange(len(whole)) * width
    chosen = np.concatenate([starts + whole.argmin(axis=1), starts + whole.argmax(axis=1)])
    chosen = np.unique(np.minimum(chosen, len(values) - 1))
    return updates[chosen], seconds[chosen], values[chosen]


def speeds(points: Points, width: int, characters: int) -> Points:
    """Return the characters a second over every `width` points behind the first, at the last of them."""
    updates, seconds, _ = points
    marks = np.unique([*range(0, len(updates), width), len(updates) - 1]) if len(updates) else np.zeros(0, int)
    done, took = np.diff(updates[marks]) * characters, np.diff(seconds[marks])
    ends, measured = marks[1:], took > 0
    return updates[ends][measured], seconds[ends][measured], done[measured] / took[measured]


def _columns(points: Points) -> dict[str, Any]:
    updates, seconds, values = points
    return {
        "update": updates.tolist(),
        "seconds": np.round(seconds, 3).tolist(),
        "value": [float(f"{value:.6g}") for value in values.tolist()],
    }
