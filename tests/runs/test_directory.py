"""The run directory: its files and manifest, a run that replaces another, and one writer at a time."""

import errno
import hashlib
import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

import elman
from elman.config import Config
from elman.errors import ElmanError, quote
from elman.model.loading import load
from elman.runs.directory import RunDirectory
from elman.runs.writer import RunWriter
from elman.text import Corpus
from elman.training.callbacks import TrainingCallback
from elman.training.run import Run
from support.state import TEXT, T
from support.training import EXACT, assert_same, assert_saved, contents, train

OPTIONS: dict[str, Any] = EXACT | {"validation": 0.2, "validate_every": 9, "max_updates": 20}


def test_the_files_and_the_metadata_of_a_run(corpus: Corpus, tmp_path: Path) -> None:
    settings = {name: value for name, value in EXACT.items() if name != "preset"}
    train(corpus, **EXACT, max_updates=25, out=tmp_path)
    names = {".lock", "run.json", "metrics.csv", "samples.jsonl", "checkpoint.safetensors", "smooth_loss.png"}
    assert contents(tmp_path).keys() == names
    manifest = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    keys = "config alphabet corpus preset versions machine stopped validation_chars log"
    assert list(manifest) == keys.split()
    assert manifest["config"] == asdict(Config(**settings, max_updates=25))
    assert manifest["alphabet"] == corpus.alphabet.characters
    sha256 = hashlib.sha256(TEXT.encode()).hexdigest()
    size = {"chars": len(TEXT), "alphabet_size": 26}
    assert manifest["corpus"] == {"name": "text", **size, "sha256": sha256, "files": []}
    assert manifest["preset"] == "reference"
    assert manifest["versions"].items() >= {"elman": elman.__version__, "python": platform.python_version()}.items()
    assert manifest["machine"].items() >= {"system": platform.system(), "cores": os.cpu_count()}.items()
    train(corpus, resume=True, max_updates=30, out=tmp_path)
    resumed = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert resumed == manifest | {"config": manifest["config"] | {"max_updates": 30}}


def test_the_speed_counts_the_characters_of_every_batch_row(corpus: Corpus) -> None:
    run = train(corpus, **EXACT, batch_size=3, max_updates=7)
    row, before = run.metrics[-1], run.metrics[-2]
    assert (row.update, before.update) == (7, 6)
    assert row.chars_per_second == pytest.approx(3 * T / (row.seconds - before.seconds))
    assert run.results()["chars_per_second"] == round(7 * 3 * T / run.state.seconds)


def test_a_lock_that_is_a_link_is_not_followed(corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "file")
    with pytest.raises(ElmanError, match=r"^cannot write in .*run' "):
        train(corpus, **EXACT, out=tmp_path / "run")


