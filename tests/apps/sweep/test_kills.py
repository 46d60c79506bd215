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

import optuna

from elman.apps.sweep import controller, worker
from elman.apps.sweep.space import SweepPlan, SweepSettings
from elman.apps.sweep.study import open_study
from elman.errors import ElmanError, LockedError
from elman.machine import thread_count
from elman.training.api import train
from support.kills import Killed, kill_at
from support.processes import children, is_alive
from support.state import ROOT
from support.sweeps import OPTIONS, assert_as_never_killed, small_sweep, write_text

WORKERS = min(2, thread_count())
needs_proc = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the workers in /proc")


@pytest.mark.usefixtures("local_workers")
@pytest.mark.parametrize(
    ("owner", "name", "call"),
    [
        (optuna.study.Study, "ask", 2),
        (optuna.trial.Trial, "set_user_attr", 1),  # a trial without the number of its worker
        (optuna.trial.Trial, "suggest_categorical", 1),  # with one of its two values
        (worker, "train_trial", 1),
        (worker, "describe_run", 1),
        (optuna.study.Study, "tell", 1),
        (controller, "write_trials", 1),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_sweep_is_continued_from_any_point(tmp_path: Path, owner: Any, name: str, call: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        kill_at(patch, call, "before", [(owner, name)])
        with pytest.raises(Killed):
            small_sweep(tmp_path, 2)
    assert_as_never_killed(tmp_path, small_sweep(tmp_path, 2), 2)


@pytest.mark.usefixtures("local_workers")
def test_a_late_finisher_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another machine, which took this one for lost, has finished the trial meanwhile."""
    settings = small_sweep(tmp_path, 1, out=tmp_path / "other").settings

    def finish_elsewhere(*arguments: Any, **options: Any) -> Any:
        with open_study(SweepPlan(settings, tmp_path / "sweep", 1, 1)) as opened:
            opened.study.tell(0, 1.5)
        return train(*arguments, **options)

    monkeypatch.setattr(worker, "train", finish_elsewhere)
    (trial,) = small_sweep(tmp_path, 1).trials
    assert (trial.state, trial.validation_loss) == ("complete", 1.5)


EXIT = "import os, elman.apps.sweep.worker as w; w.train = lambda *_, **__: os._exit(9); w.main()"


@pytest.mark.parametrize(
    ("program", "error", "log"),
    [
        (EXIT, r"^every trial failed; trial 0: its worker ended 2 times before it; see workers\.log$", ""),
        ("import sys; sys.exit('no luck')", r"^a worker ended 2 times before its first trial", "no luck\n" * 2),
        (f"print('no space left'); raise SystemExit({worker.FAILED})", "^no space left$", ""),
    ],
)
def test_workers_end_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, error: str, log: str) -> None:
    monkeypatch.setattr(controller, "MAX_ATTEMPTS", 2)
    monkeypatch.setattr(controller, "COMMAND", ("-c", program))
    with pytest.raises(ElmanError, match=error):
        small_sweep(tmp_path, 1)
    assert (tmp_path / "sweep" / "workers.log").read_text("utf-8") == log


def test_a_worker_that_hangs_ends_with_its_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hang = "import time; from elman.apps.sweep import worker as w; w.GRACE_SECONDS = 0.1; w.work = lambda *_: time.sleep(999); w.main()"
    monkeypatch.setattr(controller, "COMMAND", ("-c", hang))
    process = controller.Worker(
        SweepPlan(SweepSettings("text", "quick", {}, {}, "random", "none", 0), tmp_path, 1, 1), 0
    )
    process.stop()
    assert process.wait(timeout=60) != 0
    process.close()


def full_disk() -> ElmanError:
    error = ElmanError("cannot write")
    error.__cause__ = OSError(28, "No space left on device")
    return error


@pytest.mark.usefixtures("local_workers")
@pytest.mark.parametrize(
    ("raised", "error"),
    [
        (ElmanError("the text is too short"), "^every trial failed; trial 0: the text is too short$"),
        (MemoryError(), "^every trial failed; trial 0: not enough memory$"),
        (full_disk(), "^cannot write$"),  # which ends the sweep, and not the trial
        (LockedError("another process is writing to it"), ""),  # a worker of a killed sweep, which saves the run
    ],
    ids=str,
)
def test_what_ends_a_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: Exception, error: str) -> None:
    def fail(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(worker, "train", train)
        raise raised

    monkeypatch.setattr(worker, "train", fail)
    if error:
        with pytest.raises(ElmanError, match=error):
            small_sweep(tmp_path, 1)
    if not error.startswith("^every"):
        assert_as_never_killed(tmp_path, small_sweep(tmp_path, 1), 1)


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def sweep_command(folder: Path, trials: int, **options: Any) -> list[str]:
    """Return the command of a sweep whose trials can be killed between two checkpoints."""
    space = folder / "space.toml"
    space.write_text("hidden_size = [3, 4]\nlearning_rate = {low = 0.01, high = 0.3, log = true}", encoding="utf-8")
    options = {"space": space, "trials": trials, "workers": WORKERS, "sampler": "random"} | OPTIONS | options
    words = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    script = ROOT / "tests" / "support" / "sweep_command.py"
    return [sys.executable, str(script), "sweep", str(write_text(folder)), "-o", str(folder / "sweep"), *words]


def kill_randomly(command: list[str], kills: int, seed: int) -> None:
    """Run a sweep; kill it or one of its workers so often at random moments, and start it again where it was killed.

    No worker outlives its sweep by long.
    """
    moments, killed, workers = random.Random(seed), 0, set[int]()
    process = subprocess.Popen(command)
    while killed < kills and process.poll() is None:
        time.sleep(moments.uniform(0.5, 2.5))
        workers |= {*children(process.pid)}
        victim = moments.choice([process.pid, process.pid, *children(process.pid)])
        killed += 1
        os.kill(victim, signal.SIGKILL)
        if victim == process.pid:
            process.wait()
            process = subprocess.Popen(command)
    assert process.wait() == 0
    wait_until(lambda: not any(map(is_alive, workers)))


@needs_proc
@pytest.mark.parametrize("kills", [3, pytest.param(40, marks=pytest.mark.slow)])
def test_processes_are_killed(tmp_path: Path, kills: int) -> None:
    trials = 3 if kills == 3 else 12
    slow = OPTIONS | {"max_updates": 60 * kills, "validate_every": 10 * kills}
    kill_randomly(sweep_command(tmp_path, trials, pruner="none", **slow), kills, seed=1)
    result = small_sweep(tmp_path, trials, space=tmp_path / "space.toml", **slow)
    assert_as_never_killed(tmp_path, result, trials)


@needs_proc
@pytest.mark.parametrize("moment", ["", '"host"', '"fraction"'])
def test_no_worker_survives_its_sweep(tmp_path: Path, moment: str) -> None:
    """It is killed once the journal contains a text: one worker trains, and one waits for it to end."""
    process = subprocess.Popen(sweep_command(tmp_path, 1, max_updates=5000, validate_every=5000))
    journal = tmp_path / "sweep" / "journal.log"
    wait_until(lambda: len(children(process.pid)) == WORKERS and moment in journal.read_text("utf-8"))
    workers = children(process.pid)
    process.kill()
    process.wait()
    wait_until(lambda: not any(map(is_alive, workers)))
