"""Sweeps: from the first trial to the report, interrupted and continued."""

import csv
import errno
import json
import os
import re
import shlex
import shutil
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("optuna")

import elman
from elman.apps.sweep import loop, worker
from elman.apps.sweep.display import SweepDisplay, create_table, summarize
from elman.apps.sweep.loop import Workers
from elman.apps.sweep.results import SweepResult, copy_best
from elman.cli.parameters import read_runs
from elman.errors import ElmanError, LockedError, report_system_errors
from elman.machine import thread_count
from elman.runs import CHECKPOINT
from elman.runs.writer import DirectoryLock
from elman.text import read_corpus
from elman.text.reading import hash_text
from elman.training.api import train
from support.cli import Command
from support.kills import Killed, kill_at
from support.state import ROOT
from support.sweeps import OPTIONS, assert_as_never_killed, small_sweep, train_here, weights, write_text


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> SweepResult:
    """A sweep of two workers, some of whose trials are pruned."""
    workers = min(2, thread_count())
    return small_sweep(tmp_path_factory.mktemp("sweep"), 5, pruner="halving", max_updates=300, workers=workers)


def test_the_best_trial_is_an_ordinary_run(swept: SweepResult, tmp_path: Path, command: Command) -> None:
    """The command trains it again, bit for bit: it depends neither on workers nor on the pruner."""
    rows = [*csv.DictReader((swept.directory / "trials.csv").read_text("utf-8").splitlines())]
    assert [row["trial"] for row in rows] == ["0", "1", "2", "3", "4"]
    best = min((row for row in rows if row["state"] == "complete"), key=lambda row: float(row["validation_loss"]))
    assert weights(swept.directory / "best") == weights(swept.directory / "trials" / f"{int(best['trial']):04d}")
    assert elman.open_run(swept.directory / "best").validation_loss == float(best["validation_loss"])
    arguments = shlex.split(swept.command)[1:]
    arguments[arguments.index("--out") + 1] = str(tmp_path / "again")
    assert command(*arguments).code == 0
    assert weights(tmp_path / "again") == weights(swept.directory / "best")


def test_poor_trials_are_pruned_and_saved(swept: SweepResult) -> None:
    pruned = swept.select("pruned")
    assert 1 <= len(pruned) <= 4
    for trial in pruned:
        metrics = elman.open_run(swept.directory / "trials" / f"{trial.number:04d}").metrics
        assert metrics[-1].update == trial.updates
        assert trial.validation_loss in [row.validation_loss for row in metrics if 75 <= row.update < 300]


def test_a_trial_is_not_pruned_at_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optuna.pruners.SuccessiveHalvingPruner.prune", lambda _, study, trial: trial.last_step == 100)
    result = small_sweep(tmp_path, 1, pruner="halving", max_updates=50)
    assert [(trial.state, trial.updates) for trial in result.trials] == [("complete", 50)]


def test_the_directory_of_a_sweep(swept: SweepResult) -> None:
    """The report needs no network, the processes log nothing, and the dashboard compares the runs."""
    page = (swept.directory / "report.html").read_text("utf-8")
    assert all(text in page for text in ("<h2>Learning curves</h2>", "<h2>History</h2>", "<pre>elman train "))
    assert not re.search(r"<(script|link|img|iframe)[^>]* (src|href)=", page)
    assert (swept.directory / "workers.log").read_text("utf-8") == ""
    assert read_runs([swept.directory], lambda path, name: name) == ["best", *(f"{n:04d}" for n in range(5))]


@pytest.mark.usefixtures("in_process")
def test_the_time_for_all_trials_ends_a_sweep_which_continues(tmp_path: Path) -> None:
    first = small_sweep(tmp_path, None, total_seconds=1.5, max_updates=20)
    assert not first.interrupted
    assert len(first.select("complete")) >= 1
    assert first.best is not None
    again = small_sweep(tmp_path, None, total_seconds=1.5, max_updates=20)
    assert len(again.select("complete")) > len(first.select("complete"))
    assert summarize(again).startswith(f"{len(again.trials)} trials: ")
    limited = small_sweep(tmp_path, len(again.trials), total_seconds=600, max_updates=20)
    assert len(limited.select("complete")) == len(again.trials)
    grid: dict[str, Any] = {"space": {"learning_rate": [0.1, 0.2]}, "sampler": "grid", "out": tmp_path / "grid"}
    assert len(small_sweep(tmp_path, None, total_seconds=600, **grid).trials) == 2


@pytest.mark.usefixtures("in_process")
def test_a_stopped_sweep_without_a_number_of_trials_is_interrupted(tmp_path: Path) -> None:
    assert small_sweep(tmp_path, None, total_seconds=600, callback=lambda result: True).interrupted


