"""Sources of a corpus: several files, directories, patterns, open files, compressed files, and what is no text."""

import bz2
import gzip
import hashlib
import io
import lzma
import os
import re
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elman.errors import ElmanError
from elman.text import Alphabet, Corpus, TextFile, compressed, read_chunks, read_corpus

TEXT = "It was a dark and stormy night;\nthe rain fell in torrents.\n"
DATA = TEXT.encode()
NOISE = np.random.default_rng(1).bytes(3000)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write(name: str, data: bytes = DATA) -> Path:
    """Write a file, in the directory that its name says."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def refused(source: Any, **options: Any) -> str:
    """Return the one line with which a source is refused."""
    with pytest.raises(ElmanError) as raised:
        read_corpus(source, **options)
    line = str(raised.value)
    assert "\n" not in line
    assert len(line) < 400
    return line


# --- Several files ---


def test_files_are_joined_at_line_ends(folder: Path) -> None:
    parts = [b"one", b"", b"two\n", b"three\r", b"four"]
    paths = [write(f"{n}.txt", data) for n, data in enumerate(parts)]
    corpus = read_corpus(paths)
    assert corpus.text == "one\ntwo\nthree\rfour"
    assert (corpus.name, corpus.skipped) == ("0.txt and 4 more", 0)
    assert corpus.sha256 == sha256(corpus.text.encode())
    assert corpus.files == tuple(TextFile(str(folder / path), sha256(path.read_bytes())) for path in paths)
    assert "".join(read_chunks(paths)) == corpus.text


def test_a_single_file_is_read_as_it_is(folder: Path) -> None:
    write("a.txt", b"no line end")
    corpus = read_corpus(["a.txt"])
    assert (corpus.name, corpus.text, corpus.sha256) == ("a.txt", "no line end", corpus.files[0].sha256)


def test_every_file_may_begin_with_a_byte_order_mark() -> None:
    for name in "ab":
        write(name, name.encode("utf-16"))
    corpus = read_corpus(["a", "b"], encoding="utf-16")
    assert (corpus.text, corpus.encoding) == ("a\nb", "utf-16")


def test_a_directory_is_read_in_sorted_order(folder: Path) -> None:
    for name in ("b.txt", "a/2.md", "a/1.txt.gz", "run/run.json", "run/checkpoint.safetensors", ".git/x", ".hidden"):
        write(f"corpus/{name}", gzip.compress(b"1") if name.endswith("gz") else name.encode())
    for name, data in (("a/noise", NOISE), ("a/p.png", b"\x89PNG\r\n\x1a\n"), ("z.bin", bytes(99))):
        write(f"corpus/{name}", data)
    Path("corpus/again").symlink_to(folder / "corpus" / "a", target_is_directory=True)
    Path("corpus/link").symlink_to("b.txt")
    if hasattr(os, "mkfifo"):
        os.mkfifo("corpus/pipe")
    corpus = read_corpus("corpus")
    assert corpus.text == "1\na/2.md\nb.txt\nb.txt"
    assert (corpus.name, corpus.skipped) == ("corpus", 3)
    names = ["a/1.txt.gz", "a/2.md", "b.txt", "link"]
    assert [file.path for file in corpus.files] == [str(folder / "corpus" / name) for name in names]
    assert read_corpus(Path("corpus")).sha256 == read_corpus("../" + folder.name + "/corpus/").sha256 == corpus.sha256


def test_patterns_are_expanded(folder: Path) -> None:
    for name in ("b.txt", "a.txt", "deep/c.txt", "d.md", "noise.txt"):
        write(name, NOISE if name == "noise.txt" else name.encode())
    assert (read_corpus("*.txt").text, read_corpus("*.txt").skipped) == ("a.txt\nb.txt", 1)
    assert read_corpus("**/*.txt").text == "a.txt\nb.txt\ndeep/c.txt"
    write("[b].txt", b"as it is called")
    assert read_corpus("[b].txt").text == "as it is called"
    assert refused("*.rst") == "no file matches '*.rst'"


def test_a_pattern_matches_no_file_of_a_run() -> None:
    for name in ("a.txt", "run/run.json", "run/checkpoint.safetensors", "run/logs/1.txt", "deep/b.txt"):
        write(f"texts/{name}", name.encode())
    assert read_corpus("texts/**").text == read_corpus("texts").text == "a.txt\ndeep/b.txt"
    expected = ": run directories, such as 'texts/run', are skipped"
    assert refused("texts/*/*.json") == f"no file matches 'texts/*/*.json'{expected}"
    assert refused("texts/run") == f"there is no file in 'texts/run'{expected}"
    write("checkpoint.safetensors")
    assert read_corpus("texts/*.txt").text == "a.txt"


def test_what_there_is_nothing_of_is_refused() -> None:
    Path("empty").mkdir()
    assert refused("empty") == "there is no file in 'empty'"
    write("noise/1", NOISE)
    assert refused("noise") == "there is no text file in 'noise': all 1 files are binary"
    assert refused([]) == "the list of files is empty"
    assert refused("") == "the name of the text is empty"
    assert refused(["-", "-"]) == "standard input (-) can be read only once"
    write("a")
    assert refused(["a", "b"]).startswith("there is no file 'b'")
    expected = "none of the 2 files exists (the first: 'emma'); in Python, pass lines as elman.Corpus.from_lines(lines)"
    assert refused(["emma", "olivia"]) == expected


def test_a_file_of_another_encoding_in_a_directory_is_named() -> None:
    write("corpus/latin.txt", b"caf\xe9 " * 9)
    assert "at offset 3 of 'corpus/latin.txt' is not valid utf-8" in refused("corpus")
    assert read_corpus("corpus", encoding="latin-1").text == "café " * 9


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


@pytest.mark.parametrize("name", COMPRESS)
def test_compressed_files_are_read(name: str) -> None:
    compress = COMPRESS[name]
    write("text", compress(DATA) + compress(b"the end"))
    corpus = read_corpus("text", encoding="latin-1")
    assert (corpus.text, corpus.sha256) == (TEXT + "the end", sha256(DATA + b"the end"))
    assert "".join(read_chunks("text")) == TEXT + "the end"
    data = compress(np.random.default_rng(1).integers(32, 127, 5000, np.uint8).tobytes())
    write("text", data[: len(data) // 2])
    assert refused("text") == f"'text' is a truncated {name} file"
    write("text", data[:10] + bytes(byte ^ 0x55 for byte in data[10:99]) + data[99:])
    assert refused("text").startswith(f"'text' is a corrupt {name} file (")


def test_a_compressed_text_arrives_in_pieces() -> None:
    class Slow(io.BytesIO):
        def read1(self, size: int | None = -1) -> bytes:
            return self.read(1)

    assert "".join(read_chunks(Slow(gzip.compress(DATA)))) == TEXT
    assert "".join(read_chunks(Slow(b"BZh, said the bee"))) == "BZh, said the bee"


def test_zstd_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.version_info >= (3, 14):
        pytest.skip("in the standard library")
    monkeypatch.setitem(sys.modules, "backports", None)
    write("text", b"\x28\xb5\x2f\xfd")
    expected = (
        "zstd files require backports.zstd, which is not installed: pip install 'elman[zstd]', or pipe the output"
    )
    assert refused("text").startswith(expected)


def test_a_disk_that_fails_is_no_corrupt_file(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell():
                raise OSError(5, "Input/output error")
            return super().read(20 if size else 0)

    assert refused(Broken(gzip.compress(DATA))) == "cannot read 'file' to the end (Input/output error)"
    assert len(compressed.COMPRESSIONS) == len(COMPRESS)


# --- What is no text ---


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
        (TEXT.encode("utf-16-le"), "appears to be UTF-16: pass encoding utf-16-le"),
        (TEXT.encode("utf-16-be"), "appears to be UTF-16: pass encoding utf-16-be"),
    ],
)
def test_binary_files_are_refused_as_what_they_are(data: bytes, what: str, encoding: str) -> None:
    write("x", data)
    assert refused("x", encoding=encoding) == f"'x' {what}"
    write("x", gzip.compress(data))
    assert refused("x", encoding=encoding) == f"'x' {what}"


def test_an_archive_is_refused() -> None:
    write("a.txt")
    with tarfile.open("a.tar.xz", "w:xz") as archive:
        archive.add("a.txt")
    expected = "'a.tar.xz' is a tar archive, not text: extract it first (tar -xf) and pass the directory"
    assert refused("a.tar.xz") == expected


@pytest.mark.parametrize(
    "text", ["\0".join(TEXT.split()), "\x1b[1mbold\x1b[0m\n" * 9, "a\0b", "MZ, said the fly", "BZh"]
)
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_texts_with_control_characters_are_read(text: str, encoding: str) -> None:
    write("x", text.encode(encoding))
    assert read_corpus("x", encoding=encoding).text == text


# --- In Python ---


def test_open_files_are_read(folder: Path) -> None:
    write("a.txt", "dåligt väder\r\n".encode())
    write("a.gz", gzip.compress(DATA))
    with Path("a.txt").open(encoding="utf-8", newline="") as file:
        corpus = read_corpus(file, encoding="latin-1")
    assert (corpus.name, corpus.text, corpus.encoding, corpus.files) == ("a.txt", "dåligt väder\r\n", "utf-8", ())
    assert corpus.sha256 == read_corpus("a.txt").sha256
    with Path("a.gz").open("rb") as compressed_file:
        assert read_corpus([io.StringIO("one"), compressed_file]).text == "one\n" + TEXT
    assert read_corpus(io.BytesIO(DATA)).text == TEXT
    assert "closed file" in refused(compressed_file)
    with Path("new").open("w", encoding="utf-8") as unreadable:
        assert refused(unreadable) == "cannot read 'new' (not readable)"
    write("latin", b"caf\xe9")
    with Path("latin").open(encoding="utf-8") as file:
        assert refused(file).startswith("cannot read 'latin' ('utf-8' codec can't decode byte 0xe9")


def test_a_corpus_and_lines_are_taken() -> None:
    corpus = Corpus.from_text("abab")
    assert read_corpus(corpus) is corpus
    assert read_corpus(corpus, alphabet=Alphabet("cba")).text == "abab"
    assert read_corpus(corpus, min_count=1).alphabet.has_unknown
    assert Corpus.from_lines(["emma", "olivia\n", ""]).text == "emma\nolivia\n\n"
    assert Corpus.from_lines(line for line in ("emma", "olivia")).text == "emma\nolivia\n"


@pytest.mark.parametrize(
    ("make", "value", "problem"),
    [
        (Corpus.from_text, b"abc", "from_text requires a string (got bytes)"),
        (Corpus.from_text, None, "from_text requires a string (got NoneType)"),
        (Corpus.from_lines, [1, 2], "from_lines requires a list of strings (it contains 1)"),
        (
            Corpus.from_lines,
            "emma\nolivia",
            r"from_lines requires a list of strings (got 'emma\nolivia'): for a text use Corpus.from_text or"
            " text.splitlines()",
        ),
        (
            Corpus.from_lines,
            7,
            "from_lines requires a list of strings (got 7): for a text use Corpus.from_text or text.splitlines()",
        ),
    ],
)
def test_what_is_no_text_in_memory_is_refused(make: Callable[[Any], Corpus], value: Any, problem: str) -> None:
    with pytest.raises(ElmanError, match=f"^{re.escape('Corpus.' + problem)}$"):
        make(value)


def test_what_is_no_source_is_refused_briefly() -> None:
    long = TEXT * 4000
    expected = (
        "a text of 236,000 characters is not the name of a file: pass a file, or in Python elman.Corpus.from_text"
    )
    assert refused(long) == f"{expected}(text)"
    assert "a text of 300 characters" in refused("x" * 300)
    assert refused(DATA).startswith(
        "a corpus must be a path, a list of paths, an open file or an elman.Corpus (got bytes)"
    )
    assert "(got int)" in refused(7)
    assert refused("https://example.org/a b.txt").endswith("download it first: curl -LO 'https://example.org/a b.txt'")
    assert re.fullmatch(r"https://x{42}….* is a URL; download it first: curl -LO URL", refused("https://" + "x" * 240))
