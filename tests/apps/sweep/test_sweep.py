"""Sweeps: from the first trial to the report, interrupted and continued, on one machine and on several."""

import csv
import json
import os
import re
import shlex
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("optuna")

import elman
from elman.apps.sweep import controller, worker
from elman.apps.sweep.commands import SweepDisplay, create_table, summarize
from elman.apps.sweep.controller import Worker
from elman.apps.sweep.results import SweepResult
from elman.apps.sweep.space import SweepPlan, SweepSettings
from elman.cli.inputs import read_runs
from elman.config import Config
from elman.errors import ElmanError, LockedError
from elman.machine import thread_count
from elman.runs.texts import read_text
from elman.runs.writer import DirectoryLock
from elman.text import Corpus, read_corpus
from elman.text.reading import hash_text
from support.cli import Command
from support.state import ROOT
from support.sweeps import OPTIONS, LocalWorker, assert_as_never_killed, small_sweep, weights, write_text

SETTINGS = SweepSettings("python-docs", "reference", {}, {}, "random", "none", 0)


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> SweepResult:
    """A sweep that was stopped in its first trial, and continued by two workers."""
    folder = tmp_path_factory.mktemp("sweep")
    slow: dict[str, Any] = {"max_updates": 4000, "validate_every": 2000, "mixed_precision": False, "max_seconds": None}
    assert small_sweep(folder, 2, callback=lambda result: bool(result.trials), **slow).interrupted
    result = small_sweep(folder, 2, workers=min(2, thread_count()), **slow)
    assert (result.interrupted, len(result.trials)) == (False, 2)
    return result


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


def test_the_directory_of_a_sweep(swept: SweepResult) -> None:
    """The report needs no network, the workers log nothing, and the dashboard compares the runs."""
    page = (swept.directory / "report.html").read_text("utf-8")
    assert all(text in page for text in ("<h2>Learning curves</h2>", "<h2>History</h2>", "<pre>elman train "))
    assert not re.search(r"<(script|link|img|iframe)[^>]* (src|href)=", page)
    assert (swept.directory / "workers.log").read_text("utf-8") == ""
    assert read_runs([swept.directory], lambda path, name: name) == ["best", "0000", "0001"]


def test_poor_trials_are_pruned_and_saved(tmp_path: Path) -> None:
    """Intermediate validations do not change the run of a trial that is not pruned."""
    result = small_sweep(tmp_path, 8, pruner="halving", max_updates=600)
    pruned = result.select("pruned")
    assert 2 <= len(pruned) <= 7
    for trial in pruned:
        run = elman.open_run(result.directory / "trials" / f"{trial.number:04d}")
        assert run.manifest["stopped"] == "pruned"
        assert trial.updates == run.metrics[-1].update
        assert 150 <= run.metrics[-1].update < 600
        assert trial.validation_loss is not None
    options: Any = result.options
    elman.train(result.settings.corpus, out=tmp_path / "whole", preset="reference", progress=False, **options)
    assert weights(tmp_path / "whole") == weights(result.directory / "best")


def test_a_worker_has_its_part_of_the_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    monkeypatch.setattr(controller, "COMMAND", ("-c", f"import os; print(*map(os.environ.get, {names}))"))
    monkeypatch.setenv("NUMBA_NUM_THREADS", "8")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    assert Worker(SweepPlan(SETTINGS, tmp_path, 1, workers=4), 0).close() == "2 3 2"


# --- Workers in this process ---


@pytest.mark.usefixtures("local_workers")
def test_trials_of_random_search_do_not_depend_on_the_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def search(name: str, *totals: int, seed: int = 7, workers: int = 1) -> list[Any]:
        for total in totals:
            result = small_sweep(tmp_path, total, out=tmp_path / name, workers=workers, sampler_seed=seed)
        return [(trial.values, trial.validation_loss) for trial in result.trials]

    expected = search("whole", 4)
    assert search("extended", 1, 4) == expected
    assert not [trial for trial in search("other", 4, seed=8) if trial in expected]
    monkeypatch.setattr(controller, "Worker", Worker)  # processes
    assert search("parallel", 4, workers=min(2, thread_count())) == expected


@pytest.mark.usefixtures("local_workers")
@pytest.mark.parametrize(("sampler", "trials", "distinct"), [("tpe", 12, range(1, 5)), ("grid", 4, [4])])
def test_other_samplers(tmp_path: Path, sampler: str, trials: int, distinct: Any) -> None:
    space = {"hidden_size": [3, 4], "layers": {"low": 1, "high": 2}}
    result = small_sweep(tmp_path, 12, sampler=sampler, space=space, max_updates=5)
    assert [trial.state for trial in result.trials] == ["complete"] * trials
    assert len({tuple(trial.values.items()) for trial in result.trials}) in distinct


