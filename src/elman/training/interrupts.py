"""SIGINT during training: the first ends the run after the update in progress, a second raises KeyboardInterrupt.

Python itself raises KeyboardInterrupt wherever the program happens to be, and so in the middle of an update, whose
parameters would then be changed in part.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType

from elman.training.callbacks import TrainingCallback


class InterruptCallback(TrainingCallback):
    """Asks to stop once SIGINT has arrived, as Ctrl-C and the stop button of a notebook send it.

    A context manager. Only the default handler of Python is replaced, and only in the main thread, the one in which
    Python runs handlers: a program that has installed a handler keeps it.
    """

    def __init__(self) -> None:
        self.interrupted = False
        self._replaces_default = False

    def __enter__(self) -> InterruptCallback:
        in_main_thread = threading.current_thread() is threading.main_thread()
        self._replaces_default = in_main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._replaces_default:
            signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._replaces_default:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True

    def should_stop(self) -> bool:
        """Return whether SIGINT has arrived."""
        return self.interrupted
