"""A sweep whose workers are killed at any moment ends as one whose workers were not: no trial twice, none forgotten."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("optuna")

import optuna

from elman.errors import ElmanError, LockedError
from elman.runs.lock import DirectoryLock
from elman.training import loop as training
from elman.training.train import train as train_run
from elman.tuning import trial as trials
from elman.tuning import worker
from elman.tuning.storage import JOURNAL
from elman.tuning.trial import trial_directory
from support.sweeps import (
    SLOW_OPTIONS,
    address_of,
    assert_as_never_killed,
    kill_workers,
    make_order,
    make_settings,
    prepare,
    read_result,
    work_here,
)


class Killed(BaseException):
    """Ends a worker as a signal would, at a chosen point."""


@contextmanager
def killed_at(owner: Any, name: str, call: int = 1) -> Iterator[None]:
    """Kill the worker at a call of a function, before it is done."""
    original, calls = getattr(owner, name), 0

    def kill(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            raise Killed
        return original(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, kill)
        try:
            yield
        except Killed:
            return
    raise AssertionError("the worker was not killed")


@pytest.mark.parametrize(
    ("owner", "name", "call"),
    [
        (worker, "suggest", 2),  # a trial with one of its two values
        (trials, "train", 1),
        (training.Trainer, "advance", 2),
        (training.Trainer, "finish", 1),
        (optuna.study.Study, "tell", 2),
        (optuna.trial.Trial, "set_user_attr", 3),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_trial_is_continued_from_any_point(tmp_path: Path, owner: Any, name: str, call: int) -> None:
    order = make_order(tmp_path, make_settings(tmp_path), 2)
    prepare(order)
    with killed_at(owner, name, call):
        work_here(order)
    work_here(order)
    assert_as_never_killed(tmp_path, order)


def test_a_trial_that_kills_its_workers_has_failed(tmp_path: Path) -> None:
    order = make_order(tmp_path, make_settings(tmp_path), 1)
    prepare(order)
    for _ in range(trials.MAX_ATTEMPTS):
        with killed_at(trials, "train"):
            work_here(order)
    (trial,) = work_here(order).trials
    assert (trial.state, trial.error) == (
        "failed",
        f"its worker was killed {trials.MAX_ATTEMPTS} times in sequence before the next checkpoint",
    )


def test_a_partial_last_line_of_the_journal_is_removed(tmp_path: Path) -> None:
    order = make_order(tmp_path, make_settings(tmp_path), 2)
    prepare(order)
    with killed_at(optuna.study.Study, "tell"):
        work_here(order)
    with (Path(order.directory) / JOURNAL).open("ab") as journal:
        journal.write(b'{"op_code":6,"worker_id":"x')
    work_here(order)
    assert_as_never_killed(tmp_path, order)


def test_a_late_finisher_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another worker has finished the trial meanwhile, as happens after a loss of the network."""
    order = make_order(tmp_path, make_settings(tmp_path, pruner="halving"), 1)
    prepare(order)
    validate = trials.validate

    def finish_elsewhere(run: Any) -> float:
        with address_of(order).open("none") as opened:
            opened.study.tell(0, 1.5)
        return validate(run)

    monkeypatch.setattr(trials, "validate", finish_elsewhere)
    monkeypatch.setattr(training, "TICK_SECONDS", 1e-9)
    (trial,) = work_here(order).trials
    assert (trial.state, trial.validation_loss) == ("complete", 1.5)


def test_a_run_that_another_process_writes_to_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = make_order(tmp_path, make_settings(tmp_path), 1)
    prepare(order)
    monkeypatch.setattr(worker, "POLL_SECONDS", 0.01)
    lock, attempts = DirectoryLock(trial_directory(Path(order.directory), 0)), []
    train = train_run

    def train_locked(*arguments: Any, **options: Any) -> Any:
        try:
            return train(*arguments, **options)
        except LockedError:
            attempts.append(read_result(order).trials[0].state)
            lock.__exit__(None, None, None)  # the other process ends
            raise

    monkeypatch.setattr(trials, "train", train_locked)
    lock.acquire()
    (trial,) = work_here(order).trials
    assert (trial.state, attempts) == ("complete", ["running"])


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc to tell files apart")
def test_a_full_disk_is_no_fault_of_the_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = make_order(tmp_path, make_settings(tmp_path), 1)
    prepare(order)
    sync = os.fsync

    def fsync(handle: int) -> None:
        if "trials" in str(Path(f"/proc/self/fd/{handle}").readlink()):
            raise OSError(28, "No space left on device")
        sync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(ElmanError, match="No space left on device"):
            work_here(order)
    assert [trial.state for trial in read_result(order).trials] == ["running"]
    assert [trial.state for trial in work_here(order).trials] == ["complete"]


def test_workers_are_killed(tmp_path: Path) -> None:
    order = make_order(tmp_path, make_settings(tmp_path, options=SLOW_OPTIONS | {"max_updates": 200}), 3)
    prepare(order)
    assert kill_workers(order, 2, 3, seed=1) > 0
    assert_as_never_killed(tmp_path, order)


@pytest.mark.slow
def test_workers_are_killed_30_times(tmp_path: Path) -> None:
    order = make_order(tmp_path, make_settings(tmp_path, options=SLOW_OPTIONS), 20)
    prepare(order)
    assert kill_workers(order, 3, 30, seed=1) == 30
    assert_as_never_killed(tmp_path, order)