@pytest.mark.usefixtures("local_workers")
def test_a_trial_that_fails_does_not_end_the_sweep(tmp_path: Path) -> None:
    result = small_sweep(tmp_path, 2, sampler="grid", space={"batch_size": [1, 5000]})
    assert sorted(trial.state for trial in result.trials) == ["complete", "failed"]
    (failed,) = result.select("failed")
    assert "is too short" in failed.error or "characters" in failed.error
    assert shlex.split(result.command)[:3] == ["elman", "train", result.settings.corpus]


@pytest.mark.usefixtures("local_workers")
def test_what_identifies_a_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_sweep(tmp_path, 1)
    for changes, message in (
        ({"seed": 3}, r" differs in its options: seed \(sweep: none, given: 3\); pass the same or choose another out$"),
        ({"space": {"hidden_size": [3]}}, r" differs in its search space: learning_rate \(sweep: \{'low': 0.01"),
        ({"sampler_seed": 9}, r" differs in its sampler seed \(sweep: 0, given: 9\)"),
    ):
        with pytest.raises(ElmanError, match=message):
            small_sweep(tmp_path, 1, **changes)
    with monkeypatch.context() as patch:
        patch.setattr("elman.apps.sweep.space.__version__", "99.0")
        with pytest.raises(ElmanError, match=r" differs in its version of Elman \(sweep: .*, given: 99\.0\); "):
            small_sweep(tmp_path, 1)
    with monkeypatch.context() as patch:
        patch.setattr("support.sweeps.TEXT", "another text")
        with pytest.raises(ElmanError, match=r" differs in its text \(sweep: [0-9a-f]{64}, given: [0-9a-f]{64}\); "):
            small_sweep(tmp_path, 1)
    (tmp_path / "sweep").rename(tmp_path / "moved")
    assert len(small_sweep(tmp_path, 2, out=tmp_path / "moved").trials) == 2


def test_a_text_that_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def change_text(plan: SweepPlan, number: int) -> Worker:
        Path(plan.settings.corpus).write_text("another text", encoding="utf-8")
        return Worker(plan, number)

    monkeypatch.setattr(controller, "Worker", change_text)
    with pytest.raises(ElmanError, match=r"^the text has changed since the sweep began; restore it or choose another "):
        small_sweep(tmp_path, 1)


@pytest.mark.usefixtures("local_workers")
@pytest.mark.parametrize("options", [{"max_chars": 400}, {"lines": True, "mask": "all", "min_count": 2}], ids=str)
def test_workers_read_as_trainings_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]) -> None:
    sizes = list[int]()

    def read(source: Any, config: Config, **options: bool) -> Corpus:
        corpus = read_text(source, config, **options)
        sizes.append(len(corpus.indices))
        return corpus

    monkeypatch.setattr(worker, "read_text", read)
    assert_as_never_killed(tmp_path, small_sweep(tmp_path, 2, **options), 2)
    assert len(sizes) == 1
    assert sizes[0] <= options.get("max_chars", 1000)


def test_the_hash_of_a_text_does_not_encode_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_text(tmp_path)
    (tmp_path / "more.txt").write_text("another text", encoding="utf-8")
    expected = [read_corpus(source).sha256 for source in (path, tmp_path)]
    monkeypatch.setattr("elman.text.reading.encode_chunks", None)
    assert [hash_text(source) for source in (path, tmp_path)] == expected


