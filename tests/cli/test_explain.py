"""`elman explain`: what it prints, and what it rejects."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elman.errors import quote
from elman.text import Corpus
from support.cli import Command
from support.tolerances import COMPILED, SINGLE
from support.training import train

TEXT = " ".join(
    np.random.default_rng(5).choice(("one", "Two", '"three', 'four"', "(five)", "six.", "7", "eight\n"), 800)
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory."""
    folder = tmp_path_factory.mktemp("explain") / "run"
    settings: Any = {"cell": "gru", "hidden_size": 6, "seq_length": 5, "engine": "numpy", "sample_every": 0}
    train(Corpus.from_text(TEXT[:2000]), out=folder, max_updates=20, **settings)
    return folder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A text to explain."""
    path = tmp_path / "text.txt"
    path.write_text(TEXT[2000:4000], encoding="utf-8", newline="")
    return path


def test_metrics_are_printed_as_json_or_for_a_person(command: Command, run: Path, file: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    code, out, err = command("explain", run, file, "--out", page, "--units", "4", "--json")
    assert (code, err) == (0, "")
    metrics = json.loads(out)
    assert (metrics["chars"], metrics["units"], metrics["units_in_page"]) == (1999, 6, 4)
    assert metrics["bytes"] == page.stat().st_size
    code, out, _ = command("eval", run, file, "--json")
    assert metrics["nats_per_char"] == pytest.approx(json.loads(out)["nats_per_char"], rel=10 * COMPILED + 1e-6)
    assert "unknown_chars" not in metrics
    space = next(feature for feature in metrics["features"] if feature["name"] == "space")
    assert space["measure"] == "auc"
    assert list(space["best"][0]) == ["layer", "number", "part", "rises", "score", "null_score"]
    code, out, _ = command("explain", run, file, "--out", page)
    assert code == 0
    assert "units in page  6" in out
    assert f"page: {page}" in out


@pytest.mark.parametrize("text", ["one 漢 two", "漢é one", "漢字", "o漢"])
def test_unknown_characters_count_as_in_eval(command: Command, run: Path, tmp_path: Path, text: str) -> None:
    extended = tmp_path / "extended.txt"
    extended.write_text(text, encoding="utf-8")
    code, out, err = command("explain", run, extended, "--out", tmp_path / "page.html", "--json")
    assert (code, err) == (0, "")
    metrics, (_, out, _) = json.loads(out), command("eval", run, extended, "--json")
    expected = json.loads(out)
    assert metrics["nats_per_char"] == pytest.approx(expected["nats_per_char"], rel=SINGLE)
    assert [metrics[name] for name in ("chars", "unknown_chars")] == [expected["chars"], expected["unknown_chars"]]


def test_a_model_with_an_unknown_symbol_knows_every_character(command: Command, tmp_path: Path) -> None:
    folder, text, page = tmp_path / "run", tmp_path / "text.txt", tmp_path / "page.html"
    settings: Any = {"hidden_size": 4, "seq_length": 5, "engine": "numpy", "sample_every": 0, "min_count": 2}
    train(Corpus.from_text("abc" * 50 + "é"), out=folder, max_updates=2, **settings)
    text.write_text("ab漢cé", encoding="utf-8")
    code, out, _ = command("explain", folder, text, "--out", page, "--json")
    metrics, (_, out_of_eval, _) = json.loads(out), command("eval", folder, text, "--json")
    assert (code, metrics["chars"], "unknown_chars" in metrics) == (0, 4, False)
    assert metrics["nats_per_char"] == pytest.approx(json.loads(out_of_eval)["nats_per_char"], rel=SINGLE)
    assert "<div>ab�c�</div>" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", ["--out", "page.html"], "text.txt' is empty: use a text of at least two characters\n"),
        ("漢", ["--out", "page.html"], "error: a text needs at least 2 characters to be explained (got 1)\n"),
        ("ab", ["--out", "page.html", "--units", "0"], "error: --units must be at least 1 (got 0)\n"),
        ("one two", ["--out", "nowhere/page.html"], "choose another --out; an existing file is left unchanged\n"),
    ],
)
def test_unusable_texts_and_options_are_rejected(
    command: Command, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, options: list[str],
    message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text(text, encoding="utf-8")
    code, out, err = command("explain", run, "text.txt", *options)
    assert (code, out, err.endswith(message), err.count("\n")) == (2, "", True, 1), err
    assert not Path("page.html").exists()


@pytest.mark.parametrize("out", ["text", "run/checkpoint.safetensors", "run/metrics.csv", "run/run.json"])
def test_a_file_that_is_read_is_not_replaced(command: Command, run: Path, file: Path, out: str) -> None:
    path = file if out == "text" else run / Path(out).name
    before = path.read_bytes()
    code, _, err = command("explain", run, file, "--out", path)
    assert (code, err) == (2, f"error: --out would replace an input file (got {quote(path)})\n")
    assert path.read_bytes() == before
