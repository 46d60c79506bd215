"""The runs in directories, listed whatever state they are in."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import elman
from elman.errors import ElmanError
from elman.model.loading import save_model
from elman.runs.directory import RunDirectory
from elman.runs.history import summarize
from elman.runs.plots import LossCurve
from elman.runs.writer import RunWriter
from elman.text import Corpus
from elman.training.saved_runs import find_runs, summarize_run
from support.cli import Command
from support.state import TEXT
from support.training import EXACT, StopsAt, train

OPTIONS: dict[str, Any] = EXACT | {"validation": 0.2, "validate_every": 9, "max_updates": 30}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of two runs, at different depths, read only."""
    folder, corpus = tmp_path_factory.mktemp("runs"), Corpus.from_text(TEXT, "novel.txt")
    train(corpus, **OPTIONS, out=folder / "long", cell="gru", layers=2)
    train(corpus, **OPTIONS | {"max_updates": 9}, out=folder / "more" / "short", callback=StopsAt(5))
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "runs"))


def rewrite(path: Path, **changes: object) -> None:
    """Change ``run.json``; None removes a key."""
    content = json.loads(path.read_text("utf-8")) | changes
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}), encoding="utf-8")


def test_a_row_has_what_the_run_has(finished: Path) -> None:
    rows = elman.list_runs(finished)
    assert elman.list_runs([str(finished)]) == rows
    assert [(row["run"], row["stopped"], row["status"], row["error"]) for row in rows] == [
        (str(finished / "long"), "max_updates", "ended", ""),
        (str(finished / "more" / "short"), "interrupted", "ended", ""),
    ]
    directory = RunDirectory(finished / "long")
    last, checkpoint = directory.metrics()[-1], directory.load()
    assert rows[0].items() >= {
        "text": "novel.txt", "cell": "gru", "layers": 2, "hidden_size": EXACT["hidden_size"], "updates": 30,
        "seconds": last.seconds, "validation_loss": checkpoint.selected.validation_loss,
    }.items()  # fmt: skip
    assert rows[0]["train_loss"] == last.train_loss
    assert rows[1]["validation_loss"] is None  # the lowest validation loss is first
    assert elman.list_runs(finished / "more", finished, finished) == rows  # a run is listed once


def test_a_run_in_training_and_one_that_was_killed(folder: Path) -> None:
    rewrite(folder / "long" / "run.json", stopped="")
    with RunWriter(folder / "long"):
        assert summarize_run(folder / "long")["status"] == "running"
    row = summarize_run(folder / "long")
    assert (row["status"], row["stopped"], row["updates"]) == ("incomplete", "", 30)


@pytest.mark.parametrize("name", ["metrics.csv", "run.json", "checkpoint.safetensors"])
@pytest.mark.parametrize("content", [b"", b"\xff{not csv,\n", None], ids=["empty", "garbage", "missing"])
def test_a_damaged_run_is_listed_with_what_can_be_read(folder: Path, name: str, content: bytes | None) -> None:
    path = folder / "long" / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    rows = [row for row in elman.list_runs(folder) if row["run"] == str(folder / "long")]
    if (name, content) == ("checkpoint.safetensors", None):
        assert rows == []  # without a checkpoint there is no run
        return
    (row,) = rows
    if (name, content) == ("metrics.csv", b""):
        assert (row["status"], row["updates"]) == ("ended", 30)  # from the checkpoint
    else:
        assert row["status"] == "damaged"
        assert name in row["error"]
    assert (row["cell"], row["layers"]) == ("gru", 2)


def test_what_is_not_saved_is_marked(folder: Path, command: Command) -> None:
    """A full disk may keep the rows of a run, and not the checkpoint that covers them."""
    out, corpus = folder / "full disk", Corpus.from_text(TEXT, "novel.txt")
    train(corpus, **OPTIONS | {"max_updates": 27}, out=out)
    before, saved = (out / "checkpoint.safetensors").read_bytes(), summarize_run(out)
    train(corpus, out=out, resume=True, max_updates=40)
    (out / "checkpoint.safetensors").write_bytes(before)
    row = summarize_run(out)
    assert (row["unsaved_updates"], saved["unsaved_updates"]) == (13, 0)
    for name in ("updates", "seconds", "train_loss", "validation_loss", "kept_update"):
        assert row[name] == saved[name], name
    assert "max_updates, 13 updates not saved" in command("runs", folder).out
    dashboard = pytest.importorskip("elman.apps.dashboard.runs")
    found, page, curve = elman.open_run(out), dashboard.DashboardRun(out), LossCurve.of_directory(RunDirectory(out))
    assert ": 27 updates, " in repr(found)
    assert found.metrics[-1].update == curve.metrics[-1].update == page.status()["update"] == 27


@pytest.mark.parametrize("options", [{}, {"max_updates": 7}, {"validate_every": 1, "learning_rate": 1.0}], ids=str)
def test_every_place_shows_the_same_numbers(tmp_path: Path, options: dict[str, Any]) -> None:
    run = train(Corpus.from_text(TEXT), **OPTIONS | options, out=tmp_path)
    dashboard = pytest.importorskip("elman.apps.dashboard.runs")
    results, row, page = run.results(), summarize_run(tmp_path), dashboard.DashboardRun(tmp_path)
    curve, status = LossCurve.of_directory(RunDirectory(tmp_path)), page.status()
    assert summarize(run.config, results) == summarize(run.config, row)
    assert summarize(run.config, row | {"seconds": 0.0496}) == summarize(run.config, row | {"seconds": 0.05})
    assert results["train_loss"] == row["train_loss"] == status["train_loss"] == curve.points("train_loss")[1][-1]
    updates, losses = curve.points("validation_loss")
    best = updates[losses.index(min(losses))], min(losses)
    assert (results["kept_update"], results["validation_loss"]) == (row["kept_update"], row["validation_loss"]) == best
    assert status["best"] == best
    expected = round(run.state.update / run.data.windows.per_epoch, 4)
    assert results["epochs"] == run.metrics[-1].epoch == status["epoch"] == expected


def test_what_is_no_run_is_not_listed(tmp_path: Path) -> None:
    for name in ("other", "empty"):
        (tmp_path / name).mkdir()
    (tmp_path / "other" / "run.json").write_text('{"of": "another program"}', encoding="utf-8")
    save_model(train(Corpus.from_text(TEXT), **EXACT, max_updates=1).model, tmp_path / "imported")
    assert elman.list_runs(tmp_path) == []
    with pytest.raises(ElmanError, match=r"^there is no directory '.*none'$"):
        find_runs(tmp_path / "none")
