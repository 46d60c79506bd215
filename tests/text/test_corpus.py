"""Corpora: a text is exactly what its bytes encode, and everything else is refused in one line."""

import hashlib
import io
import re
import sys
import tracemalloc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from elman.errors import ElmanError
from elman.text import Alphabet, Corpus, read_corpus
from elman.text.datasets import load_builtin


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def line(message: str) -> str:
    """Return the pattern of exactly this message."""
    return f"^{re.escape(message)}$"


def test_a_file_is_read(folder: Path) -> None:
    data = "hej då\n".encode()
    path = folder / "novel.txt"
    path.write_bytes(data)
    corpus = read_corpus(path)
    assert corpus.name == "novel.txt"
    assert corpus.text == "hej då\n"
    assert corpus.alphabet == Alphabet("hej då\n")
    assert corpus.indices.dtype == np.uint8
    assert corpus.sha256 == hashlib.sha256(data).hexdigest()
    assert corpus.encoding == "utf-8"


def test_a_text_in_memory() -> None:
    corpus = Corpus.from_text("abcab", name="letters")
    assert (corpus.name, corpus.text, corpus.encoding) == ("letters", "abcab", "utf-8")
    np.testing.assert_array_equal(corpus.indices, [0, 1, 2, 0, 1])
    assert corpus.sha256 == hashlib.sha256(b"abcab").hexdigest()


def test_a_lone_surrogate_in_memory() -> None:
    assert Corpus.from_text("a\ud800").text == "a\ud800"


@pytest.mark.parametrize("text", ["a\r\nb\rc\nd", "a\0b", "naïve 🐈", "a\ufeffb", "\u4e00\u4e01" * 9])
def test_a_text_is_kept_exactly(folder: Path, text: str) -> None:
    Path("text").write_bytes(text.encode())
    assert read_corpus("text").text == text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_one_leading_byte_order_mark_is_dropped(encoding: str) -> None:
    written = "utf-8" if encoding == "utf-8-sig" else encoding
    mark = "" if encoding == "utf-16" else "\ufeff"
    Path("text").write_bytes(f"{mark}ab".encode(written))
    assert read_corpus("text", encoding=encoding).text == "ab"


def test_another_encoding() -> None:
    Path("text").write_bytes(b"caf\xe9")
    corpus = read_corpus("text", encoding="latin-1")
    assert (corpus.text, corpus.encoding) == ("café", "latin-1")


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"a\r\nb")))
    corpus = read_corpus("-")
    assert (corpus.name, corpus.text) == ("-", "a\r\nb")


def test_a_given_alphabet_is_used() -> None:
    Path("text").write_bytes(b"aaa")
    alphabet = Alphabet("cba")
    corpus = read_corpus("text", alphabet=alphabet)
    assert corpus.alphabet is alphabet
    np.testing.assert_array_equal(corpus.indices, [2, 2, 2])


def test_a_character_outside_a_given_alphabet_is_refused() -> None:
    Path("text").write_bytes(b"abc")
    with pytest.raises(ElmanError, match=r"^'c' \(U\+0063\) is not among the model's 2 characters"):
        read_corpus("text", alphabet=Alphabet("ab"))


def test_an_alphabet_is_extended_by_what_it_does_not_have() -> None:
    many = "".join(map(chr, range(0x4E00, 0x4E00 + 300)))
    Path("text").write_text("béaéb" + many, encoding="utf-8")
    corpus = read_corpus("text", alphabet=Alphabet("ab"), extend=True)
    assert corpus.alphabet == Alphabet("abé" + many)
    assert corpus.text == "béaéb" + many
    np.testing.assert_array_equal(corpus.indices, [1, 2, 0, 2, 1, *range(3, 303)])
    with_symbol = Alphabet("ab�", has_unknown=True)
    assert read_corpus("text", alphabet=with_symbol, extend=True).alphabet is with_symbol


def test_a_builtin_is_utf8_whatever_the_encoding() -> None:
    corpus = read_corpus("python-docs", encoding="latin-1")
    data = load_builtin("python-docs")
    assert (corpus.name, corpus.encoding) == ("python-docs", "utf-8")
    assert corpus.text == data.decode("utf-8")
    assert corpus.sha256 == hashlib.sha256(data).hexdigest()


def test_a_builtin_wins_over_a_file_and_a_path_over_both(folder: Path) -> None:
    for name in ("python-docs", "-"):
        Path(name).write_bytes(b"of my own")
        assert read_corpus(Path(name)).text == "of my own"
        assert read_corpus(f"./{name}").text == "of my own"
        assert read_corpus(str(folder / name)).text == "of my own"
    assert read_corpus("python-docs").text != "of my own"


def test_a_megabyte_costs_little_memory() -> None:
    Path("text").write_bytes(b"The quick brown fox.\n" * 52_740)
    tracemalloc.start()
    try:
        read_corpus("text")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10e6


