"""How many updates are still to come, where time is the limit."""

from __future__ import annotations

import math

MEMORY_SECONDS = 2.0
"""What was measured longer ago than this counts little: other programs come and go."""


class Budget:
    """Tells, from the seconds spent and the speed, which update will be the last.

    Parameters
    ----------
    limit : float or None
        Seconds of updates in all; None for no limit.
    update : int
        Updates done before.
    seconds : float
        Spent in them.
    """

    def __init__(self, limit: float | None, update: int = 0, seconds: float = 0.0) -> None:
        self.limit = limit
        self._updates, self._seconds = float(update), seconds

    @property
    def pace(self) -> float | None:
        """Seconds that an update takes, as of late; None while that is not known."""
        return self._seconds / self._updates if self._updates else None

    def measured(self, updates: int, seconds: float) -> None:
        """Take note of how long so many updates took."""
        kept = math.exp(-seconds / MEMORY_SECONDS)
        self._updates = kept * self._updates + updates
        self._seconds = kept * self._seconds + seconds

    def last(self, update: int, seconds: float, end: int) -> int:
        """Return the update at which time is up, or `end`, whichever comes first.

        Parameters
        ----------
        update : int
            Updates done.
        seconds : float
            Spent in them.
        end : int
            The last update, if time is not up before.
        """
        pace = self.pace
        if self.limit is None or pace is None:
            return end
        left = max(0.0, self.limit - seconds)
        return update + round(left / pace) if left < (end - update) * pace else end
