"""``elman runs``, and the commands that take directories of runs."""

import errno
import json
import os
import shutil
from pathlib import Path
from statistics import mean, stdev

import pytest

import elman
from elman.cli.frame import INSTALLED
from elman.runs.writer import RunWriter
from elman.storage.tensors import read_tensors
from elman.text import Corpus
from elman.text.masks import MASKS
from support.cli import Command, assert_refused
from support.state import TEXT
from support.tensors import save_tensors
from support.training import EXACT, contents, train


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
def three(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(made)
    return made


def test_runs_prints_a_table(three: Path, command: Command) -> None:
    code, out, err = command("runs", "runs")
    assert code == 0
    assert err.startswith("warning: 'runs/b/metrics.csv' cannot be read as metrics.csv (")
    title, *rows = out.splitlines()
    assert " ".join(title.split()) == "run text cell size updates seconds train loss validation loss MB stopped"
    found = {row.split()[0]: row.split()[1:] for row in rows}
    assert found.keys() == {"runs/a", "runs/b", "runs/deep/a"}
    assert found["runs/a"][:4] == ["novel.txt", "rnn", "4", "20"]
    assert found["runs/a"][-1] == "max_updates"
    assert found["runs/b"][:5] == ["novel.txt", "rnn", "2", "×", "4"]
    assert found["runs/b"][-1] == "damaged"


def test_seeds_of_a_setting_have_a_line_of_their_own(folder: Path, command: Command) -> None:
    options = EXACT | {"validation": 0.2, "max_updates": 2}
    for name, settings in (("a", {"seed": 1}), ("b", {"seed": 2}), ("c", {"cell": "gru"}), ("d", {"seed": 2})):
        elman.train("novel.txt", **options | settings, out=f"runs/{name}")
    names = [row["setting"] for row in elman.list_runs(["runs/a", "runs/b", "runs/c"])]
    assert len(set(names)) == 2
    rows = {row["run"]: row for row in elman.list_runs("runs")}
    losses = [rows[f"runs/{name}"]["validation_loss"] for name in "ab"]
    line = command("runs", "runs/a", "runs/b", "runs/c").out.splitlines()[-1]
    assert line.split()[:6] == ["2", "seeds:", "mean", "±", "sd", "novel.txt"]
    assert f"{mean(losses):.3f} ± {stdev(losses):.3f}" in line
    assert "seeds" not in command("runs", "runs").out  # two of its runs are the same


def test_a_run_of_an_older_version_is_no_damaged_one(folder: Path, command: Command) -> None:
    elman.train("novel.txt", **EXACT, max_updates=2, out="runs/old")
    path = Path("runs/old/checkpoint.safetensors")
    text, tensors = read_tensors(path)
    save_tensors(path, json.loads(text) | {"format": 2}, tensors)
    Path("runs/old/metrics.csv").write_text("update,smooth_loss\n2,80\n", "utf-8")
    manifest = Path("runs/old/run.json")
    manifest.write_text(manifest.read_text("utf-8").replace('"final_lr_fraction"', '"final_rate"'), "utf-8")
    words = f"'{path}' was written by a version of Elman before 0.3.0 (format 2): use that version, or train again"
    shown = command("runs", "runs")
    assert (shown.err, shown.out.splitlines()[1].split()[-2:]) == (f"warning: {words}\n", ["other", "version"])
    for name in ("sample", "plot", *({"view"} & INSTALLED.entry_points.keys())):
        assert_refused(command(name, "runs/old"), words)
    assert_refused(command("train", "novel.txt", "-o", "runs/old", "--resume"), words)
    assert command("runs", "rm", "runs/old", "--yes").code == 0
    assert not path.parent.exists()


def test_counts_and_the_size_on_disk_are_shown(folder: Path, command: Command) -> None:
    elman.train("novel.txt", preset="counts", ngram_order=4, validation=0.2, out="runs/counts")
    (row,) = elman.list_runs("runs")
    assert row["bytes"] == sum(path.stat().st_size for path in Path("runs/counts").iterdir())
    found = command("runs", "runs").out.splitlines()[1].split()
    assert found[:4] == ["runs/counts", "novel.txt", "counts", "0"]
    assert found[-2:] == [f"{row['bytes'] / 1e6:.1f}", "counts"]


def test_runs_prints_json(three: Path, command: Command) -> None:
    ended = command("runs", "runs", "--json")
    assert (ended.code, ended.err, ended.out.count("\n")) == (0, "", 1)
    assert json.loads(ended.out) == {"runs": elman.list_runs("runs")}


@pytest.fixture
def two_texts(folder: Path) -> Path:
    """The current folder, with three runs on two texts; the run on names has the lowest loss."""
    Path("names.txt").write_text("anna\nbob\n" * 40, "utf-8")
    options = EXACT | {"validation": 0.2}
    elman.train("novel.txt", **options, max_updates=2, out="runs/short")
    elman.train("novel.txt", **options, max_updates=30, out="runs/long")
    elman.train("names.txt", **options, max_updates=30, out="runs/names")
    return folder


def test_runs_of_different_texts_are_not_ranked(two_texts: Path, command: Command) -> None:
    rows = json.loads(command("runs", "runs", "--json").out)["runs"]
    assert [(row["run"], row["best"]) for row in rows] == [
        ("runs/names", True), ("runs/long", True), ("runs/short", False),
    ]  # fmt: skip
    lines = command("runs", "runs").out.splitlines()
    assert [line.split()[:1] for line in lines[1:]] == [["runs/names"], [], ["runs/long"], ["runs/short"]]


def test_runs_that_read_a_text_in_different_ways_are_not_ranked(two_texts: Path, command: Command) -> None:
    elman.train("names.txt", **EXACT, validation=0.2, lines=True, mask="all", max_updates=9, out="runs/lines")
    rows = [row for row in json.loads(command("runs", "runs", "--json").out)["runs"] if row["text"] == "names.txt"]
    expected = ("runs/names", "", True), ("runs/lines", f"lines, mask {','.join(MASKS)}", True)
    assert [(row["run"], row["reading"], row["best"]) for row in rows] == [*expected]
    lines = command("runs", "runs").out.splitlines()[1:4]
    assert [line.split()[:3] for line in lines] == [
        ["runs/names", "names.txt", "rnn"], [], ["runs/lines", "names.txt", "(lines,"],
    ]  # fmt: skip
    words = "the losses of the runs on 'names.txt' cannot be compared, as they read it in different ways (as it is; lin"
    assert_refused(command("runs", "runs", "--best", "names.txt"), words)
    assert command("runs", "runs/lines", "--best", "names.txt").out == "runs/lines\n"


def test_the_best_run_on_a_text(two_texts: Path, command: Command) -> None:
    for text in ("novel.txt", two_texts / "novel.txt", "./novel.txt"):
        assert command("runs", "runs", "--best", text) == (0, "runs/long\n", "")
    (row,) = json.loads(command("runs", ".", "--best", "names.txt", "--json").out)["runs"]
    assert row["run"] == "runs/names"
    Path("more").mkdir()
    Path("more/novel.txt").write_text(TEXT[::-1], "utf-8")
    elman.train("more/novel.txt", **EXACT, max_updates=2, out="runs/more")
    words = "2 texts are named 'novel.txt': pass the file of one of them"
    Path("novel.txt").rename("moved.txt")
    assert_refused(command("runs", "runs", "--best", "novel.txt"), words)
    assert command("runs", "runs", "--best", "more/novel.txt").out == "runs/more\n"


def test_the_settings_of_two_runs_are_compared(two_texts: Path, command: Command) -> None:
    ended = command("runs", "diff", "runs/short", "runs/long", "--json")
    assert json.loads(ended.out) == {"settings": {"max_updates": [2, 30]}}
    lines = command("runs", "diff", "runs/short", "runs/names").out.splitlines()
    assert [line.split()[0] for line in lines] == ["setting", "text", "text_sha256", "max_updates"]
    assert lines[1].split() == ["text", "novel.txt", "names.txt"]
    assert command("runs", "diff", "runs/short", "runs/short").out == "the settings are the same\n"


def test_pruned_ngrams_are_a_difference(two_texts: Path, command: Command) -> None:
    elman.train("novel.txt", **EXACT, max_updates=2, ngram_order=3, out="runs/order 3")
    elman.train("novel.txt", **EXACT, max_updates=2, ngram_order=3, ngram_min_count=3, out="runs/min 3")
    difference = json.loads(command("runs", "diff", "runs/order 3", "runs/min 3", "--json").out)["settings"]
    assert difference["ngram_min_count"] == [2, 3]
    assert [each.partition("(")[2] for each in difference["ngrams"]] == [
        f"those that occur at least {n} times)" for n in (2, 3)
    ]


def test_runs_are_removed(two_texts: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("runs/short/notes.txt").write_text("kept", "utf-8")
    before = contents(Path("runs"))
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert_refused(command("runs", "rm", "runs/short"), "cannot ask, as standard input is not a terminal: pass --yes")
    assert_refused(command("runs", "rm", "runs/short", "runs", "--yes"), "'runs' contains no run")
    with RunWriter(Path("runs/long")):
        words = "the run in 'runs/long' is being trained: stop it first"
        assert_refused(command("runs", "rm", "runs/short", "runs/long", "--yes"), words)
    with monkeypatch.context() as closed:
        closed.setattr("sys.stdin", None)
        assert_refused(command("runs", "rm", "runs/short"), "cannot ask, as standard input is not a terminal")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: "no")
    assert command("runs", "rm", "runs/short").code == 0
    assert contents(Path("runs")) == before
    monkeypatch.setattr("builtins.input", lambda question: "y")
    assert command("runs", "rm", "runs/short", "runs/long").code == 0
    assert [str(path) for path in Path("runs").rglob("*") if path.is_file() and "names" not in str(path)] == [
        "runs/short/notes.txt"
    ]
    assert [row["run"] for row in elman.list_runs("runs")] == ["runs/names"]
    run = Path("runs/names").resolve()
    monkeypatch.chdir(run)
    assert command("runs", "rm", ".", str(run), "--yes").code == 0
    assert not run.exists()


def test_a_removal_that_fails_at_its_end_is_an_error_and_can_be_repeated(
    run: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = os.unlink

    def fail(path: Path) -> None:
        if path.name == ".lock":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        unlink(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", fail)
        assert_refused(command("runs", "rm", "--yes", "run"), "cannot write in 'run' (Input/output error)")
    assert [path.name for path in run.iterdir()] == [".lock"]
    assert command("runs", "rm", "--yes", "run").code == 0
    assert not run.exists()


def test_no_runs_are_an_empty_table(tmp_path: Path, command: Command) -> None:
    assert json.loads(command("runs", tmp_path, "--json").out) == {"runs": []}
    code, out, _ = command("runs", tmp_path)
    assert (code, out.count("\n")) == (0, 1)


def test_plot_takes_directories_of_runs(three: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    curves: list[str] = []
    monkeypatch.setattr("elman.runs.plots.plot_losses", lambda found, **_: curves.extend(each.name for each in found))
    monkeypatch.setattr("elman.runs.plots.save_figure", lambda figure, path: None)
    code, out, err = command("plot", "runs", "-o", "all.png")
    assert (code, out) == (0, "all.png\n")
    assert err.startswith("warning: 'runs/b/metrics.csv' cannot be read")
    assert curves == ["runs/a", "runs/deep/a"]  # which have the same name
    assert command("plot", "runs/a", "-o", "one.png").code == 0
    assert curves[2:] == ["a"]
    assert_refused(command("plot", "runs/b"), "'runs/b/metrics.csv' cannot be read")
    words = "--by must be one of updates, epochs, characters, seconds (got 'lines')"
    assert_refused(command("plot", "runs/a", "--by", "lines"), words)


def test_a_run_without_rows_is_skipped_with_a_warning(three: Path, command: Command, tmp_path: Path) -> None:
    new = Path("runs/new")
    new.mkdir()
    (new / "checkpoint.safetensors").write_bytes(Path("runs/a/checkpoint.safetensors").read_bytes())
    ended = command("plot", "runs", "--out", tmp_path / "losses.svg")
    assert ended.code == 0
    assert "warning: the run in 'runs/new' has no metrics.csv\n" in ended.err
    shutil.rmtree(new)
