"""A model of independent lines in use: samples, scores, evaluation, exports, and what is refused.

Its loss on a text is the sum over its lines, each read from the same state, by any engine and command.
"""

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import elman
from elman.errors import ElmanError
from elman.model import Model
from elman.model.score_lines import score_lines
from elman.network.bptt import begin_text
from elman.text import Corpus
from support.cli import Command, assert_refused
from support.training import EXACT, train

NAMES = ["anna", "bell", "carl", "dora", "emma", "adam", "bert"]
OPTIONS: dict[str, Any] = EXACT | {
    "lines": True, "cell": "lstm", "ngram_order": 4, "ngram_folds": 0, "ngram_min_count": 1, "optimizer": "adam",
    "learning_rate": 0.03, "max_updates": 150, "sample_every": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lines")
    train(Corpus.from_text("\n".join(NAMES)), **OPTIONS, out=folder)
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return elman.load(folder)


def test_a_sample_is_a_line(model: Model) -> None:
    lines = model.samples(20, 30, seed=5)
    assert all("\n" not in line and len(line) <= 30 for line in lines)
    assert [model.sample(30, seed=5 + n) for n in range(20)] == lines
    assert "".join(model.beam(3, 30)) in NAMES
    assert any(line in NAMES for line in lines)


def test_a_prompt_is_the_beginning_of_a_line(model: Model) -> None:
    """It is read after a line feed, whether it says so or not, whatever line precedes it."""
    assert model.samples(5, prompt="do", seed=1) == model.samples(5, prompt="\ndo", seed=1)
    assert model.samples(5, prompt="do", seed=1) == model.samples(5, prompt="emma\ndo", seed=1)
    assert model.samples(5, seed=1) == model.samples(5, prompt="emma\n", seed=1)
    np.testing.assert_array_equal(begin_text(model.parameters, model.state.recurrent).recurrent, model.state.recurrent)


def test_the_command_prints_lines_and_marks_those_trained_on(command: Command, folder: Path, model: Model) -> None:
    ended = command("sample", folder, "--count", "20", "--seed", "5")
    assert ended.code == 0
    lines = model.samples(20, seed=5)
    assert ended.out == "".join(f"{line}\tin training text\n" if line in NAMES else f"{line}\n" for line in lines)
    assert "in training text" in ended.out
    ended = command("sample", folder, "--prompt", "dor", "--seed", "1", "--temperature", "0")
    assert ended.out == "dora\tin training text\n"


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elman.model.lines.MAX_REJECTED", 300)


@pytest.mark.usefixtures("few")
def test_the_command_prints_only_new_lines(command: Command, folder: Path, model: Model) -> None:
    options: list[Any] = ["--new-only", "--length", 9, "--seed", 5, "--temperature", 1]
    rows = [json.loads(row) for row in command("sample", folder, "-n", 9, *options, "--json").out.splitlines()]
    new = [
        (seed, line)
        for seed in range(5, 50)
        if len(line := model.sample(9, seed=seed, temperature=1)) < 9 and line not in NAMES
    ]
    assert [(row["seed"], row["text"]) for row in rows] == new[:9]
    assert new[8][0] > 5 + 8
    assert command("sample", folder, *options).out == f"{new[0][1]}\n"
    for more, words in (
        (["--temperature", 0], "found 0 of 1 line, then rejected 300 in a row: relax --new-only, or"),
        (["--beam", 2], "cannot combine --beam with --new-only: beam search does not sample"),
    ):
        assert_refused(command("sample", folder, "--new-only", "--length", 9, *more), words)
    for name in (["--new-only"], ["--max-length", 9]):
        refused = command("sample", *name, "-q")
        assert_refused(refused, f"{name[0]} requires a model of independent lines: train with --lines, or limit a text")


@pytest.mark.usefixtures("few")
def test_lines_are_drawn_until_they_meet_what_is_asked(command: Command, folder: Path, model: Model) -> None:
    drawn = [model.sample(6, prompt="a", seed=5 + n, temperature=1) for n in range(300)]
    kept = dict.fromkeys(line for line in drawn if 3 <= len(line) + 1 <= 5 and f"a{line}" not in NAMES)
    options: dict[str, Any] = {"min_length": 3, "max_length": 5, "unique": True, "new_only": True, "temperature": 1}
    assert model.samples(9, prompt="a", seed=5, **options) == [*kept][:9]
    assert len(model.samples(20, max_length=4)) == 20
    words = "--prompt a -n 9 --seed 5 --temperature 1 --min-length 3 --max-length 5 --unique --new-only --json"
    rows = [json.loads(row) for row in command("sample", folder, *words.split()).out.splitlines()]
    assert [row["text"] for row in rows] == [*kept][:9]
    assert all(row["text"] == drawn[row["seed"] - 5] for row in rows)
    ended = command("sample", folder, "-n", 200, "--unique", "--max-length", 2, "--seed", 1)
    found = ended.out.splitlines()
    expected, seed, rejected = list[str](), 0, 0
    while rejected < 300:
        text, seed = model.sample(3, seed=seed + 1), seed + 1
        rejected = rejected + 1 if len(text) > 2 or text in expected else 0
        expected += [] if rejected else [text]
    assert (ended.code, found) == (2, expected)
    assert ended.err == (
        f"error: found {len(found)} of 200 lines, then rejected 300 in a row: relax --max-length and"
        " --unique, or raise --temperature\n"
    )


def test_a_text_that_is_cut_is_no_line(command: Command, folder: Path, model: Model) -> None:
    assert not {*model.samples(99, 3, new_only=True, seed=1)} & {name[:n] for name in NAMES for n in range(3, 9)}
    (row,) = (
        json.loads(row) for row in command("sample", folder, "--length", 1, "--json", "--seed", 1).out.splitlines()
    )
    assert (row["finish_reason"], "in_training_text" in row) == ("length", False)


def test_the_line_feed_of_a_piped_prompt_does_not_end_the_line(
    command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "prompt").write_bytes(b"dor\n")
    for source in (["--prompt", "-"], ["--prompt-file", tmp_path / "prompt"]):
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"dor\n"), isatty=lambda: False))
        assert command("sample", folder, *source, "--temperature", 0).out == "dora\tin training text\n"


