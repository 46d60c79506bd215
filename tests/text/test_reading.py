"""Reading: a text is what its bytes encode, however the bytes arrive, and everything else is one line."""

import bz2
import encodings.aliases
import gzip
import hashlib
import io
import json
import lzma
import re
import sys
import tarfile
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import elman
from elman.errors import ElmanError
from elman.text import Alphabet, Corpus, JoinedText, TextFile, formats, read_corpus, reading
from elman.text import corpus as corpora
from elman.text.corpus import SampledText
from elman.text.formats import ByteStream
from elman.text.masks import Masker
from elman.text.reading import decode, sample_chunks
from elman.text.sources import BUILTIN_CORPORA
from support.cli import Command
from support.texts import NOISE, PLAIN, refused, write
from support.training import EXACT

DATA = PLAIN.encode()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("source", "data", "encoding"),
    [("novel.txt", "hej då\n".encode(), "utf-8"), ("python-docs", BUILTIN_CORPORA["python-docs"](), "latin-1")],
)
def test_a_file_is_read(source: str, data: bytes, encoding: str) -> None:
    """A built-in text is UTF-8 whatever the encoding."""
    if source == "novel.txt":
        write(source, data)
    corpus, text = read_corpus(source, encoding=encoding), data.decode("utf-8")
    assert (corpus.name, corpus.text, corpus.encoding) == (source, text, "utf-8")
    assert corpus.alphabet == Alphabet.from_text(text)
    assert corpus.sha256 == corpus.files[0].sha256 == sha256(data)


@pytest.mark.parametrize(
    ("data", "options", "expected"),
    [
        (b"", {}, "'text' is empty"),
        (b"\xef\xbb\xbf", {}, "'text' is empty"),
        (b"", {"alphabet": Alphabet("ab")}, "'text' is empty"),
        (b"\n\n\n", {}, r"'text' has a single distinct character, '\n'"),
        (b"caf\xe9!", {}, "byte 0xe9 at offset 3 of 'text' is not valid utf-8: pass the encoding of the text"),
        ("café".encode("utf-16"), {}, "byte 0xff at offset 0 of 'text' is not valid utf-8: pass the encoding"),
        (
            "\ufeffab\ud800cd".encode("utf-16-le", "surrogatepass"),
            {"encoding": "utf-16"},
            "byte 0x00 at offset 6 of 'text' is not valid utf-16: the file is corrupted",
        ),
        (b"\xef\xbb\xbfa\xff", {"encoding": "utf-8-sig"}, "byte 0xff at offset 4 of 'text' is not valid utf-8-sig: "),
        *(
            (b"ab", {"encoding": encoding}, f"unknown text encoding {encoding!r}: use utf-8")
            for encoding in ("utf-9", "rot13", "undefined", "a\0b", "punycode", "idna")
        ),
        (b"abc", {"alphabet": Alphabet("ab")}, "'c' (U+0063) is not among the model's 2 characters"),
    ],
)
def test_a_file_that_cannot_be_read_as_text(data: bytes, options: dict[str, Any], expected: str) -> None:
    assert refused(write("text", data), **options).startswith(expected)


def test_every_codec_of_python_decodes_any_bytes_or_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    texts = [b"hello", b"xn--a.b.xn--" * 9, b"\x1b$" * 9, b"\\N{x}\\uzz", *map(random.bytes, (9, 40))]
    decoded = 0
    monkeypatch.setattr("elman.text.reading.CHUNK_SIZE", 3)
    for encoding in {*encodings.aliases.aliases, *encodings.aliases.aliases.values()}:
        for text in texts:
            with suppress(ElmanError):
                decoded += bool("".join(decode(ByteStream(io.BytesIO(text), "text"), encoding)))
    assert decoded > 1000


def test_a_given_alphabet_is_used_or_extended() -> None:
    alphabet = Alphabet("cba")
    corpus = read_corpus(write("text", b"aaa"), alphabet=alphabet)
    assert corpus.alphabet is alphabet
    np.testing.assert_array_equal(corpus.indices, [2, 2, 2])
    many = "".join(map(chr, range(0x4E00, 0x4E00 + 300)))
    write("text", f"béaéb{many}".encode())
    corpus = read_corpus("text", alphabet=Alphabet("ab"), extend=True)
    assert corpus.alphabet == Alphabet("abé" + many)
    np.testing.assert_array_equal(corpus.indices, [1, 2, 0, 2, 1, *range(3, 303)])
    with_symbol = Alphabet("ab�", has_unknown=True)
    assert read_corpus("text", alphabet=with_symbol, extend=True).alphabet is with_symbol


