"""The entry point of ``elman`` and of ``python -m elman``."""

import atexit
import gc
import os
import sys
import time

TYPE_CHECKING = False  # as in `typing`, which takes a while to import
if TYPE_CHECKING:
    from types import FrameType


GC_THRESHOLD = 10_000
"""Containers allocated, less those freed, before Python looks for cycles. Imports allocate many, which stay in use."""


def main() -> None:
    """Run the command line; Ctrl-C ends it without a traceback, even while modules are still being imported."""
    started = time.monotonic() - time.process_time()  # the interpreter has waited for nothing so far
    gc.set_threshold(GC_THRESHOLD)
    atexit.register(gc.freeze)  # Python would look for cycles several times while it ends
    try:
        import signal

        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _interrupt)
        from elman.cli.app import main
    except KeyboardInterrupt:
        sys.exit(130)
    main(started=started)


def _interrupt(number: int, frame: "FrameType | None") -> None:
    """Handle SIGINT as Python does, but exit at once while a module is loaded: an exception there may be lost."""
    while frame is not None:
        code = frame.f_code
        if (code.co_filename, code.co_name) == ("<frozen importlib._bootstrap>", "_find_and_load"):
            os._exit(130)
        frame = frame.f_back
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
