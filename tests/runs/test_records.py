"""The directory of a run: its rows, its texts, its description and its figure."""

import csv
import hashlib
import json
import os
import platform
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

import elman
from elman.config import Config
from elman.errors import ElmanError
from elman.runs.records import Metrics, RunDirectory, Sample, finite_or_none
from elman.text import Corpus
from elman.training.plots import save_figure, smooth_loss_figure
from elman.training.train import train
from support.state import TEXT, T

SMALL: dict[str, Any] = {"hidden_size": 3, "seq_length": T, "engine": "numpy", "metrics_every": 7, "sample_every": 10}

ROWS = [Metrics(7, 0, 1 / 3, 2e-17, None, 0.1, 12.5), Metrics(14, 1, 0.1, 3.0, 2.75, 1e300, 0.0)]

number = st.floats(-1e300, 1e300)
count = st.integers(0, 2**53)
row = st.builds(Metrics, count, count, number, number, st.none() | number, number, number)
any_text = st.text(st.characters())
sample = st.builds(Sample, count, st.none() | number, any_text)


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    """A directory whose files have no rows yet."""
    (tmp_path / "metrics.csv").write_text(
        "update,epoch,smooth_loss,loss,validation_loss,seconds,chars_per_second\n", encoding="utf-8"
    )
    (tmp_path / "samples.jsonl").touch()
    return RunDirectory(tmp_path)


@pytest.fixture
def run_directory(corpus: Corpus, tmp_path: Path) -> Path:
    """The directory of a short run."""
    train(corpus, **SMALL, max_updates=25, out=tmp_path / "run")
    return tmp_path / "run"


# --- Rows and texts ---


