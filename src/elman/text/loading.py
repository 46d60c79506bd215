"""Reading texts from files and pipes, standard input, and built-in texts."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from elman.errors import ElmanError, quote
from elman.text.alphabet import Alphabet
from elman.text.corpus import Corpus, encode_chunks
from elman.text.datasets import BUILTIN_CORPORA, load_builtin
from elman.text.decoding import DecodingStream
from elman.text.unknown import replace_rare


def read_corpus(
    source: str | os.PathLike[str],
    *,
    encoding: str = "utf-8",
    alphabet: Alphabet | None = None,
    extend: bool = False,
    min_count: int = 0,
) -> Corpus:
    """Read a text from a file, from standard input, or from a built-in text.

    Parameters
    ----------
    source : str or path
        The string ``-`` is standard input, and the name of a built-in text is that text, even
        if the current directory contains a file of that name: write ``./shakespeare`` for the file.
        Everything else, and every path object, is a file; it may be a pipe, which is read to its end.
    encoding : str
        The encoding of the file or of standard input; built-in texts are always UTF-8.
    alphabet : Alphabet, optional
        The alphabet to encode the text with, such as that of a trained model; by default, that of the text.
    extend : bool
        With `alphabet`: append characters that it lacks, in order of first appearance, unless it has an unknown symbol.
    min_count : int
        Without `alphabet`: replace characters that occur fewer times by one unknown symbol; 0 adds no such symbol. See
        `elman.text.replace_rare`.

    Raises
    ------
    ElmanError
        If the source cannot be read or decoded; if it is empty; without `alphabet`, if it has a single distinct
        character; with `alphabet`, if it contains an unknown character that is neither appended nor replaced.
    """
    encoding = "utf-8" if _is_builtin(source) else encoding
    with _open_source(source) as (name, stream):
        text = DecodingStream(stream, encoding, name)
        used_alphabet, indices = encode_chunks(text, name, alphabet, extend)
    corpus = Corpus(name, used_alphabet, indices, text.sha256, encoding)
    return corpus if alphabet is not None else replace_rare(corpus, min_count)


def read_chunks(source: str | os.PathLike[str], *, encoding: str = "utf-8") -> Iterator[str]:
    """Yield a text in chunks; of a pipe, whatever has arrived, without waiting for more.

    Parameters
    ----------
    source, encoding
        As in `read_corpus`.

    Raises
    ------
    ElmanError
        If the source cannot be read or decoded.
    """
    encoding = "utf-8" if _is_builtin(source) else encoding
    with _open_source(source) as (name, stream):
        yield from DecodingStream(_Unbuffered(stream), encoding, name)


class _Unbuffered:
    """A stream whose reads return what is available; see `elman.text.decoding.Readable`."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream: Any = stream

    def read(self, size: int) -> bytes:
        """Return the available bytes, at most `size`; none at the end."""
        return bytes(self.stream.read1(size))


@contextmanager
def _open_source(source: str | os.PathLike[str]) -> Iterator[tuple[str, IO[bytes]]]:
    """Open a source; yield its name and a byte stream."""
    if source == "-":
        yield "-", open_standard_input()
    elif _is_builtin(source):
        yield str(source), BytesIO(load_builtin(str(source)))
    else:
        path = Path(source)
        with _open_file(path) as stream:
            yield path.name, stream


def open_standard_input() -> IO[bytes]:
    """Return standard input as a stream of bytes.

    Raises
    ------
    ElmanError
        If the parent process closed it.
    """
    if sys.stdin is None:
        raise ElmanError("standard input is closed: use a file")
    return sys.stdin.buffer


def _is_builtin(source: str | os.PathLike[str]) -> bool:
    """Whether a source is a built-in text, which is UTF-8 whatever encoding is passed."""
    return isinstance(source, str) and source in BUILTIN_CORPORA


def _open_file(path: Path) -> AbstractContextManager[IO[bytes]]:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise ElmanError(f"there is no file {quote(path)}: {_suggest_source(path)}") from None
    except IsADirectoryError:
        raise ElmanError(f"{quote(path)} is a directory: use a file in it") from None
    except ValueError as error:  # if the name contains a zero byte
        raise ElmanError(f"cannot read {quote(path)} ({error})") from None
    except OSError as error:
        raise ElmanError(f"cannot read {quote(path)} ({error.strerror})") from error


def _suggest_source(path: Path) -> str:
    """Return a hint for a missing file: files and corpora with a similar name, if there are any."""
    by_name = {name: name for name in BUILTIN_CORPORA}
    # Unlike iterdir, glob raises nothing in a directory that it cannot list.
    by_name |= {sibling.name: str(sibling) for sibling in path.parent.glob("*")}
    similar = difflib.get_close_matches(path.name, by_name)
    if similar:
        return f"did you mean {' or '.join(repr(by_name[name]) for name in similar)}?"
    return f"use a file, - for standard input, or a built-in text ({', '.join(BUILTIN_CORPORA)})"