@pytest.mark.parametrize(
    ("count", "options", "words"),
    [
        (2, {"min_length": 5, "max_length": 4}, r"min_length must be at most max_length \(got 5 and 4\)"),
        (2, {"max_length": 0}, "max_length must be at least 1"),
        (2, {"min_length": 2.5}, "min_length must be an integer"),
        (2, {"max_length": 2, "prompt": "dora"}, r"the prompt is longer than max_length=2 \(got 4\)"),
        (
            2,
            {"min_length": 5, "length": 4, "prompt": "a"},
            "min_length must be less than the length of a prompt of 1 and 4",
        ),
        (["a", "b"], {"unique": True}, "count must be an integer with unique"),
        (1, {"unique": True, "temperature": -1}, "temperature must be at least 0"),
    ],
)
def test_limits_of_lines_out_of_range(model: Model, count: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ElmanError, match=f"^{words}"):
        model.samples(count, **options)


def test_a_text_is_scored_line_by_line(command: Command, folder: Path, model: Model, tmp_path: Path) -> None:
    text = "anna\n\nzed\ncarl"
    scores = [model.score(line) for line in ("anna", "zed", "carl")]
    expected = sum(score.nats for score in scores)
    assert model.score("anna\ncarl").nats == pytest.approx(scores[0].nats + scores[2].nats)
    assert model.score("anna").chars == 5
    lines = [line for block in score_lines(model, ["anna\ncarl\nanna\n"]) for line in block]
    assert [line.nats for line in lines] == [pytest.approx(scores[n].nats) for n in (0, 2, 0)]
    carried = [line.nats for block in score_lines(model, ["anna\ncarl\n"], carry_state=True) for line in block]
    assert carried == [pytest.approx(line.nats) for line in lines[:2]]
    file = tmp_path / "more"
    file.write_text(text, encoding="utf-8")
    ended = command("eval", folder, file, "--json")
    result = json.loads(ended.out)
    assert (result["chars"], result["unknown_chars"]) == (14, 1)
    assert result["nats_per_char"] * 14 == pytest.approx(expected, rel=1e-3)  # the unknown character costs the others


def test_crlf_and_empty_lines_are_dropped(command: Command, folder: Path, model: Model, tmp_path: Path) -> None:
    """By every command alike, though the alphabet has no carriage return; line numbers remain those of the text."""
    texts = {"lf": "anna\ncarl\n", "crlf": "anna\r\n\r\n\ncarl\r"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    for options in ([], ["--adapt", "counts"]):
        assert len({command("eval", folder, tmp_path / name, *options, "--json").out for name in texts}) == 1
    assert model.score(texts["crlf"]).nats == model.score(texts["lf"]).nats
    rows = [json.loads(line) for line in command("score", folder, tmp_path / "crlf", "--json").out.splitlines()]
    assert [(row["line"], row["text"], row["chars"]) for row in rows] == [(1, "anna", 5), (4, "carl", 5)]
    expected = command("score", folder, tmp_path / "lf", "--json").out.replace('"line": 2', '"line": 4')
    assert [json.loads(line) for line in expected.splitlines()] == rows
    assert all(model.in_training_text(line) for line in ("anna", "anna\r", "anna\n", "anna\r\n"))
    once = OPTIONS | {"max_updates": 1}
    for corpus in (tmp_path / "crlf", Corpus.from_text(texts["crlf"])):
        assert elman.train(corpus, **once).model.alphabet.characters == "an\ncrl"
    validated = elman.train(tmp_path / "lf", **once, validation=tmp_path / "crlf")
    assert validated.data.validation is not None
    assert validated.data.validation.alphabet.characters == "an\ncrl"


def test_adaptation_reads_lines(model: Model) -> None:
    text = "dara\ndoe\n" * 10
    counted = model.score(text, adapt="counts")
    assert counted.chars == 90
    assert counted.nats < model.score(text).nats
    assert model.score("anna", adapt="weights").nats == pytest.approx(model.score("anna").nats)  # no complete window


def test_unsupported_uses_are_rejected(model: Model) -> None:
    with pytest.raises(ElmanError, match=r"^the text has no line that is not empty$"):
        model.score("\n\n")
    other = train(Corpus.from_text("\n".join(NAMES)), **EXACT, max_updates=1).model
    assert not other.is_of_lines
    with pytest.raises(ElmanError, match=r"does not know the lines of its training text: train with lines=True$"):
        other.in_training_text("anna")
