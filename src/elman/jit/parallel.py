"""Compilation in several processes: Numba compiles one kernel at a time in each.

Every process stores the kernels that it compiles in the cache, from which the others load them. If a process ends
early, or none can be started, the main process compiles the remaining kernels.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pkgutil import resolve_name
from queue import SimpleQueue
from threading import Thread

from elman.compilation import COMPILATION
from elman.jit.runtime import Signature
from elman.machine import thread_count

MAX_WORKERS = 3
"""Processes besides the main one: each of them imports Numba first, which takes about a second."""
MIN_KERNELS = 3
"""Kernels that are worth a process."""
_PATIENCE = 60.0
"""Seconds that the main process waits for a kernel that another one compiles."""

_tasks: deque[Signature] = deque()
"""Kernels that no process compiles yet."""
_workers: list[Thread] = []


def start_compiling(kernels: Sequence[Signature]) -> None:
    """Start processes that compile kernels which are not in the cache, from the last one on."""
    COMPILATION.finish = finish_compiling
    _tasks.extend(each for each in dict.fromkeys(kernels) if each[0].is_missing(each[1]))
    count = min(MAX_WORKERS, thread_count() - 1, len(_tasks) // MIN_KERNELS)
    for _ in range(count if sys.executable else 0):
        worker = Thread(target=_run_worker, daemon=True)
        worker.start()
        _workers.append(worker)


def finish_compiling() -> None:
    """Compile kernels from the first one on, until this process and the others have compiled all."""
    while _tasks or _workers:
        with suppress(IndexError):  # a worker may remove the last one
            while True:
                kernel, kinds = _tasks.popleft()
                kernel.find(kinds)
        if _workers:
            with COMPILATION.measure():  # the time counts as if this process compiled
                _workers.pop().join(_PATIENCE)


def _run_worker() -> None:
    """Let a process compile kernels until there are none left."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    code = "from elman.jit.parallel import serve; serve()"
    with suppress(IndexError, OSError), subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        atexit.register(process.kill)  # for a command that is stopped: at once, also while it starts
        while True:
            kernel, kinds = task = _tasks.pop()
            done = b""
            try:
                described = json.dumps([kernel.name, *kinds])
                process.stdin.write(f"{described}\n".encode())
                process.stdin.flush()
                done = process.stdout.read(1)
            finally:
                if not done:  # the process has ended
                    _tasks.append(task)
            if not done:
                return


def serve() -> None:
    """Compile the kernels that the main process names, in a separate process, which ends with the main process."""
    named = SimpleQueue[bytes]()
    Thread(target=_receive, args=(named,), daemon=True).start()
    try:
        while True:
            name, *kinds = json.loads(named.get())
            resolve_name(name).find(tuple(kinds))
            os.write(1, b".")
    finally:
        os._exit(1)  # the thread holds the lock of standard input


def _receive(named: SimpleQueue[bytes]) -> None:
    for line in sys.stdin.buffer:
        named.put(line)
    os._exit(0)  # the main process has closed it, or was killed
