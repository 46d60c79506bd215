"""The processes of ``torchrun … -m elman train``. PyTorch is imported only if there are several.

Process 0 leads: it runs the command. The others follow: they compute their part of every update.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from elman.processes import current_process


def is_follower() -> bool:
    """Return whether torchrun started this process to follow another."""
    return current_process().rank > 0


def follow() -> int:
    """Take part in the training that process 0 runs, until it ends; return the exit code."""
    from elman.engine.torch.data_parallel import follow

    return follow()


@contextmanager
def leading() -> Iterator[None]:
    """Let the other processes, if there are any, end with the block.

    A signal counts once: Ctrl-C sends it to every process, and torchrun then sends it to them again.
    """
    if current_process().size == 1:
        yield
        return
    from elman.engine.torch.data_parallel import release_followers

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    first = _only_first(before)
    for number in before:
        signal.signal(number, first)
    try:
        yield
    finally:
        release_followers()
        for number, handler in before.items():
            signal.signal(number, handler)


def _only_first(handlers: dict[signal.Signals, Any]) -> Callable[[int, FrameType | None], None]:
    """Return a handler that passes the first signal to its own of `handlers`, and ignores the others."""
    arrived = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal arrived
        handler, is_first = handlers[signal.Signals(number)], not arrived
        arrived = True
        if is_first and callable(handler):
            handler(number, frame)

    return handle