def test_a_process_has_its_part_of_the_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    program = f"import os, sys; print(*map(os.environ.get, {names}), file=sys.stderr)"
    monkeypatch.setattr(loop, "COMMAND", ("-c", program))
    monkeypatch.setenv("NUMBA_NUM_THREADS", "8")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with pytest.raises(ElmanError, match=r"^every trial failed"):
        small_sweep(tmp_path, 1, workers=4)
    assert (tmp_path / "sweep" / "workers.log").read_text("utf-8").splitlines()[0] == "2 3 2"


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_seed_determines_the_trials(tmp_path: Path, sampler: str) -> None:
    """Of an extended sweep as of one in a piece; those of `random` do not depend on the number of workers either."""

    def search(name: str, *totals: int, **options: Any) -> list[Any]:
        for total in totals:
            result = small_sweep(tmp_path, total, out=tmp_path / name, sampler=sampler, max_updates=5, **options)
        return [(trial.values, trial.validation_loss) for trial in result.trials]

    expected = search("whole", 12)
    assert search("extended", 5, 12) == expected
    assert not [trial for trial in search("other", 3, sampler_seed=8) if trial in expected]
    if sampler == "random":
        assert search("parallel", 12, workers=min(2, thread_count())) == expected


@pytest.mark.usefixtures("in_process")
def test_importances_need_four_complete_trials(tmp_path: Path) -> None:
    for total in (3, 4):
        result = small_sweep(tmp_path, total, out=tmp_path / "sweep", sampler="random", max_updates=5)
        page = (result.directory / "report.html").read_text("utf-8")
        for title in ("Importances", "Parallel coordinates"):
            assert (f"<h2>{title}</h2>" in page) == (total == 4)


@pytest.mark.usefixtures("in_process")
def test_a_grid_has_a_trial_per_point(tmp_path: Path) -> None:
    """A trial that fails does not end the sweep."""
    result = small_sweep(tmp_path, 12, sampler="grid", space={"batch_size": [1, 5000], "layers": {"low": 1, "high": 2}})
    assert sorted(trial.state for trial in result.trials) == ["complete", "complete", "failed", "failed"]
    assert len({tuple(trial.values.values()) for trial in result.trials}) == 4
    for failed in result.select("failed"):
        assert "is too short" in failed.error or "characters" in failed.error


@pytest.mark.usefixtures("in_process")
def test_what_identifies_a_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options: Any = {"seed": np.int64(4), "validation": write_text(tmp_path)}
    small_sweep(tmp_path, 1, **options)
    for changes, message in (
        ({"seed": 3}, r" differs in its options: seed \(sweep: 4, given: 3\); pass the same or choose another out$"),
        ({"space": {"hidden_size": [3]}}, r" differs in its search space: learning_rate \(sweep: \{'low': 0.01"),
        ({"sampler_seed": 9}, r" differs in its sampler seed \(sweep: 0, given: 9\)"),
    ):
        with pytest.raises(ElmanError, match=message):
            small_sweep(tmp_path, 1, **options | changes)
    with monkeypatch.context() as patch:
        patch.setattr("support.sweeps.TEXT", "another text")
        with pytest.raises(ElmanError, match=r" differs in its text \(sweep: [0-9a-f]{64}, given: [0-9a-f]{64}\); "):
            small_sweep(tmp_path, 1, **options)
    (tmp_path / "sweep").rename(tmp_path / "moved")
    assert len(small_sweep(tmp_path, 2, out=tmp_path / "moved", **options).trials) == 2


@pytest.mark.usefixtures("in_process")
def test_a_text_that_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def change_text(workers: Workers, trial: Any) -> Any:
        Path(workers.settings.corpus).write_text("another text that is long enough " * 9, encoding="utf-8")
        return train_here(workers, trial)

    monkeypatch.setattr(Workers, "train_once", change_text)
    with pytest.raises(ElmanError, match=r"^every trial failed; trial 0: the text has changed since the sweep began$"):
        small_sweep(tmp_path, 1)


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("options", [{"max_chars": 400}, {"lines": True, "mask": "all"}], ids=str)
def test_trials_read_as_trainings_do(tmp_path: Path, options: dict[str, Any]) -> None:
    assert_as_never_killed(tmp_path, small_sweep(tmp_path, 1, **options), 1)


