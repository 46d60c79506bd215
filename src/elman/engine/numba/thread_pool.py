"""A thread pool that measures which use of its threads is the fastest, and takes that."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Any, TypeVar

from elman.processes import thread_count

_TRIALS = 3
"""Latest runs in each mode, whose shortest times are compared."""
_RECHECK = 100
"""Runs after which another mode is tried again, as it may have been measured while the machine was busy.

One is also tried again after 16, 32, … runs: the first measurements are of cold caches and of a core that was idle.
"""

Member = TypeVar("Member")


class Mode(Enum):
    """A use of the threads."""

    SERIAL = "one thread"
    TASKS = "independent tasks on all threads"
    TEAM = "all threads on each window together, see `elman.engine.numba.batched.team`"


@dataclass
class Timings:
    """Seconds per step of the latest runs of one kind of work."""

    seconds: dict[Mode, deque[float]] = field(default_factory=lambda: {mode: deque(maxlen=_TRIALS) for mode in Mode})
    runs: int = 0

    def choose(self, modes: Sequence[Mode]) -> Mode:
        """Return the mode of the next run: the fastest or, at first and now and then, another one."""
        least_tried = min(modes, key=lambda mode: len(self.seconds[mode]))
        if len(self.seconds[least_tried]) < _TRIALS:
            return least_tried
        fastest, *others = sorted(modes, key=lambda mode: min(self.seconds[mode]))
        if others and (self.runs % _RECHECK == 0 or self.runs.bit_count() == 1):
            return others[(self.runs // _RECHECK + self.runs.bit_length()) % len(others)]
        return fastest

    def steps_within(self, seconds: float) -> int:
        """Return how many steps take so many seconds at most, by all measurements: at least 1."""
        measured = [latest for runs in self.seconds.values() for latest in runs]
        return max(1, int(seconds / min(measured))) if measured else 1

    def add(self, mode: Mode, seconds: float) -> None:
        """Record a run."""
        self.seconds[mode].append(seconds)
        self.runs += 1


_timings: dict[Hashable, Timings] = {}
"""Those of each kind of work."""


class AutotunedThreadPool:
    """Runs lists of tasks on one thread or on all cores; kernels release the interpreter's lock.

    The environment variable ``NUMBA_NUM_THREADS`` sets the number of threads; by default it is the number of cores.

    No result depends on the thread that computes it, so the choice changes no bit of any result.

    Parameters
    ----------
    kind : hashable
        Identifies the kind of work, for which the timings are remembered.
    tasks : int
        The length of the longest list of independent tasks, or the threads of a team if they are more.
    has_team : bool
        Whether there is a mode in which a team computes each window.
    """

    def __init__(self, kind: Hashable, tasks: int, *, has_team: bool = False) -> None:
        self.workers = min(thread_count(), tasks)
        self.timings = _timings.setdefault(kind, Timings())
        self.executor = ThreadPoolExecutor(self.workers - 1) if self.workers > 1 else None
        self.modes = [Mode.SERIAL] if self.executor is None else [Mode.SERIAL, Mode.TASKS]
        self.mode = self.modes[-1]
        if has_team and self.executor is not None:
            self.modes.append(Mode.TEAM)

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
        self.mode = self.timings.choose(self.modes)
        started = time.perf_counter()
        run()
        self.timings.add(self.mode, (time.perf_counter() - started) / steps)

    def start(self, task: Callable[[], object]) -> None:
        """Start a task on another thread."""
        assert self.executor is not None
        self.executor.submit(task)

    def run_team(
        self, run: Callable[[Member], None], team: Sequence[Member], release: Callable[[], None] = lambda: None
    ) -> None:
        """Call `run` for every member of a team, each on a thread of its own at the same time.

        If one of the calls does not happen or raises an exception, `release` must let the others end.
        """
        assert len(team) <= self.workers

        def run_member(member: Member) -> None:
            try:
                run(member)
            except BaseException:
                release()
                raise

        try:
            futures = [self.executor.submit(run_member, member) for member in team[1:] if self.executor]
            run(team[0])
        except BaseException:
            release()
            raise
        for future in futures:
            future.result()

    def run_all(self, tasks: Sequence[Callable[[], Any]]) -> list[Any]:
        """Run independent tasks; return their results."""
        if self.executor is None or self.mode is Mode.SERIAL or len(tasks) == 1:
            return [task() for task in tasks]
        futures = [self.executor.submit(_run_serially, tasks[n :: self.workers]) for n in range(1, self.workers)]
        results = [_run_serially(tasks[:: self.workers]), *(future.result() for future in futures)]
        return [results[n % self.workers][n // self.workers] for n in range(len(tasks))]


def _run_serially(tasks: Sequence[Callable[[], Any]]) -> list[Any]:
    return [task() for task in tasks]
