"""One training in the several processes of torchrun: they run the same loop on the run of process 0."""

from __future__ import annotations

import signal
from contextlib import suppress
from dataclasses import replace

from elman.engine.processes import current_process, run_on_first_process
from elman.errors import NonFiniteLossError
from elman.machine import HANGUP
from elman.training.budget import Stopwatch
from elman.training.callbacks import TrainingCallback
from elman.training.loop import train_run
from elman.training.run import History, Run


def share_run(run: Run) -> None:
    """Send a run to the other processes, without its directory: process 0 alone reads, shows progress and writes."""
    if current_process().size > 1:
        history = History(run.config, run.metrics[:], run.samples[:])
        run_on_first_process(lambda: replace(run, directory=None, history=history))


def follow() -> int:
    """Train the run of process 0 with its times, validation losses and decision to stop; return the exit code."""
    run = run_on_first_process(_receive_only)
    for number in {signal.SIGINT, signal.SIGTERM, HANGUP or signal.SIGTERM}:
        signal.signal(number, signal.SIG_IGN)  # process 0 decides
    if not run.was_finished:
        with suppress(NonFiniteLossError):  # process 0 reports it
            train_run(run, TrainingCallback(), Stopwatch())
    return 0


def _receive_only() -> Run:
    raise AssertionError("process 0 does not follow")