def test_a_corpus_is_taken_as_it_is_or_encoded_again() -> None:
    corpus = Corpus.from_text("abab")
    assert read_corpus(corpus) is corpus
    assert read_corpus(corpus, alphabet=Alphabet("cba")).text == "abab"
    assert read_corpus(corpus, min_count=1).alphabet.has_unknown


ENCODINGS = [
    "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-7", "latin-1", "cp1252", "ascii",
    "shift_jis", "gb18030", "big5", "euc_kr", "iso2022_jp",
]  # fmt: skip


def decode_in_chunks(data: bytes, encoding: str, size: int) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "CHUNK_SIZE", size)
        return "".join(decode(ByteStream(io.BytesIO(data), "'x'"), encoding))


@pytest.mark.parametrize("encoding", ENCODINGS)
@settings(max_examples=40)
@given(text=st.text(st.sampled_from("ab\r\n\0é漢字かな한글🐈\ufeff")), size=st.integers(4, 9))
def test_a_text_in_pieces_is_the_text_whole(encoding: str, text: str, size: int) -> None:
    data = text.encode(encoding, "ignore")
    assert decode_in_chunks(data, encoding, size) == data.decode(encoding).removeprefix("\ufeff")


@pytest.mark.parametrize("encoding", sorted({*ENCODINGS} - {"utf-8-sig", "iso2022_jp"}))
@settings(max_examples=40)
@given(data=st.binary(max_size=30), size=st.integers(4, 9))
def test_any_bytes_in_chunks_are_read_or_rejected_as_they_are_at_once(encoding: str, data: bytes, size: int) -> None:
    try:
        expected = data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        with pytest.raises(ElmanError, match=f"^byte 0x{data[error.start]:02x} at offset {error.start} of 'x'"):
            decode_in_chunks(data, encoding, size)
    else:
        assert decode_in_chunks(data, encoding, size) == expected


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
def test_an_unusual_text_is_trained_on_and_preserved_exactly(command: Command, text: str, encoding: str) -> None:
    write("text", text.encode(encoding))
    run = elman.train("text", out="run", encoding=encoding, keep_crlf=True, **EXACT | {"max_updates": 15})
    assert run.corpus.text == text
    assert json.loads(Path("run/run.json").read_text())["alphabet"] == Alphabet.from_text(text).characters
    model = elman.load("run")
    assert model.alphabet == run.corpus.alphabet
    assert set(model.sample(30, seed=1)) <= set(text)
    assert model.score(text).chars == len(text) - 1
    assert command("train", "text", "--out", "run", "--resume", "--max-updates", 16).code == 0
    assert command("sample", "run", "--length", "20", "--seed", 1).code == 0


# --- Samples of a long text ---


@given(st.text("ab\n", min_size=1, max_size=600), st.integers(1, 400), st.integers(1, 300))
def test_a_sample_is_pieces_of_the_text_in_order(text: str, max_chars: int, size: int) -> None:
    """However the text arrives: pieces that end with a line feed or are as long as possible."""
    chunks = [text[n : n + size] for n in range(0, len(text), size)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "MIN_PIECE", 5)
        whole, _ = sample_chunks([text], max_chars)
        kept, sampled = sample_chunks(chunks, max_chars)
    kept = list(kept)
    assert kept == list(whole)
    assert sampled == (None if len(text) <= max_chars else SampledText(len(text), len(kept)))
    assert "".join(kept) == text if sampled is None else 0 < len("".join(kept)) <= max_chars
    position = 0
    for piece in kept:
        position = text.index(piece, position) + len(piece)


def test_the_pieces_of_a_sample_are_spread_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PIECE", 10)
    for lines in (100, 641, 1000, 4000):
        numbers = [f"{n:09}\n" for n in range(lines)]
        kept, sampled = sample_chunks(numbers, 640)
        found = [int(piece) for piece in kept]
        assert sampled == SampledText(10 * lines, len(found))
        assert 32 < len(found) <= 64
        gaps = np.diff([-1, *found, lines])
        assert max(gaps) <= 4 * lines / len(found)
        assert sorted(found) == found


