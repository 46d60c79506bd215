"""The run directory: its files, its metadata, directories that cannot be used, and a run that replaces another."""

import hashlib
import json
import os
import platform
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

import elman
from elman.config import Config
from elman.errors import ElmanError, quote
from elman.runs.directory import RunDirectory
from elman.text import Corpus
from support.state import TEXT, T
from support.training import EXACT, StopsAt, assert_saved, contents, train

OPTIONS: dict[str, Any] = EXACT | {"validation": 0.2, "validate_every": 9, "max_updates": 20}


@pytest.mark.parametrize(("validation", "files"), [(0.0, set()), (0.2, {"best.safetensors"})])
def test_what_a_run_leaves(corpus: Corpus, tmp_path: Path, validation: float, files: set[str]) -> None:
    train(corpus, **OPTIONS | {"validation": validation, "validate_every": 0}, out=tmp_path)
    names = {".lock", "run.json", "metrics.csv", "samples.jsonl", "checkpoint.safetensors", "smooth_loss.png"}
    assert contents(tmp_path).keys() == names | files


def test_the_metadata_of_a_run(corpus: Corpus, tmp_path: Path) -> None:
    settings = {name: value for name, value in EXACT.items() if name != "preset"}
    train(corpus, **EXACT, max_updates=25, out=tmp_path)
    metadata = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert list(metadata) == ["config", "alphabet", "corpus", "preset", "versions", "machine", "stopped"]
    assert metadata["config"] == asdict(Config(**settings, max_updates=25))
    assert metadata["alphabet"] == corpus.alphabet.characters
    sha256 = hashlib.sha256(TEXT.encode()).hexdigest()
    size = {"chars": len(TEXT), "alphabet_size": 26}
    assert metadata["corpus"] == {"name": "text", **size, "sha256": sha256, "files": []}
    assert metadata["preset"] == "reference"
    assert metadata["versions"].items() >= {"elman": elman.__version__, "python": platform.python_version()}.items()
    assert metadata["machine"].items() >= {"system": platform.system(), "cores": os.cpu_count()}.items()
    train(corpus, resume=True, max_updates=30, out=tmp_path)
    resumed = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert resumed == metadata | {"config": metadata["config"] | {"max_updates": 30}}


def test_the_speed_counts_the_characters_of_every_batch_row(corpus: Corpus) -> None:
    run = train(corpus, **EXACT, batch_size=3, max_updates=7)
    row = run.metrics[0]
    assert row.chars_per_second == pytest.approx(7 * 3 * T / row.seconds)
    assert run.results()["chars_per_second"] == round(7 * 3 * T / run.state.seconds)


def test_a_name_that_is_no_unicode(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.txt")  # as old archives leave them
    train(Corpus.from_text(TEXT, name), **EXACT, max_updates=2, out=tmp_path)
    assert json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))["corpus"]["name"] == name


def test_a_directory_that_holds_a_run(tmp_path: Path) -> None:
    """Without a checkpoint there is no run, so that a failed start can be repeated."""
    (tmp_path / "run.json").touch()
    assert not RunDirectory(tmp_path).holds_run()
    (tmp_path / "checkpoint.safetensors").touch()
    assert RunDirectory(tmp_path).holds_run()


@pytest.mark.parametrize(
    ("out", "reason"),
    [("file", "Not a directory"), ("file/run", "Not a directory"), ("long" * 100, "File name too long")],
)
def test_a_directory_that_cannot_be_made(corpus: Corpus, tmp_path: Path, out: str, reason: str) -> None:
    (tmp_path / "file").touch()
    expected = f"cannot write in {quote(tmp_path / out)} ({reason}): choose another out"
    with pytest.raises(ElmanError, match=f"^{re.escape(expected)}$"):
        train(corpus, **EXACT, out=tmp_path / out)


# --- A run that replaces another ---


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
    with RunDirectory(tmp_path).writing(), pytest.raises(ElmanError, match="is locked"):
        train(corpus, **OPTIONS, out=tmp_path, overwrite=True)
    monkeypatch.setattr("elman.storage.atomic.os.fsync", full)
    with pytest.raises(ElmanError, match="No space left on device"):
        train(corpus, **OPTIONS, out=tmp_path, overwrite=True)
    assert contents(tmp_path) == before


def test_a_start_that_is_killed_leaves_one_of_both(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right after the checkpoint is replaced, the other files are still the old run's: resuming puts them right."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    options = EXACT | {"max_updates": 20, "seed": 1}
    train(corpus, **OPTIONS, out=tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, "write_manifest", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(corpus, **options, out=tmp_path, overwrite=True)
    run = train(corpus, out=tmp_path, resume=True)
    assert_saved(tmp_path, run)
    expected = train(corpus, **options)
    assert run.samples == expected.samples
    assert [row.loss for row in run.metrics] == [row.loss for row in expected.metrics]


def test_an_interrupted_new_run_is_resumed(corpus: Corpus, tmp_path: Path) -> None:
    train(corpus, **OPTIONS, out=tmp_path)
    train(corpus, **OPTIONS | {"seed": 1}, out=tmp_path, overwrite=True, callback=StopsAt(5))
    assert train(corpus, out=tmp_path, resume=True).config.seed == 1


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


def test_what_cannot_be_combined(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(ElmanError, match=r"^overwrite=True requires out, the directory of the run$"):
        train(corpus, **OPTIONS, overwrite=True)
    with pytest.raises(ElmanError, match=r"^overwrite=True replaces the run that resume=True continues: pass only one"):
        train(corpus, out=tmp_path, overwrite=True, resume=True)
