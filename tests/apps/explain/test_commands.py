"""What `elman explain` prints."""

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import elman
from elman.errors import ElmanError
from elman.text import Corpus
from support.cli import Command
from support.tolerances import COMPILED, SINGLE
from support.training import train

TEXT = " ".join(
    np.random.default_rng(5).choice(("one", "Two", '"three', 'four"', "(five)", "six.", "7", "eight\n"), 800)
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("explain") / "run"
    settings: Any = {"cell": "gru", "hidden_size": 6, "seq_length": 5, "engine": "numpy", "sample_every": 0}
    train(Corpus.from_text(TEXT[:2000]), out=folder, max_updates=20, **settings)
    return folder


@pytest.fixture
def file(tmp_path: Path) -> Path:
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
    assert re.search(r"^units in page +6 *$", out, re.MULTILINE)
    shown = re.findall(r"^(.*?) +([\d.]+) by unit \d+ \(baseline ([\d.]+)\) *$", out, re.MULTILINE)
    best = {each["name"]: each["best"][0] for each in metrics["features"] if each["best"]}
    above = [name for name, unit in best.items() if unit["score"] > unit["null_score"]]
    assert 0 < len(above) < len(best)
    assert [name for name, *_ in shown] == above
    assert f"page: {page}" in out


@pytest.mark.parametrize("text", ["one 漢 two", "漢é one", "漢字", "o漢"])
def test_unknown_characters_count_as_in_eval(command: Command, run: Path, tmp_path: Path, text: str) -> None:
    extended = tmp_path / "extended.txt"
    extended.write_text(text, encoding="utf-8")
    explained = json.loads(command("explain", run, extended, "--out", tmp_path / "page.html", "--json").out)
    expected = json.loads(command("eval", run, extended, "--json").out)
    assert explained["nats_per_char"] == pytest.approx(expected["nats_per_char"], rel=SINGLE)
    assert [explained[name] for name in ("chars", "unknown_chars")] == [expected["chars"], expected["unknown_chars"]]


def test_the_prior_has_its_part_and_its_counts_are_no_units(command: Command, file: Path, tmp_path: Path) -> None:
    settings: Any = {"cell": "lstm", "ngram_order": 4, "hidden_size": 5, "seq_length": 8, "sample_every": 0}
    model = train(Corpus.from_text(TEXT[:2000]), out=tmp_path / "run", max_updates=20, **settings).model
    arguments = ("explain", tmp_path / "run", file, "--out", tmp_path / "page.html")
    figures = json.loads(command(*arguments, "--json").out)
    assert (figures["units"], figures["ngram"]["order"]) == (2 * 5, 4)
    nats = model.score(file.read_text("utf-8")).nats_per_char
    assert figures["nats_per_char"] == pytest.approx(nats, rel=1e-5)
    gains = [figures["ngram"][f"{part}_nats_per_char"] for part in ("counting", "network")]
    assert sum(gains) == pytest.approx(math.log(len(model.alphabet)) - nats, rel=1e-4)
    out = command(*arguments).out
    assert re.search(rf"^a uniform guess +{math.log(len(model.alphabet)):.4f} nats/char *$", out, re.MULTILINE)
    for part, gain in zip(("counting", "the network"), gains, strict=True):
        assert re.search(rf"^gain of {part} over a uniform guess +{gain:.4f} nats/char *$", out, re.MULTILINE)
    N = len(file.read_text("utf-8"))
    assert re.search(rf"^characters read +{N:,} *\ncharacters predicted +{N - 1:,} *$", out, re.MULTILINE)


def test_a_text_is_read_as_by_the_other_commands(command: Command, tmp_path: Path) -> None:
    """Line ends, records and masks."""
    for name, text in (("lf", "anna 1\nbell 2\n" * 9), ("crlf", "anna 1\r\nbell 2\r\n" * 9)):
        (tmp_path / name).write_text(text, "utf-8", newline="")
    options: dict[str, Any] = {"lines": True, "mask": "numbers", "hidden_size": 3, "engine": "numpy", "max_updates": 1}
    model = train(tmp_path / "lf", out=tmp_path / "run", **options).model
    out = ("-o", tmp_path / "page.html", "--json")
    lf, crlf = (command("explain", tmp_path / "run", tmp_path / name, *out) for name in ("lf", "crlf"))
    results = [json.loads(each.out) | {"bytes": 0} for each in (lf, crlf)]  # the page contains the name
    assert results[0] == results[1]
    page = elman.explain("anna 41\r\nbell 42\r\n", model, units=1)
    with pytest.raises(ElmanError, match=r"^units must be at least 1 \(got 0\)$"):
        elman.explain("anna", model, units=0)
    assert page.alphabet.decode(page.explanation.indices) == "\nanna Ⓝ\nbell Ⓝ\n"
    assert page.explanation.nats_per_char * 14 == pytest.approx(model.score("anna 1\nbell 2").nats, rel=1e-5)
    (tmp_path / "x.jsonl").write_text('{"text": "anna 1"}\n{"text": "bell 2"}\n', "utf-8")
    ended = command("explain", tmp_path / "run", tmp_path / "x.jsonl", *out)
    assert "warning: x.jsonl is JSON Lines" in ended.err


def test_a_text_is_shown_in_the_terminal_without_a_page(
    command: Command, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bits = elman.explain("one Two 漢", elman.load(run)).explanation.surprisal
    digits = "".join(" " if not n >= 2 else f"{min(9, int(n))}" for n in bits)
    code, out, err = command("explain", run, "--text", "one Two 漢")
    assert (code, err) == (0, "")
    assert out.splitlines()[:2] == ["one Two 漢", digits]
    assert out.splitlines()[-1] == "never seen in training: 漢"
    (tmp_path / "text").write_text("one\n\nTwo\x1b", encoding="utf-8")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    colored = re.sub(r"\x1b\[[\d;]*m", "", command("explain", run, tmp_path / "text").out).splitlines()
    assert [line.removesuffix("↵") for line in colored[:2]] == ["one", "Two␛"]
    assert colored[-2].startswith("bits of surprisal: 2468; mean ")
    chars = json.loads(command("explain", run, "--text", "one", "--json").out)["chars"]
    assert chars == 2


def test_a_text_in_place_of_a_file_names_the_option(command: Command, run: Path, tmp_path: Path) -> None:
    (folder := tmp_path / "a b").mkdir()
    (folder / "text").write_text("one two\n", "utf-8")
    assert command("explain", run, folder / "te*").code == 0  # a pattern, also with a space
    ended = command("explain", run, "one two")
    assert (ended.code, ended.err) == (2, "error: there is no file 'one two': pass a text itself with --text\n")


def test_what_masks_replace_is_shown_and_a_line_begins_with_its_first_character(
    command: Command, tmp_path: Path
) -> None:
    lines = Corpus.from_text("".join(f"job {n} is done\n" for n in range(99)))
    options: Any = {"lines": True, "mask": "all", "max_updates": 20, "engine": "numpy", "seq_length": 9}
    model = train(lines, out=tmp_path / "run", **options).model
    line, digits, _, scale = command("explain", tmp_path / "run", "--text", "job 1234 is enod").out.splitlines()
    assert (line, len({*digits.ljust(len(line))[4:8]})) == ("job 1234 is enod", 1)
    assert scale.endswith(f"mean {model.score(line).bits_per_char:.2f}")
    (tmp_path / "text").write_text("job 1 is done\n\njob 22 is enod", "utf-8")
    found = json.loads(command("explain", tmp_path / "run", tmp_path / "text", "--json").out)
    expected = json.loads(command("eval", tmp_path / "run", tmp_path / "text", "--json").out)
    assert (found["chars"], found["bits_per_char"]) == (
        expected["chars"],
        pytest.approx(expected["bits_per_char"], rel=1e-5),
    )
