"""Work of the codec on several cores: parts that are independent, so that the result is the same to the last bit."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from elman.compression import exact_kernels
from elman.compression.blocks import split_ranges
from elman.compression.exact_kernels import Floats
from elman.processes import thread_count

_A = TypeVar("_A")

MIN_WORK = 1 << 22
"""Multiplications of a part at least, about 0.2 ms: handing a part to another thread takes some 20 µs."""


def run_parts(function: Callable[[slice], None], n: int, work: int) -> None:
    """Call `function` with consecutive slices that cover n items, on all cores if there is enough `work` in total.

    Parameters
    ----------
    function : callable
        Must treat the items independently.
    n : int
    work : int
        Number of multiplications.
    """
    count = max(1, min(core_count(), n, work // MIN_WORK))
    first, *others = (slice(start, end) for start, end in split_ranges(n, count))
    futures = [thread_pool().submit(function, part) for part in others]
    function(first)
    for future in futures:
        future.result()


def start_task(function: Callable[[], _A]) -> Future[_A]:
    """Call `function` on another thread, or at once if there is only one core."""
    if core_count() > 1:
        return thread_pool().submit(function)
    done: Future[_A] = Future()
    done.set_result(function())
    return done


def add_matmul(y: Floats, a: Floats, B: Floats) -> None:
    """Do `exact_kernels.add_matmul`, the rows of y in parts."""
    run_parts(lambda part: exact_kernels.add_matmul(y[part], a[part], B), len(y), a.size * B.shape[1])


core_count = functools.cache(thread_count)
"""The number of threads; asking the system takes as long as a part of an optimizer step."""


@functools.cache
def thread_pool() -> ThreadPoolExecutor:
    """Return the codec's threads, as many as there are cores."""
    return ThreadPoolExecutor(core_count())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=thread_pool.cache_clear)  # a forked process has none of the threads
