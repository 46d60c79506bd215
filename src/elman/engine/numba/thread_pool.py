"""Work shared out over the cores of the machine, or done by one: whichever has proved quicker."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

_TRIALS = 3
"""Updates timed each way before one is chosen."""

_timings: dict[Hashable, tuple[list[float], list[float]]] = {}
"""Seconds a step of an update took alone and shared, by what kind of update it was."""


class Crew:
    """Carries out lists of tasks that do not depend on one another; kernels let go of the interpreter's lock.

    Nothing that is computed depends on who computes it, so the choice changes no bit of any result.

    Parameters
    ----------
    kind : hashable
        What the work depends on; the choice is remembered for it.
    tasks : int
        The length of the longest list.
    """

    def __init__(self, kind: Hashable, tasks: int) -> None:
        self.workers = min(os.cpu_count() or 1, tasks)
        self.timings = _timings.setdefault(kind, ([], []))
        self.pool = ThreadPoolExecutor(self.workers - 1) if self.workers > 1 else None
        self.shared = self.pool is not None

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.pool is not None:
            self.pool.shutdown()

    def timed(self, update: Callable[[], None], size: int = 1) -> None:
        """Carry out one update, alone or shared, and learn from the time it takes for each of so many equal steps."""
        alone, shared = self.timings
        learns = self.pool is not None and size > 0 and min(len(alone), len(shared)) < _TRIALS
        if learns:
            self.shared = len(shared) <= len(alone)
        elif alone:
            self.shared = self.pool is not None and min(shared) < min(alone)
        began = time.perf_counter()
        update()
        if learns:
            (shared if self.shared else alone).append((time.perf_counter() - began) / size)

    def do(self, tasks: Sequence[Callable[[], Any]]) -> list[Any]:
        """Carry out the tasks; return what each returned."""
        if self.pool is None or not self.shared or len(tasks) == 1:
            return [task() for task in tasks]
        rest = [self.pool.submit(_every, tasks[n :: self.workers]) for n in range(1, self.workers)]
        parts = [_every(tasks[:: self.workers]), *(future.result() for future in rest)]
        return [parts[n % self.workers][n // self.workers] for n in range(len(tasks))]


def _every(tasks: Sequence[Callable[[], Any]]) -> list[Any]:
    return [task() for task in tasks]
