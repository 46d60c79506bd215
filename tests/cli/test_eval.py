"""``elman eval``: its metrics."""

import json
from pathlib import Path
from typing import Any

import pytest

import elman
from elman.text import Corpus
from support.cli import Command
from support.state import TEXT
from support.training import train

OTHER = "the rain at night\nthe torrents at night\n" * 30
SMALL: dict[str, Any] = {"hidden_size": 5, "seq_length": 5, "max_updates": 30, "sample_every": 0}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory of a small model with a prior, and next to it texts."""
    directory = tmp_path_factory.mktemp("eval")
    (directory / "other").write_text(OTHER, encoding="utf-8")
    (directory / "latin1").write_bytes((OTHER + "é").encode("latin-1"))
    train(Corpus.from_text(TEXT * 12), out=directory / "run", ngram_order=3, **SMALL)
    return directory / "run"


@pytest.mark.parametrize(("file", "encoding", "unknown"), [("other", "utf-8", ""), ("latin1", "latin-1", "é")])
def test_the_metrics_are_those_of_the_score(
    command: Command, run: Path, file: str, encoding: str, unknown: str
) -> None:
    ended = command("eval", run, run.parent / file, "--encoding", encoding, "--json")
    assert (ended.code, ended.err) == (0, "")
    score = elman.load(run).score(OTHER + unknown)
    expected = {
        "chars": score.chars,
        "nats_per_char": score.nats_per_char,
        "bits_per_char": score.bits_per_char,
        "perplexity": score.perplexity,
    } | ({"unknown_chars": 1} if unknown else {})
    assert json.loads(ended.out) == expected
    table = command("eval", run, run.parent / file, "--encoding", encoding).out
    assert [line.split("  ")[0] for line in table.splitlines()] == [name.replace("_", " ") for name in expected]
    adapted = command("eval", run, run.parent / file, "--encoding", encoding, "--json", "--adapt", "weights").out
    assert json.loads(adapted)["nats_per_char_without_adapt"] == pytest.approx(score.nats_per_char)
