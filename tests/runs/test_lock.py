"""One writer per directory: the second is rejected, dead processes block nobody, and readers need no lock."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from elman.errors import ElmanError, as_arguments, quote
from elman.report import report
from elman.runs.directory import DirectoryLock, RunDirectory
from elman.runs.models import load
from elman.runs.run import Run
from elman.text import Corpus
from elman.training.callbacks import TrainingCallback
from support.state import TEXT
from support.training import EXACT, assert_same, contents, train

BUSY = "{} is locked, another process is writing to it; wait until that ends or choose another --out"
LONG = Corpus.from_text(TEXT * 20)
"""Long enough for a report."""


@contextmanager
def writer_elsewhere(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that writes to a directory, until it is killed."""
    lines = (
        "import pathlib",
        "from elman.runs.directory import DirectoryLock",
        f"lock = DirectoryLock(pathlib.Path({str(folder)!r}))",
        "lock.acquire()",
        "print(flush=True)",
        "input()",
    )
    command = [sys.executable, "-c", "\n".join(lines)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def run(corpus: Corpus, tmp_path: Path) -> Path:
    """The directory of a run."""
    train(corpus, **EXACT, max_updates=9, out=tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize("resume", [False, True])
def test_a_second_training_is_rejected_and_changes_nothing(corpus: Corpus, run: Path, resume: bool) -> None:
    before, expected = contents(run), re.escape(as_arguments(BUSY.format(quote(run))))
    options: dict[str, Any] = {"resume": True} if resume else EXACT
    with writer_elsewhere(run), pytest.raises(ElmanError, match=f"^{expected}$"):
        train(corpus, out=run, **options)
    assert contents(run) == before


def test_a_second_writer_is_refused_before_the_first_has_written_anything(corpus: Corpus, tmp_path: Path) -> None:
    with writer_elsewhere(tmp_path):
        with pytest.raises(ElmanError, match="is locked, another process is writing to it"):
            train(corpus, **EXACT, out=tmp_path)
        with pytest.raises(ElmanError, match="is locked, another process is writing to it"):
            report(LONG, out=tmp_path, epochs=1, long_epochs=1)
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_the_command_prints_one_line_and_exits_with_2(run: Path) -> None:
    with writer_elsewhere(run):
        command = [sys.executable, "-m", "elman", "train", "--out", str(run), "--resume"]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", f"error: {BUSY.format(quote(run))}\n")


def test_one_process_has_one_writer_as_well(corpus: Corpus, tmp_path: Path) -> None:
    class Second(TrainingCallback):
        """Begins a second training while the first is at work."""

        refused = 0

        def on_progress(self, run: Run, updates: int) -> None:
            with pytest.raises(ElmanError, match="is locked, another process is writing to it"):
                train(corpus, out=tmp_path, resume=True)
            self.refused += 1

    second = Second()
    run = train(corpus, **EXACT, max_updates=20, out=tmp_path, callback=second)
    assert second.refused
    assert_same(run, train(corpus, **EXACT, max_updates=20))


def test_a_training_may_be_asked_for_in_another_thread(corpus: Corpus, tmp_path: Path) -> None:
    train(corpus, **EXACT, max_updates=9, out=tmp_path)
    options = {"out": tmp_path, "resume": True, "max_updates": 20}
    thread = threading.Thread(target=train, args=(corpus,), kwargs=options)
    thread.start()
    thread.join()
    assert RunDirectory(tmp_path).load().state.update == 20


def test_a_report_is_rejected_while_its_run_is_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elman.report.pipeline.REPORTED", ())
    monkeypatch.setattr("elman.report.pipeline._ReportBuilder.open", lambda desk, resume: desk.settings())
    with writer_elsewhere(tmp_path / "run"), pytest.raises(ElmanError, match=r"run' is locked"):
        report(LONG, out=tmp_path, epochs=1, long_epochs=1)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_the_lock_of_a_dead_process_blocks_nobody(corpus: Corpus, run: Path, how: signal.Signals) -> None:
    with writer_elsewhere(run) as process:
        (run / ".checkpoint.safetensors.abcdefgh.part").write_bytes(b"half")
        os.kill(process.pid, how)
        process.wait()
        assert (run / ".lock").exists()
        assert train(corpus, out=run, resume=True, max_updates=12).state.update == 12
    assert not list(run.glob("*.part"))


def test_an_error_and_an_end_give_the_lock_back(corpus: Corpus, run: Path) -> None:
    with pytest.raises(ElmanError, match="already contains a run"):
        train(corpus, **EXACT, out=run)
    with pytest.raises(ElmanError, match=r"cannot change hidden_size on resume \(run: 4, given: 5\)"):
        train(corpus, out=run, resume=True, hidden_size=5)
    assert train(corpus, out=run, resume=True, max_updates=12).state.update == 12


def test_reading_needs_no_lock(run: Path) -> None:
    with writer_elsewhere(run):
        assert load(run).sample(5, seed=1)
        assert [row.update for row in RunDirectory(run).metrics()] == [7, 9]


def test_the_lock_is_taken_once(tmp_path: Path) -> None:
    with DirectoryLock(tmp_path) as lock:
        lock.acquire()
        lock.acquire()
        with pytest.raises(ElmanError, match="is locked, another process is writing to it"):
            DirectoryLock(tmp_path).acquire()
    with DirectoryLock(tmp_path) as lock:
        lock.acquire()


@pytest.mark.parametrize("options", [{"hidden_size": 0}, {"seq_length": 1000}])
def test_what_is_refused_leaves_no_lock(corpus: Corpus, tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ElmanError):
        train(corpus, out=tmp_path, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_is_a_link_is_rejected(corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "other")
    with pytest.raises(ElmanError, match=r"^cannot write in .*run' \(.*\): choose another out$"):
        train(corpus, **EXACT, out=tmp_path / "run")