def test_the_hash_of_a_text_does_not_encode_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_text(tmp_path)
    (tmp_path / "more.txt").write_text("another text", encoding="utf-8")
    expected = [read_corpus(source).sha256 for source in (path, tmp_path)]
    monkeypatch.setattr("elman.text.reading.encode_chunks", None)
    assert [hash_text(source) for source in (path, tmp_path)] == expected


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(
    ("raised", "error"),
    [
        (ElmanError("a mistake"), "^every trial failed; trial 0: a mistake$"),
        (MemoryError(), "^every trial failed; trial 0: not enough memory$"),
        (LockedError("another process is writing to it"), ""),  # of a killed sweep, which saves the run
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
    else:
        assert_as_never_killed(tmp_path, small_sweep(tmp_path, 1), 1)


@pytest.mark.usefixtures("in_process")
def test_the_command(tmp_path: Path, command: Command) -> None:
    """Its JSON has the documented keys; and what the table on a terminal shows."""
    options = [part for name, value in OPTIONS.items() for part in (f"--{name.replace('_', '-')}", value)]
    ended = command("sweep", write_text(tmp_path), "-o", tmp_path / "s", "--trials", 2, "--json", *options)
    assert (ended.code, ended.err) == (0, "")
    results = json.loads(ended.out)
    table = (ROOT / "docs" / "reference" / "files.md").read_text("utf-8")
    assert f"| `sweep` | `{' '.join(results)}` |" in table
    assert (results["complete"], results["interrupted"]) == (2, False)
    limits = "--trials", 2, "--total-seconds", 100
    again = command("sweep", write_text(tmp_path), "-o", tmp_path / "s", *limits, *options)
    assert "\nended and saved; the same command continues the sweep\n" in again.out
    table_shown = create_table(small_sweep(tmp_path, 2))
    assert table_shown.row_count == 2
    assert re.match(r"2 of 2 trials: 2 complete; best: trial \d, validation loss \d", str(table_shown.caption))
    with SweepDisplay() as display:
        display.receive(2, None)
        with pytest.raises(KeyboardInterrupt):
            display.receive(2, None)


# --- Bad input ---


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("-", "a sweep reads the text for every trial: pass a file instead of standard input"),
        ("--max-updates 0", "--max-updates must be at least 1 (got 0)"),
    ],
)
def test_options_that_are_refused(command: Command, tmp_path: Path, options: str, message: str) -> None:
    ended = command("sweep", "--out", tmp_path / "sweep", "--trials", "1", *options.split())
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert ended.err.startswith(f"error: {message}")
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize("name", ["trials.csv", "report.html"])
def test_the_results_of_another_program_are_not_replaced(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    with pytest.raises(ElmanError, match=f"{name}' already exists; move it, or choose another out$"):
        small_sweep(tmp_path, 1, out=tmp_path)


@pytest.mark.usefixtures("in_process")
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
    assert small_sweep(tmp_path, 3).best == result.best
    assert {path.name for path in out.glob("best*")} == {"best", "best-1"}


@pytest.mark.usefixtures("in_process")
def test_files_that_were_added_to_the_best_trial_are_kept(tmp_path: Path) -> None:
    first = small_sweep(tmp_path, 1)
    out = first.directory
    (out / "best" / "notes.md").write_text("mine", "utf-8")
    small_sweep(tmp_path, 1)
    assert (out / "best" / "notes.md").exists()
    numbers = (small_sweep(tmp_path, trials).best for trials in count(2))
    assert next(best for best in numbers if best != first.best) is not None
    assert (out / "best-1" / "notes.md").read_text("utf-8") == "mine"
    assert not (out / "best" / "notes.md").exists()


@pytest.mark.usefixtures("in_process")
def test_a_kill_while_the_best_trial_is_replaced_leaves_no_part_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = small_sweep(tmp_path, 1)
    best, trials = (result.directory / name for name in ("best", "trials"))
    shutil.copytree(trials / "0000", trials / "0001")
    os.utime(trials / "0001" / CHECKPOINT, (1, 1))
    for last in count(1):
        shutil.rmtree(best, ignore_errors=True)
        shutil.copytree(trials / "0001", best)
        with monkeypatch.context() as patch, suppress(Killed):
            kill_at(patch, last, "before", [(os, name) for name in ("unlink", "rmdir", "rename")])
            copy_best(result)
            break
        assert not best.exists() or weights(best) == weights(trials / "0000")
    assert last > 5
    assert (best / CHECKPOINT).stat().st_mtime == (trials / "0000" / CHECKPOINT).stat().st_mtime
    assert not [*result.directory.glob(".best.*")]


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_trial_that_cannot_be_started_has_not_failed(
    workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Workers, "arguments", fail)
        with pytest.raises(OSError, match="No space left on device"):
            small_sweep(tmp_path, 2, workers=workers)
    assert_as_never_killed(tmp_path, small_sweep(tmp_path, 2), 2)


@pytest.mark.usefixtures("in_process")
def test_a_trial_on_a_full_disk_has_not_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        with report_system_errors("write in 'a'"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(worker, "train", fail)
        with pytest.raises(ElmanError, match=r"^cannot write in 'a' \(No space left on device\)$"):
            small_sweep(tmp_path, 2)
    assert_as_never_killed(tmp_path, small_sweep(tmp_path, 2), 2)


@pytest.mark.usefixtures("in_process")
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
    assert not (tmp_path / "c" / "study.db").exists()
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "study.db").write_text("no database " * 99)
    expected = r"^cannot use the database '.*study\.db' \(file is not a database\): choose another out$"
    with pytest.raises(ElmanError, match=expected):
        small_sweep(tmp_path, 1, out=tmp_path / "d")


@pytest.mark.parametrize("name", ["trials", "trials/0001", "best", "study.db", "workers.log"])
def test_a_link_in_a_sweep_is_not_followed(tmp_path: Path, name: str) -> None:
    (tmp_path / "sweep" / "trials").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    shutil.rmtree(tmp_path / "sweep" / name, ignore_errors=True)
    (tmp_path / "sweep" / name).symlink_to(tmp_path / "outside")
    with pytest.raises(ElmanError, match=r"' is a link, which is not followed: remove it or choose another out$"):
        small_sweep(tmp_path, 2)
    assert not [*(tmp_path / "outside").iterdir()]
