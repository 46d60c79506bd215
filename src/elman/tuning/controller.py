"""The process that a sweep is started from: it chooses trials, hands them to workers, and writes the results."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from optuna import Study
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import Trial, TrialState

from elman.config import make_config
from elman.errors import ElmanError, flag, quote, shorten
from elman.runs.directory import DirectoryLock
from elman.text import read_corpus
from elman.training.callbacks import InterruptCallback
from elman.tuning.results import SweepResult, copy_best, trial_directory, write_report, write_trials
from elman.tuning.space import SweepSettings
from elman.tuning.study import HEARTBEAT_SECONDS, RUNGS, claim_trial, is_shared, next_trial, open_study, send_heartbeats
from elman.tuning.worker import LOG, TrialOrder, Worker

IDENTITY = "elman"
"""The attribute of a study that says what it was made with."""
REFRESH_SECONDS = 0.5
"""Between two looks at the study: for the progress display, and for trials of lost machines."""
MAX_ATTEMPTS = 10
"""A trial whose worker was killed so often has failed: it may be the reason."""
_STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


def run_sweep(
    settings: SweepSettings,
    directory: Path,
    total: int,
    workers: int,
    storage: str | None,
    name: str | None,
    callback: Callable[[SweepResult], object],
) -> SweepResult:
    """Work on a sweep until it has `total` trials or is stopped, and write its results; see `elman.sweep`."""
    if settings.corpus == "-":
        raise ElmanError("a sweep reads the text in every worker: pass a file instead of standard input")
    encoding = make_config(settings.preset, settings.options).encoding
    sha256 = read_corpus(settings.corpus, encoding=encoding).sha256
    # A journal has one study, whose name must not change if the directory is moved.
    name = name or ("sweep" if storage is None else directory.resolve().name)
    with open_study(directory, name, storage, settings.pruner) as study, DirectoryLock(directory) as lock:
        lock.acquire()
        check_identity(study, settings.identity(sha256), directory)
        template = TrialOrder("", settings.corpus, encoding, sha256, settings.preset, {}, [])
        controller = SweepController(study, settings, directory, total, template)
        controller.run([Worker(directory, workers) for _ in range(workers)], callback)
        result = controller.result()
        is_finished = result.finished >= total and not result.select("running")
        result = replace(result, interrupted=not is_finished)
        write_trials(result)
        copy_best(result)
        write_report(result, study)
    failed = result.select("failed")
    if failed and len(failed) == len(result.trials):
        raise ElmanError(f"every trial failed; trial {failed[0].number}: {failed[0].error}")
    return result


def check_identity(study: Study, identity: dict[str, Any], directory: Path) -> None:
    """Reject a study that was made with something else; a new one is made with this.

    Raises
    ------
    ElmanError
        If it was.
    """
    saved = study.user_attrs.get(IDENTITY)
    if saved is None:
        if study.get_trials(deepcopy=False):
            raise ElmanError(f"the study {quote(study.study_name)} is none of elman sweep; choose another --study")
        if any((directory / "trials").glob("*")):
            raise ElmanError(f"{quote(directory)} contains the trials of another study; choose another --out")
        study.set_user_attr(IDENTITY, identity)
        return
    different = [name for name, value in identity.items() if saved.get(name) != value]
    if different:
        what = _describe_difference(different[0], saved.get(different[0]), identity[different[0]])
        raise ElmanError(f"the sweep {quote(directory)} differs in its {what}; pass the same or choose another --out")


def _describe_difference(name: str, saved: object, given: object) -> str:
    """Return which part of its identity a sweep has with another value, and the two values."""
    if isinstance(saved, dict) and isinstance(given, dict):
        key = next(key for key in [*saved, *given] if saved.get(key) != given.get(key))
        name = f"{name}: {key if name == 'search space' else flag(key)}"
        saved, given = saved.get(key, "none"), given.get(key, "none")
    return f"{name} (sweep: {shorten(saved)}, given: {shorten(given)})"


class SweepController:
    """Takes trials from a study, and gives each to a worker. No other process of this machine uses the study.

    Parameters
    ----------
    study : Study
    settings : SweepSettings
    directory : Path
    total : int
        The number of trials, on all machines.
    template : TrialOrder
        What the orders of all trials have in common.
    """

    def __init__(
        self, study: Study, settings: SweepSettings, directory: Path, total: int, template: TrialOrder
    ) -> None:
        self.study, self.settings, self.directory, self.total = study, settings, directory, total
        self.template = template
        self.lock = threading.Lock()  # of the study
        self.stopping = threading.Event()
        self.stopped_trials = self._claim_stopped()
        self.trials = {trial.number: trial for trial in self.stopped_trials}  # those of this machine, in progress
        self.heartbeat_at = time.monotonic()
        self.fractions: dict[int, float] = {}

    def result(self) -> SweepResult:
        """Return the trials so far."""
        return SweepResult.of(self.study, self.directory, self.settings, self.total, self.fractions)

    def run(self, workers: list[Worker], callback: Callable[[SweepResult], object]) -> None:
        """Train trials until there are no more, or until `callback` or SIGINT stops the sweep."""
        with InterruptCallback() as interrupt, ThreadPoolExecutor(len(workers)) as threads:
            pending = {threads.submit(self._work, worker) for worker in workers}
            try:
                while pending:
                    done, pending = wait(pending, REFRESH_SECONDS, FIRST_EXCEPTION)
                    for future in done:
                        future.result()  # raises its error
                    if self._refresh(callback) or interrupt.should_stop():
                        self._stop(workers)
            except BaseException as error:
                self._stop(workers)
                if not isinstance(error, ElmanError):  # such as a second Ctrl-C, which does not wait
                    for worker in workers:
                        worker.kill()
                raise

    def _refresh(self, callback: Callable[[SweepResult], object]) -> object:
        """Show the trials so far, and send heartbeats of those in progress; return whether to stop."""
        with self.lock:
            result = self.result()
            if time.monotonic() - self.heartbeat_at > HEARTBEAT_SECONDS:
                self.heartbeat_at = time.monotonic()
                send_heartbeats(self.study, self.trials.values())
        return callback(result)

    def _stop(self, workers: list[Worker]) -> None:
        self.stopping.set()
        for worker in workers:
            worker.stop()

    def _claim_stopped(self) -> list[Trial]:
        """Return the trials that this machine had in progress when the sweep was stopped or killed."""
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        numbers = [trial.number for trial in running]
        if is_shared(self.study):  # those of other machines have no files here
            numbers = [number for number in numbers if trial_directory(self.directory, number).exists()]
        return [claim_trial(self.study, self.settings, number) for number in numbers]

    # --- The thread of a worker ---

    def _work(self, worker: Worker) -> None:
        """Let a worker train trial after trial; it is replaced if it is killed."""
        try:
            while (trial := self._next_trial()) is not None:
                for _ in range(MAX_ATTEMPTS):
                    if self._train(trial, worker) or worker.is_stopped:
                        break
                else:
                    self._tell(trial, "failed", error=f"its worker ended {MAX_ATTEMPTS} times before it; see {LOG}")
                with self.lock:
                    del self.trials[trial.number]
        finally:
            worker.close()

    def _next_trial(self) -> Trial | None:
        """Return a trial that was stopped, or else a new one; None if there are no more, or the sweep is stopped."""
        while not self.stopping.is_set():
            with self.lock:
                if self.stopped_trials:
                    return self.stopped_trials.pop(0)
                trial = next_trial(self.study, self.settings, self.total)
                if trial is not None:
                    self.trials[trial.number] = trial
                    return trial
                if all(running.number in self.trials for running in self.result().select("running")):
                    return None
            self.stopping.wait(REFRESH_SECONDS)  # another machine, which may be lost, has a trial in progress
        return None

    def _train(self, trial: Trial, worker: Worker) -> bool:
        """Let a worker train a trial, or continue it; return whether the trial has ended."""
        with self.lock:
            recorded = self.study.get_trials(deepcopy=False)[trial.number]
        if recorded.state.is_finished():  # the worker was killed after it was pruned
            return True
        rungs = RUNGS if self.settings.pruner == "halving" else ()
        order = replace(
            self.template,
            out=str(trial_directory(self.directory.resolve(), trial.number)),
            options=self.settings.trial_options(trial.params),
            rungs=[rung for rung in rungs if rung > max(recorded.intermediate_values, default=0)],
        )
        for event in worker.train(order):
            match event.pop("event"):
                case "progress":
                    self.fractions[trial.number] = event["fraction"]
                case "validated":
                    worker.send({"prune": self._should_prune(trial, **event)})
                case "error":
                    raise ElmanError(event["message"])
                case state:
                    self._tell(trial, state, **event)
                    return True
        return False

    def _should_prune(self, trial: Trial, rung: int, loss: float, **figures: float) -> bool:
        """Record an intermediate validation loss; return whether the trial is pruned, which is then recorded, too."""
        with self.lock:
            try:
                trial.report(loss, rung)
                prune = trial.should_prune()
            except UpdateFinishedTrialError:  # another machine has taken this one for lost
                return True
        if prune:
            self._tell(trial, "pruned", **figures)
        return prune

    def _tell(self, trial: Trial, state: str, loss: float | None = None, **attributes: object) -> None:
        """Record how a trial has ended, unless that is recorded already."""
        with self.lock, suppress(UpdateFinishedTrialError):
            for name, value in attributes.items():
                trial.set_user_attr(name, value)
            self.study.tell(trial, loss, _STATES[state], skip_if_finished=True)
