"""The worker processes of one host, among which its cores are shared out."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from elman.errors import ElmanError
from elman.processes import thread_count

MAX_FAILED_STARTS = 5
"""Workers that may end before they are ready, in sequence, until no other is started."""
LOG = "workers.log"
"""The file to which the standard error of the workers is appended."""
_THREAD_VARIABLES = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class WorkerPool:
    """Worker processes, started afresh and not forked: threads of compiled kernels do not survive a fork.

    A worker that is killed is replaced. Leaving the context stops all of them, and waits until they have saved; an
    exception such as a second Ctrl-C kills them.

    Parameters
    ----------
    order : str
        The first line of their standard input, see `elman.tuning.worker`.
    count : int
    directory : Path
        Of the sweep.
    """

    def __init__(self, order: str, count: int, directory: Path) -> None:
        self.order, self.count, self.directory = order, count, directory
        self.events = queue.Queue[tuple[subprocess.Popen[str], dict[str, Any]]]()
        self.processes: list[subprocess.Popen[str]] = []
        self.failed_starts = 0
        self.is_stopping = False

    def __enter__(self) -> Self:
        for _ in range(self.count):
            self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
            for process in self.processes:
                if kind is not None and not issubclass(kind, ElmanError):
                    process.kill()
                process.wait()
        finally:
            for process in self.processes:
                process.kill()

    def stop(self) -> None:
        """Ask all workers to save and end."""
        self.is_stopping = True
        for process in self.processes:
            _close_stdin(process)

    def poll(self, seconds: float) -> dict[str, Any] | None:
        """Return the next event of a worker, after waiting for it for some time; replace workers that were killed.

        Raises
        ------
        ElmanError
            If a worker reports an error, or none can be started.
        """
        try:
            process, event = self.events.get(timeout=seconds)
        except queue.Empty:
            return None
        match event["event"]:
            case "ready":
                self.failed_starts = 0
            case "error":
                raise ElmanError(event["message"])
            case "exit":
                self._replace(process, event["code"])
        return event

    @property
    def is_working(self) -> bool:
        """Whether any worker has not ended."""
        return bool(self.processes)

    def _replace(self, process: subprocess.Popen[str], code: int) -> None:
        self.processes.remove(process)
        _close_stdin(process)
        if code == 0 or self.is_stopping:
            return
        self.failed_starts += 1
        if self.failed_starts > MAX_FAILED_STARTS:
            raise ElmanError(f"workers cannot start (exit code {code}); see {self.directory / LOG}")
        self._start()

    def _start(self) -> None:
        threads = str(max(1, thread_count() // self.count))
        environment = dict.fromkeys(_THREAD_VARIABLES, threads) | os.environ
        with (self.directory / LOG).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "elman.tuning.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                encoding="utf-8",
                start_new_session=True,  # Ctrl-C in a terminal must not reach it before it can handle it
            )
        self.processes.append(process)
        assert process.stdin is not None
        with suppress(OSError):  # it has been killed already
            process.stdin.write(self.order)
            process.stdin.flush()
        threading.Thread(target=self._read, args=(process,), daemon=True).start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                with suppress(ValueError):  # the last line of a killed process may be partial
                    self.events.put((process, json.loads(line)))
        self.events.put((process, {"event": "exit", "code": process.wait()}))


def _close_stdin(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    with suppress(OSError):  # it has ended, and what is buffered cannot be written
        process.stdin.close()
