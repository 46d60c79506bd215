"""The number of threads and bytes that this process may use, and its signals."""

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
    """Return whether an exception would be lost now, in a function that LLVM calls; if so, send the signal again."""
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith("llvmlite.binding"):
            send = partial(os.kill, os.getpid()) if os.name == "posix" else signal.raise_signal
            Timer(0.01, send, (number,)).start()
            return True
        frame = frame.f_back
    return False


def thread_count() -> int:
    """Return the maximum number of threads of a computation: ``NUMBA_NUM_THREADS``, or the cores of this process.

    The limit of a container's processor time counts as a number of cores, rounded up.
    """
    limit = os.environ.get("NUMBA_NUM_THREADS", "")
    if limit.isdecimal() and int(limit) > 0:
        return int(limit)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(cores, _cpu_limit())))


def _cpu_limit() -> float:
    """Return the processor time that a container may use, in seconds per second; infinite without a limit."""
    for folder, *names in _CPU_QUOTAS:
        with suppress(OSError, ValueError):  # there is no such file, or the limit is "max"
            quota, period = " ".join(Path(folder, name).read_text(encoding="ascii") for name in names).split()
            return int(quota) / int(period) if int(quota) > 0 else math.inf
    return math.inf


_CPU_QUOTAS = (("/sys/fs/cgroup", "cpu.max"), ("/sys/fs/cgroup/cpu", "cpu.cfs_quota_us", "cpu.cfs_period_us"))
"""The folder and the files with the quota and the period of a container, for cgroups version 2 and version 1."""
_CGROUPS = (
    ("/sys/fs/cgroup", "memory.max", "memory.current"),
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
)
"""The folder and the files with a container's memory limit and usage in bytes, for cgroups version 2 and version 1."""


def available_memory() -> float:
    """Return how many bytes this process can use: the available memory of the system, or less in a container."""
    available = [math.inf]
    with suppress(OSError, ValueError, AttributeError, LookupError):  # not on Linux
        available.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
        available.append(1024 * _read_fields(Path("/proc/meminfo"))["MemAvailable:"])
    for folder, limit, usage in _CGROUPS:
        with suppress(OSError, ValueError, LookupError):  # there is no such folder, or the limit is "max"
            used = int(Path(folder, usage).read_text(encoding="ascii"))
            files = _read_fields(Path(folder, "memory.stat"))  # the system can reclaim their pages
            files_size = files["inactive_file"] + files["active_file"]
            available.append(int(Path(folder, limit).read_text(encoding="ascii")) - used + files_size)
    return max(0, min(available))


def _read_fields(path: Path) -> dict[str, int]:
    """Return the numbers in a file of the system, by the word before each number."""
    lines = (line.split() for line in path.read_text(encoding="ascii").splitlines())
    return {words[0]: int(words[1]) for words in lines}
