"""The loop of a sweep: threads ask Optuna for trials, and train each in a process of its own."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any

from optuna.trial import Trial, TrialState

from elman.apps.sweep.results import (
    BEST,
    REPORT,
    TRIAL_RUNS,
    TRIALS,
    SweepResult,
    copy_best,
    trial_directory,
    write_report,
    write_trials,
)
from elman.apps.sweep.space import SweepSettings
from elman.apps.sweep.study import STUDY, SweepStudy, open_study
from elman.config import make_config
from elman.errors import ElmanError, option
from elman.machine import thread_count
from elman.runs import DirectoryLock, reject_links, require_free
from elman.storage import exists, real_path
from elman.text import hash_text
from elman.training import InterruptCallback

COMMAND: Sequence[str] = ("-P", "-m", "elman.apps.sweep.worker")
LOG = "workers.log"  # the file to which the standard error of the processes is appended
MAX_ATTEMPTS = 3  # a trial whose process was killed so often has failed: it may use too much memory
REFRESH_SECONDS = 0.5  # seconds between two readings of the study
_BLAS_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

Process = subprocess.Popen[str]
Callback = Callable[[SweepResult], object]


def run_sweep(settings: SweepSettings, callback: Callback) -> SweepResult:
    """Work on a sweep until it has all its trials or is stopped, and write its results; see `elman.sweep`."""
    if settings.corpus == "-":
        raise ElmanError("a sweep reads the text for every trial: pass a file instead of standard input")
    directory, encoding = settings.directory, make_config(settings.preset, settings.options).encoding
    sha256 = hash_text(settings.corpus, encoding=encoding)
    reject_links(*(directory / name for name in (STUDY, LOG, BEST, TRIAL_RUNS)), *directory.glob(f"{TRIAL_RUNS}/*"))
    if not exists(directory / STUDY):
        require_free(directory, [TRIALS, REPORT])
    with DirectoryLock(directory) as lock:
        lock.acquire()  # first: two processes cannot create one database at the same time
        with open_study(settings) as study:
            study.check_identity(sha256)
            study.release()
            is_stopped = study.remaining() != 0 and optimize(study, sha256, callback)
            result = SweepResult.of(study.study, settings, interrupted=is_stopped and study.remaining() != 0)
            write_trials(result)
            copy_best(result)
            write_report(result, study.study)
    failed = result.select("failed")
    if failed and len(failed) == len(result.trials):
        raise ElmanError(f"every trial failed; trial {failed[0].number}: {failed[0].error}")
    return result


def optimize(study: SweepStudy, corpus_sha256: str, callback: Callback) -> bool:
    """Train the remaining trials, until the time is over; return whether `callback` or SIGINT has stopped the sweep."""
    workers, is_stopped = Workers(study, corpus_sha256), False
    end = time.monotonic() + (study.settings.total_seconds or math.inf)
    with InterruptCallback() as interrupt, ThreadPoolExecutor(study.settings.workers) as executor:
        threads = [executor.submit(workers.work) for _ in range(study.settings.workers)]
        try:
            while wait(threads, REFRESH_SECONDS).not_done:
                result = SweepResult.of(study.study, study.settings)
                is_stopped = bool(callback(result)) or interrupt.should_stop() or is_stopped
                if is_stopped or time.monotonic() > end:
                    workers.stop()
        except BaseException:  # such as a second Ctrl-C, which ends at once
            workers.stop(kill=True)
            raise
    study.release()
    for thread in threads:
        thread.result()
    return is_stopped


class Workers:
    """Threads that train trials, each one trial at a time."""

    def __init__(self, study: SweepStudy, corpus_sha256: str) -> None:
        self.study, self.settings, self.corpus_sha256 = study, study.settings, corpus_sha256
        self.lock, self.processes, self.is_stopping = threading.Lock(), set[Process](), False

    def work(self) -> None:
        """Train trials until there are enough, or the sweep stops; an error, such as a full disk, stops it."""
        try:
            while (trial := self.ask()) is not None:
                ended = self.train(self.study.suggest(trial))
                if ended["state"] == "aborted":
                    raise ElmanError(ended["error"])
                if ended["state"] != "stopped":  # such a trial is continued later
                    self.tell(trial, ended)
        except BaseException:
            self.stop()
            raise

    def ask(self) -> Trial | None:
        """Return the next trial; None if there are enough, or the sweep stops."""
        with self.lock:  # two threads that ask at once may get the same waiting trial of a SQLite file
            return None if self.is_stopping or self.study.remaining() == 0 else self.study.study.ask()

    def tell(self, trial: Trial, ended: dict[str, Any]) -> None:
        """Store how a trial ended."""
        for name in ended.keys() & {"seconds", "updates", "error"}:
            trial.set_user_attr(name, ended[name])
        if ended["state"] == "complete":
            self.study.study.tell(trial, float(ended["loss"]))
        else:
            self.study.study.tell(trial, state={"pruned": TrialState.PRUNED, "failed": TrialState.FAIL}[ended["state"]])

    def train(self, trial: Trial) -> dict[str, Any]:
        """Train a trial, and continue it if its process alone is killed or interrupted; return how it ended."""
        for _ in range(MAX_ATTEMPTS):
            ended = self.train_once(trial)
            if ended["state"] not in ("killed", "stopped"):
                return ended
            if self.is_stopping:
                return {"state": "stopped"}
        return {"state": "failed", "error": f"its process ended {MAX_ATTEMPTS} times before it; see {LOG}"}

    def train_once(self, trial: Trial) -> dict[str, Any]:
        """Train a trial in a process, and report its validations; return how it ended."""
        ended, is_pruned = {"state": "killed"}, False
        with self.start(self.arguments(trial)) as process:
            assert process.stdout is not None
            for line in process.stdout:
                message = json.loads(line) if line.endswith("\n") else {}
                if "state" in message:
                    ended = message
                elif message and not is_pruned:
                    trial.report(message["loss"], message["percent"])
                    # A trial that ends with this validation is complete, however poor it is.
                    if is_pruned := message["percent"] < 100 and trial.should_prune():
                        close_input(process)
        self.processes.discard(process)
        return ended | {"state": "pruned"} if is_pruned and ended["state"] in ("stopped", "complete") else ended

    def arguments(self, trial: Trial) -> list[Any]:
        """Return the arguments of a trial's process."""
        settings = self.settings
        out = trial_directory(real_path(settings.directory), trial.number)
        out.mkdir(parents=True, exist_ok=True)  # an empty directory can be resumed
        options = {"corpus": settings.corpus, "preset": settings.preset, "out": os.fspath(out)}
        return [self.corpus_sha256, options | settings.options | trial.params]

    def start(self, arguments: list[Any]) -> Process:
        """Start a process for a trial; the processes of a sweep share the cores of the machine equally."""
        # It is not forked, because threads of compiled kernels do not survive a fork. It is not started by
        # `multiprocessing`, which would import the script that calls `elman.sweep`.
        threads = str(max(1, thread_count() // self.settings.workers))
        with (self.settings.directory / LOG).open("ab") as log:
            # Ctrl-C in a terminal must not reach it: the sweep stops it.
            process = subprocess.Popen(
                [sys.executable, *COMMAND], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                env=dict.fromkeys(_BLAS_VARIABLES, threads) | os.environ | {"NUMBA_NUM_THREADS": threads},
                encoding="utf-8", start_new_session=True,
            )  # fmt: skip
        self.processes.add(process)
        try:
            print(json.dumps([option.are_flags, *arguments]), file=process.stdin, flush=True)
        except (OSError, ValueError):  # it was killed, or `stop` has closed its input
            close_input(process)  # otherwise, `Popen.__exit__` tries to write what is left
        if self.is_stopping:
            close_input(process)
        return process

    def stop(self, *, kill: bool = False) -> None:
        """Make the trials in training save their runs and end, or kill their processes."""
        self.is_stopping = True
        for process in [*self.processes]:
            process.kill() if kill else close_input(process)


def close_input(process: Process) -> None:
    """Ask a process to save its run and end."""
    assert process.stdin is not None
    with suppress(OSError):  # buffered output cannot be written to a killed process
        process.stdin.close()
