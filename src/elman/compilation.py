"""The time that this process spends on the compilation of kernels, and callbacks for its beginning."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

COMPILING = "compiling kernels (once for this kind of network, may take half a minute) …"


class Compilation:
    """The compilation of kernels in this process."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.watchers: list[Callable[[], object]] = []
        """Functions that are called when a compilation begins."""
        self.finish: Callable[[], None] = lambda: None
        """Waits for other processes that compile; `elman.jit.parallel` sets it when it has started them."""

    @contextmanager
    def measure(self) -> Iterator[None]:
        """Notify the watchers, and measure the time of the block; such blocks must not be nested."""
        started = time.monotonic()
        for watch in self.watchers:
            watch()
        try:
            yield
        finally:
            self.seconds += time.monotonic() - started


COMPILATION = Compilation()


def compile_seconds() -> float:
    """Return the seconds that this process has spent on the compilation of kernels."""
    return COMPILATION.seconds


def finish_compiling() -> None:
    """Wait for other processes that compile kernels, if there are any."""
    COMPILATION.finish()


@contextmanager
def watch_compilation(on_start: Callable[[], None]) -> Iterator[None]:
    """Call a function once, before the first kernel in the block is compiled; never if no kernel is compiled."""
    announced = False

    def announce() -> None:
        nonlocal announced
        if not announced:
            announced = True
            on_start()

    COMPILATION.watchers.append(announce)
    try:
        yield
    finally:
        COMPILATION.watchers.remove(announce)
