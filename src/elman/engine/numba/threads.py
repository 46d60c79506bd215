"""Threads: a team runs one kernel on every thread, and the threads wait for one another at barriers.

A kernel that supports threads has a first parameter `thread`, a `Thread`. It computes the part of the work that belongs
to that thread, and calls `barrier` before it reads values that another thread wrote. Passing a barrier takes less than
a microsecond. Waking a sleeping thread takes a hundred, so that a call should last for milliseconds.

No result depends on the number of threads: they divide the work, but not the order of any sum.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from queue import SimpleQueue
from threading import Lock
from threading import Thread as PythonThread
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from elman.engine.numba.tile import element_address
from elman.jit import call_kernel, cgutils, inlined, intrinsic, is_recording, kernel, pack, types
from elman.machine import thread_count

LINE = 16
"""Elements from one counter to the next: 128 bytes, as processors fetch cache lines in pairs."""
_PATIENCE = 20_000
"""Times that a thread looks for the others at a barrier before it lets other programs have its core."""
_TRIALS = 3
"""Latest runs with each plan, whose mean times are compared."""
_SHARE, _FIRST_SHARE = 0.01, 0.1
"""Fraction of the time that is spent on runs with each of the slower plans, and until a plan has had `_TRIALS` of them.

A plan may have been measured while the machine was busy, and the first runs have cold caches.
"""
_BUSY, _BUSY_PAUSE = 0.5, 10
"""Fraction of a run's time in which its first thread ran, below which the machine is busy. Then no plan with a barrier
per step is tried for so many times that time: its threads wait until the system runs the others, a hundred times as
long.
"""

Emitter = tuple[Any, Callable[..., Any]]


class Thread(NamedTuple):
    """A thread of a team."""

    rank: int
    size: int
    first: int  # units of a layer that the thread computes: none if each thread computes other batch rows
    last: int
    arrivals: NDArray[np.int64]  # barriers that each thread has reached, and whether one of them has given up


def make_team(size: int, units: int = 0, multiple: int = 1) -> list[Thread]:
    """Return the threads of a team, which share `units` in multiples of `multiple`."""
    arrivals = np.zeros((size + 1) * LINE, np.int64)
    ends = [units // multiple * rank // size * multiple for rank in range(size + 1)]
    return [Thread(rank, size, ends[rank], ends[rank + 1], arrivals) for rank in range(size)]


@intrinsic
def _load_acquire(typingctx: Any, array: Any, i: Any) -> Emitter:
    """Return array[i]; values that another thread wrote before its `_add_release` are visible afterwards."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        address = element_address(context, builder, signature.args[0], values[0], values[1])
        return builder.load_atomic(address.pointer, "acquire", 8, typ=address.kind)

    return types.int64(array, types.intp), emit


@intrinsic
def _add_release(typingctx: Any, array: Any, i: Any, value: Any) -> Emitter:
    """Add to array[i] after all earlier writes of this thread."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        address = element_address(context, builder, signature.args[0], values[0], values[1])
        builder.atomic_rmw("add", address.pointer, values[2], "release")
        return context.get_dummy_value()

    return types.void(array, types.intp, types.int64), emit


@intrinsic
def _yield_core(typingctx: Any) -> Emitter:
    """Let other programs have this core."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        name = "SwitchToThread" if sys.platform == "win32" else "sched_yield"
        kind = ir.FunctionType(ir.IntType(32), [])
        builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [])
        return context.get_dummy_value()

    return types.void(), emit


@kernel
def arrive(thread):
    """Reach a barrier without waiting there: for a thread that reads nothing that the others wrote before it."""
    if thread.size > 1:
        _add_release(thread.arrivals, thread.rank * LINE, 1)


@kernel
def barrier(thread):
    """Wait until all threads of the team are here; values that they wrote before are visible afterwards."""
    arrive(thread)
    if thread.size > 1:
        reached = _load_acquire(thread.arrivals, thread.rank * LINE)
        for other in range(thread.size):
            looks = 0
            while _load_acquire(thread.arrivals, other * LINE) < reached:
                looks += 1
                if looks > _PATIENCE:
                    if _load_acquire(thread.arrivals, thread.size * LINE):
                        return
                    _yield_core()


@inlined
def partition(thread, n):
    """Return the first of n items that the thread computes, and the first that the next thread computes."""
    return n * thread.rank // thread.size, n * (thread.rank + 1) // thread.size


@inlined
def work_alone(thread, units):
    """Return the thread as the only one of a team: it computes all units, and waits for no other."""
    return Thread(0, 1, 0, units, thread.arrivals)


class Plan(Enum):
    """A way of dividing the work among threads."""

    SERIAL = "one thread"
    ROWS = "each thread computes groups of batch rows"
    UNITS = "all threads compute each group, each of them its own units"


class _Pool:
    """Threads of this process that run the tasks of all teams, in the order in which they are submitted.

    The threads of a team wait for one another. Its tasks are therefore submitted together, so that all tasks of the
    first team in the queue can run. An executor of `concurrent.futures` would accept no task once the main thread has
    ended.
    """

    def __init__(self) -> None:
        self.lock = Lock()
        """Held while tasks are submitted, and while timings are read or changed."""
        self.tasks, self.size = SimpleQueue[Callable[[], None]](), 0

    def submit(self, tasks: Sequence[Callable[[], None]]) -> None:
        """Run the tasks of a team at the same time, each on a thread of its own."""
        with self.lock:
            while self.size < len(tasks):
                PythonThread(target=self._run_tasks, daemon=True).start()
                self.size += 1
            for task in tasks:
                self.tasks.put(task)

    def _run_tasks(self) -> None:
        while True:
            self.tasks.get()()


