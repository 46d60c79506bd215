"""The history of a run as the dashboard receives it, and the protocol of a displayed run."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, Protocol

from elman.config import Config
from elman.runs.records import Metrics, Sample, TrainLossEstimator, finite_or_none
from elman.serve.live.downsampling import MetricCurve

MAX_SAMPLES = 200
"""Maximum number of samples sent at once; of more, the latest."""


class ClientCursor(NamedTuple):
    """The data that a client has already: the number of points of each curve, and of samples."""

    smooth_losses: int = 0
    validation_losses: int = 0
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
    """

    config: Config
    session: str = field(default_factory=lambda: secrets.token_hex(8))
    smooth_losses: MetricCurve = field(default_factory=MetricCurve)
    train_losses: MetricCurve = field(default_factory=MetricCurve)
    validation_losses: MetricCurve = field(default_factory=MetricCurve)
    samples: list[SampleEntry] = field(default_factory=list)

    train_loss: float | None = field(default=None, init=False)
    """The train loss at the last point, in nats per character."""

    def __post_init__(self) -> None:
        self._estimator = TrainLossEstimator(self.config)

    def extend(self, metrics: Sequence[Metrics]) -> None:
        """Append rows of metrics."""
        for row in metrics:
            self._add(row.update, row.seconds, row.smooth_loss, self._estimator.append(row))
            if row.validation_loss is not None:
                self.validation_losses.append(row.update, row.seconds, row.validation_loss)

    def add_point(self, update: int, seconds: float, smooth_loss: float) -> None:
        """Append a point of the smooth loss and of the train loss between two rows."""
        self._add(update, seconds, smooth_loss, self._estimator.at(update, smooth_loss))

    def _add(self, update: int, seconds: float, smooth_loss: float, train_loss: float) -> None:
        self.smooth_losses.append(update, seconds, smooth_loss)
        self.train_losses.append(update, seconds, train_loss)
        self.train_loss = finite_or_none(train_loss)

    def since(self, cursor: ClientCursor) -> dict[str, Any]:
        """Return the data that a client lacks."""
        return {
            "session": self.session,
            "rows": self.smooth_losses.since(cursor.smooth_losses),
            "train": self.train_losses.since(cursor.smooth_losses),  # which has as many points
            "scores": self.validation_losses.since(cursor.validation_losses),
            "speeds": self.smooth_losses.speeds_since(cursor.smooth_losses, self.config.chars_per_update),
            "samples": self._samples_since(cursor.samples),
        }

    def between(self, first: int, last: int) -> dict[str, Any]:
        """Return the curves from one update to another, in more detail."""
        return {
            "session": self.session,
            "rows": self.smooth_losses.between(first, last),
            "train": self.train_losses.between(first, last),
            "scores": self.validation_losses.between(first, last),
        }

    def _samples_since(self, sent: int) -> dict[str, Any]:
        count = len(self.samples)
        new = self.samples[max(sent, count - MAX_SAMPLES) : count]
        return {"count": count, "new": [asdict(entry.sample) | {"asked": entry.is_requested} for entry in new]}


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
