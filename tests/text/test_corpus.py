"""Corpora: a text in memory, and the indices of a large one in a memory-mapped file."""

import hashlib
import json
import mmap
import re
import resource
import subprocess
import sys
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
    monkeypatch.setattr(module, "cache_dir", lambda: tmp_path / "cache")  # the kernels' stays where it is
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


MEASURE = """
import json, resource, sys
import elman
run = elman.train(sys.argv[1], preset="reference", max_updates=2000, sample_every=0)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)
print(json.dumps([len(run.corpus.indices), peak]))
"""


def measure(size: int) -> tuple[int, float]:
    """Train on a file of one line of so many bytes, in a process of its own; return its length, and the peak in MB."""
    path = Path("text")
    with path.open("wb") as file:  # in pieces, as the peak of a process begins with that of the one that starts it
        file.writelines(b"no newline at all; " * 50_000 for _ in range(size // 950_000))
    done = subprocess.run([sys.executable, "-c", MEASURE, path], capture_output=True, check=True)
    length, peak = json.loads(done.stdout)
    return length, peak


def test_one_line_of_a_hundred_megabytes() -> None:
    short, long = measure(1_000_000), measure(100_000_000)
    assert long[0] > 99_000_000
    assert long[1] < short[1] + 30
