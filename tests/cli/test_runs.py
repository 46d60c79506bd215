"""``elman runs``, and the commands that take directories of runs."""

import json
import shutil
from pathlib import Path

import pytest

import elman
from elman.text import Corpus
from support.cli import Command, assert_refused
from support.state import TEXT
from support.training import EXACT, train


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of three runs, one of them damaged; two have the same name."""
    folder = tmp_path_factory.mktemp("made")
    options = EXACT | {"max_updates": 20, "validation": 0.2}
    for name in ("runs/a", "runs/deep/a", "runs/b"):
        train(Corpus.from_text(TEXT, "novel.txt"), **options, layers=1 + (name == "runs/b"), out=folder / name)
    (folder / "runs" / "b" / "metrics.csv").write_bytes(b"not a table\n1,2\n")
    return folder


@pytest.fixture
def folder(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(made)
    return made


def test_runs_prints_a_table(folder: Path, command: Command) -> None:
    code, out, err = command("runs", "runs")
    assert code == 0
    assert err.startswith("warning: 'runs/b/metrics.csv' cannot be read as metrics.csv (")
    title, *rows = out.splitlines()
    assert " ".join(title.split()) == "run text cell size updates seconds train loss validation loss stopped"
    found = {row.split()[0]: row.split()[1:] for row in rows}
    assert found.keys() == {"runs/a", "runs/b", "runs/deep/a"}
    assert found["runs/a"][:4] == ["novel.txt", "rnn", "4", "20"]
    assert found["runs/a"][-1] == "max_updates"
    assert found["runs/b"][:5] == ["novel.txt", "rnn", "2", "×", "4"]
    assert found["runs/b"][-1] == "damaged"


def test_runs_prints_json(folder: Path, command: Command) -> None:
    ended = command("runs", "runs", "--json")
    assert (ended.code, ended.err, ended.out.count("\n")) == (0, "", 1)
    assert json.loads(ended.out) == {"runs": elman.runs("runs")}
    assert_refused(command("runs"), "elman runs requires at least one directory")
    assert_refused(command("runs", "none"), "there is no directory 'none'")


def test_no_runs_are_an_empty_table(tmp_path: Path, command: Command) -> None:
    assert json.loads(command("runs", tmp_path, "--json").out) == {"runs": []}
    code, out, _ = command("runs", tmp_path)
    assert (code, out.count("\n")) == (0, 1)


def test_plot_takes_directories_of_runs(folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    curves: list[str] = []
    monkeypatch.setattr("elman.runs.plots.plot_losses", lambda found: curves.extend(each.label for each in found))
    monkeypatch.setattr("elman.runs.plots.save_figure", lambda figure, path: None)
    code, out, err = command("plot", "runs", "-o", "all.png")
    assert (code, out) == (0, "all.png\n")
    assert err.startswith("warning: 'runs/b/metrics.csv' cannot be read")
    assert curves == ["runs/a", "runs/deep/a"]  # which have the same name
    assert command("plot", "runs/a", "-o", "one.png").code == 0
    assert curves[2:] == ["a"]
    assert_refused(command("plot", "runs/b"), "'runs/b/metrics.csv' cannot be read")


def test_a_run_without_rows_is_skipped_with_a_warning(folder: Path, command: Command, tmp_path: Path) -> None:
    new = Path("runs/new")
    new.mkdir()
    (new / "checkpoint.safetensors").write_bytes(Path("runs/a/checkpoint.safetensors").read_bytes())
    ended = command("plot", "runs", "--out", tmp_path / "losses.svg")
    assert ended.code == 0
    assert "warning: the run in 'runs/new' has no metrics.csv\n" in ended.err
    shutil.rmtree(new)


def test_train_overwrites_only_on_request(folder: Path, command: Command, tmp_path: Path) -> None:
    (tmp_path / "novel.txt").write_text(TEXT, encoding="utf-8")
    small = ["--preset", "reference", "--hidden-size", 3, "--engine", "numpy", "--max-updates", 2]
    arguments = ["train", tmp_path / "novel.txt", "--out", tmp_path / "run", *small]
    code, _, err = command(*arguments)
    assert code == 0
    assert err.startswith("training on novel.txt: ")
    assert "compiling kernels" not in err
    assert "update 2/2, train loss" in err
    assert_refused(command(*arguments, "--quiet"), "already contains a run", "--overwrite to replace it")
    assert command(*arguments, "--overwrite", "-q", "--seed", 1).err == ""
    assert elman.runs(tmp_path)[0]["stopped"] == "max_updates"
