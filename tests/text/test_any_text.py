"""Any text: of any size, from anywhere, with whatever characters it has."""

import json
import mmap
import os
import re
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import elman
from elman.errors import ElmanError
from elman.text import Alphabet, Corpus, decoding, read_corpus, replace_rare, spool
from elman.text.decoding import DecodingStream
from elman.text.spool import Spool, drop_pages
from elman.text.unknown import MAX_UNCONFIRMED_SIZE, count_characters
from support.cli import exit_code
from support.training import EXACT

PLAIN = "It was a dark and stormy night;\nthe rain fell in torrents.\n"
SOME = "".join(map(chr, range(0x4E00, 0x4E00 + 300)))
MANY = "".join(map(chr, range(0x10000, 0x10000 + 60_000)))
FEW = EXACT | {"hidden_size": 2, "max_updates": 3, "sample_every": 0}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache directory for large texts, which does not exist yet, and an empty current directory."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(spool, "cache_dir", lambda: tmp_path / "cache")  # the kernels' stays where it is
    return tmp_path / "cache"


@pytest.fixture
def small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text of more than a hundred bytes is stored in a file."""
    monkeypatch.setattr(spool, "LARGE", 100)


# Reading in chunks


ENCODINGS = [
    "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-7", "latin-1", "cp1252", "ascii",
    "shift_jis", "gb18030", "big5", "euc_kr", "iso2022_jp",
]  # fmt: skip


def in_chunks(data: bytes, encoding: str, size: int) -> str:
    """Decode as `DecodingStream` does, with another chunk size."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "CHUNK_SIZE", size)
        return "".join(DecodingStream(BytesIO(data), encoding, "x"))


@pytest.mark.parametrize("encoding", ENCODINGS)
@settings(deadline=None, max_examples=40)
@given(text=st.text(st.sampled_from("ab\r\n\0é漢字かな한글🐈\ufeff")), size=st.integers(4, 9))
def test_a_text_in_pieces_is_the_text_whole(encoding: str, text: str, size: int) -> None:
    data = text.encode(encoding, "ignore")
    assert in_chunks(data, encoding, size) == data.decode(encoding).removeprefix("\ufeff")


@pytest.mark.parametrize(
    "encoding", [encoding for encoding in ENCODINGS if encoding not in ("utf-8-sig", "iso2022_jp")]
)
@settings(deadline=None, max_examples=40)
@given(data=st.binary(max_size=30), size=st.integers(4, 9))
def test_any_bytes_in_chunks_are_read_or_rejected_as_they_are_at_once(encoding: str, data: bytes, size: int) -> None:
    try:
        expected = data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        with pytest.raises(
            ElmanError, match=f"^byte 0x{data[error.start]:02x} at offset {error.start} of 'x' is not valid"
        ):
            in_chunks(data, encoding, size)
    else:
        assert in_chunks(data, encoding, size) == expected


@pytest.mark.parametrize("encoding", ["euc_kr", "gb18030", "big5", "shift_jis", "utf-8"])
def test_a_character_in_two_pieces_before_a_bad_byte_is_given(encoding: str) -> None:
    good = b"abc" + "漢".encode(encoding) + b"\0"
    chunks: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "CHUNK_SIZE", 4)
        with pytest.raises(ElmanError, match=rf"^byte 0xff at offset {len(good)} "):
            chunks.extend(DecodingStream(BytesIO(good + b"\xff\0"), encoding, "x"))
    assert "".join(chunks) == good.decode(encoding)


def test_what_stands_before_a_bad_byte_is_given() -> None:
    chunks: list[str] = []
    with pytest.raises(ElmanError, match=r"^byte 0xff at offset 8 "):
        chunks.extend(DecodingStream(BytesIO("one\nä \n".encode() + b"\xff two\n"), "utf-8", "x"))
    assert chunks == ["one\nä \n"]


def test_the_offset_counts_the_byte_order_mark() -> None:
    with pytest.raises(ElmanError, match=r"^byte 0xff at offset 4 of 'x' is not valid utf-8-sig"):
        in_chunks(b"\xef\xbb\xbfa\xff", "utf-8-sig", 100)


