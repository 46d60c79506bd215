"""The train loss of a run at any of its updates, estimated from its rows of metrics."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from statistics import fmean

from elman.config import Config
from elman.runs.records import Metrics

RECENT_FRACTION = 0.1
"""The train loss is that of this last fraction of the updates."""
MIN_RECENT_UPDATES = 20
"""The same in updates, at least: in the presets there is always a row among so many."""
SMOOTH_UPDATES = 10_000
"""From this update on, the smooth loss, which averages some 1,000 updates, does not lag behind noticeably."""
MIN_CHARS = 250
"""Characters that the losses of rows must be measured on for their mean to be used."""


class TrainLossEstimator:
    """Estimates the train loss, in nats per character, comparable with the validation loss.

    It is the mean loss of the rows in the last tenth of the updates, or in the last 20. Where these are on fewer than
    `MIN_CHARS` characters, and from update `SMOOTH_UPDATES` on, it is the smooth loss. It only depends on the rows, and
    so is the same for a resumed run and for one that is read from its files.

    Parameters
    ----------
    config : Config
        Of the run.
    rows : iterable of Metrics
        The rows so far.
    """

    def __init__(self, config: Config, rows: Iterable[Metrics] = ()) -> None:
        self._config = config
        self._recent = deque[Metrics]()
        for row in rows:
            self.append(row)

    def append(self, row: Metrics) -> float:
        """Add the next row, and return the train loss there."""
        self._recent.append(row)
        while self._recent[0].update <= _first_recent(row.update):
            self._recent.popleft()
        return self.at(row.update, row.smooth_loss)

    def at(self, update: int, smooth_loss: float) -> float:
        """Return the train loss at an update from the last row on; `smooth_loss`, that there, is in nats per window."""
        first, config = _first_recent(update), self._config
        recent = [row.loss for row in self._recent if row.update > first]
        is_enough = len(recent) * config.chars_per_update >= MIN_CHARS
        return (fmean(recent) if is_enough and update < SMOOTH_UPDATES else smooth_loss) / config.seq_length


def last_train_loss(config: Config, rows: Iterable[Metrics]) -> float | None:
    """Return the train loss at the last row, in nats per character; None without rows."""
    losses = deque(map(TrainLossEstimator(config).append, rows), maxlen=1)
    return losses[0] if losses else None


def _first_recent(update: int) -> int:
    """Return the last update before the recent ones, of which there is at least one."""
    return update - max(MIN_RECENT_UPDATES, int(RECENT_FRACTION * update))