def test_a_missing_file_names_its_like(folder: Path) -> None:
    for name in ("novel.txt", "novels.txt", "unrelated"):
        (folder / name).touch()
    expected = "there is no file 'nvel.txt': did you mean 'novel.txt' or 'novels.txt'?"
    with pytest.raises(ElmanError, match=line(expected)):
        read_corpus("nvel.txt")
    expected = f"there is no file '{folder / 'novl.txt'}': did you mean '{folder / 'novel.txt'}'"
    with pytest.raises(ElmanError, match=f"^{re.escape(expected)}"):
        read_corpus(folder / "novl.txt")


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need a privilege there")
def test_a_broken_link_is_named_as_one() -> None:
    Path("link").symlink_to("nowhere")
    with pytest.raises(ElmanError, match=r"^'link' is a link to 'nowhere', which does not exist$"):
        read_corpus("link")


def test_a_misspelt_builtin_is_named() -> None:
    expected = "there is no file 'shakespear': did you mean 'shakespeare'?"
    with pytest.raises(ElmanError, match=line(expected)):
        read_corpus("shakespear")


@pytest.mark.parametrize("path", ["1984", "no-such-folder/1984"])
def test_a_missing_file_like_no_other(path: str) -> None:
    expected = (
        f"there is no file '{path}': use a file, - for standard input, or a built-in text (python-docs, shakespeare)"
    )
    with pytest.raises(ElmanError, match=line(expected)):
        read_corpus(path)


def test_a_directory_without_a_file() -> None:
    Path("novels").mkdir()
    expected = "there is no file in 'novels'"
    with pytest.raises(ElmanError, match=line(expected)):
        read_corpus("novels")


def test_a_file_that_may_not_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    # Not by its permissions: the superuser, who runs many a test, reads everything.
    def refuse(path: Path, mode: str) -> object:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(Path, "open", refuse)
    expected = "cannot read 'novel.txt' (Permission denied)"
    with pytest.raises(ElmanError, match=line(expected)):
        read_corpus("novel.txt")


def test_a_text_in_place_of_a_path() -> None:
    expected = (
        "a text of 10,500 characters is not the name of a file: pass a file, or in Python elman.Corpus.from_text(text)"
    )
    with pytest.raises(ElmanError, match=line(expected)):
        read_corpus("It was a dark night.\n" * 500)


@pytest.mark.parametrize("data", [b"", "\ufeff".encode()])
@pytest.mark.parametrize("alphabet", [None, Alphabet("ab")])
def test_an_empty_text(data: bytes, alphabet: Alphabet | None) -> None:
    Path("novel.txt").write_bytes(data)
    expected = "'novel.txt' is empty: use a text of at least two characters"
    with pytest.raises(ElmanError, match=line(expected)):
        read_corpus("novel.txt", alphabet=alphabet)


def test_a_single_distinct_character() -> None:
    expected = (
        r"'text' has a single distinct character, '\n', so there is nothing to learn:"
        " use a text of at least two"
    )
    with pytest.raises(ElmanError, match=line(expected)):
        Corpus.from_text("\n\n\n")
    Path("text").write_bytes(b"\n\n\n")
    with pytest.raises(ElmanError, match=line(expected)):
        read_corpus("text")


def test_bytes_that_are_not_of_the_encoding() -> None:
    Path("novel.txt").write_bytes(b"caf\xe9!")
    expected = (
        "byte 0xe9 at offset 3 of 'novel.txt' is not valid utf-8: pass the encoding of the text,"
        " such as encoding latin-1 or encoding cp1252"
    )
    with pytest.raises(ElmanError, match=line(expected)):
        read_corpus("novel.txt")


def test_utf16_is_recognised() -> None:
    Path("novel.txt").write_bytes("café".encode("utf-16"))
    with pytest.raises(ElmanError, match=r"pass the encoding of the text, such as encoding utf-16$"):
        read_corpus("novel.txt")


@pytest.mark.parametrize("encoding", ["utf-9", "rot13"])
def test_an_unknown_encoding(encoding: str) -> None:
    Path("novel.txt").write_bytes(b"ab")
    expected = f"unknown text encoding {encoding!r}: use utf-8, latin-1, cp1252 or another of Python's encodings"
    with pytest.raises(ElmanError, match=line(expected)):
        read_corpus("novel.txt", encoding=encoding)


@pytest.mark.parametrize(
    "indices",
    [np.full(9, 2, np.uint8), np.zeros((3, 3), np.uint8), np.zeros(9, np.int64)],
    ids=["beyond K", "2-D", "signed"],
)
def test_indices_that_are_none_are_refused(indices: Any) -> None:
    """They would lead compiled kernels outside their arrays."""
    with pytest.raises(ElmanError, match=r"^corpus indices must be one-dimensional, unsigned and below 2 "):
        Corpus("x", Alphabet("ab"), indices, "0", "utf-8")


@pytest.mark.parametrize("encoding", ["undefined", "a\0b"])
def test_an_encoding_that_is_none_is_refused(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "text").write_bytes(b"ab")
    with pytest.raises(ElmanError, match=r"^unknown text encoding "):
        read_corpus(tmp_path / "text", encoding=encoding)


def test_a_name_with_a_zero_byte_is_refused() -> None:
    with pytest.raises(ElmanError, match=r"^cannot read 'a\\x00b' \("):
        read_corpus("a\0b")