@pytest.mark.usefixtures("local_workers")
def test_machines_join_a_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial of a machine that is lost has failed, and another machine tries its values again."""
    shared: dict[str, Any] = {"storage": f"sqlite:///{tmp_path / 'study.db'}", "study": "joined"}
    small_sweep(tmp_path, 1, out=tmp_path / "a", **shared)
    with monkeypatch.context() as patch:
        patch.setattr(worker, "train_trial", interrupt)
        with pytest.raises(KeyboardInterrupt):
            small_sweep(tmp_path, 2, out=tmp_path / "a", **shared)
    with sqlite3.connect(tmp_path / "study.db") as database:
        database.execute("UPDATE trial_heartbeats SET heartbeat = '2020-01-01 00:00:00'")
    database.close()
    result = small_sweep(tmp_path, 3, out=tmp_path / "b", **shared)
    assert [trial.state for trial in result.trials] == ["complete", "failed", "complete"]
    assert result.trials[1].error == "its machine was lost"
    assert result.trials[2].values == result.trials[1].values
    assert [path.name for path in (tmp_path / "b" / "trials").iterdir()] == ["0002"]
    assert small_sweep(tmp_path, 3, out=tmp_path / "a", **shared).trials == result.trials
    places = [(tmp_path / name / "best").exists() for name in ("a", "b")]
    assert result.best is not None
    assert places == [result.best.number == 0, result.best.number == 2]


@pytest.mark.usefixtures("local_workers")
def test_the_command(tmp_path: Path, command: Command) -> None:
    """Its JSON has the documented keys; and what the table on a terminal shows."""
    options = [part for name, value in OPTIONS.items() for part in (f"--{name.replace('_', '-')}", value)]
    ended = command("sweep", write_text(tmp_path), "-o", tmp_path / "s", "--trials", 2, "--json", *options)
    assert (ended.code, ended.err) == (0, "")
    results = json.loads(ended.out)
    table = (ROOT / "docs" / "reference" / "files.md").read_text("utf-8")
    assert f"| `sweep` | `{' '.join(results)}` |" in table
    assert (results["complete"], results["interrupted"]) == (2, False)
    result = small_sweep(tmp_path, 2)
    assert create_table(result).row_count == 2
    assert re.match(r"2/2 trials, best: \d\.\d{4} nats/char \(trial \d\), 0:02:00 left", summarize(result, 120))
    with SweepDisplay() as display:
        assert not display(result)
        display.signals.receive(2, None)
        assert display(result)
        with pytest.raises(KeyboardInterrupt):
            display.signals.receive(2, None)


# --- Bad input ---


POSTGRES = "postgresql+psycopg://u:{}@127.0.0.1:1/d"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--trials 0", "--trials must be at least 1 (got 0)"),
        ("--trials 1 --workers 0", "--workers must be at least 1 (got 0)"),
        ("--trials 1 --workers 9999", "--workers must be at most the number of cores, "),
        ("--trials 1 --storage secret", "--storage must be a URL such as postgresql+psycopg://user@host/data"),
        ("--trials 1 --storage mysql+x://u:secret@h/d", "cannot use the database mysql+x://u:***@h/d ("),
        ("--trials 1 --storage mysql://u:secret@h/d", "the driver of mysql://u:***@h/d is not installed (No mo"),
        ("--trials 1 --storage sqlite:////no/dir/s.db", "cannot use the database sqlite:////no/dir/s.db ("),
        (f"--trials 1 --storage {POSTGRES.format('secret')}", f"cannot use the database {POSTGRES.format('***')} ("),
        ("- --trials 1", "a sweep reads the text in every worker: pass a file instead of standard input"),
        ("--trials 1 --max-updates 0", "--max-updates must be at least 1 (got 0)"),
    ],
)
def test_options_that_are_refused(command: Command, tmp_path: Path, options: str, message: str) -> None:
    pytest.importorskip("psycopg")
    ended = command("sweep", "--out", tmp_path / "sweep", *options.split())
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert ended.err.startswith(f"error: {message}")
    assert "secret" not in ended.err
    assert not (tmp_path / "sweep").exists()


@pytest.mark.usefixtures("local_workers")
def test_arguments_of_python(tmp_path: Path) -> None:
    """They are stored in the journal as JSON."""
    options: Any = {"seed": np.int64(4), "validation": write_text(tmp_path)}
    assert small_sweep(tmp_path, 1, **options).settings.options["seed"] == 4
    text: Any = Corpus.from_text("a text")
    with pytest.raises(ElmanError, match=r"^a sweep reads a file or a built-in text \(got Corpus\)$"):
        elman.sweep(text, out=tmp_path / "other", trials=1)


@pytest.mark.usefixtures("local_workers")
def test_the_best_trial_that_was_trained_further_is_kept(tmp_path: Path) -> None:
    out = small_sweep(tmp_path, 1).directory
    small_sweep(tmp_path, 2)
    assert not (out / "best-1").exists()
    elman.train(out=out / "best", resume=True, max_updates=80, progress=False)
    result = small_sweep(tmp_path, 3)
    assert result.best is not None
    assert elman.open_run(out / "best-1").metrics[-1].update == 80
    assert weights(out / "best") == weights(out / "trials" / f"{result.best.number:04d}")
    shutil.rmtree(out / "trials")
    kept = small_sweep(tmp_path, 3)
    assert kept.best == result.best
    assert {path.name for path in out.glob("best*")} == {"best", "best-1"}


@pytest.mark.usefixtures("local_workers")
def test_a_best_trial_that_cannot_be_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def copy(*_: object, **__: object) -> None:
        raise shutil.Error([("a", "b", "[Errno 28] No space left on device")])

    monkeypatch.setattr(shutil, "copytree", copy)
    with pytest.raises(ElmanError, match=r"best' \(\[Errno 28\] No space left on device\)$"):
        small_sweep(tmp_path, 1)


def test_directories_that_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a" / "trials" / "0000").mkdir(parents=True)
    with pytest.raises(ElmanError, match=r"contains the trials of another study; choose another out$"):
        small_sweep(tmp_path, 1, out=tmp_path / "a")
    with DirectoryLock(tmp_path / "c") as lock:
        lock.acquire()
        with pytest.raises(LockedError, match=r"c' is locked, another process is writing to it; wait until that ends"):
            small_sweep(tmp_path, 1, out=tmp_path / "c")


@pytest.fixture(scope="module")
def small_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(controller, "Worker", LocalWorker)
        return small_sweep(tmp_path_factory.mktemp("small"), 1, max_updates=20).directory


@pytest.fixture
def one_trial(tmp_path: Path, small_directory: Path, local_workers: None) -> Path:
    return Path(shutil.copytree(small_directory, tmp_path / "sweep"))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        *(('"op_code":4', f'"op_code":{after}') for after in ("99", "[]", "[" * 100_000)),
        *(('"directions":[1]', f'"directions":{after}') for after in ("true", "[2]")),
        *(('"study_name":"sweep"', after) for after in ('"study_name":{}', '"study_nam":"sweep"')),
        ('"datetime_start":"', '"datetime_start":"x'),
        ('"worker":0', '"worker":{}'),
        ('"param_name":"hidden_size"', '"param_name":7'),
        ('"study_id":0', '"study_id":"0"'),
        *(("\n", after) for after in ("\nnull\n", "\n\n", "\n\xff")),
        ("{", "hello\n{"),
    ],
)
def test_a_damaged_journal_is_reported_in_one_line(tmp_path: Path, one_trial: Path, before: str, after: str) -> None:
    journal = one_trial / "journal.log"
    damaged = journal.read_bytes().replace(before.encode("latin-1"), after.encode("latin-1"), 1)
    assert damaged != journal.read_bytes()
    journal.write_bytes(damaged)
    with pytest.raises(ElmanError, match=r"is not a journal of Optuna \(.*\): restore it|choose another (out|study)$"):
        small_sweep(tmp_path, 2, max_updates=20)


@pytest.mark.usefixtures("local_workers")
def test_a_damaged_intermediate_value_is_reported_before_a_trial_is_compared_with_it(tmp_path: Path) -> None:
    journal = small_sweep(tmp_path, 3, pruner="halving").directory / "journal.log"
    journal.write_text(journal.read_text("utf-8").replace('"intermediate_value":', '"intermediate_value":{},"x":', 1))
    with pytest.raises(ElmanError, match=r"is not a journal of Optuna \(.*\): restore it or choose another out$"):
        small_sweep(tmp_path, 4, pruner="halving")


def test_a_name_of_a_machine_that_cannot_be_encoded(tmp_path: Path, one_trial: Path) -> None:
    journal = one_trial / "journal.log"
    journal.write_text(journal.read_text("utf-8").replace('"host":"', '"host":"\\ud800', 1))
    small_sweep(tmp_path, 1, max_updates=20)
    assert "\\ud800" in (one_trial / "trials.csv").read_text("utf-8")


@pytest.mark.parametrize("partial", [b"{", b'{"op_code":4', b"\xff"])
def test_a_partial_line_at_the_end_of_a_journal_is_dropped(tmp_path: Path, one_trial: Path, partial: bytes) -> None:
    with (one_trial / "journal.log").open("ab") as file:
        file.write(partial)
    assert small_sweep(tmp_path, 2, max_updates=20).finished == 2


@pytest.mark.parametrize("name", ["trials", "trials/0001", "best"])
def test_a_folder_of_a_sweep_that_is_a_link_is_not_followed(tmp_path: Path, one_trial: Path, name: str) -> None:
    (tmp_path / "outside").mkdir()
    shutil.rmtree(one_trial / name, ignore_errors=True)
    (one_trial / name).symlink_to(tmp_path / "outside")
    with pytest.raises(ElmanError, match=r"' is a link, which is not followed: remove it or choose another out$"):
        small_sweep(tmp_path, 2, max_updates=20)
    assert not [*(tmp_path / "outside").iterdir()]


@pytest.mark.parametrize("name", ["journal.log", "workers.log"])
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_log_that_is_no_file_is_not_written(tmp_path: Path, one_trial: Path, name: str, kind: str) -> None:
    log, outside = one_trial / name, tmp_path / "outside"
    outside.write_bytes(log.read_bytes() if log.exists() else b"")
    before = outside.read_bytes()
    log.unlink(missing_ok=True)
    if kind == "link":
        log.symlink_to(outside)
    else:
        os.mkfifo(log)
    if name == "journal.log":
        with pytest.raises(ElmanError, match=r"is not a journal of Optuna \((it is a link|.*egular file)"):
            small_sweep(tmp_path, 2, max_updates=20)
    else:
        Worker(SweepPlan(SETTINGS, one_trial, 1, 1), 0).close()
        assert log.is_file()
        assert not log.is_symlink()
    assert outside.read_bytes() == before
