"""Sweeps: from the first trial to the report, interrupted and continued."""

import csv
import json
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("optuna")

import elman
from elman.cli.run_directories import read_runs
from elman.errors import ElmanError
from elman.processes import thread_count
from elman.training import loop as training
from elman.tuning import controller, pool
from elman.tuning.callbacks import SweepCallback, SweepStatus
from elman.tuning.public import sweep
from elman.tuning.results import SweepResult, copy_best
from elman.tuning.space import Dimension
from support.cli import Command
from support.sweeps import OPTIONS, make_order, make_settings, prepare, weights, work_here, write_text

SMALL: dict[str, Any] = OPTIONS | {"preset": "reference"}


class StopsAtOnce(SweepCallback):
    """Asks to stop as soon as a trial has begun."""

    def __init__(self) -> None:
        self.started = False

    def on_progress(self, status: SweepStatus) -> None:
        self.started = bool(status.result.trials)

    def should_stop(self) -> bool:
        return self.started


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> SweepResult:
    """A sweep that was stopped in its first trial, and continued."""
    folder = tmp_path_factory.mktemp("sweep")
    options = SMALL | {"max_updates": 40_000, "validate_every": 20_000}  # a second, so that it can be stopped
    space = {"learning_rate": {"low": 0.01, "high": 0.3, "log": True}}

    text = write_text(folder)

    def call(text: Path = text, **others: Any) -> SweepResult:
        given: dict[str, Any] = {"trials": 2, "space": space, "sampler": "random"} | options | others
        return sweep(text, out=folder / "sweep", **given)

    result = call(callback=StopsAtOnce())
    assert result.interrupted
    assert {trial.state for trial in result.trials} == {"running"}
    result = call(workers=min(2, thread_count()))
    assert not result.interrupted
    assert len(result.trials) == 2
    with pytest.raises(ElmanError, match=r" differs in its options: seed \(sweep: none, given: 3\); pass the same or "):
        call(seed=3)
    with pytest.raises(ElmanError, match=r" differs in its search space: learning_rate \(sweep: \{'low': 0.01"):
        call(space={"learning_rate": [1.0]})
    with pytest.raises(
        ElmanError, match=r" differs in its text \(sweep: [0-9a-f]{64}, given: [0-9a-f]{64}\); pass the"
    ):
        call(Path(__file__))
    again = call()
    assert again.trials == result.trials
    return again


def test_the_best_trial_is_an_ordinary_run(swept: SweepResult) -> None:
    out = swept.directory
    assert elman.load(out / "best").sample(20, seed=1)
    rows = [*csv.DictReader((out / "trials.csv").read_text("utf-8").splitlines())]
    best = min((row for row in rows if row["state"] == "complete"), key=lambda row: float(row["validation_loss"]))
    assert weights(out / "best") == weights(out / "trials" / f"{int(best['trial']):04d}")
    assert elman.open_run(out / "best").validation_loss == float(best["validation_loss"])
    assert [row["trial"] for row in rows] == ["0", "1"]
    assert {row["error"] for row in rows} == {""}


def test_the_command_trains_the_best_trial_again(swept: SweepResult, tmp_path: Path, command: Command) -> None:
    arguments = shlex.split(swept.command)[1:]
    arguments[arguments.index("--out") + 1] = str(tmp_path / "again")
    assert command(*arguments).code == 0
    assert weights(tmp_path / "again") == weights(swept.directory / "best")


def test_the_report_needs_no_network(swept: SweepResult) -> None:
    page = (swept.directory / "report.html").read_text("utf-8")
    assert "<h2>Learning curves</h2>" in page
    assert "<h2>History</h2>" in page
    assert "<pre>elman train " in page
    assert not re.search(r"<(script|link|img|iframe)[^>]* (src|href)=", page)


def test_workers_log_nothing(swept: SweepResult) -> None:
    assert (swept.directory / "workers.log").read_text("utf-8") == ""


# --- In this process ---


def test_trials_of_random_search_do_not_depend_on_the_workers(tmp_path: Path) -> None:
    results = []
    for name, trials in (("a", [4]), ("b", [1, 2, 4])):
        (tmp_path / name).mkdir()
        for number in trials:
            order = make_order(tmp_path / name, make_settings(tmp_path / name), number)
            result = work_here(order)
        results.append([(trial.values, trial.validation_loss) for trial in result.trials])
    assert results[0] == results[1]