def test_the_new_run_is_as_one_in_a_new_directory(corpus: Corpus, tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    train(corpus, **OPTIONS, out=tmp_path / "run", log=("jsonl", "tensorboard"))
    (tmp_path / "run" / "notes.txt").touch()  # a file of nobody's is left alone
    options = EXACT | {"max_updates": 10, "seed": 1}
    assert_saved(tmp_path / "run", train(corpus, **options, out=tmp_path / "run", overwrite=True))
    train(corpus, **options, out=tmp_path / "other", overwrite=True)  # where there is no run
    assert contents(tmp_path / "run").keys() == contents(tmp_path / "other").keys() | {"notes.txt"}


def test_a_start_that_fails_leaves_the_old_run(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    train(corpus, **OPTIONS, out=tmp_path)
    before = contents(tmp_path)
    for wrong in ({"dropout": 2.0}, {"seq_length": 1000}, {"hidden_size": 10**9}):
        with pytest.raises(ElmanError):
            train(corpus, **OPTIONS | wrong, out=tmp_path, overwrite=True)
    with RunWriter(tmp_path), pytest.raises(ElmanError, match="is locked"):
        train(corpus, **OPTIONS, out=tmp_path, overwrite=True)
    monkeypatch.setattr("elman.storage.files.os.fsync", full)
    with pytest.raises(ElmanError, match="No space left on device"):
        train(corpus, **OPTIONS, out=tmp_path, overwrite=True)
    assert contents(tmp_path) == before


def test_a_damaged_run_is_replaced_but_no_other_file(corpus: Corpus, tmp_path: Path) -> None:
    train(corpus, **OPTIONS, out=tmp_path)
    checkpoint = tmp_path / "checkpoint.safetensors"
    checkpoint.write_bytes(b"damaged")
    (tmp_path / "run.json").rename(tmp_path / "kept.json")
    with pytest.raises(ElmanError, match=r"checkpoint\.safetensors' cannot be used"):  # it may be anything
        train(corpus, **OPTIONS, out=tmp_path, overwrite=True)
    assert checkpoint.read_bytes() == b"damaged"
    (tmp_path / "kept.json").rename(tmp_path / "run.json")
    assert_saved(tmp_path, train(corpus, **OPTIONS, out=tmp_path, overwrite=True))


def test_a_record_that_cannot_be_read_is_not_taken_for_one_that_is_lost(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(corpus, **OPTIONS, out=tmp_path)
    with monkeypatch.context() as patch:
        error = OSError(errno.EIO, os.strerror(errno.EIO))
        patch.setattr("elman.runs.directory.read_regular_file", Mock(side_effect=error))
        with pytest.raises(
            ElmanError, match=r"run\.json' cannot be read as run\.json \(\[Errno 5\] Input/output error\)"
        ):
            elman.export(tmp_path, tmp_path / "page.html")  # which names the text
    (tmp_path / "run.json").unlink()
    elman.export(tmp_path, tmp_path / "page.html")


@contextmanager
def writer_elsewhere(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that writes to a directory, until it is killed."""
    code = "import pathlib, sys, elman.runs.writer as d; lock = d.DirectoryLock(pathlib.Path(sys.argv[1]))"
    command = [sys.executable, "-c", f"{code}; lock.acquire(); print(flush=True); input()", str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


BUSY = "is locked, another process is writing to it"


@pytest.fixture
def run(corpus: Corpus, tmp_path: Path) -> Path:
    train(corpus, **EXACT, max_updates=9, out=tmp_path / "run")
    return tmp_path / "run"


def test_a_second_writer_is_refused_before_the_first_has_written_anything(corpus: Corpus, tmp_path: Path) -> None:
    with writer_elsewhere(tmp_path):
        with pytest.raises(ElmanError, match=BUSY):
            train(corpus, **EXACT, out=tmp_path)
        with pytest.raises(ElmanError, match=BUSY):
            pytest.importorskip("elman.apps.report").report(
                Corpus.from_text(TEXT * 20), out=tmp_path, epochs=1, long_epochs=1
            )
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_second_training_is_rejected_and_changes_nothing(corpus: Corpus, run: Path) -> None:
    before = contents(run)
    with writer_elsewhere(run):
        for options in ({"resume": True}, EXACT):
            with pytest.raises(ElmanError, match=BUSY):
                train(corpus, out=run, **options)
        assert load(run).sample(5, seed=1)  # reading needs no lock
        command = [sys.executable, "-m", "elman", "train", "--out", str(run), "--resume"]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert f"error: {quote(run)} {BUSY}" in ended.stderr
    assert contents(run) == before


def test_one_process_has_one_writer_as_well(corpus: Corpus, tmp_path: Path) -> None:
    class Second(TrainingCallback):
        """Begins a second training while the first is at work."""

        refused = 0

        def on_progress(self, run: Run, updates: int) -> None:
            with pytest.raises(ElmanError, match=BUSY):
                train(corpus, out=tmp_path, resume=True)
            self.refused += 1

    second = Second()
    run = train(corpus, **EXACT, max_updates=20, out=tmp_path, callback=second)
    assert second.refused
    assert_same(run, train(corpus, **EXACT, max_updates=20))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_the_lock_of_a_dead_process_blocks_nobody(corpus: Corpus, run: Path, how: signal.Signals) -> None:
    with writer_elsewhere(run) as process:
        (run / f".elman-{process.pid}-01234567.part").write_bytes(b"half")
        (run / f".elman-{os.getpid()}-01234567.part").write_bytes(b"half")  # in a container, numbers are used again
        (run / ".film.part").touch()  # of another program
        os.kill(process.pid, how)
        process.wait()
        assert (run / ".lock").exists()
        assert train(corpus, out=run, resume=True, max_updates=12).state.update == 12
    assert [path.name for path in run.glob("*.part")] == [".film.part"]


def test_a_file_is_not_a_run(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.touch()
    run = RunDirectory(path)
    for read in (run.manifest, run.written_metrics, run.samples):
        with pytest.raises(ElmanError) as error:
            read()
        assert str(error.value) == f"{quote(path)} is a file; pass a run directory written by elman train"
