"""The train loss of a run at any of its updates, from its rows of metrics."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from statistics import fmean

from elman.config import Config
from elman.runs.records import Metrics

DECAY = 0.999
"""Of the smooth loss."""
RECENT_FRACTION = 0.1
"""The train loss is that of this last fraction of the updates."""
MIN_RECENT_UPDATES = 20
"""The same in updates, at least: in the presets there is always a row among so many."""
SMOOTH_UPDATES = 10_000
"""From this update on, the smooth loss, which averages some 1,000 updates, does not lag behind noticeably."""
MIN_CHARS = 250
"""Characters that are recent, at least."""


class TrainLossEstimator:
    """Computes the train loss, in nats per character, comparable with the validation loss.

    It is the mean loss of the last tenth of the updates, or of the last 20, since the row before these. Two values of
    the smooth loss contain the mean of all losses between them:

        S_b = decay^(b - a) S_a + (1 - decay^(b - a)) mean

    Before there is such a row, it is the mean loss of the rows or, where these are on too few characters, the smooth
    loss; from update `SMOOTH_UPDATES` on, it is the smooth loss. It only depends on the rows, and so is the same for a
    resumed run and for one that is read from its files.

    Parameters
    ----------
    config : Config
        Of the run.
    rows : iterable of Metrics
        The rows so far.
    """

    def __init__(self, config: Config, rows: Iterable[Metrics] = ()) -> None:
        self._config = config
        self._min_recent = max(MIN_RECENT_UPDATES, -(-MIN_CHARS // config.chars_per_update))
        self._rows = deque[Metrics]()  # from the last one that precedes the recent updates
        for row in rows:
            self.append(row)

    def append(self, row: Metrics) -> float:
        """Add the next row, and return the train loss there."""
        self._rows.append(row)
        while len(self._rows) > 1 and self._rows[1].update <= self._first_recent(row.update):
            self._rows.popleft()
        return self.at(row.update, row.smooth_loss)

    def at(self, update: int, smooth_loss: float) -> float:
        """Return the train loss at an update from the last row on; `smooth_loss`, that there, is in nats per window."""
        return self._at(update, smooth_loss) / self._config.seq_length

    def _at(self, update: int, smooth_loss: float) -> float:
        if update >= SMOOTH_UPDATES:
            return smooth_loss
        first = self._first_recent(update)
        if start := next((row for row in reversed(self._rows) if row.update <= first), None):
            weight = DECAY ** (update - start.update)
            return (smooth_loss - weight * start.smooth_loss) / (1 - weight)
        is_enough = len(self._rows) * self._config.chars_per_update >= MIN_CHARS
        return fmean(row.loss for row in self._rows) if is_enough else smooth_loss

    def _first_recent(self, update: int) -> int:
        """Return the last update before the recent ones, of which there is at least one."""
        return update - max(self._min_recent, int(RECENT_FRACTION * update))


def last_train_loss(config: Config, rows: Iterable[Metrics]) -> float | None:
    """Return the train loss at the last row, in nats per character; None without rows."""
    losses = deque(map(TrainLossEstimator(config).append, rows), maxlen=1)
    return losses[0] if losses else None