@pytest.mark.parametrize(("lines", "masker"), [(False, None), (True, None), (True, Masker("numbers"))])
def test_a_sample_has_the_hash_of_the_complete_text(lines: bool, masker: Masker | None) -> None:
    data = "".join(f"node {n} is up\r\n" for n in range(300)).encode()
    write("plain.txt", data)
    write("compressed.txt.gz", gzip.compress(data))
    options: dict[str, Any] = {"lines": lines, "masker": masker, "max_chars": 2100, "keep_crlf": True}
    plain, compressed, opened = (
        read_corpus(source, **options) for source in ("plain.txt", "compressed.txt.gz", io.BytesIO(data))
    )
    assert plain.text == compressed.text == opened.text
    assert plain.sampled == compressed.sampled == opened.sampled
    assert plain.sampled is not None
    assert plain.sha256 == compressed.sha256 == opened.sha256 == sha256(data)
    assert len(plain.indices) <= 2100
    assert read_corpus(Corpus.from_text(data.decode()), **options).text == plain.text
    assert read_corpus("plain.txt", **options | {"max_chars": len(data)}).sampled is None


@pytest.mark.parametrize("line", [b"a line of a long text\n", b"no newline at all, not"], ids=["lines", "one line"])
@pytest.mark.parametrize("is_open", [False, True], ids=["path", "text file"])
def test_a_long_text_is_sampled_in_little_memory(monkeypatch: pytest.MonkeyPatch, is_open: bool, line: bytes) -> None:
    """Neither the text, of which nearly all is kept, nor a copy of it is ever held as a string."""
    monkeypatch.setattr(corpora, "LARGE", 1 << 20)
    write("long.txt", line * 1_000_000)
    tracemalloc.start()
    with Path("long.txt").open() as file:
        corpus = read_corpus(file if is_open else "long.txt", max_chars=20_000_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert corpus.sampled is not None
    assert len(corpus.indices) > 10_000_000
    assert peak < 10_000_000


def test_the_text_of_a_field_is_sampled() -> None:
    write("records.jsonl", "".join(json.dumps({"text": f"record {n}", "id": n}) + "\n" for n in range(600)).encode())
    corpus = read_corpus("records.jsonl", field="text", max_chars=3000)
    assert corpus.sampled is not None
    assert all(re.fullmatch(r"record \d+", line) for line in corpus.text.splitlines())


# --- Compressed files ---


def compress_zstd(data: bytes) -> bytes:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        zstd = pytest.importorskip("backports.zstd")
    return bytes(zstd.compress(data))


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": compress_zstd,
}


@pytest.mark.parametrize("name", formats.COMPRESSIONS)
def test_compressed_files_are_read(name: str) -> None:
    compress = COMPRESS[name]
    write("text", compress(DATA) + compress(b"the end"))
    corpus = read_corpus("text", encoding="latin-1")
    assert (corpus.text, corpus.sha256) == (PLAIN + "the end", sha256(DATA + b"the end"))
    assert "".join(JoinedText("text")) == PLAIN + "the end"
    data = compress(np.random.default_rng(1).integers(32, 127, 5000, np.uint8).tobytes())
    write("text", data[: len(data) // 2])
    assert refused("text") == f"'text' is a truncated {name} file"
    write("text", data[:10] + bytes(byte ^ 0x55 for byte in data[10:99]) + data[99:])
    assert refused("text").startswith(f"'text' is a corrupt {name} file (")


def test_a_compressed_text_arrives_in_pieces() -> None:
    class Slow(io.BytesIO):
        def read1(self, size: int | None = -1) -> bytes:
            return self.read(1)

    assert "".join(JoinedText(Slow(gzip.compress(DATA)))) == PLAIN
    assert "".join(JoinedText(Slow(b"BZh, said the bee"))) == "BZh, said the bee"


def test_zstd_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.version_info >= (3, 14):
        pytest.skip("in the standard library")
    monkeypatch.setitem(sys.modules, "backports", None)
    assert "pip install 'elman[zstd]'" in refused(write("text", b"\x28\xb5\x2f\xfd"))


@pytest.mark.parametrize("data", [DATA, gzip.compress(DATA)], ids=["text", "gzip"])
def test_a_disk_that_fails_is_no_corrupt_file(data: bytes) -> None:
    class Broken(io.BytesIO):
        def read1(self, size: int | None = -1) -> bytes:
            if self.tell():
                raise OSError(5, "Input/output error")
            return super().read1(20)

    assert refused(Broken(data)) == "cannot read 'file' to the end (Input/output error)"


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"PK\x03\x04" + NOISE, "is a ZIP archive (.zip, .docx, .epub, .odt, …), not text: extract the text first"),
        (b"%PDF-1.7\n", "is a PDF document, not text: extract the text first, as with pdftotext"),
        (b"\x89PNG\r\n\x1a\n" + NOISE, "is a PNG image, not text"),
        (b"\x7fELF" + NOISE, "is an executable or a library, not text"),
        (b"7z\xbc\xaf\x27\x1c" + NOISE, "is a 7-Zip archive, not text: extract the text first"),
        (NOISE, "is a binary file, not text"),
        (np.arange(999, dtype="<i4").tobytes(), "is a binary file, not text"),
        (PLAIN.encode("utf-16-le"), "appears to be UTF-16: pass encoding='utf-16-le'"),
        (PLAIN.encode("utf-16-be"), "appears to be UTF-16: pass encoding='utf-16-be'"),
    ],
)
def test_binary_files_are_refused_as_what_they_are(data: bytes, what: str, encoding: str) -> None:
    assert refused(write("x", data), encoding=encoding) == f"'x' {what}"
    assert refused(write("x", gzip.compress(data)), encoding=encoding) == f"'x' {what}"