_POOL = _Pool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_POOL.__init__)  # type: ignore[misc]  # a forked process has none of the threads


@dataclass
class Timings:
    """Seconds per step of the latest runs of one kind of work, which several training runs may measure at once."""

    seconds: dict[Plan, deque[float]] = field(default_factory=lambda: {plan: deque(maxlen=_TRIALS) for plan in Plan})
    spent: float = 0.0
    """Time of all runs."""
    due: dict[Plan, float] = field(default_factory=lambda: dict.fromkeys(Plan, 0.0))
    """The value of `spent` after which each plan is tried again."""

    def choose(self, plans: Sequence[Plan]) -> Plan:
        """Return the plan of the next run: one that is due or, if there is none, the fastest."""
        with _POOL.lock:
            tried = [plan for plan in plans if self.seconds[plan]]
            fastest = min(tried, key=lambda plan: sum(self.seconds[plan]) / len(self.seconds[plan])) if tried else None
            return next(
                (plan for plan in plans if plan is not fastest and self.spent >= self.due[plan]), fastest or plans[0]
            )

    def steps_within(self, seconds: float, plans: Sequence[Plan]) -> int:
        """Return how many steps of the next run take so many seconds at most: 1 for a plan that was not tried."""
        latest = self.seconds[self.choose(plans)]
        return max(1, int(seconds * len(latest) / sum(latest))) if latest else 1

    def add(self, plan: Plan, steps: int, seconds: float, core_seconds: float) -> None:
        """Record a run of so many steps, in which the first thread ran for `core_seconds`."""
        with _POOL.lock:
            self.seconds[plan].append(seconds / steps)
            self.spent += seconds
            share = _SHARE if len(self.seconds[plan]) == _TRIALS else _FIRST_SHARE
            self.due[plan] = self.spent + seconds / share
            if core_seconds < _BUSY * seconds:
                self.due[Plan.UNITS] = max(self.due[Plan.UNITS], self.spent + _BUSY_PAUSE * seconds)


_timings: dict[Hashable, Timings] = {}
"""The timings of each kind of work."""


class Team:
    """Runs kernels on one or several threads, by the plan that is measured to be the fastest.

    Parameters
    ----------
    kind : hashable
        Identifies the kind of work, for which the timings are remembered.
    groups : int
        Groups of batch rows.
    max_sharing : int
        Threads that can share the units of a layer.
    units : tuple of int
        The units of a layer, and a number: each thread's share is a multiple of it.
    """

    def __init__(self, kind: Hashable, groups: int = 1, max_sharing: int = 1, units: tuple[int, int] = (0, 1)) -> None:
        threads = thread_count()
        sharers = min(threads, max_sharing)
        shares = {Plan.SERIAL: (1,), Plan.ROWS: (min(threads, groups),), Plan.UNITS: (sharers, *units)}
        self.teams = {plan: make_team(*share) for plan, share in shares.items() if plan is Plan.SERIAL or share[0] > 1}
        self.timings = _timings.setdefault(kind, Timings())

    def steps_within(self, seconds: float) -> int:
        """Return how many steps of the next run take so many seconds at most, at least 1."""
        return self.timings.steps_within(seconds, list(self.teams))

    @property
    def max_threads(self) -> int:
        """The number of threads of the largest plan."""
        return max(map(len, self.teams.values()))

    def run(self, run_thread: Callable[[Thread], Any], steps: int = 0) -> None:
        """Call a function for every thread of a plan, each on a thread of its own at the same time.

        The plan is the fastest for calls that do `steps` equal steps, whose time is recorded; without steps it is one
        thread. If one of the calls does not happen or raises an exception, the others pass all their barriers and end.
        """
        plan = self.timings.choose(list(self.teams)) if steps else Plan.SERIAL
        started, core_started = time.perf_counter(), time.thread_time()
        self._run(plan, run_thread)
        if steps:
            self.timings.add(plan, steps, time.perf_counter() - started, time.thread_time() - core_started)

    def call(self, kernel: Any, *arguments: object, steps: int = 0) -> None:
        """Call a kernel in the same way; its first parameter is the thread. See `elman.jit.runtime.record_kernels`."""
        packed = pack(*arguments)
        if is_recording():
            call_kernel(kernel, self.teams[Plan.SERIAL][0], packed)
        else:
            self.run(lambda thread: call_kernel(kernel, thread, packed), steps)

    def _run(self, plan: Plan, run_thread: Callable[[Thread], Any]) -> None:
        first, *others = self.teams[plan]
        futures = [Future[None]() for _ in others]

        def run(thread: Thread, future: Future[None]) -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(run_thread(thread))
            except BaseException as error:
                _release(first)
                future.set_exception(error)

        try:
            _POOL.submit([partial(run, *pair) for pair in zip(others, futures, strict=True)])
            run_thread(first)
            for future in futures:
                future.result()
        except BaseException:
            _release(first)
            wait([future for future in futures if not future.cancel()])
            arrivals = np.zeros_like(first.arrivals)
            self.teams[plan] = [thread._replace(arrivals=arrivals) for thread in (first, *others)]
            raise


def _release(thread: Thread) -> None:
    """Let the threads of a team pass all barriers."""
    thread.arrivals[thread.size * LINE] = 1
