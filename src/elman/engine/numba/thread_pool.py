"""A thread pool that measures whether one thread or all cores are faster, and uses the faster."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import numba

_config: Any = numba.config  # set from the environment, without types
_TRIALS = 3
"""Latest runs with one thread, and latest with all, whose shortest times are compared."""
_RECHECK = 100
"""Runs after which the slower of the two is tried again, as it may have been measured while the machine was busy.

It is also tried again after 8, 16, 32, … runs: the first measurements are of cold caches and of a core that was idle.
"""


@dataclass
class Timings:
    """Seconds per step of the latest runs of one kind of work."""

    serial: deque[float] = field(default_factory=lambda: deque(maxlen=_TRIALS))
    parallel: deque[float] = field(default_factory=lambda: deque(maxlen=_TRIALS))
    runs: int = 0

    def choose_parallel(self) -> bool:
        """Return whether the next run uses all cores: the faster way or, at first and now and then, the other one."""
        if min(len(self.serial), len(self.parallel)) < _TRIALS:
            return len(self.parallel) <= len(self.serial)
        is_faster = min(self.parallel) < min(self.serial)
        return is_faster != (self.runs % _RECHECK == 0 or self.runs.bit_count() == 1)

    def add(self, parallel: bool, seconds: float) -> None:
        """Record a run."""
        (self.parallel if parallel else self.serial).append(seconds)
        self.runs += 1


_timings: dict[Hashable, Timings] = {}
"""Those of each kind of work."""


class AutotunedThreadPool:
    """Runs lists of independent tasks, on one thread or on all cores; kernels release the interpreter's lock.

    The environment variable ``NUMBA_NUM_THREADS`` sets the number of threads; by default it is the number of cores.

    No result depends on the thread that computes it, so the choice changes no bit of any result.

    Parameters
    ----------
    kind : hashable
        Identifies the kind of work, for which the timings are remembered.
    tasks : int
        The length of the longest list.
    """

    def __init__(self, kind: Hashable, tasks: int) -> None:
        self.workers = min(_config.NUMBA_NUM_THREADS, tasks)
        self.timings = _timings.setdefault(kind, Timings())
        self.executor = ThreadPoolExecutor(self.workers - 1) if self.workers > 1 else None
        self.parallel = self.executor is not None

    def __enter__(self) -> AutotunedThreadPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.executor is not None:
            self.executor.shutdown()

    def run_timed(self, run: Callable[[], None], steps: int = 1) -> None:
        """Call `run`, which does `steps` equal steps with `run_all`, and record the time per step."""
        if self.executor is None or not steps:
            run()
            return
        self.parallel = self.timings.choose_parallel()
        started = time.perf_counter()
        run()
        self.timings.add(self.parallel, (time.perf_counter() - started) / steps)

    def run_all(self, tasks: Sequence[Callable[[], Any]]) -> list[Any]:
        """Run the tasks; return their results."""
        if self.executor is None or not self.parallel or len(tasks) == 1:
            return [task() for task in tasks]
        futures = [self.executor.submit(_run_serially, tasks[n :: self.workers]) for n in range(1, self.workers)]
        results = [_run_serially(tasks[:: self.workers]), *(future.result() for future in futures)]
        return [results[n % self.workers][n // self.workers] for n in range(len(tasks))]


def _run_serially(tasks: Sequence[Callable[[], Any]]) -> list[Any]:
    return [task() for task in tasks]
