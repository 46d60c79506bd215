"""The data of a run on the dashboard: downsampled curves, samples and histograms."""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable
from typing import Any

import numpy as np

from elman.config import Config
from elman.network import Array, Parameters, suffix
from elman.runs import Metrics, Sample, finite_or_none

MAX_BUCKETS = 1000  # maximum number of buckets of a curve; each contributes at most two points
MAX_SAMPLES = 200  # maximum number of samples sent, the latest ones
BINS = 40  # bins of a histogram


class MetricCurve:
    """Values of a metric over a run, ordered by update. One thread may append while others read."""

    def __init__(self) -> None:
        self._points = list[tuple[int, float, float]]()

    def __len__(self) -> int:
        return len(self._points)

    def append(self, update: int, seconds: float, value: float) -> None:
        """Append a point, unless its value is not finite or its update is not after the last."""
        if math.isfinite(value) and (not self._points or update > self._points[-1][0]):
            self._points.append((update, seconds, value))

    def minimum(self) -> tuple[int, float] | None:
        """Return the update with the lowest value, and that value; None if there are no points."""
        lowest = min(self._points, key=lambda point: point[2], default=None)
        return lowest and (lowest[0], lowest[2])

    def as_dict(self) -> dict[str, Any]:
        """Return points as JSON: the points of the lowest and the highest value of every bucket, and the last point."""
        points = self._points[:]
        width = -(-len(points) // MAX_BUCKETS)
        if width > 1:
            values = np.array([value for *_, value in points])
            buckets = np.pad(values, (0, -len(values) % width), "edge").reshape(-1, width)
            starts = np.arange(len(buckets)) * width
            extremes = np.concatenate([starts + buckets.argmin(axis=1), starts + buckets.argmax(axis=1), [len(values)]])
            points = [points[n] for n in np.unique(np.minimum(extremes, len(values) - 1))]
        rows = ((update, round(seconds, 6), float(f"{value:.6g}")) for update, seconds, value in points)
        columns = zip(*rows, strict=True) if points else ((), (), ())
        return dict(zip(("update", "seconds", "value"), map(list, columns), strict=True))


class RunHistory:
    """Curves, in nats per character, and samples of a run. One thread may append while others read."""

    def __init__(self, config: Config) -> None:
        self.config, self.samples = config, list[dict[str, Any]]()
        self.train_loss, self.validation_loss = MetricCurve(), MetricCurve()
        self.last_train_loss: float | None = None
        self._id = secrets.token_hex(8)

    @property
    def version(self) -> str:
        """Changes with the contents of `as_dict`."""
        return f"{self._id}-{len(self.train_loss)}-{len(self.validation_loss)}-{len(self.samples)}"

    def extend(self, metrics: Iterable[Metrics]) -> None:
        """Append rows of metrics."""
        for row in metrics:
            self.add_point(row.update, row.seconds, row.train_loss)
            if row.validation_loss is not None:
                self.validation_loss.append(row.update, row.seconds, row.validation_loss)

    def add_point(self, update: int, seconds: float, train_loss: float) -> None:
        """Append a point of the train loss, of a row or between two."""
        self.train_loss.append(update, seconds, train_loss)
        self.last_train_loss = finite_or_none(train_loss)

    def add_samples(self, samples: Iterable[Sample], *, requested: bool = False) -> None:
        """Append samples, as JSON; `requested` are those that were requested from the dashboard."""
        self.samples.extend({"update": each.update, "text": each.text, "requested": requested} for each in samples)

    def as_dict(self) -> dict[str, Any]:
        """Return curves and samples as JSON."""
        samples = self.samples[:]
        curves = {name: getattr(self, name).as_dict() for name in ("train_loss", "validation_loss")}
        return curves | {"samples": {"count": len(samples), "latest": samples[-MAX_SAMPLES:]}}


def compute_histograms(parameters: Parameters, states: Array) -> list[dict[str, Any]]:
    """Return a histogram of every parameter array and of every state vector, in `states` (…, S), of every layer."""
    # `low` and `high` are the outer edges of the bins.
    network = parameters.architecture
    names = [vector.symbol + suffix(n) for n in range(1, network.layers + 1) for vector in network.spec.state]
    vectors = [(name, states[..., i * network.m : (i + 1) * network.m]) for i, name in enumerate(names)]
    return [_histogram(name, array) for name, array in (*parameters.items(), *vectors)]


def _histogram(name: str, array: Array) -> dict[str, Any]:
    finite = array[np.isfinite(array)].astype(np.float64)  # the edges are in this type, too
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    if high - low <= 1e-5 * max(-low, high):  # such as biases that are still 0; float32 has 7 digits for 40 bins
        margin = max(0.5, 1e-4 * abs(high))
        low, high = low - margin, high + margin
    counts, _ = np.histogram(finite, BINS, (low, high))
    return {"name": name, "low": low, "high": high, "counts": counts.tolist()}
