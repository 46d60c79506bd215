"""A sweep whose processes are killed at any moment ends as one that was not: no trial twice, none forgotten."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("optuna")

import optuna

from elman.errors import ElmanError, LockedError
from elman.tuning import controller, worker
from elman.tuning.worker import TrialOrder, train_trial
from support.state import ROOT
from support.sweeps import OPTIONS, Events, LocalWorker, assert_as_never_killed, small_sweep, write_text


class Killed(BaseException):
    """Ends a sweep as a signal would, at a chosen point."""


def kill_at(patch: pytest.MonkeyPatch, owner: Any, name: str, call: int = 1) -> None:
    """Kill the sweep at a call of a function, before it is done."""
    original, calls = getattr(owner, name), 0

    def kill(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            raise Killed
        return original(*arguments, **options)

    patch.setattr(owner, name, kill)


@pytest.fixture
def local_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train in this process."""
    monkeypatch.setattr(controller, "Worker", LocalWorker)


@pytest.mark.usefixtures("local_workers")
@pytest.mark.parametrize(
    ("owner", "name", "call"),
    [
        (optuna.study.Study, "ask", 2),
        (optuna.trial.Trial, "_suggest", 2),  # a trial with one of its two values
        (LocalWorker, "train", 1),
        (optuna.trial.Trial, "set_user_attr", 2),
        (optuna.study.Study, "tell", 1),
        (controller, "write_trials", 1),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_sweep_is_continued_from_any_point(tmp_path: Path, owner: Any, name: str, call: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        kill_at(patch, owner, name, call)
        with pytest.raises(Killed):
            small_sweep(tmp_path, 2)
    assert_as_never_killed(tmp_path, small_sweep(tmp_path, 2), 2)


@pytest.mark.usefixtures("local_workers")
def test_a_late_finisher_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another machine, which took this one for lost, has finished the trial meanwhile."""
    train = LocalWorker.train

    def finish_elsewhere(worker: LocalWorker, order: TrialOrder) -> Iterator[dict[str, Any]]:
        with controller.open_study(tmp_path / "sweep", "sweep", None, "none") as opened:
            opened.tell(0, 1.5)
        yield from train(worker, order)

    monkeypatch.setattr(LocalWorker, "train", finish_elsewhere)
    (trial,) = small_sweep(tmp_path, 1).trials
    assert (trial.state, trial.validation_loss) == ("complete", 1.5)


def test_a_trial_that_kills_its_workers_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controller, "MAX_ATTEMPTS", 2)
    monkeypatch.setattr(worker, "COMMAND", ("-c", "import sys; sys.exit('out of luck')"))
    with pytest.raises(ElmanError, match=r"^every trial failed; trial 0: its worker ended 2 times"):
        small_sweep(tmp_path, 1)
    assert (tmp_path / "sweep" / "workers.log").read_text("utf-8") == "out of luck\n" * 2


def test_an_error_of_a_worker_ends_the_sweep_and_not_the_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(worker, "COMMAND", ("-c", """print('{"event": "error", "message": "no space left"}')"""))
        with pytest.raises(ElmanError, match=r"^no space left$"):
            small_sweep(tmp_path, 1)
    monkeypatch.setattr(controller, "Worker", LocalWorker)
    assert_as_never_killed(tmp_path, small_sweep(tmp_path, 1), 1)


def full_disk() -> ElmanError:
    """Return the error of a directory that cannot be written to."""
    error = ElmanError("cannot write")
    error.__cause__ = OSError(28, "No space left on device")
    return error


@pytest.mark.parametrize(
    ("raised", "ends", "events"),
    [
        (ElmanError("the text is too short"), None, [{"event": "failed", "error": "the text is too short"}]),
        (MemoryError(), None, [{"event": "failed", "error": "not enough memory"}]),
        (full_disk(), ElmanError, []),
        (LockedError("another process is writing to it"), SystemExit, []),  # which the sweep takes for a kill
    ],
    ids=str,
)
def test_what_ends_a_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: Exception, ends: Any, events: list[Any]
) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise raised

    monkeypatch.setattr(worker, "train", fail)
    channel: Any = Events()
    order = TrialOrder(str(tmp_path), "text", "", "reference", {}, [], False)
    corpus: Any = None
    if ends is None:
        train_trial(order, corpus, channel)
    else:
        with pytest.raises(ends):
            train_trial(order, corpus, channel)
    assert channel.events == events


def children(pid: int) -> list[int]:
    """Return the ids of the processes that a process has started."""
    try:
        return [*map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text("utf-8").split())]
    except OSError:  # it has ended
        return []


def kill_randomly(command: list[str], kills: int, seed: int) -> None:
    """Run a sweep; kill it or one of its workers so often at random moments, and start it again where it was killed."""
    moments, killed = random.Random(seed), 0
    process = subprocess.Popen(command)
    while killed < kills and process.poll() is None:
        time.sleep(moments.uniform(0.5, 2.5))
        victim = moments.choice([process.pid, *children(process.pid)])
        killed += 1
        os.kill(victim, signal.SIGKILL)
        if victim == process.pid:
            process.wait()
            process = subprocess.Popen(command)
    assert process.wait() == 0


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the workers in /proc")
@pytest.mark.parametrize("kills", [3, pytest.param(30, marks=pytest.mark.slow)])
def test_processes_are_killed(tmp_path: Path, kills: int) -> None:
    space, trials = tmp_path / "space.toml", 3 if kills == 3 else 12
    space.write_text("hidden_size = [3, 4]\nlearning_rate = {low = 0.01, high = 0.3, log = true}", encoding="utf-8")
    slow = OPTIONS | {"max_updates": 60 * kills, "validate_every": 10 * kills}
    command = [sys.executable, str(ROOT / "tests" / "support" / "sweep_command.py"), "sweep", str(write_text(tmp_path))]
    command += ["-o", str(tmp_path / "sweep"), "--space", str(space), "--trials", str(trials), "--workers", "2"]
    command += ["--sampler", "random", "--pruner", "none"]
    command += [part for name, value in slow.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    kill_randomly(command, kills, seed=1)
    assert_as_never_killed(tmp_path, small_sweep(tmp_path, trials, space=space, **slow), trials)
