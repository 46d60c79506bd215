"""``elman eval``: its figures are those of `Model.score`."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

import elman
from elman.inference.adaptation import KINDS
from elman.text import Corpus
from support.cli import Command, assert_refused
from support.state import TEXT
from support.training import train

OTHER = "the rain at night\nthe torrents at night\n" * 30


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory of a small model with a prior, and next to it texts."""
    folder = tmp_path_factory.mktemp("eval")
    (folder / "other").write_text(OTHER, encoding="utf-8")
    (folder / "latin1").write_bytes((OTHER + "é").encode("latin-1"))
    (folder / "a").write_text("a")
    options: dict[str, Any] = {"hidden_size": 5, "seq_length": 5, "max_updates": 30, "sample_every": 0}
    train(Corpus.from_text(TEXT * 12), out=folder / "run", ngram_order=3, **options)
    return folder / "run"


def evaluate(command: Command, *words: object) -> dict[str, Any]:
    """Return the figures that a command prints."""
    ended = command("eval", *words, "--json")
    assert (ended.code, ended.err) == (0, "")
    figures: dict[str, Any] = json.loads(ended.out)
    return figures


@pytest.mark.parametrize("adapt", KINDS)
def test_figures_of_adaptation(command: Command, run: Path, adapt: Any) -> None:
    score = elman.load(run).score(OTHER, adapt=adapt)
    assert evaluate(command, run, run.parent / "other", "--adapt", adapt) == {
        "chars": len(OTHER) - 1,
        "nats_per_char": score.nats_per_char,
        "bits_per_char": score.nats_per_char / math.log(2),
        "perplexity": score.perplexity,
        "nats_per_char_without_adapt": elman.load(run).score(OTHER).nats_per_char,
    }


def test_a_text_in_another_encoding(command: Command, run: Path) -> None:
    figures = evaluate(command, run, run.parent / "latin1", "--adapt", "counts", "--encoding", "latin-1")
    assert (figures["chars"], figures["unknown_chars"]) == (len(OTHER), 1)


def test_what_cannot_be_evaluated_is_refused(command: Command, run: Path) -> None:
    words = ("eval", run, run.parent / "other", "--adapt", "counts", "--window", 9)
    assert_refused(command(*words), "cannot combine --window with --adapt")
    assert_refused(command("eval", run, run.parent / "a", "--adapt", "both"), "needs at least 2 characters", "(got 1)")