@pytest.mark.parametrize("sampler", ["tpe", "grid"])
def test_other_samplers(tmp_path: Path, sampler: Any) -> None:
    space = (Dimension("hidden_size", (3, 4)), Dimension("layers", low=1, high=2, step=1))
    settings = make_settings(tmp_path, sampler=sampler, space=space, options=OPTIONS | {"max_updates": 5})
    result = work_here(make_order(tmp_path, settings, settings.limit_trials(9)))
    drawn = {tuple(trial.values.items()) for trial in result.trials}
    assert len(result.trials) == (9 if sampler == "tpe" else 4)
    assert len(drawn) <= 4 if sampler == "tpe" else len(drawn) == 4


def test_poor_trials_are_pruned_and_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "TICK_SECONDS", 1e-9)
    result = work_here(make_order(tmp_path, make_settings(tmp_path, pruner="halving"), 8))
    pruned = result.select("pruned")
    assert 2 <= len(pruned) <= 7
    for trial in pruned:
        run = elman.open_run(result.directory / "trials" / f"{trial.number:04d}")
        assert trial.updates == run.metrics[-1].update
        assert trial.updates in (15, 30)
        assert trial.validation_loss is not None
    assert result.best is not None
    assert result.best.state == "complete"


def test_a_trial_that_fails_does_not_end_the_sweep(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, sampler="grid", space=(Dimension("seq_length", (5, 5000)),))
    result = work_here(make_order(tmp_path, settings, 2))
    assert sorted(trial.state for trial in result.trials) == ["complete", "failed"]
    (failed,) = result.select("failed")
    assert "is too short" in failed.error or "characters" in failed.error
    assert shlex.split(result.command)[:3] == ["elman", "train", settings.corpus]


def test_intermediate_validations_do_not_change_the_run(tmp_path: Path) -> None:
    kept = []
    for pruner in ("none", "halving"):
        (tmp_path / pruner).mkdir()
        settings = make_settings(tmp_path / pruner, pruner=pruner)
        work_here(make_order(tmp_path / pruner, settings, 1))
        kept.append(weights(tmp_path / pruner / "sweep" / "trials" / "0000"))
    assert kept[0] == kept[1]


# --- Bad input ---


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--trials", 0], "--trials must be at least 1 (got 0)"),
        (["--trials", 1, "--workers", 0], "--workers must be at least 1 (got 0)"),
        (["--trials", 1, "--workers", 9999], "--workers must be at most the number of cores, "),
        (["--trials", 1, "--storage", "sqlite:///a.db"], "--storage cannot be SQLite, which corrupts databases"),
        (["--trials", 1, "--storage", "mysql://u:secret@h/d"], "--storage must be a URL postgresql+psycopg://… (got "),
        (["--trials", 1, "--storage", "secret"], "--storage must be a URL such as postgresql+psycopg://user@host/data"),
        (
            ["--trials", 1, "--storage", "postgresql://u:secret@127.0.0.1:1/d"],
            "cannot use the database postgresql+psycopg://u:***@127.0.0.1:1/d (",
        ),
        (["--trials", 1, "--lr", 1], "unknown option --lr; did you mean --learning-rate?"),
        (["--trials", 1, "--max-updates", 0], "--max-updates must be at least 1 (got 0)"),
    ],
    ids=str,
)
def test_options_that_are_refused(command: Command, tmp_path: Path, options: list[Any], message: str) -> None:
    pytest.importorskip("psycopg")
    ended = command("sweep", "python-docs", "--out", tmp_path / "sweep", *options)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert ended.err.startswith(f"error: {message}")
    assert "secret" not in ended.err
    assert not (tmp_path / "sweep").exists()


def test_standard_input_is_refused(command: Command, tmp_path: Path) -> None:
    ended = command("sweep", "-", "--out", tmp_path / "sweep", "--trials", 1)
    assert ended.err == "error: a sweep reads the text in every worker: pass a file instead of standard input\n"


def test_every_mistake_of_a_space_is_a_line(command: Command, tmp_path: Path) -> None:
    (tmp_path / "space.toml").write_text("hidden_size = [0]\ncell = []", encoding="utf-8")
    ended = command("sweep", "--out", tmp_path / "sweep", "--trials", 1, "--space", tmp_path / "space.toml")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == ("error: space: --hidden-size must be at least 1 (got 0)\nerror: space: cell has no choices\n")


def test_a_directory_with_other_trials_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sweep" / "trials" / "0000").mkdir(parents=True)
    with pytest.raises(ElmanError, match=r"contains the trials of another study; choose another out$"):
        sweep(write_text(tmp_path), out=tmp_path / "sweep", trials=1, **SMALL)


