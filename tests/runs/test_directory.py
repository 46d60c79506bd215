"""The run directory: its files, its metadata, and directories that cannot be used."""

import hashlib
import json
import os
import platform
import re
from pathlib import Path
from typing import Any

import pytest

import elman
from elman.config import Config
from elman.errors import ElmanError, quote
from elman.runs.directory import RunDirectory
from elman.text import Corpus
from support.state import TEXT, T
from support.training import train

SMALL: dict[str, Any] = {"hidden_size": 3, "seq_length": T, "engine": "numpy", "metrics_every": 7, "sample_every": 10}


@pytest.fixture
def run_directory(corpus: Corpus, tmp_path: Path) -> Path:
    """The directory of a short run."""
    train(corpus, **SMALL, max_updates=25, out=tmp_path / "run")
    return tmp_path / "run"


def test_what_a_run_leaves(run_directory: Path) -> None:
    names = {".lock", "run.json", "metrics.csv", "samples.jsonl", "checkpoint.safetensors", "smooth_loss.png"}
    assert {path.name for path in run_directory.iterdir()} == names


def test_what_a_run_with_validation_leaves(corpus: Corpus, tmp_path: Path) -> None:
    train(corpus, **SMALL, validation=0.2, max_updates=5, out=tmp_path)
    names = {".lock", "run.json", "metrics.csv", "samples.jsonl", "checkpoint.safetensors", "best.safetensors"}
    assert {path.name for path in tmp_path.iterdir()} == {*names, "smooth_loss.png"}


def test_the_speed_counts_the_characters_of_every_batch_row(corpus: Corpus) -> None:
    run = train(corpus, **SMALL, batch_size=3, max_updates=7)
    row = run.metrics[0]
    assert row.chars_per_second == pytest.approx(7 * 3 * T / row.seconds)
    assert run.results()["chars_per_second"] == round(7 * 3 * T / run.state.seconds)


def test_the_metadata_of_a_run(corpus: Corpus, run_directory: Path) -> None:
    metadata = json.loads((run_directory / "run.json").read_text(encoding="utf-8"))
    assert list(metadata) == ["config", "alphabet", "corpus", "preset", "versions", "machine", "stopped"]
    assert Config(**metadata["config"]) == Config(**SMALL, max_updates=25)
    assert metadata["alphabet"] == corpus.alphabet.characters
    sha256 = hashlib.sha256(TEXT.encode()).hexdigest()
    size = {"chars": len(TEXT), "alphabet_size": 26}
    assert metadata["corpus"] == {"name": "text", **size, "sha256": sha256, "files": []}
    assert metadata["preset"] == "reference"
    assert metadata["versions"].items() >= {"elman": elman.__version__, "python": platform.python_version()}.items()
    assert metadata["machine"].items() >= {"system": platform.system(), "cores": os.cpu_count()}.items()


def test_the_metadata_of_a_resumed_run(corpus: Corpus, run_directory: Path) -> None:
    train(corpus, resume=True, max_updates=30, out=run_directory)
    metadata = json.loads((run_directory / "run.json").read_text(encoding="utf-8"))
    assert metadata["config"]["max_updates"] == 30


def test_a_name_that_is_no_unicode(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.txt")  # as old archives leave them
    train(Corpus.from_text(TEXT, name), **SMALL, max_updates=2, out=tmp_path)
    assert json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))["corpus"]["name"] == name


def test_a_directory_that_holds_a_run(tmp_path: Path) -> None:
    """Without a checkpoint there is no run, so that a failed start can be repeated."""
    (tmp_path / "run.json").touch()
    assert not RunDirectory(tmp_path).holds_run()
    (tmp_path / "checkpoint.safetensors").touch()
    assert RunDirectory(tmp_path).holds_run()


@pytest.mark.parametrize("out", ["file", "file/run"])
def test_a_directory_that_cannot_be_made(corpus: Corpus, tmp_path: Path, out: str) -> None:
    (tmp_path / "file").touch()
    expected = f"cannot write in {quote(tmp_path / out)} (Not a directory): choose another out"
    with pytest.raises(ElmanError, match=f"^{re.escape(expected)}$"):
        train(corpus, **SMALL, out=tmp_path / out)


def test_a_name_too_long_for_a_directory(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(ElmanError, match=r"File name too long"):
        train(corpus, **SMALL, out=tmp_path / ("long" * 100))