def test_a_lone_surrogate_in_utf_16_is_refused_where_it_stands() -> None:
    Path("text").write_bytes("\ufeffab\ud800cd".encode("utf-16-le", "surrogatepass"))
    expected = (
        "byte 0x00 at offset 6 of 'text' is not valid utf-16: the file is corrupted there "
        "(iconv -c removes invalid bytes)"
    )
    with pytest.raises(ElmanError, match=f"^{re.escape(expected)}$"):
        read_corpus("text", encoding="utf-16")


def test_a_source_that_breaks_off_is_said_so() -> None:
    class Broken(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(ElmanError, match=r"^cannot read 'x' to the end \(Input/output error\)$"):
        list(DecodingStream(Broken(), "utf-8", "x"))


# Large texts


def mapped(corpus: Corpus) -> bool:
    """Whether the indices lie in a file."""
    owner: Any = corpus.indices
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    return isinstance(owner.base, memoryview) and isinstance(owner.base.obj, mmap.mmap)


@pytest.mark.usefixtures("small_is_large")
@pytest.mark.parametrize("text", [PLAIN * 9, PLAIN * 3000, PLAIN + SOME * 3, PLAIN * 2000 + SOME], ids=len)
def test_a_large_text_is_kept_in_a_file(text: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("text").write_text(text, newline="")
    corpus = read_corpus("text")
    monkeypatch.setattr(spool, "LARGE", 1 << 20)
    small = Corpus.from_text(text)
    assert mapped(corpus)
    assert not mapped(small)
    assert corpus.alphabet == small.alphabet == Alphabet.from_text(text)
    assert corpus.indices.dtype == small.indices.dtype
    assert corpus.sha256 == small.sha256
    assert corpus.text == small.text == text
    corpus.release()
    assert corpus.text == text
    assert list(cache.iterdir()) == []


@pytest.mark.usefixtures("small_is_large")
def test_a_large_text_trains_as_a_small_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("text").write_text(PLAIN * 30)
    large = elman.train("text", **EXACT | {"engine": "numba", "epochs": 1, "validation": 0.2, "batch_size": 2})
    monkeypatch.setattr(spool, "LARGE", 1 << 20)
    small = elman.train(Corpus.from_text(PLAIN * 30), **EXACT | asdict(large.config))
    assert mapped(large.corpus)
    assert large.state.smooth_loss == small.state.smooth_loss
    assert large.validation_loss == small.validation_loss


def test_indices_are_widened_as_the_alphabet_grows() -> None:
    with Spool(np.dtype(np.uint8)) as spooled:
        spooled.append(np.array([1, 255]))
        spooled.widen(np.dtype(np.uint16))
        spooled.append(np.array([256, 2]))
        np.testing.assert_array_equal(spooled.array(), np.array([1, 255, 256, 2], np.uint16))


def test_pages_of_unmapped_indices_may_be_dropped_too() -> None:
    indices = np.arange(9)
    drop_pages(indices[3:])
    np.testing.assert_array_equal(indices, range(9))


@pytest.fixture
def no_large_files() -> Iterator[None]:
    """The system refuses to write files of more than a thousand bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("small_is_large", "no_large_files")
def test_no_room_for_a_large_text(cache: Path) -> None:
    expected = (
        f"cannot store a text of this size in {str(cache)!r} (File too large): "
        "free disk space there, or set ELMAN_CACHE to another directory"
    )
    with pytest.raises(ElmanError, match=f"^{re.escape(expected)}$"):
        Corpus.from_text("ab" * 100_000)
    assert list(cache.iterdir()) == []


@pytest.mark.usefixtures("small_is_large")
def test_no_directory_for_a_large_text(cache: Path) -> None:
    cache.touch()
    with pytest.raises(
        ElmanError, match=r"^cannot store .* \(File exists\): free disk space there, or set ELMAN_CACHE"
    ):
        Corpus.from_text("ab" * 100)


MEASURE = """
import json, resource, sys, time
began = time.perf_counter()
import elman
from elman.training.callbacks import TrainingCallback
class Starts(TrainingCallback):
    at = 0.0
    def on_progress(self, run, updates):
        self.at = self.at or time.perf_counter() - began
starts = Starts()
run = elman.train(sys.argv[1], preset="reference", max_updates=2000, sample_every=0, callback=starts)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)
print(json.dumps([len(run.corpus.indices), starts.at, peak]))
"""


def measured(path: Path) -> tuple[int, float, float]:
    """Train on a file in a process of its own; return its length, the seconds to the first updates, the peak in MB."""
    done = subprocess.run([sys.executable, "-c", MEASURE, path], capture_output=True, check=True)
    length, seconds, peak = json.loads(done.stdout)
    return length, seconds, peak


def written(path: Path, line: str, size: int) -> Path:
    """Write a file of one line as often as it fits into `size` bytes."""
    data = line.encode() * (1_000_000 // len(line))
    with path.open("wb") as file:
        for _ in range(size // len(data)):
            file.write(data)
    return path


def test_one_line_of_a_hundred_megabytes() -> None:
    short = measured(written(Path("short"), "no newline at all; ", 1_000_000))
    path = written(Path("long"), "no newline at all; ", 100_000_000)
    long = measured(path)
    path.unlink()
    assert long[0] > 99_000_000
    assert long[2] < short[2] + 30


@pytest.mark.slow
def test_two_gigabytes() -> None:
    short = measured(written(Path("short"), PLAIN, 1_000_000))
    path = written(Path("long"), PLAIN, 2_000_000_000)
    long = measured(path)
    path.unlink()
    assert long[0] > 1_990_000_000
    assert long[1] < 20
    assert long[2] < short[2] + 300


# Awkward texts


AWKWARD = {
    "NUL": ("a\0b\0\0c" * 20, "utf-8"),
    "lone surrogates": ("a\ud800b\udfffc" * 20, "utf-7"),
    "escaped surrogates": ("a\ud800b\udfffc" * 20, "raw_unicode_escape"),
    "right to left": ("שלום עולם‏ مرحبا‮abc‬\n" * 10, "utf-16"),
    "combining marks": ("e\u0301\u0302 Z\u0351\u036b\u0343a\u030a\n" * 10, "utf-8"),
    "CRLF": ("one\r\ntwo\r\n\rthree\n\r" * 10, "cp1252"),
    "no newline": ("no newline at all " * 10, "latin-1"),
    "control characters": ("\x1b[2J\x07\x08\x7f\x85\u2028\u2029" * 10, "utf-8"),
    "astral": ("👩🏽‍🚀🇸🇪🐈\U0010ffff" * 10, "utf-32"),
    "byte order mark within": ("ab\ufeffcd" * 20, "utf-8"),
}


@pytest.mark.parametrize(("text", "encoding"), AWKWARD.values(), ids=AWKWARD)
def test_an_unusual_text_is_trained_on_and_preserved_exactly(text: str, encoding: str) -> None:
    Path("text").write_bytes(text.encode(encoding))
    run = elman.train("text", out="run", encoding=encoding, **EXACT | {"max_updates": 15})
    assert run.corpus.text == text
    assert json.loads(Path("run/run.json").read_text())["alphabet"] == Alphabet.from_text(text).characters
    model = elman.load("run")
    assert model.alphabet == run.corpus.alphabet
    assert set(model.sample(30, seed=1)) <= set(text)
    assert model.score(text).chars == len(text) - 1
    assert elman.train("text", out="run", resume=True, max_updates=16).state.update == 16


@pytest.mark.parametrize(("text", "encoding"), AWKWARD.values(), ids=AWKWARD)
def test_the_commands_accept_an_unusual_text(text: str, encoding: str) -> None:
    Path("text").write_bytes(text.encode(encoding))
    options = ["--preset", "reference", "--hidden-size", "2", "--seq-length", "5", "--max-updates", "2"]
    options += ["--engine", "numpy", "--encoding"]
    assert exit_code("train", "text", "--out", "run", *options, encoding) == 0
    assert command("sample", "run", "--length", "20").returncode == 0


# Many distinct characters


def test_sixty_thousand_characters_are_refused_with_what_they_cost() -> None:
    text = PLAIN * 50 + MANY + MANY[:4000] * 2
    K = len(set(text))
    message = (
        f"'text' has {K:,} distinct characters (limit without min_count: 5,000); with a hidden size of 2, the input "
        f"and output layers would have {4 * K:,} weights and need about {12 * K:,} operations per character, "
        f"{K // 100} times as many as with 100 characters; use min_count=2 to replace the 56,000 that occur fewer "
        f"than 2 times ({56_000 / len(text):.2%} of the text) by one unknown symbol, or min_count=1 to train on all "
        "of them"
    )
    Path("text").write_text(text)
    with pytest.raises(ElmanError, match=f"^{re.escape(message)}$"):
        elman.train("text", out="run", **FEW)
    assert not Path("run").exists()
    assert len(elman.train("text", min_count=2, **FEW).corpus.alphabet) == K - 56_000 + 1


def test_sixty_thousand_characters_train_where_it_is_asked_for() -> None:
    run = elman.train(Corpus.from_text(MANY * 2), min_count=1, **FEW | {"engine": "numba"})
    assert len(run.corpus.alphabet) == 60_001
    assert run.state.update == 3


def test_where_no_minimum_count_helps_none_is_named() -> None:
    with pytest.raises(ElmanError, match=r"; use min_count=1 to train on all of them; they are about equally frequent"):
        elman.train(Corpus.from_text(MANY), **FEW)


def test_the_largest_alphabet_that_needs_no_confirmation() -> None:
    text = MANY[:MAX_UNCONFIRMED_SIZE]
    assert elman.train(Corpus.from_text(text), **FEW).state.update == 3
    with pytest.raises(ElmanError, match="has 5,001 distinct"):
        elman.train(Corpus.from_text(MANY[: MAX_UNCONFIRMED_SIZE + 1]), **FEW)


# Rare characters


def test_rare_characters_become_one_at_the_end_of_the_alphabet() -> None:
    corpus = replace_rare(Corpus.from_text("abxabcyb"), 2)
    assert corpus.alphabet == Alphabet("ab\ufffd", has_unknown=True)
    assert corpus.text == "ab\ufffdab\ufffd\ufffdb"
    assert corpus.sha256 == Corpus.from_text("abxabcyb").sha256
    np.testing.assert_array_equal(count_characters(corpus), [2, 3, 3])


def test_the_next_free_character_where_the_text_has_the_replacement() -> None:
    assert replace_rare(Corpus.from_text("aab\ufffd\ufffe"), 2).alphabet.characters == "a\uffff"
    assert replace_rare(Corpus.from_text("aa\ufffd\ufffdb"), 2).alphabet.characters == "a\ufffd\ufffe"


def test_a_NUL_may_be_frequent() -> None:
    assert replace_rare(Corpus.from_text("\0\0abb"), 2).text == "\0\0\ufffdbb"


@pytest.mark.usefixtures("small_is_large")
def test_rare_characters_of_a_large_text_are_replaced_in_a_file() -> None:
    text = PLAIN * 1000 + SOME
    Path("text").write_text(text)
    corpus = read_corpus("text", min_count=2)
    assert mapped(corpus)
    assert corpus.indices.dtype == np.uint8
    assert corpus.text == PLAIN * 1000 + "\ufffd" * 300


@settings(deadline=None)
@given(st.text(min_size=1), st.integers(0, 4))
def test_exactly_the_rare_characters_are_replaced(text: str, min_count: int) -> None:
    text += "ab" * 4
    corpus = replace_rare(Corpus.from_text(text), min_count)
    last = corpus.alphabet.characters[-1]
    assert corpus.text == "".join(c if text.count(c) >= min_count else last for c in text)
    assert corpus.alphabet.has_unknown == (min_count > 0)


def test_characters_read_later_are_replaced_too() -> None:
    Path("text").write_text("abé\nc")
    alphabet = replace_rare(Corpus.from_text("abab"), 1).alphabet
    np.testing.assert_array_equal(read_corpus("text", alphabet=alphabet).indices, [0, 1, 2, 2, 2])
    np.testing.assert_array_equal(alphabet.encode("xayb"), [2, 0, 2, 1])


def test_a_minimum_count_that_leaves_one_character_is_refused() -> None:
    expected = "min_count=9 leaves a single character of 'text', so there is nothing to learn: lower min_count"
    with pytest.raises(ElmanError, match=f"^{re.escape(expected)}$"):
        replace_rare(Corpus.from_text("aab"), 9)
    Path("text").write_text("aabb")
    with pytest.raises(ElmanError, match=r"^min_count must be at least 0 \(got -1\)$"):
        read_corpus("text", min_count=-1)


def test_a_corpus_with_an_unknown_symbol_is_trained_on_as_it_is() -> None:
    replaced = replace_rare(Corpus.from_text(PLAIN), 2)
    assert elman.train(replaced, min_count=2, **FEW).corpus is replaced
    with pytest.raises(ElmanError, match=r"has an unknown symbol already \(got min_count = 0\): pass its min_count$"):
        elman.train(replaced, **FEW)


def test_a_model_with_rare_characters_refuses_none() -> None:
    Path("text").write_text(PLAIN)
    run = elman.train("text", out="run", min_count=2, **FEW)
    last = run.corpus.alphabet.characters[-1]
    assert json.loads(Path("run/run.json").read_text())["config"]["min_count"] == 2
    for model in (run.model, elman.load("run")):
        assert model.score("漢字 at night").nats == model.score(f"{last}{last} at night").nats
        assert model.sample(9, prompt="漢", seed=1) == model.sample(9, prompt=last, seed=1)
    assert elman.train("text", out="run", resume=True, max_updates=4).state.update == 4
    Path("other").write_text("漢字 at night")
    for arguments in (["eval", "run", "other", "--json"], ["sample", "run", "--prompt", "漢", "--length", "9"]):
        assert command(*arguments).returncode == 0


def test_a_model_without_them_refuses_what_it_does_not_know() -> None:
    model = elman.train(Corpus.from_text(PLAIN), **FEW).model
    with pytest.raises(ElmanError, match="is not among the model's"):
        model.sample(9, prompt="漢字")


# Pipes


def command(*arguments: str, given: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run the command line."""
    return subprocess.run([sys.executable, "-m", "elman", *arguments], input=given, capture_output=True, check=False)


@pytest.fixture
def fifo() -> Iterator[Path]:
    """A named pipe into which a text is written slowly."""
    path, text = Path("fifo"), PLAIN.encode() * 50
    os.mkfifo(path)

    def write() -> None:
        with path.open("wb", buffering=0) as pipe:
            for start in range(0, len(text), 700):
                pipe.write(text[start : start + 700])

    writer = threading.Thread(target=write)
    writer.start()
    yield path
    writer.join()


def test_a_named_pipe_is_read_to_its_end(fifo: Path) -> None:
    run = elman.train(fifo, **FEW)
    assert run.corpus.name == "fifo"
    assert run.corpus.text == PLAIN * 50
    assert run.corpus.sha256 == Corpus.from_text(PLAIN * 50).sha256


def test_a_named_pipe_is_scored(fifo: Path) -> None:
    elman.train(Corpus.from_text(PLAIN), out="run", **FEW)
    done = command("eval", "run", str(fifo), "--json")
    assert json.loads(done.stdout)["chars"] == 50 * len(PLAIN) - 1


def test_standard_input_is_trained_on() -> None:
    options = ["--preset", "reference", "--hidden-size", "2", "--max-updates", "3", "--engine", "numpy", "--json"]
    done = command("train", "-", "--out", "run", *options, given=PLAIN.encode() * 50)
    assert json.loads(done.stdout)["updates"] == 3
    described = json.loads(Path("run/run.json").read_text())["corpus"]
    assert (described["name"], described["chars"]) == ("-", 50 * len(PLAIN))
