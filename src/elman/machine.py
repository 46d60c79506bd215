"""How many threads and bytes this process may use, and its signals."""

from __future__ import annotations

import math
import os
import signal
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Timer
from types import FrameType

HANGUP = getattr(signal, "SIGHUP", None)  # the signal of a closed terminal or a lost SSH session; Windows has none


def postpone_signal(number: int, frame: FrameType | None) -> bool:
    """Whether an exception would be lost now, in a function that LLVM calls: the signal is then sent again shortly."""
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith("llvmlite.binding"):
            send = partial(os.kill, os.getpid()) if os.name == "posix" else signal.raise_signal
            Timer(0.01, send, (number,)).start()
            return True
        frame = frame.f_back
    return False


def thread_count() -> int:
    """Return how many threads a computation uses at most: ``NUMBA_NUM_THREADS``, or else the cores of this process.

    A container that may use the processor for a part of the time has as many cores as that makes, rounded up.
    """
    limit = os.environ.get("NUMBA_NUM_THREADS", "")
    if limit.isdecimal() and int(limit) > 0:
        return int(limit)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(cores, _cpu_limit())))


def _cpu_limit() -> float:
    """Return the seconds of processor time per second that a container may use; infinite without a limit."""
    for folder, *names in _CPU_QUOTAS:
        with suppress(OSError, ValueError):  # where there is no such file, or the limit is "max"
            quota, period = " ".join(Path(folder, name).read_text(encoding="ascii") for name in names).split()
            return int(quota) / int(period) if int(quota) > 0 else math.inf
    return math.inf


_CPU_QUOTAS = (("/sys/fs/cgroup", "cpu.max"), ("/sys/fs/cgroup/cpu", "cpu.cfs_quota_us", "cpu.cfs_period_us"))
"""Of version 2 and version 1: the folder, and the files with the quota and the period of a container."""
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
