"""The study of a sweep: Optuna's record of the trials in a database, and the choice of their values."""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import StorageInternalError
from optuna.pruners import NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, GridSampler, RandomSampler, TPESampler
from optuna.storages import RDBStorage
from optuna.trial import Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from elman.apps.sweep.results import TRIAL_RUNS
from elman.apps.sweep.space import SweepSettings, create_grid, is_fractional
from elman.config import Config
from elman.errors import ElmanError, option, quote, shorten
from elman.storage import safe_message

STUDY = "study.db"
IDENTITY = "elman"  # attribute of a study with the values it was made with
FIRST_RUNG = 25  # percent of its budget at which a trial is first compared with the others, and again at twice that
LOCK_SECONDS = 60  # seconds that a thread or process waits for another one that writes to a SQLite file


class SweepStudy:
    """The study of a sweep in its database."""

    def __init__(self, settings: SweepSettings, storage: RDBStorage) -> None:
        self.settings, self.storage = settings, storage
        halving = SuccessiveHalvingPruner(min_resource=FIRST_RUNG, reduction_factor=2)
        self.options: dict[str, Any] = {
            "study_name": "sweep",  # the file has no other study, and the directory may be moved
            "storage": optuna.storages.get_storage(storage),  # the same cache for the study of every trial
            "pruner": halving if settings.pruner == "halving" else NopPruner(),
        }
        self.study = optuna.create_study(**self.options, load_if_exists=True, sampler=RandomSampler())

    def check_identity(self, corpus_sha256: str) -> None:
        """Reject a study that was made with other values; store the values in a new study."""
        directory, identity = self.settings.directory, self.settings.identity(corpus_sha256)
        if not (saved := self.study.user_attrs.get(IDENTITY, {})) and not self.study.get_trials(deepcopy=False):
            if any((directory / TRIAL_RUNS).glob("*")):
                remedy = f"choose another {option.out}"
                raise ElmanError(f"{quote(directory)} contains the trials of another study; {remedy}")
            self.study.set_user_attr(IDENTITY, identity)
            return
        for name in [*saved, *identity]:
            before, given = saved.get(name, "none"), identity.get(name, "none")
            if before != given:
                label = f"options: {option[name]}" if name in Config.__dataclass_fields__ else name
                what = f"{label} (sweep: {shorten(before)}, given: {shorten(given)})"
                remedy = f"pass the same or choose another {option.out}"
                raise ElmanError(f"the sweep {quote(directory)} differs in its {what}; {remedy}")

    def remaining(self) -> int | None:
        """Return the number of trials to start: trials that wait to be tried again, and missing trials.

        It is None if only time limits them.
        """
        if self.settings.trials is None:
            return None
        trials = self.study.get_trials(deepcopy=False)
        waiting = sum(trial.state == TrialState.WAITING for trial in trials)
        return waiting + max(0, self.settings.trials - len(trials))

    def release(self) -> None:
        """Mark trials in progress that no process trains, so that they are continued."""
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self.storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)

    def suggest(self, trial: Trial) -> Trial:
        """Return a trial with a value for every setting of the space, which its own sampler draws."""
        study = optuna.load_study(**self.options, sampler=create_sampler(self.settings, trial.number))
        trial = Trial(study, trial._trial_id)
        for name, values in self.settings.space.items():
            if isinstance(values, list):
                trial.suggest_categorical(name, values)
            else:
                (trial.suggest_float if is_fractional(name) else trial.suggest_int)(name, **values)
        return trial


def create_sampler(settings: SweepSettings, number: int) -> BaseSampler:
    """Return the sampler for the trial of a number."""
    # It has a seed for each trial: with a single seed, the values would depend on the number of workers, and a
    # continued sweep would draw the first values again.
    if settings.sampler == "grid":
        return GridSampler(create_grid(settings.space), seed=settings.seed)
    seed = int(np.random.default_rng([settings.seed, number]).integers(2**32))
    return TPESampler(seed=seed) if settings.sampler == "tpe" else RandomSampler(seed=seed)


# --- The database ---


@contextmanager
def open_study(settings: SweepSettings) -> Iterator[SweepStudy]:
    """Open the study of a sweep, and create it if there is none; report errors of the database in one line."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a continued trial reports again
            storage = _open_file(settings.directory)
            try:
                yield SweepStudy(settings, storage)
            finally:
                storage.remove_session()
                storage.engine.dispose()
    except (SQLAlchemyError, StorageInternalError) as error:
        cause = getattr(error, "orig", None) or getattr(error.__cause__, "orig", None) or error
        path, message = quote(settings.directory / STUDY), safe_message(cause)
        remedy = f"{'free disk space or ' if 'disk' in message else ''}choose another {option.out}"
        raise ElmanError(f"cannot use the database {path} ({message}): {remedy}") from None
    finally:
        optuna.logging.set_verbosity(verbosity)


def _open_file(directory: Path) -> RDBStorage:
    """Open the SQLite file of a directory; a journal of Optuna is unreadable once SIGKILL left half a line in it."""
    # In a URL, characters of the path such as "?" would have a meaning.
    connect = partial(sqlite3.connect, directory / STUDY, timeout=LOCK_SECONDS, check_same_thread=False)
    # A connection in a pool would stay open if the file is not a database of Optuna.
    return RDBStorage(f"sqlite:///{STUDY}", engine_kwargs={"creator": connect, "poolclass": NullPool})
