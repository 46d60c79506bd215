"""The processes of torchrun, what they exchange, and how many threads and bytes this one may use.

PyTorch is imported only if there are several.
"""

from __future__ import annotations

import atexit
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from elman.errors import ElmanError, option

T = TypeVar("T")

TIMEOUT = timedelta(days=7)
"""The others wait while process 0 validates and writes; a process that has died closes its connections at once."""


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


def run_on_first_process(function: Callable[[], T]) -> T:
    """Call a function in process 0 alone, and return its result in every process, which must all make the same call."""
    process = current_process()
    results: list[Any] = [function() if process.rank == 0 else None]
    if process.size > 1:
        with connect_processes() as distributed:
            distributed.broadcast_object_list(results)
    result: T = results[0]
    return result


@contextmanager
def connect_processes() -> Iterator[Any]:
    """Yield ``torch.distributed``, which connects this process with the others: by gloo, and tensors on CUDA by NCCL.

    Raises
    ------
    ElmanError
        If another process has ended.
    """
    from torch import distributed

    try:
        if not distributed.is_initialized():
            _join_processes()
        yield distributed
    except RuntimeError as error:
        raise ElmanError(
            f"process {current_process().rank} lost the connection to another; torchrun --max-restarts N with"
            f" {option.resume:True} continues from the checkpoint"
        ) from error


def _join_processes() -> None:
    """Connect this process with the others."""
    from torch import cuda, distributed

    process, backend = current_process(), "cpu:gloo,cuda:nccl" if cuda.is_available() else "gloo"
    store, rank, size = next(distributed.rendezvous("env://", timeout=TIMEOUT))
    if process.local_size == process.size:
        # Processes that torchrun starts again must not find the addresses of those before.
        store = distributed.PrefixStore(os.environ["TORCHELASTIC_RESTART_COUNT"], store)
    distributed.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=TIMEOUT)
    atexit.register(distributed.destroy_process_group)


def thread_count() -> int:
    """Return the number of threads that a computation uses at most.

    That is the environment variable ``NUMBA_NUM_THREADS``, or else the number of cores that this process may use.
    """
    limit = os.environ.get("NUMBA_NUM_THREADS", "")
    if limit.isdecimal() and int(limit) > 0:
        return int(limit)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_CGROUPS = (
    ("/sys/fs/cgroup", "memory.max", "memory.current"),
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
)
"""Of version 2 and version 1: the folder, and the files with the limit and the usage of a container, in bytes."""


def available_memory() -> float:
    """Return how many bytes this process can use: what the system has available, or less in a container."""
    available = [math.inf]
    with suppress(OSError, ValueError, AttributeError, LookupError):  # where it is not Linux
        available.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
        available.append(1024 * _read_fields(Path("/proc/meminfo"))["MemAvailable:"])
    for folder, limit, usage in _CGROUPS:
        with suppress(OSError, ValueError, LookupError):  # where there is no such folder, or the limit is "max"
            used = int(Path(folder, usage).read_text(encoding="ascii"))
            files = _read_fields(Path(folder, "memory.stat"))  # the system takes their pages back
            files_size = files["inactive_file"] + files["active_file"]
            available.append(int(Path(folder, limit).read_text(encoding="ascii")) - used + files_size)
    return max(0, min(available))


def _read_fields(path: Path) -> dict[str, int]:
    """Return the numbers of a file of the system, by the word before each."""
    lines = (line.split() for line in path.read_text(encoding="ascii").splitlines())
    return {words[0]: int(words[1]) for words in lines}
