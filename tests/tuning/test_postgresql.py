"""Sweeps of several machines, whose study is in a PostgreSQL database: each has a directory of its own."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("optuna")
pytest.importorskip("psycopg")

from elman.runs.directory import CHECKPOINT
from elman.tuning.storage import StorageAddress
from elman.tuning.trial import trial_directory
from support.postgresql import PASSWORD, QUOTED_PASSWORD, find_programs, postgresql
from support.sweeps import (
    SLOW_OPTIONS,
    Worker,
    assert_as_never_killed,
    kill_workers,
    make_order,
    make_settings,
    prepare,
    read_result,
    work_here,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    programs = find_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    with postgresql(programs) as url:
        yield url


def test_workers_are_killed_30_times(tmp_path: Path, database: str) -> None:
    order = make_order(tmp_path, make_settings(tmp_path, options=SLOW_OPTIONS), 20, database)
    prepare(order)
    assert kill_workers(order, 3, 30, seed=2) == 30
    assert_as_never_killed(tmp_path, order)


def test_machines_join_a_study(tmp_path: Path, database: str) -> None:
    """The trial of a machine that was lost is trained from the start by another, which has no files of it."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    settings = make_settings(tmp_path)
    first = replace(make_order(tmp_path / "a", settings, 4, database), study="joined")
    second = replace(make_order(tmp_path / "b", settings, 4, database), study="joined")
    prepare(first)
    killed = StorageAddress(Path(first.directory), "joined", database)
    with killed.open("none") as opened:
        opened.study.ask()  # by a worker that was killed before it trained
    work_here(replace(first, trials=2))
    result = work_here(second)
    assert [trial.state for trial in result.trials] == 4 * ["complete"]
    assert [path.name for path in sorted((tmp_path / "a" / "sweep" / "trials").iterdir())] == ["0000", "0001"]
    assert [path.name for path in sorted((tmp_path / "b" / "sweep" / "trials").iterdir())] == ["0002", "0003"]
    assert read_result(first).trials == result.trials


def test_the_password_is_never_printed(tmp_path: Path, database: str) -> None:
    secret = "another secret"
    wrong = database.replace(QUOTED_PASSWORD, secret.replace(" ", "%20"))
    command = ["sweep", "python-docs", "-o", str(tmp_path / "sweep"), "--trials", "1", "--storage"]
    ended = subprocess.run(
        [sys.executable, "-m", "elman", *command, wrong], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: cannot use the database postgresql+psycopg://sweeper:***@127.0.0.1:")
    assert ended.stderr.count("\n") == 1
    assert "password authentication failed" in ended.stderr
    assert secret not in ended.stderr
    assert not (tmp_path / "sweep").exists()
    assert PASSWORD not in repr(StorageAddress(tmp_path, "sweep", database))
    assert PASSWORD not in StorageAddress(tmp_path, "sweep", database).describe()


def test_another_text_is_refused(tmp_path: Path, database: str) -> None:
    command = [sys.executable, "-m", "elman", "sweep", "--storage", database, "--trials", "1", "--preset", "reference"]
    command += ["--max-updates", "1", "--engine", "numpy"]
    for folder, text, code in (("a", "python-docs", 0), ("b", __file__, 2)):
        ended = subprocess.run(
            [*command, text, "-o", str(tmp_path / folder / "texts")], capture_output=True, text=True, check=False
        )
        assert ended.returncode == code, ended.stderr
    assert "differs in its text (sweep: " in ended.stderr
    assert ":***@" in ended.stderr


def test_a_database_that_ends_is_one_error(tmp_path: Path) -> None:
    programs = find_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    with postgresql(programs) as url:
        order = make_order(tmp_path, make_settings(tmp_path, options=SLOW_OPTIONS), 2, url)
        prepare(order)
        worker = Worker(order, tmp_path / "worker.log")
        while not (trial_directory(Path(order.directory), 0) / CHECKPOINT).exists():
            time.sleep(0.01)
    worker.process.communicate()
    event = json.loads(worker.log.read_text("utf-8").splitlines()[-1])
    assert event["event"] == "error"
    assert re.match(r"cannot use the database postgresql\+psycopg://sweeper:\*\*\*@", event["message"])