@settings(deadline=None, max_examples=30)
@given(st.lists(row, max_size=5), st.lists(sample, max_size=5))
def test_rows_and_texts_come_back_to_the_bit(rows: list[Metrics], samples: list[Sample]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        (path / "metrics.csv").write_text(",".join(Metrics.__annotations__) + "\n", encoding="utf-8")
        directory = RunDirectory(path)
        directory.append(rows, [0.1] * len(rows), samples)
        assert directory.metrics() == rows
        assert directory.samples() == samples


def test_rows_are_added_below(directory: RunDirectory) -> None:
    for row in ROWS:
        directory.append([row], [0.1], [])
    assert directory.metrics() == ROWS


def test_half_a_line_at_the_end_is_no_row(directory: RunDirectory) -> None:
    directory.append([*ROWS], [0.1] * len(ROWS), [Sample(0, None, "ab")])
    for name, half in (("metrics.csv", "5100,17,1"), ("samples.jsonl", '{"update": 3')):
        with (directory.path / name).open("a", encoding="utf-8") as file:
            file.write(half)
    assert directory.metrics() == [*ROWS]
    assert directory.samples() == [Sample(0, None, "ab")]


def test_a_text_is_one_line_whatever_it_holds(directory: RunDirectory) -> None:
    directory.append([], [], [Sample(0, None, "a\nb\r\x85\u2028\x1c\ud800")])
    data = (directory.path / "samples.jsonl").read_bytes()
    assert data.count(b"\n") == 1
    assert data.isascii()


def test_the_columns_of_the_metrics(run_directory: Path) -> None:
    with (run_directory / "metrics.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["update", "epoch", "smooth_loss", "loss", "validation_loss", "seconds", "chars_per_second"]
    assert [row[0] for row in rows] == ["7", "14", "21", "25"]
    assert {row[4] for row in rows} == {""}


def test_the_keys_of_the_texts(run_directory: Path) -> None:
    lines = (run_directory / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    samples = [json.loads(line) for line in lines]
    assert [list(sample) for sample in samples] == [["update", "smooth_loss", "text"]] * 3
    assert [sample["update"] for sample in samples] == [0, 10, 20]
    assert samples[0]["smooth_loss"] is None


@pytest.mark.parametrize(
    ("name", "torn"),
    [
        ("metrics.csv", b"2"),
        ("metrics.csv", b"28,1,1.5,2.5,,0.1,3"),
        ("samples.jsonl", b"{"),
        ("samples.jsonl", b'{"update": 30, "text": "\xe2\x82'),
    ],
)
def test_half_a_line_is_dropped_when_the_run_goes_on(
    corpus: Corpus, run_directory: Path, name: str, torn: bytes
) -> None:
    with (run_directory / name).open("ab") as file:
        file.write(torn)
    run = train(corpus, resume=True, max_updates=30, out=run_directory)
    assert RunDirectory(run_directory).metrics() == run.metrics
    assert RunDirectory(run_directory).samples() == run.samples


@pytest.mark.parametrize("name", ["metrics", "samples"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    file = {"metrics": "metrics.csv", "samples": "samples.jsonl"}[name]
    expected = f"there is no {file} in '{tmp_path}': give a run directory of elman train"
    with pytest.raises(ElmanError, match=f"^{re.escape(expected)}$"):
        getattr(RunDirectory(tmp_path), name)()


@pytest.mark.parametrize(
    "data",
    [
        b"a,b\n1,2\n",
        b"update,epoch,smooth_loss,loss,validation_loss,seconds,chars_per_second\n1,x,1,1,,1,1\n",
        b"update,epoch,smooth_loss,loss,validation_loss,seconds,chars_per_second\n1,2\n",
        b"update\n\xff\n",
        b"update\n" + b"1" * 200_000 + b"\n",
    ],
    ids=["columns", "words", "short", "bytes", "long"],
)
def test_damaged_metrics_are_refused_in_one_line(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "metrics.csv").write_bytes(data)
    with pytest.raises(
        ElmanError, match=r"\A'.*metrics\.csv' cannot be read as metrics\.csv \(.*\): restore it or .*\Z"
    ):
        RunDirectory(tmp_path).metrics()


@pytest.mark.parametrize("data", [b"{\n", b"[1]\n", b'{"update": 1}\n', b"\xff\n"])
def test_damaged_texts_are_refused_in_one_line(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "samples.jsonl").write_bytes(data)
    with pytest.raises(ElmanError, match=r"\A'.*' cannot be read as samples\.jsonl \(.*\): restore it or .*\Z"):
        RunDirectory(tmp_path).samples()


@pytest.mark.parametrize(("value", "expected"), [(1.5, 1.5), (float("nan"), None), (float("inf"), None)])
def test_json_gets_only_numbers_that_it_has(value: float, expected: float | None) -> None:
    assert finite_or_none(value) == expected


# --- The directory ---


def test_what_a_run_leaves(run_directory: Path) -> None:
    names = {".lock", "run.json", "metrics.csv", "samples.jsonl", "checkpoint.safetensors", "smooth_loss.png"}
    assert {path.name for path in run_directory.iterdir()} == names


def test_what_a_run_with_validation_leaves(corpus: Corpus, tmp_path: Path) -> None:
    train(corpus, **SMALL, validation=0.2, max_updates=5, out=tmp_path)
    names = {".lock", "run.json", "metrics.csv", "samples.jsonl", "checkpoint.safetensors", "best.safetensors"}
    assert {path.name for path in tmp_path.iterdir()} == {*names, "smooth_loss.png"}


def test_the_speed_counts_the_characters_of_every_stream(corpus: Corpus) -> None:
    run = train(corpus, **SMALL, batch_size=3, max_updates=7)
    row = run.metrics[0]
    assert row.chars_per_second == pytest.approx(7 * 3 * T / row.seconds)
    assert run.results()["chars_per_second"] == round(7 * 3 * T / run.state.seconds)


def test_the_description_of_a_run(corpus: Corpus, run_directory: Path) -> None:
    described = json.loads((run_directory / "run.json").read_text(encoding="utf-8"))
    assert list(described) == ["config", "alphabet", "corpus", "versions", "machine"]
    assert Config(**described["config"]) == Config(**SMALL, max_updates=25)
    assert described["alphabet"] == corpus.alphabet.characters
    sha256 = hashlib.sha256(TEXT.encode()).hexdigest()
    assert described["corpus"] == {"name": "text", "chars": len(TEXT), "alphabet_size": 26, "sha256": sha256}
    assert described["versions"].items() >= {"elman": elman.__version__, "python": platform.python_version()}.items()
    assert described["machine"].items() >= {"system": platform.system(), "cores": os.cpu_count()}.items()


def test_the_description_of_a_run_that_goes_on(corpus: Corpus, run_directory: Path) -> None:
    train(corpus, resume=True, max_updates=30, out=run_directory)
    described = json.loads((run_directory / "run.json").read_text(encoding="utf-8"))
    assert described["config"]["max_updates"] == 30


def test_a_name_that_is_no_unicode(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.txt")  # as old archives leave them
    train(Corpus.from_text(TEXT, name), **SMALL, max_updates=2, out=tmp_path)
    assert json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))["corpus"]["name"] == name


def test_a_directory_that_holds_a_run(tmp_path: Path) -> None:
    """What has no checkpoint is no run, so a start that failed may be made again."""
    (tmp_path / "run.json").touch()
    assert not RunDirectory(tmp_path).holds_run()
    (tmp_path / "checkpoint.safetensors").touch()
    assert RunDirectory(tmp_path).holds_run()


@pytest.mark.parametrize(("out", "reason"), [("file", "File exists"), ("file/run", "Not a directory")])
def test_a_directory_that_cannot_be_made(corpus: Corpus, tmp_path: Path, out: str, reason: str) -> None:
    (tmp_path / "file").touch()
    expected = f"cannot write in '{tmp_path / out}' ({reason}): make room or choose another --out"
    with pytest.raises(ElmanError, match=f"^{re.escape(expected)}$"):
        train(corpus, **SMALL, out=tmp_path / out)


def test_a_name_too_long_for_a_directory(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(ElmanError, match=r"File name too long"):
        train(corpus, **SMALL, out=tmp_path / ("long" * 100))


# --- The figure ---


def test_a_figure_shows_the_smooth_loss_against_the_update() -> None:
    (axes,) = smooth_loss_figure([("one", ROWS)]).axes
    (curve,) = axes.lines
    assert np.asarray(curve.get_xdata()).tolist() == [row.update for row in ROWS]
    assert np.asarray(curve.get_ydata()).tolist() == [row.smooth_loss for row in ROWS]
    assert axes.get_xlabel() == "update"
    assert axes.get_legend() is None


def test_several_curves_have_a_legend_and_a_colour_each() -> None:
    figure = smooth_loss_figure([(str(n), ROWS) for n in range(3)])
    assert legend(figure) == ["0", "1", "2"]
    assert len({curve.get_color() for curve in figure.axes[0].lines}) == 3


@pytest.mark.parametrize(("suffix", "beginning"), [(".png", b"\x89PNG\r\n"), (".svg", b"<?xml")])
def test_a_figure_is_what_its_name_ends_in(tmp_path: Path, suffix: str, beginning: bytes) -> None:
    path = tmp_path / f"figure{suffix}"
    save_figure(smooth_loss_figure([("one", ROWS)]), path)
    assert path.read_bytes().startswith(beginning)


@pytest.mark.parametrize("label", ["$x$", r"$\x$", "_run", "小说", "🐈"])
def test_a_legend_names_runs_as_they_are_called(tmp_path: Path, label: str) -> None:
    figure = smooth_loss_figure([(label, ROWS), ("other", ROWS)])
    save_figure(figure, tmp_path / "figure.png")
    assert [text.replace(r"\$", "$") for text in legend(figure)] == [label, "other"]


def legend(figure: Figure) -> list[str]:
    """Return the names that a figure's legend shows."""
    found = figure.axes[0].get_legend()
    assert found is not None
    return [text.get_text() for text in found.get_texts()]


def test_a_figure_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ElmanError, match=r"^cannot write '.*none/figure\.png' \(No such file or directory\)"):
        save_figure(smooth_loss_figure([("one", ROWS)]), tmp_path / "none" / "figure.png")
    assert list(tmp_path.iterdir()) == []


def test_the_figure_of_a_run_is_a_picture(run_directory: Path) -> None:
    assert (run_directory / "smooth_loss.png").read_bytes().startswith(b"\x89PNG\r\n")
