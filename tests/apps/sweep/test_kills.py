"""A sweep whose processes are killed at any moment ends as one that was not: no trial twice, none forgotten."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("optuna")


from optuna.storages import RDBStorage
from optuna.trial import Trial

from elman.apps.sweep import loop
from elman.apps.sweep.study import open_study
from elman.errors import ElmanError
from elman.machine import thread_count
from support.processes import children, is_alive
from support.state import ROOT
from support.sweeps import OPTIONS, assert_as_never_killed, small_sweep, train_here, write_text

WORKERS = min(2, thread_count())
SLOW = OPTIONS | {"max_updates": 180, "validate_every": 30, "pruner": "none"}
needs_proc = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the processes in /proc")


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("values", [0, 1])
def test_a_trial_that_was_killed_before_it_trained(tmp_path: Path, values: int) -> None:
    """Of its two values, it has as many."""
    settings = small_sweep(tmp_path, 1).settings
    with open_study(settings) as study:
        trial = study.study.ask()
        if values:
            study.suggest(trial)
    assert_as_never_killed(tmp_path, small_sweep(tmp_path, 2), 2)


@pytest.mark.usefixtures("in_process")
def test_each_killed_trial_is_continued_by_one_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads that ask Optuna at once may get the same waiting trial: SQLite locks no row that was read."""
    settings, check, numbers = small_sweep(tmp_path, 1).settings, RDBStorage.check_trial_is_updatable, list[int]()
    with open_study(settings) as study:
        for _ in range(3):
            study.study.ask()

    def check_slowly(self: RDBStorage, *arguments: Any) -> None:
        time.sleep(0.02)
        check(self, *arguments)

    def train_once(workers: loop.Workers, trial: Trial) -> dict[str, Any]:
        numbers.append(trial.number)
        return train_here(workers, trial)

    monkeypatch.setattr(RDBStorage, "check_trial_is_updatable", check_slowly)
    monkeypatch.setattr(loop.Workers, "train_once", train_once)
    assert_as_never_killed(tmp_path, small_sweep(tmp_path, 5, workers=2), 5)
    assert sorted(numbers) == [1, 2, 3, 4]


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("state", ["killed", "stopped"])
def test_a_trial_whose_process_alone_ends_is_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    """As by a signal that only this process gets; SIGINT makes it save its run."""
    first = [state]

    def train_once(workers: loop.Workers, trial: Trial) -> dict[str, Any]:
        return {"state": first.pop()} if first else train_here(workers, trial)

    monkeypatch.setattr(loop.Workers, "train_once", train_once)
    assert_as_never_killed(tmp_path, small_sweep(tmp_path, 2), 2)


def test_a_process_ends_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "COMMAND", ("-c", "import sys; print('{', end=''); sys.exit('no luck')"))
    error = r"^every trial failed; trial 0: its process ended 3 times before it; see workers\.log$"
    with pytest.raises(ElmanError, match=error):
        small_sweep(tmp_path, 1)
    assert (tmp_path / "sweep" / "workers.log").read_text("utf-8") == "no luck\n" * 3


@pytest.mark.parametrize("workers", [1, WORKERS])
def test_a_process_ends_before_it_is_told_its_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    class Ended(subprocess.Popen[str]):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.wait()

    monkeypatch.setattr(loop, "COMMAND", ("-c", ""))
    monkeypatch.setattr(subprocess, "Popen", Ended)
    with pytest.raises(ElmanError, match=r"^every trial failed; trial 0: its process ended 3 times"):
        small_sweep(tmp_path, 2, workers=workers)


HANG = """
import time; from elman.apps.sweep import worker as w
w.GRACE_SECONDS = 0.1; w.train = lambda *_, **__: time.sleep(999); w.main()
"""


def test_a_process_that_hangs_ends_with_its_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "COMMAND", ("-c", HANG))
    result = small_sweep(tmp_path, 1, callback=lambda result: bool(result.trials))
    assert (result.interrupted, result.counts["running"]) == (True, 1)


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def sweep_command(folder: Path, trials: int, **options: Any) -> list[str]:
    """Return the command of a sweep whose trials can be killed between two checkpoints."""
    space = folder / "space.toml"
    space.write_text("hidden_size = [3, 4]\nlearning_rate = {low = 0.01, high = 0.3, log = true}", encoding="utf-8")
    options = {"space": space, "trials": trials, "workers": WORKERS, "sampler": "random"} | SLOW | options
    words = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    script = ROOT / "tests" / "support" / "sweep_command.py"
    return [sys.executable, str(script), "sweep", str(write_text(folder)), "-o", str(folder / "sweep"), *words]


def assert_completes(folder: Path, trials: int, **options: Any) -> None:
    result = small_sweep(folder, trials, space=folder / "space.toml", **SLOW | options)
    assert_as_never_killed(folder, result, trials)


@needs_proc
@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("kills", [3, pytest.param(40, marks=pytest.mark.slow)])
def test_processes_are_killed(tmp_path: Path, kills: int) -> None:
    """At random moments; a sweep that is killed is started again. No process outlives it by long."""
    trials, moments, killed, processes = 3 if kills == 3 else 12, random.Random(1), 0, set[int]()
    command = sweep_command(tmp_path, trials, max_updates=60 * kills)
    process = subprocess.Popen(command)
    while killed < kills and process.poll() is None:
        time.sleep(moments.uniform(0.5, 2.5))
        processes |= {*children(process.pid)}
        victim = moments.choice([process.pid, process.pid, *children(process.pid)])
        killed += 1
        os.kill(victim, signal.SIGKILL)
        if victim == process.pid:
            process.wait()
            process = subprocess.Popen(command)
    assert process.wait() == 0
    wait_until(lambda: not any(map(is_alive, processes)))
    assert_completes(tmp_path, trials, max_updates=60 * kills)


@needs_proc
@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(
    ("number", "times", "code"), [(2, 1, 130), (2, 2, 130), pytest.param(9, 1, -9, marks=pytest.mark.slow)]
)
def test_a_sweep_is_stopped_in_training(tmp_path: Path, number: int, times: int, code: int) -> None:
    """By Ctrl-C, which saves; by a second one, which does not wait; and by SIGKILL: the same command continues."""
    process = subprocess.Popen(sweep_command(tmp_path, 2), stderr=subprocess.PIPE, text=True)
    wait_until(lambda: any((tmp_path / "sweep").glob("trials/*/checkpoint.safetensors")))
    trained = children(process.pid)
    for _ in range(times):
        process.send_signal(number)
        time.sleep(0.1)
    _, errors = process.communicate()
    assert process.returncode == code
    assert "Traceback" not in errors
    wait_until(lambda: not any(map(is_alive, trained)))
    assert_completes(tmp_path, 2)
