"""The cores of this process: only one of them, or all of them busy."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np


@contextmanager
def one_core() -> Iterator[None]:
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


@contextmanager
def busy_cores() -> Iterator[None]:
    """Let other threads compete for every core."""
    ended = threading.Event()

    def compete() -> None:
        a = np.ones((300, 300))
        while not ended.is_set():
            a @ a

    with ThreadPoolExecutor(4) as executor:
        for _ in range(4):
            executor.submit(compete)
        try:
            yield
        finally:
            ended.set()
