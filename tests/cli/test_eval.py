"""``elman eval`` with the models of the codec."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

import elman
from elman.compression.code_length import score_code_length
from elman.text import Corpus
from support.cli import Command, assert_refused
from support.state import TEXT
from support.training import train

OTHER = "the rain at night\nthe torrents at night\n" * 30
SMALL: dict[str, Any] = {"hidden_size": 5, "seq_length": 5, "max_updates": 30, "sample_every": 0}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory of a small model with a prior, and next to it texts."""
    folder = tmp_path_factory.mktemp("eval")
    (folder / "other").write_text(OTHER, encoding="utf-8")
    (folder / "unknown").write_text(OTHER + "漢字", encoding="utf-8")
    (folder / "latin1").write_bytes((OTHER + "é").encode("latin-1"))
    (folder / "a").write_text("a")
    train(Corpus.from_text(TEXT * 12), out=folder / "run", ngram_order=3, **SMALL)
    return folder / "run"


def evaluate(command: Command, *words: object) -> dict[str, Any]:
    """Return the figures that a command prints."""
    ended = command("eval", *words, "--json")
    assert (ended.code, ended.err) == (0, "")
    figures: dict[str, Any] = json.loads(ended.out)
    return figures


@pytest.mark.parametrize("adapt", ["mixture", "bitwise", "all"])
def test_the_figures_are_of_the_length_of_the_code(command: Command, run: Path, adapt: Any) -> None:
    figures = evaluate(command, run, run.parent / "other", "--adapt", adapt)
    score = score_code_length(elman.load(run), OTHER, adapt)
    assert figures == {
        "chars": len(OTHER),
        "nats_per_char": score.nats_per_char,
        "bits_per_char": score.nats_per_char / math.log(2),
        "perplexity": score.perplexity,
        "nats_per_char_without_adapt": elman.load(run).score(OTHER).nats_per_char,
    }


def test_of_a_text_that_repeats_a_mixture_learns_more_than_counts(command: Command, run: Path) -> None:
    mixture, counts = (
        evaluate(command, run, run.parent / "other", "--adapt", adapt)["nats_per_char"]
        for adapt in ("mixture", "counts")
    )
    assert mixture < counts


def test_unknown_characters_are_counted(command: Command, run: Path) -> None:
    figures = evaluate(command, run, run.parent / "unknown", "--adapt", "mixture")
    static = evaluate(command, run, run.parent / "unknown")
    assert (
        (figures["chars"], figures["unknown_chars"])
        == (static["chars"] + 1, static["unknown_chars"])
        == (
            len(OTHER) + 2,
            2,
        )
    )


def test_a_text_in_another_encoding(command: Command, run: Path) -> None:
    figures = evaluate(command, run, run.parent / "latin1", "--adapt", "mixture", "--encoding", "latin-1")
    assert (figures["chars"], figures["unknown_chars"]) == (len(OTHER) + 1, 1)


def test_what_cannot_be_combined(command: Command, run: Path, tmp_path: Path) -> None:
    other = run.parent / "other"
    assert_refused(
        command("eval", run, other, "--adapt", "mixture", "--window", 9), "cannot combine --window with --adapt"
    )
    assert_refused(command("eval", run, run.parent / "a", "--adapt", "all"), "needs at least 2 characters", "(got 1)")
    elman.train(Corpus.from_text(TEXT), out=tmp_path / "lines", lines=True, preset="reference", **SMALL)
    ended = command("eval", tmp_path / "lines", other, "--adapt", "mixture")
    assert_refused(ended, "--adapt mixture cannot be used with a model of independent lines: train without --lines")
