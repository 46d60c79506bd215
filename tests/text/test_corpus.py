"""Corpora: a text in memory, and the indices of a large one in a memory-mapped file."""

import hashlib
import mmap
import re
import resource
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import elman
from elman.errors import ElmanError
from elman.text import Alphabet, Corpus, read_corpus
from elman.text import corpus as module
from support.texts import PLAIN
from support.training import EXACT

SOME = "".join(map(chr, range(0x4E00, 0x4E00 + 300)))


def test_a_text_in_memory() -> None:
    corpus = Corpus.from_text("abcab", name="letters")
    assert (corpus.name, corpus.text, corpus.encoding) == ("letters", "abcab", "utf-8")
    np.testing.assert_array_equal(corpus.indices, [0, 1, 2, 0, 1])
    assert corpus.sha256 == hashlib.sha256(b"abcab").hexdigest()
    assert Corpus.from_text("a\ud800").text == "a\ud800"
    assert Corpus.from_lines(["emma", "olivia\n", ""]).text == "emma\nolivia\n\n"
    assert Corpus.from_lines(line for line in ("emma", "olivia")).text == "emma\nolivia\n"


@pytest.mark.parametrize(
    "indices",
    [np.full(9, 2, np.uint8), np.zeros((3, 3), np.uint8), np.zeros(9, np.int64)],
    ids=["beyond K", "2-D", "signed"],
)
def test_indices_that_are_none_are_refused(indices: Any) -> None:
    """They would lead compiled kernels outside their arrays."""
    with pytest.raises(ElmanError, match=r"^corpus indices must be one-dimensional, unsigned and below 2 "):
        Corpus("x", Alphabet("ab"), indices, "0", "utf-8")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "writable_cache_dir", lambda: tmp_path / "cache")  # the kernels' stays where it is
    return tmp_path / "cache"


@pytest.fixture
def small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGE", 100)


def is_mapped(corpus: Corpus) -> bool:
    owner: Any = corpus.indices
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    return isinstance(owner.base, memoryview) and isinstance(owner.base.obj, mmap.mmap)


@pytest.mark.usefixtures("small_is_large")
@pytest.mark.parametrize("text", [PLAIN * 9, PLAIN * 3000, PLAIN + SOME * 3, PLAIN * 2000 + SOME], ids=len)
def test_a_large_text_is_kept_in_a_file(text: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("text").write_text(text, newline="")
    corpus = read_corpus("text")
    rare = read_corpus("text", min_count=2)
    monkeypatch.setattr(module, "LARGE", 1 << 20)
    small = Corpus.from_text(text)
    assert (is_mapped(corpus), is_mapped(rare), is_mapped(small)) == (True, True, False)
    assert corpus.alphabet == small.alphabet == Alphabet.from_text(text)
    assert (corpus.indices.dtype, corpus.sha256) == (small.indices.dtype, small.sha256)
    assert corpus.text == small.text == text
    corpus.release()
    assert corpus.text == text
    occurrences = Counter(text)
    assert rare.text == "".join(c if occurrences[c] > 1 else "\ufffd" for c in text)
    assert list(cache.iterdir()) == []


@pytest.mark.usefixtures("small_is_large")
def test_a_large_text_trains_as_a_small_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("text").write_text(PLAIN * 30)
    large = elman.train("text", **EXACT | {"epochs": 1, "validation": 0.2, "batch_size": 2})
    monkeypatch.setattr(module, "LARGE", 1 << 20)
    small = elman.train(Corpus.from_text(PLAIN * 30), **EXACT | asdict(large.config))
    assert is_mapped(large.corpus)
    assert large.state.smooth_loss == small.state.smooth_loss
    assert large.validation_loss == small.validation_loss


@pytest.fixture
def no_large_files() -> Iterator[None]:
    """The system refuses to write files of more than a thousand bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("small_is_large", "no_large_files")
def test_no_room_for_a_large_text(cache: Path) -> None:
    with pytest.raises(ElmanError, match=re.escape(f"in {str(cache)!r} (File too large): ") + ".* ELMAN_CACHE"):
        Corpus.from_text("ab" * 100_000)
    assert list(cache.iterdir()) == []
