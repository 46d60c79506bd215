"""Callbacks that an engine makes in the middle of a call that runs many updates."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from elman.network.parameters import Array

StepCallback = Callable[[Array, NDArray[np.float64]], bool]
"""Called with the hidden state h after an update and the losses since the last callback of the same call of the engine;
returns whether the engine should stop there."""

CALLBACK_INTERVAL = 95
"""Updates between two callbacks: few enough that a problem that takes a second callback to confirm is reported within
100 updates. A callback costs a compiled engine some 25 microseconds, and 95 of the fastest updates take 3,400.
"""


def no_callback(h: Array, losses: NDArray[np.float64]) -> bool:
    """Do nothing, and never stop."""
    return False


def run_in_chunks(
    updates: int, done: int, advance: Callable[[NDArray[np.float64]], Array], callback: StepCallback
) -> NDArray[np.float64]:
    """Run updates in chunks that end where `callback` is due, and return their losses.

    Parameters
    ----------
    updates : int
        Number of updates to run.
    done : int
        Number of updates that were made before.
    advance : callable
        Makes as many updates as its argument is long, fills it with their losses, and returns the hidden state h.
    callback : callable
        Returns whether to stop, in which case fewer losses are returned.
    """
    losses, first = np.empty(updates), 0
    while first < updates:
        last = min(updates, first + CALLBACK_INTERVAL - (done + first) % CALLBACK_INTERVAL)
        chunk = losses[first:last]
        h = advance(chunk)
        if (done + last) % CALLBACK_INTERVAL == 0 and callback(h, chunk):
            return losses[:last]
        first = last
    return losses
