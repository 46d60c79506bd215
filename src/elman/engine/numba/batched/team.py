"""Threads that compute one group of batch rows together, each a part of every layer's units.

Every thread of a team runs the same kernel. A thread computes its own units of each gate and state, for which it reads
a part of the weights only, so that they fit the caches of its core; a barrier follows each step of the recurrence, as
the next one reads all units. What has no units is divided by batch rows or columns. Each number is computed by one
thread, in the same order as by a single one, so that no bit depends on the size of the team.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba.jit import inlined, kernel
from elman.engine.numba.linalg.atomics import LINE, PATIENCE, add_release, load_acquire, yield_thread

MIN_UNITS = 32
"""Units of a layer that justify a thread."""


class Team(NamedTuple):
    """A thread of a team."""

    rank: int
    size: int
    first: int  # units of a padded layer that the thread computes …
    last: int
    arrivals: NDArray[np.int64]  # barriers that each thread has reached, and whether one of them will come no more


def make_team(size: int, m_row: int, unit: int) -> list[Team]:
    """Return the threads of a team for layers of `m_row` units, which are divided in multiples of `unit`."""
    arrivals = np.zeros((size + 1) * LINE, np.int64)
    ends = [m_row // unit * rank // size * unit for rank in range(size + 1)]
    return [Team(rank, size, ends[rank], ends[rank + 1], arrivals) for rank in range(size)]


def release_barriers(team: list[Team]) -> None:
    """Let the threads of a team pass all barriers, as one of them was interrupted."""
    team[0].arrivals[len(team) * LINE] = 1


@kernel
def barrier(team):
    """Wait until all threads of the team are here; what they wrote before is visible afterwards."""
    if team.size > 1:
        add_release(team.arrivals, team.rank * LINE, 1)
        reached = load_acquire(team.arrivals, team.rank * LINE)
        for other in range(team.size):
            looks = 0
            while load_acquire(team.arrivals, other * LINE) < reached:
                looks += 1
                if looks > PATIENCE:
                    if load_acquire(team.arrivals, team.size * LINE):
                        return
                    yield_thread()


@inlined
def share(team, n):
    """The first of n items that the thread computes, and the first that the next one does."""
    return n * team.rank // team.size, n * (team.rank + 1) // team.size
