"""The process that a sweep is started from: it starts workers, starts killed ones again, and writes the results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace

from optuna.trial import TrialState

from elman.apps.sweep.results import BEST, TRIAL_RUNS, SweepResult, copy_best, write_report, write_trials
from elman.apps.sweep.space import SweepPlan
from elman.apps.sweep.study import SweepStudy, open_study, report_damage
from elman.apps.sweep.worker import FAILED, LOG
from elman.config import make_config
from elman.errors import ElmanError, is_command_line
from elman.machine import thread_count
from elman.runs import DirectoryLock, reject_links
from elman.text import hash_text
from elman.training import InterruptCallback

COMMAND: Sequence[str] = ("-P", "-m", "elman.apps.sweep.worker")
REFRESH_SECONDS = 0.5
"""Between two looks at the workers and the study."""
MAX_ATTEMPTS = 10
"""A trial whose worker was killed so often has failed: it may be the reason."""
_BLAS_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def run_sweep(plan: SweepPlan, callback: Callable[[SweepResult], object]) -> SweepResult:
    """Work on a sweep until it has all its trials or is stopped, and write its results; see `elman.sweep`."""
    settings, directory = plan.settings, plan.directory
    if settings.corpus == "-":
        raise ElmanError("a sweep reads the text in every worker: pass a file instead of standard input")
    encoding = make_config(settings.preset, settings.options).encoding
    plan = replace(plan, corpus_sha256=hash_text(settings.corpus, encoding=encoding))
    reject_links(directory / BEST, directory / TRIAL_RUNS, *directory.glob(f"{TRIAL_RUNS}/*"))
    with DirectoryLock(directory) as lock, open_study(plan) as study:
        lock.acquire()
        with report_damage(plan):
            study.check_identity()
            study.result()
        run_workers(study, callback)
        result = study.result()
        is_finished = result.finished >= plan.trials and not result.select("running")
        result = replace(result, interrupted=not is_finished)
        write_trials(result)
        copy_best(result)
        write_report(result, study.study)
    failed = result.select("failed")
    if failed and len(failed) == len(result.trials):
        raise ElmanError(f"every trial failed; trial {failed[0].number}: {failed[0].error}")
    return result


def run_workers(study: SweepStudy, callback: Callable[[SweepResult], object]) -> None:
    """Let workers train until there are no more trials, or until `callback` or SIGINT stops the sweep."""
    plan, kills, is_stopping = study.plan, Counter[int | None](), False
    workers = dict[int, Worker]()
    with InterruptCallback() as interrupt:
        try:
            workers |= {number: Worker(plan, number) for number in range(plan.workers)}
            while workers:
                for number, worker in [*workers.items()]:
                    if (code := worker.poll()) is not None:
                        message = workers.pop(number).close()
                        if code == FAILED:
                            raise ElmanError(message)
                        if code and not is_stopping:
                            count_kill(study, number, kills)
                            workers[number] = Worker(plan, number)
                study.send_heartbeats()
                if callback(study.result()) or interrupt.should_stop():
                    is_stopping = True
                    for worker in workers.values():
                        worker.stop()
                if workers:
                    time.sleep(REFRESH_SECONDS)
        except BaseException as error:
            for worker in workers.values():
                worker.stop()
                if not isinstance(error, ElmanError):  # such as a second Ctrl-C, which does not wait
                    worker.kill()
            for worker in workers.values():
                worker.close()
            raise


def count_kill(study: SweepStudy, worker: int, kills: Counter[int | None]) -> None:
    """Count how often a worker was killed in its trial, which fails if that is too often."""
    trials = study.in_progress(worker)
    number = trials[0].number if trials else None
    kills[number] += 1
    if kills[number] < MAX_ATTEMPTS:
        return
    if number is None:
        raise ElmanError(f"a worker ended {MAX_ATTEMPTS} times before its first trial; see {LOG}")
    error = f"its worker ended {MAX_ATTEMPTS} times before it; see {LOG}"
    study.tell(study.open_trial(number), TrialState.FAIL, error=error)


class Worker(subprocess.Popen[str]):
    """A worker process; the workers of a sweep share the cores of the machine equally.

    It ends once its standard input is closed, and so with the process that started it, however that ends. It is started
    afresh, and not as a fork: threads of compiled kernels do not survive one.
    """

    def __init__(self, plan: SweepPlan, number: int) -> None:
        path, threads = plan.directory / LOG, str(max(1, thread_count() // plan.workers))
        if path.is_symlink() or not path.is_file():  # such as a pipe
            path.unlink(missing_ok=True)
        with path.open("ab") as log:
            super().__init__(
                [sys.executable, *COMMAND],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=dict.fromkeys(_BLAS_VARIABLES, threads) | os.environ | {"NUMBA_NUM_THREADS": threads},
                encoding="utf-8",
                start_new_session=True,  # Ctrl-C in a terminal must not reach it: the sweep stops it
            )
        assert self.stdin is not None
        with suppress(OSError):  # it was killed
            values = asdict(plan) | {"directory": str(plan.directory.resolve())}
            self.stdin.write(json.dumps([number, is_command_line(), values]) + "\n")
            self.stdin.flush()

    def stop(self) -> None:
        """Ask it to save the run in training and end."""
        assert self.stdin is not None
        with suppress(OSError):  # what is buffered cannot be written after it was killed
            self.stdin.close()

    def close(self) -> str:
        """Wait until it has ended, and return what it has written: the error with which it ends the sweep."""
        self.stop()
        assert self.stdout is not None
        with self:
            return self.stdout.read().strip()