def test_a_sweep_of_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = make_settings(tmp_path)
    order = make_order(tmp_path, settings, 1)
    prepare(order)
    monkeypatch.setattr("elman.tuning.settings.__version__", "99.0")
    running = controller.SweepController(settings, tmp_path / "sweep", 1, 1, None, None)
    with pytest.raises(
        ElmanError, match=r" differs in its version of Elman \(sweep: .*, given: 99\.0\); pass the same"
    ):
        running.run(None)


def test_a_journal_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "journal.log").write_text("hello\nworld\n", encoding="utf-8")
    with pytest.raises(ElmanError, match=r"journal\.log' is not a journal of Optuna \("):
        sweep(write_text(tmp_path), out=tmp_path / "sweep", trials=1, **SMALL)


def test_a_text_that_has_changed(tmp_path: Path) -> None:
    order = make_order(tmp_path, make_settings(tmp_path), 1)
    (tmp_path / "text.txt").write_text("another text", encoding="utf-8")
    with pytest.raises(ElmanError, match=r"^the text has changed since the sweep began; restore it or choose another "):
        work_here(order)


def test_a_network_file_system_is_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from elman.tuning import storage

    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/x / ext4 rw 0 0\nserver:/home {tmp_path} nfs4 rw 0 0\n", encoding="utf-8")
    monkeypatch.setattr(storage, "_MOUNTS", mounts)
    assert storage.find_network_file_system(tmp_path / "a" / "b") == "nfs4"
    assert storage.find_network_file_system(Path("/elsewhere")) == ""
    running = controller.SweepController(make_settings(tmp_path), tmp_path / "sweep", 1, 1, None, None)
    with pytest.warns(UserWarning, match=r"is on a network file system \(nfs4\), where a journal can be corrupted"):
        running._warn_of_network_file_system()


def test_an_extra_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [
        name for name in sys.modules if name.startswith("elman.tuning.") or name.partition(".")[0] == "optuna"
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "optuna", None)
    from elman.tuning.public import sweep

    with pytest.raises(
        Exception, match=r"^this requires optuna, which is not installed: pip install 'elman\[sweep\]'$"
    ):
        sweep(write_text(tmp_path), out=tmp_path / "sweep", trials=1, **SMALL)


def test_a_sweep_on_the_dashboard_is_its_runs(swept: SweepResult) -> None:
    runs = read_runs([swept.directory], lambda path, name: name)
    assert runs == ["best", "0000", "0001"]


def test_a_best_trial_on_another_machine(swept: SweepResult, tmp_path: Path) -> None:
    """A copy of a worse trial is removed, and part of a trial that another machine finished is not copied."""
    assert swept.best is not None
    loss, run = swept.best.validation_loss, swept.directory / "best"
    assert loss is not None
    copy_best(tmp_path, run, loss)
    assert weights(tmp_path / "best") == weights(run)
    copy_best(tmp_path, run, loss - 0.1)
    assert [*tmp_path.iterdir()] == []
    copy_best(tmp_path, tmp_path / "nowhere", loss)
    assert [*tmp_path.iterdir()] == []


def test_a_sweep_may_be_moved(tmp_path: Path) -> None:
    order = make_order(tmp_path, make_settings(tmp_path), 1)
    prepare(order)
    result = work_here(order)
    result.directory.rename(tmp_path / "moved")
    moved = controller.SweepController(result.settings, tmp_path / "moved", 1, 1, None, None).run(None)
    assert moved.trials == result.trials


# --- Workers ---


def test_workers_that_cannot_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "MAX_FAILED_STARTS", 1)
    monkeypatch.setattr(sys, "executable", "/bin/false")

    def run_workers() -> None:
        with pool.WorkerPool("{}\n", 1, tmp_path) as workers:
            while workers.is_working:
                workers.poll(1)

    with pytest.raises(ElmanError, match=r"^workers cannot start \(exit code 1\); see .*workers\.log$"):
        run_workers()


@pytest.mark.slow
def test_optuna_dashboard_opens_the_journal(swept: SweepResult) -> None:
    program = shutil.which("optuna-dashboard")
    if program is None:
        pytest.skip("optuna-dashboard is not installed")
    port = free_port()
    command = [program, str(swept.directory / "journal.log"), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            studies = fetch(f"http://127.0.0.1:{port}/api/studies")["study_summaries"]
        finally:
            process.terminate()
    assert [study["study_name"] for study in studies] == ["sweep"]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def fetch(address: str) -> Any:
    """Fetch JSON from a server that may still be starting."""
    for _ in range(300):
        try:
            with urllib.request.urlopen(address) as response:
                return json.load(response)
        except urllib.error.URLError:
            time.sleep(0.1)
    raise AssertionError("the server did not start")
