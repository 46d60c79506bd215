"""What `elman eval` prints."""

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
def scored_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("eval")
    (directory / "other").write_text(OTHER, encoding="utf-8")
    (directory / "latin1").write_bytes((OTHER + "é").encode("latin-1"))
    train(Corpus.from_text(TEXT * 12), out=directory / "run", ngram_order=4, **SMALL)
    return directory / "run"


@pytest.mark.parametrize(
    ("file", "encoding", "unknown", "window"),
    [("other", "utf-8", "", None), ("other", "utf-8", "", 20), ("latin1", "latin-1", "é", None)],
)
def test_metrics_are_those_of_score(
    command: Command, scored_run: Path, file: str, encoding: str, unknown: str, window: int | None
) -> None:
    arguments = ["eval", scored_run, scored_run.parent / file, "--encoding", encoding]
    arguments += ["--window", window] if window else []
    ended = command(*arguments, "--json")
    assert (ended.code, ended.err) == (0, "")
    score = elman.load(scored_run).score(OTHER + unknown, window=window)
    metrics = ("chars", "nats_per_char", "bits_per_char", "perplexity")
    expected = {name: getattr(score, name) for name in metrics}
    expected |= ({"unknown_chars": 1} if unknown else {}) | ({"window": window} if window else {})
    assert json.loads(ended.out) == expected
    table = command(*arguments).out
    assert [line.split("  ")[0] for line in table.splitlines()] == [name.replace("_", " ") for name in expected]
