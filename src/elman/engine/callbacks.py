"""Looking at a network while an engine is at work on it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from elman.network.parameters import Array

Look = Callable[[Array, NDArray[np.float64]], bool]
"""Told the state h that an update left, and the losses since the last look in the same call; true to end the call."""

LOOK_EVERY = 95
"""Updates between two looks: with a few left to look twice, what happens is seen within 100. A look costs a compiled
engine some 25 microseconds, and 95 of the quickest updates take 3,400.
"""


def unwatched(h: Array, losses: NDArray[np.float64]) -> bool:
    """The look of one who does not look."""
    return False


def in_stretches(
    updates: int, done: int, advance: Callable[[NDArray[np.float64]], Array], look: Look
) -> NDArray[np.float64]:
    """Return the losses of the updates to come, done in stretches that end where `look` is due.

    Parameters
    ----------
    updates : int
        How many are asked for.
    done : int
        How many were done before.
    advance : callable
        Does as many updates as the array it is given is long, fills it with their losses, and returns the state h.
    look : callable
        Whether to end there.
    """
    losses, first = np.empty(updates), 0
    while first < updates:
        last = min(updates, first + LOOK_EVERY - (done + first) % LOOK_EVERY)
        stretch = losses[first:last]
        h = advance(stretch)
        if (done + last) % LOOK_EVERY == 0 and look(h, stretch):
            return losses[:last]
        first = last
    return losses
