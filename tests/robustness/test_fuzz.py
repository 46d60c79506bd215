"""The fuzzing corpus: every loader reads each input, or refuses it in one line."""

from pathlib import Path

import pytest

from fuzz import CORPUS
from support.fuzz_targets import TARGETS, feed


@pytest.mark.parametrize("name", TARGETS)
def test_inputs_of_the_fuzzer_are_read_or_rejected(name: str, tmp_path: Path) -> None:
    if name == "onnx":
        pytest.importorskip("onnx")
    refused = [bool(feed(TARGETS[name], path.read_bytes(), tmp_path)) for path in sorted((CORPUS / name).iterdir())]
    assert 0 < sum(refused) < len(refused)


def test_the_corpus_is_small() -> None:
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) < 1_000_000
