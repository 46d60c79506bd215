"""The study of a sweep in Optuna: where it is stored, which trial is next, and how its values are chosen."""

from __future__ import annotations

import platform
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna import Study
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.pruners import NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, GridSampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage, RDBStorage, RetryHeartbeatStaleTrialCallback, fail_stale_trials
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import Trial, TrialState
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from elman.errors import ElmanError, quote
from elman.storage.untrusted import safe_message
from elman.tuning.space import Dimension, SweepSettings

JOURNAL = "journal.log"
RUNGS = (25, 50)
"""Percent of its budget at which a trial is compared with the others: the worse half is pruned at each."""
HEARTBEAT_SECONDS = 60
"""Between two signs of life of a trial whose study is in a database."""
GRACE_SECONDS = 300
"""A trial without one for so long has lost its machine."""


@contextmanager
def open_study(directory: Path, name: str, url: str | None, pruner: str) -> Iterator[Study]:
    """Open a study, and create it if there is none.

    Parameters
    ----------
    directory : Path
        The directory of the sweep, which contains the journal.
    name : str
    url : str or None
        The database; None for a journal.
    pruner : str

    Raises
    ------
    ElmanError
        If the journal or the database cannot be used, also later in the block.
    """
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            warnings.filterwarnings("ignore", "Heartbeat of storage")  # of Study.ask; see `send_heartbeats`
            if url is None:
                yield _create_study(_open_journal(directory / JOURNAL), name, pruner)
            else:
                with _open_database(url) as storage:
                    yield _create_study(storage, name, pruner)
    finally:
        optuna.logging.set_verbosity(verbosity)


def _create_study(storage: JournalStorage | RDBStorage, name: str, pruner: str) -> Study:
    halving = SuccessiveHalvingPruner(min_resource=RUNGS[0], reduction_factor=2)
    return optuna.create_study(
        storage=storage,
        study_name=name,
        direction="minimize",
        load_if_exists=True,
        pruner=halving if pruner == "halving" else NopPruner(),
    )


def _open_journal(path: Path) -> JournalStorage:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return JournalStorage(JournalFileBackend(str(path), JournalFileOpenLock(str(path))))
    except (ValueError, KeyError) as error:
        raise ElmanError(f"{quote(path)} is not a journal of Optuna ({safe_message(error)})") from None


@contextmanager
def _open_database(text: str) -> Iterator[RDBStorage]:
    """Open the database of a URL; report its errors in one line, without its password."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ElmanError("--storage must be a URL such as postgresql+psycopg://user@host/database") from None
    shown = url.set(query={}).render_as_string()
    try:
        try:
            storage = RDBStorage(
                url.render_as_string(hide_password=False),
                engine_kwargs={"pool_pre_ping": True},
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


def create_sampler(settings: SweepSettings, number: int) -> BaseSampler:
    """Return the sampler for the trial of a number.

    It has a seed for each trial: with a single one, every machine and every continued sweep would draw the same first
    values again.
    """
    if settings.sampler == "grid":
        return GridSampler({each.name: each.values for each in settings.space}, seed=settings.seed)
    seed = int(np.random.default_rng([settings.seed, number]).integers(2**32))
    return TPESampler(seed=seed) if settings.sampler == "tpe" else RandomSampler(seed=seed)


def next_trial(study: Study, settings: SweepSettings, total: int) -> Trial | None:
    """Return a new trial, or one of a lost machine; None if there are `total` trials."""
    fail_stale_trials(study)  # those of lost machines, whose values wait to be tried again
    trials = study.get_trials(deepcopy=False)
    if len(trials) >= total and all(trial.state != TrialState.WAITING for trial in trials):
        return None
    return claim_trial(study, settings, study.ask().number)


def claim_trial(study: Study, settings: SweepSettings, number: int) -> Trial:
    """Return a trial in progress, with the values that it does not have yet chosen by its sampler."""
    study.sampler = create_sampler(settings, number)
    trial = Trial(study, study.get_trials(deepcopy=False)[number]._trial_id)
    for dimension in settings.space:
        _suggest(trial, dimension)
    study.sampler = RandomSampler()  # that of a grid would stop `Study.optimize` when it is told the last result
    trial.set_user_attr("host", platform.node())
    send_heartbeats(study, [trial])
    return trial


def is_shared(study: Study) -> bool:
    """Return whether several machines may take part: whether the study is in a database."""
    return hasattr(study._storage, "record_heartbeat")


def send_heartbeats(study: Study, trials: Collection[Trial]) -> None:
    """Record that trials are in progress, where other machines may take part."""
    storage: Any = study._storage
    if is_shared(study):
        for trial in trials:
            storage.record_heartbeat(trial._trial_id)


def _suggest(trial: Trial, dimension: Dimension) -> None:
    """Choose the value of a setting of a trial, unless it has one."""
    name, low, high, log, step = dimension.name, dimension.low, dimension.high, dimension.log, dimension.step
    if dimension.choices:
        trial.suggest_categorical(name, dimension.choices)
    elif dimension.is_integer:
        trial.suggest_int(name, int(low), int(high), step=int(step or 1), log=log)
    else:
        trial.suggest_float(name, low, high, step=step, log=log)
