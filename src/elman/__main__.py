"""The entry point of ``elman`` and of ``python -m elman``."""

import atexit
import gc
import os
import sys
import time
from contextlib import suppress

TYPE_CHECKING = False  # instead of `typing`, whose import is slow
if TYPE_CHECKING:
    from types import FrameType


GC_THRESHOLD = 10_000
"""Containers allocated, minus freed ones, before Python looks for cycles. Imports allocate many, which stay in use."""

STOPPED = (129, 130, 143)
"""Exit codes of a command that a signal has stopped."""


def main() -> None:
    """Run the command line; Ctrl-C ends it without a traceback, even while modules are still being imported."""
    started = time.monotonic() - time.process_time()  # so far, the interpreter has used the processor without waiting
    gc.set_threshold(GC_THRESHOLD)
    stopped = list[int]()
    atexit.register(_end, stopped)  # the function registered first is called last
    try:
        import signal

        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _interrupt)
        from elman.cli.frame import main
    except KeyboardInterrupt:
        sys.exit(130)
    try:
        main(started=started)
    except SystemExit as exit:
        if exit.code in STOPPED:
            stopped.append(int(exit.code))
        raise


def _end(stopped: "list[int]") -> None:
    """End the process.

    If a signal has stopped it, a thread may still compile a kernel: LLVM would crash when Python cleans up.
    """
    gc.freeze()  # otherwise Python looks for cycles several times at exit
    for code in stopped:
        for stream in (sys.stdout, sys.stderr):
            with suppress(AttributeError, OSError, ValueError):  # the stream is closed
                stream.flush()
        os._exit(code)


def _interrupt(number: int, frame: "FrameType | None") -> None:
    """Handle SIGINT as Python does, but exit at once while a module is loaded: an exception there may be lost."""
    caller = frame
    while caller is not None:
        code = caller.f_code
        if (code.co_filename, code.co_name) == ("<frozen importlib._bootstrap>", "_find_and_load"):
            os._exit(130)
        caller = caller.f_back
    from elman.machine import postpone_signal

    if not postpone_signal(number, frame):
        raise KeyboardInterrupt


if __name__ == "__main__":
    main()