def test_an_archive_is_refused() -> None:
    write("a.txt")
    with tarfile.open("a.tar.xz", "w:xz") as archive:
        archive.add("a.txt")
    assert refused("a.tar.xz").startswith("'a.tar.xz' is a tar archive")


@pytest.mark.parametrize(
    "text", ["\0".join(PLAIN.split()), "\x1b[1mbold\x1b[0m\n" * 9, "a\0b", "MZ, said the fly", "BZh"]
)
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_texts_with_control_characters_are_read(text: str, encoding: str) -> None:
    assert read_corpus(write("x", text.encode(encoding)), encoding=encoding).text == text


def test_files_are_joined_at_line_ends(folder: Path) -> None:
    parts = [b"one", b"", b"two\n", b"three\r", b"four"]
    paths = [write(f"{n}.txt", data) for n, data in enumerate(parts)]
    corpus, kept = read_corpus(paths), read_corpus(paths, keep_crlf=True)
    assert (corpus.text, kept.text) == ("one\ntwo\nthree\nfour", "one\ntwo\nthree\rfour")
    assert (corpus.name, corpus.skipped) == ("0.txt and 4 more", 0)
    assert corpus.sha256 == kept.sha256 == sha256(kept.text.encode())
    assert corpus.files == tuple(TextFile(str(folder / path), sha256(path.read_bytes())) for path in paths)
    assert "".join(JoinedText(paths)) == corpus.text
    single = read_corpus(["0.txt"])
    assert (single.name, single.text, single.sha256) == ("0.txt", "one", single.files[0].sha256)
    corpus = read_corpus([write(name, name.encode("utf-16")) for name in "ab"], encoding="utf-16")
    assert (corpus.text, corpus.encoding) == ("a\nb", "utf-16")  # each has a byte order mark


def test_open_files_are_read() -> None:
    write("a.txt", "dåligt väder\r\n".encode())
    write("a.gz", gzip.compress(DATA))
    with Path("a.txt").open(encoding="utf-8", newline="") as file:
        corpus = read_corpus(file, encoding="latin-1")
    assert (corpus.name, corpus.text, corpus.encoding, corpus.files) == ("a.txt", "dåligt väder\r\n", "utf-8", ())
    assert corpus.sha256 == read_corpus("a.txt").sha256
    with Path("a.gz").open("rb") as compressed_file:
        assert read_corpus([io.StringIO("one"), compressed_file]).text == "one\n" + PLAIN
    assert read_corpus(io.BytesIO(DATA)).text == PLAIN
    assert "closed file" in refused(compressed_file)
    with Path("new").open("w", encoding="utf-8") as unreadable:
        assert refused(unreadable) == "cannot read 'new' (not readable)"
    with write("latin", b"caf\xe9").open(encoding="utf-8") as file:
        assert refused(file).startswith("cannot read 'latin' ('utf-8' codec can't decode byte 0xe9")
