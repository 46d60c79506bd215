"""The study of a sweep: Optuna's record of the trials, in a journal or a database, and the choice of their values.

Every process of a sweep opens the study for itself.
"""

from __future__ import annotations

import os
import platform
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from filelock import FileLock
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.exceptions import ExperimentalWarning, StorageInternalError, UpdateFinishedTrialError
from optuna.pruners import NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, GridSampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage, RDBStorage, RetryHeartbeatStaleTrialCallback, fail_stale_trials
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from elman.apps.sweep.results import TRIAL_RUNS, SweepResult, trial_directory
from elman.apps.sweep.space import SweepPlan, SweepSettings, create_distribution, create_grid
from elman.config import Config
from elman.errors import ElmanError, option, quote, shorten
from elman.storage import parse_strict_json, require_regular_file, safe_message

JOURNAL = "journal.log"
LOCK = ".trials.lock"
IDENTITY = "elman"
"""The attribute of a study that says what it was made with."""
RUNGS = (25, 50)
"""Percent of its budget at which a trial is compared with the others: the worse half is pruned at each."""
HEARTBEAT_SECONDS = 60
"""Between two signs of life of a trial whose study is in a database."""
GRACE_SECONDS = 300
"""A trial without one for so long has lost its machine."""
LOCK_SECONDS = 60
"""How long a process waits for another one that writes to a SQLite file."""


class SweepStudy:
    """The study of a sweep in its storage; the lock is that of the processes on this machine."""

    def __init__(self, plan: SweepPlan, storage: optuna.storages.BaseStorage, lock: FileLock) -> None:
        self.plan, self.storage, self.lock = plan, storage, lock
        # A journal has one study, whose name must not change if the directory is moved.
        name = plan.study or ("sweep" if plan.storage is None else plan.directory.resolve().name)
        halving = SuccessiveHalvingPruner(min_resource=RUNGS[0], reduction_factor=2)
        self.study = optuna.create_study(
            storage=storage,
            study_name=name,
            direction="minimize",
            load_if_exists=True,
            sampler=RandomSampler(),
            pruner=halving if plan.settings.pruner == "halving" else NopPruner(),
        )
        self.id = storage.get_study_id_from_name(name)
        self._heartbeat_at = time.monotonic()

    def result(self) -> SweepResult:
        """Return the trials so far."""
        return SweepResult.of(self.study, self.plan)

    def check_identity(self) -> None:
        """Reject a study that was made with something else; a new one is made with this."""
        directory, study = self.plan.directory, self.study
        saved = study.user_attrs.get(IDENTITY)
        identity = self.plan.settings.identity(self.plan.corpus_sha256)
        if saved is None or study.directions != [optuna.study.StudyDirection.MINIMIZE]:
            if study.get_trials(deepcopy=False) or saved is not None:
                name = quote(study.study_name)
                raise ElmanError(f"the study {name} was not made by elman sweep; choose another {option.study}")
            if any((directory / TRIAL_RUNS).glob("*")):
                remedy = f"choose another {option.out}"
                raise ElmanError(f"{quote(directory)} contains the trials of another study; {remedy}")
            study.set_user_attr(IDENTITY, identity)
            return
        for name in [*saved, *identity]:
            before, given = (each.get(name, "none") for each in (saved, identity))
            if before != given:
                label = f"options: {option[name]}" if name in Config.__dataclass_fields__ else name
                what = f"{label} (sweep: {shorten(before)}, given: {shorten(given)})"
                remedy = f"pass the same or choose another {option.out}"
                raise ElmanError(f"the sweep {quote(directory)} differs in its {what}; {remedy}")

    # --- Trials ---

    def running(self) -> list[FrozenTrial]:
        """Return the trials that any machine has in progress."""
        return self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))

    def in_progress(self, worker: int | None = None) -> list[FrozenTrial]:
        """Return the trials that this machine, or one of its workers, has in progress.

        Those of a worker without a process, since the sweep has fewer than before, belong to another.
        """
        trials = self.running()
        if isinstance(self.storage, RDBStorage):  # those of other machines have no directory here
            trials = [each for each in trials if trial_directory(self.plan.directory, each.number).exists()]
        if worker is None:
            return trials
        # One that was killed before it claimed its trial has not left its number.
        return [each for each in trials if each.user_attrs.get("worker", worker) % self.plan.workers == worker]

    def next_trial(self, worker: int) -> Trial | None:
        """Return the trial that a worker has in progress, or else a new one; None if there are enough trials."""
        with self.lock:
            if stopped := self.in_progress(worker):
                return self._claim(stopped[0].number, worker)
            fail_stale_trials(self.study)  # those of lost machines, whose values wait to be tried again
            trials = self.study.get_trials(deepcopy=False)
            if len(trials) >= self.plan.trials and all(each.state != TrialState.WAITING for each in trials):
                return None
            return self._claim(self.study.ask().number, worker)

    def _claim(self, number: int, worker: int) -> Trial:
        """Return a trial in progress, with the values that it does not have yet chosen by its sampler."""
        trial_directory(self.plan.directory, number).mkdir(parents=True, exist_ok=True)
        self.study.sampler = create_sampler(self.plan.settings, number)
        trial = self.open_trial(number)
        for name, value in (("worker", worker), ("host", platform.node())):
            if trial.user_attrs.get(name) != value:
                trial.set_user_attr(name, value)
        self._send_heartbeat(number)
        for name, values in self.plan.settings.space.items():
            distribution = create_distribution(name, values)
            if isinstance(distribution, CategoricalDistribution):
                trial.suggest_categorical(name, distribution.choices)
                continue
            suggest: Any = trial.suggest_float if isinstance(distribution, FloatDistribution) else trial.suggest_int
            suggest(name, distribution.low, distribution.high, step=distribution.step, log=distribution.log)
        self.study.sampler = RandomSampler()  # that of a grid would stop `Study.optimize` when told the last result
        return trial

    def open_trial(self, number: int) -> Trial:
        """Return a trial in progress, to report to."""
        return Trial(self.study, self._trial_id(number))

    def rungs(self, number: int) -> list[int]:
        """Return the percentages of its budget at which a trial is still to be compared with the others."""
        if self.plan.settings.pruner == "none":
            return []
        reported = self.study.get_trials(deepcopy=False)[number].intermediate_values
        return [rung for rung in RUNGS if rung > max(reported, default=0)]

    def tell(self, trial: Trial, state: TrialState, loss: float | None = None, **attributes: object) -> None:
        """Record how a trial has ended, unless that is recorded already."""
        with suppress(UpdateFinishedTrialError):
            for name, value in attributes.items():
                trial.set_user_attr(name, value)
            self.study.tell(trial.number, loss, state, skip_if_finished=True)

    def send_heartbeats(self) -> None:
        """Record, from time to time, that the trials of this machine are in progress."""
        if time.monotonic() - self._heartbeat_at > HEARTBEAT_SECONDS:
            self._heartbeat_at = time.monotonic()
            for trial in self.in_progress():
                self._send_heartbeat(trial.number)

    def _send_heartbeat(self, number: int) -> None:
        if isinstance(self.storage, RDBStorage):
            self.storage.record_heartbeat(self._trial_id(number))

    def _trial_id(self, number: int) -> int:
        return self.storage.get_trial_id_from_study_id_trial_number(self.id, number)


