"""The queue by which a thread shares the numbered units of its updates with an assistant on another thread.

The first thread publishes how many units can be done (`LIMIT`); both claim one after the other (`CLAIMED`) and count
those that are done (`DONE`). So an assistant that is late, or does not come, stops nothing.
"""

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba.jit import inlined
from elman.engine.numba.linalg.atomics import LINE, PATIENCE, increase_below, load_acquire, yield_thread

_MAX_IDLE_LOOKS = PATIENCE + 10_000
"""Times that the assistant looks for units before it ends: it is there for the next updates of a training, but burns
no core while the training waits for something else. The looks after `PATIENCE` let other threads have the core.
"""

CLAIMED, LIMIT, DONE, STOP, RUNNING = (n * LINE for n in range(5))
"""Elements of the queue: units claimed, units that can be claimed, units done, whether there will be no more, and
whether an assistant was started that has not ended.
"""


def make_queue() -> NDArray[np.int64]:
    """Return a queue without units."""
    return np.zeros(5 * LINE, np.int64)


def stop_assistant(queue: NDArray[np.int64]) -> None:
    """Let the assistant end."""
    queue[STOP] = 1


@inlined
def claim_unit(queue):
    """Claim the next unit for the assistant, which waits a while for one; -1 if there is none, or no more."""
    number, looks = np.int64(-1), 0
    while number < 0 and looks <= _MAX_IDLE_LOOKS and not load_acquire(queue, STOP):
        number = increase_below(queue, CLAIMED, load_acquire(queue, LIMIT))
        looks += 1
        if looks > PATIENCE:
            yield_thread()
    return number


@inlined
def wait_for_units(queue, done):
    """Wait until this many units are done."""
    looks = 0
    while load_acquire(queue, DONE) < done:
        looks += 1
        if looks > PATIENCE:
            yield_thread()
