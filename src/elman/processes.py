"""The processes of torchrun, as its environment variables describe them, and how many threads this one may use.

PyTorch is not imported.
"""

from __future__ import annotations

import os
from typing import NamedTuple


class Process(NamedTuple):
    """A process of a training: the only one, or one of those that torchrun started."""

    rank: int = 0
    size: int = 1
    """Number of processes on all machines."""
    local_rank: int = 0
    local_size: int = 1
    """The same on this machine."""

    def rows(self, batch_size: int) -> slice:
        """Return the rows of a batch that this process trains on: contiguous, and as many in each process, or one more.

        Examples
        --------
        >>> [Process(rank, 2).rows(5) for rank in range(2)]
        [slice(0, 2, None), slice(2, 5, None)]
        """
        return slice(batch_size * self.rank // self.size, batch_size * (self.rank + 1) // self.size)


def current_process() -> Process:
    """Return this process."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return Process()
    return Process(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")))


def thread_count() -> int:
    """Return the number of threads that a computation uses at most.

    That is the environment variable ``NUMBA_NUM_THREADS``, or else the number of cores that this process may use.
    """
    limit = os.environ.get("NUMBA_NUM_THREADS", "")
    if limit.isdecimal() and int(limit) > 0:
        return int(limit)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
