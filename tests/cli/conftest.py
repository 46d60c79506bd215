"""Fixtures of several commands."""

import shutil
from pathlib import Path

import pytest

from elman.text import Corpus
from support.state import TEXT, T
from support.training import train


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("ELMAN_NO_BROWSER", "1")
    (tmp_path / "novel.txt").write_text(TEXT, "utf-8")
    return tmp_path


@pytest.fixture
def run(folder: Path, trained: Path) -> Path:
    return Path(shutil.copytree(trained, folder / "run"))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained")
    train(Corpus.from_text(TEXT, "novel.txt"), hidden_size=3, seq_length=T, engine="numpy", epochs=2, out=out)
    return out
