"""The processes of ``torchrun … -m elman train``.

Process 0 runs the command. It starts or resumes the run and sends it to the others; from then on every process runs the
same training loop, with the seconds that process 0 has measured, its validation losses, and its decision to stop.
Process 0 alone reads the text, shows progress, and writes.
"""

from __future__ import annotations

import signal
from contextlib import suppress

from elman.errors import NonFiniteLossError
from elman.processes import run_on_first_process
from elman.runs.run import Run
from elman.training.callbacks import TrainingCallback
from elman.training.loop import Trainer


def follow() -> int:
    """Train the run of process 0 as it does, without a directory; return the exit code."""
    run = run_on_first_process(_receive_only)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # process 0 decides
    if not run.was_finished:
        with suppress(NonFiniteLossError):  # process 0 reports it
            Trainer(run, TrainingCallback()).train()
    return 0


def _receive_only() -> Run:
    raise AssertionError("process 0 does not follow")