def create_sampler(settings: SweepSettings, number: int) -> BaseSampler:
    """Return the sampler for the trial of a number.

    It has a seed for each trial: with a single one, every worker and every continued sweep would draw the same first
    values again.
    """
    if settings.sampler == "grid":
        return GridSampler(create_grid(settings.space), seed=settings.seed)
    seed = int(np.random.default_rng([settings.seed, number]).integers(2**32))
    return TPESampler(seed=seed) if settings.sampler == "tpe" else RandomSampler(seed=seed)


# --- The storage ---


@contextmanager
def open_study(plan: SweepPlan) -> Iterator[SweepStudy]:
    """Open the study in the journal of a directory or in a database, and create it if there is none."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            warnings.filterwarnings("ignore", "Heartbeat of storage")  # of Study.ask; see `send_heartbeats`
            with _open_database(plan.storage) if plan.storage else nullcontext() as database:
                plan.directory.mkdir(parents=True, exist_ok=True)
                lock = FileLock(plan.directory / LOCK)
                with report_damage(plan):
                    study = SweepStudy(plan, database or _open_journal(plan.directory / JOURNAL, lock), lock)
                yield study
    finally:
        optuna.logging.set_verbosity(verbosity)


def _open_journal(path: Path, lock: FileLock) -> JournalStorage:
    with lock:
        if os.path.lexists(path):
            _check_lines(path)
        # Of a lock Optuna calls `acquire` and `release` only; the kernel releases this one when its process is killed.
        return JournalStorage(JournalFileBackend(str(path), lock))  # type: ignore[arg-type]


def _check_lines(path: Path) -> None:
    """Check the lines of a journal, and remove a partial one at its end, to which Optuna would append the next."""
    if path.is_symlink():  # Optuna would append elsewhere
        raise ValueError("it is a link")
    with require_regular_file(path).open("r+b") as file:
        *lines, partial = file.read().split(b"\n")
        for line in lines:
            parse_strict_json(line.decode("utf-8"))
        file.truncate(file.tell() - len(partial))


@contextmanager
def report_damage(plan: SweepPlan) -> Iterator[None]:
    """Report in one line what Optuna, and who reads its study, raises for a journal that is damaged."""
    try:
        yield
    except Exception as error:
        if isinstance(error, ElmanError) or plan.storage is not None:
            raise
        path, reason = quote(plan.directory / JOURNAL), safe_message(error) or type(error).__name__
        remedy = f"restore it or choose another {option.out}"
        raise ElmanError(f"{path} is not a journal of Optuna ({reason}): {remedy}") from error


@contextmanager
def _open_database(text: str) -> Iterator[RDBStorage]:
    """Open the database of a URL; report its errors in one line, without its password."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ElmanError(f"{option.storage} must be a URL such as postgresql+psycopg://user@host/database") from None
    shown = url.set(query={}).render_as_string()
    options = {"timeout": LOCK_SECONDS} if url.get_backend_name() == "sqlite" else {}
    try:
        try:
            storage = RDBStorage(
                url.render_as_string(hide_password=False),
                engine_kwargs={"pool_pre_ping": True, "connect_args": options},
                heartbeat_interval=HEARTBEAT_SECONDS,
                grace_period=GRACE_SECONDS,
                heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(),
            )
        except ImportError as error:
            raise ElmanError(f"the driver of {shown} is not installed ({error.__cause__ or error})") from None
        try:
            yield storage
        finally:
            storage.remove_session()
            storage.engine.dispose()
    except (SQLAlchemyError, StorageInternalError) as error:
        cause = getattr(error, "orig", None) or getattr(error.__cause__, "orig", None) or error
        reason = str(cause).strip().partition("\n")[0]
        if url.password:
            reason = reason.replace(str(url.password), "***")
        raise ElmanError(f"cannot use the database {shown} ({safe_message(ValueError(reason))})") from None
