"""Records: metrics and samples, written, read back, damaged and cut off."""

import csv
import json
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.errors import ElmanError, quote
from elman.runs.directory import RunDirectory
from elman.runs.records import COLUMNS, Metrics, Sample, finite_or_none
from elman.text import Corpus
from support.state import T
from support.training import train

SMALL: dict[str, Any] = {"hidden_size": 3, "seq_length": T, "engine": "numpy", "metrics_every": 7, "sample_every": 10}

ROWS = [Metrics(7, 0, 1 / 3, 2e-17, None, 0.1, 12.5), Metrics(14, 1, 0.1, 3.0, 2.75, 1e300, 0.0)]

number = st.floats(-1e300, 1e300)
count = st.integers(0, 2**53)
row = st.builds(Metrics, count, count, number, number, st.none() | number, number, number)
any_text = st.text(st.characters())
sample = st.builds(Sample, count, st.none() | number, any_text)


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    """A run directory without records."""
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


@settings(deadline=None, max_examples=30)
@given(st.lists(row, max_size=5), st.lists(sample, max_size=5))
def test_rows_and_samples_are_restored_bit_for_bit(rows: list[Metrics], samples: list[Sample]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        (path / "metrics.csv").write_text(",".join(COLUMNS) + "\n", encoding="utf-8")
        directory = RunDirectory(path)
        directory.append(rows, samples)
        assert directory.metrics() == rows
        assert directory.samples() == samples


def test_rows_are_added_below(directory: RunDirectory) -> None:
    for row in ROWS:
        directory.append([row], [])
    assert directory.metrics() == ROWS


def test_a_partial_line_at_the_end_is_no_row(directory: RunDirectory) -> None:
    directory.append([*ROWS], [Sample(0, None, "ab")])
    for name, half in (("metrics.csv", "5100,17,1"), ("samples.jsonl", '{"update": 3')):
        with (directory.path / name).open("a", encoding="utf-8") as file:
            file.write(half)
    assert directory.metrics() == [*ROWS]
    assert directory.samples() == [Sample(0, None, "ab")]


def test_a_sample_is_one_line_whatever_it_contains(directory: RunDirectory) -> None:
    directory.append([], [Sample(0, None, "a\nb\r\x85\u2028\x1c\ud800")])
    data = (directory.path / "samples.jsonl").read_bytes()
    assert data.count(b"\n") == 1
    assert data.isascii()


def test_the_columns_of_the_metrics(run_directory: Path) -> None:
    with (run_directory / "metrics.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["update", "epoch", "smooth_loss", "loss", "validation_loss", "seconds", "chars_per_second"]
    assert [row[0] for row in rows] == ["7", "14", "21", "25"]
    assert {row[4] for row in rows} == {""}


def test_the_keys_of_the_samples(run_directory: Path) -> None:
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
def test_a_partial_line_is_dropped_when_the_run_is_resumed(
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
    expected = f"no {file} in {quote(tmp_path)}; pass a run directory written by elman train"
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
        ElmanError, match=r"\A'.*metrics\.csv' cannot be read as metrics\.csv \(.*\); restore a copy or .*\Z"
    ):
        RunDirectory(tmp_path).metrics()


@pytest.mark.parametrize("data", [b"{\n", b"[1]\n", b'{"update": 1}\n', b"\xff\n"])
def test_damaged_samples_are_refused_in_one_line(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "samples.jsonl").write_bytes(data)
    with pytest.raises(ElmanError, match=r"\A'.*' cannot be read as samples\.jsonl \(.*\); restore a copy or .*\Z"):
        RunDirectory(tmp_path).samples()


@pytest.mark.parametrize(("value", "expected"), [(1.5, 1.5), (float("nan"), None), (float("inf"), None)])
def test_json_gets_only_numbers_that_it_has(value: float, expected: float | None) -> None:
    assert finite_or_none(value) == expected
