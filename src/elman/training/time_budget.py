"""The time budget of a run: how many updates still fit into it."""

from __future__ import annotations

import math

MEMORY_SECONDS = 2.0
"""Time constant with which measurements are forgotten: the load from other programs varies."""


class TimeBudget:
    """Estimates, from the seconds spent and the current speed, which update will be the last.

    Parameters
    ----------
    limit : float or None
        Seconds of updates in total; None for no limit.
    update : int
        Updates done before.
    seconds : float
        Spent in them.
    """

    def __init__(self, limit: float | None, update: int = 0, seconds: float = 0.0) -> None:
        self.limit = limit
        self._updates, self._seconds = float(update), seconds

    @property
    def seconds_per_update(self) -> float | None:
        """The recent duration of an update; None before the first measurement."""
        return self._seconds / self._updates if self._updates else None

    def observe(self, updates: int, seconds: float) -> None:
        """Take into account how long so many updates took."""
        decay = math.exp(-seconds / MEMORY_SECONDS)
        self._updates = decay * self._updates + updates
        self._seconds = decay * self._seconds + seconds

    def last(self, update: int, seconds: float, end: int) -> int:
        """Return the update at which the time is up, or `end`, whichever comes first.

        Parameters
        ----------
        update : int
            Updates done.
        seconds : float
            Spent in them.
        end : int
            The last update, if the time is not up before.
        """
        per_update = self.seconds_per_update
        if self.limit is None or per_update is None:
            return end
        remaining = max(0.0, self.limit - seconds)
        return update + round(remaining / per_update) if remaining < (end - update) * per_update else end
