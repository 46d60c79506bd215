"""A thread pool that measures whether one thread or all cores are faster, and uses the faster."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

_TRIALS = 3
"""Runs timed with one thread and with all before one of the two is chosen."""

_timings: dict[Hashable, tuple[list[float], list[float]]] = {}
"""Seconds per step with one thread and with all, for each kind of work."""


class AutotunedThreadPool:
    """Runs lists of independent tasks, on one thread or on all cores; kernels release the interpreter's lock.

    No result depends on the thread that computes it, so the choice changes no bit of any result.

    Parameters
    ----------
    kind : hashable
        Identifies the kind of work, for which the timings are remembered.
    tasks : int
        The length of the longest list.
    """

    def __init__(self, kind: Hashable, tasks: int) -> None:
        self.workers = min(os.cpu_count() or 1, tasks)
        self.timings = _timings.setdefault(kind, ([], []))
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
        serial, parallel = self.timings
        measures = self.executor is not None and steps > 0 and min(len(serial), len(parallel)) < _TRIALS
        if measures:
            self.parallel = len(parallel) <= len(serial)
        elif serial:
            self.parallel = self.executor is not None and min(parallel) < min(serial)
        started = time.perf_counter()
        run()
        if measures:
            (parallel if self.parallel else serial).append((time.perf_counter() - started) / steps)

    def run_all(self, tasks: Sequence[Callable[[], Any]]) -> list[Any]:
        """Run the tasks; return their results."""
        if self.executor is None or not self.parallel or len(tasks) == 1:
            return [task() for task in tasks]
        futures = [self.executor.submit(_run_serially, tasks[n :: self.workers]) for n in range(1, self.workers)]
        results = [_run_serially(tasks[:: self.workers]), *(future.result() for future in futures)]
        return [results[n % self.workers][n // self.workers] for n in range(len(tasks))]


def _run_serially(tasks: Sequence[Callable[[], Any]]) -> list[Any]:
    return [task() for task in tasks]
