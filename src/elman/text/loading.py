"""Reading texts: one corpus of one or several files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any

from elman.errors import ElmanError, quote
from elman.text.alphabet import Alphabet
from elman.text.binary import BinaryFileError, check_not_binary
from elman.text.compressed import PeekedStream, decompress
from elman.text.corpus import Corpus, TextFile, encode_chunks
from elman.text.decoding import CHUNK_SIZE, DecodingStream
from elman.text.lines import trim_chunks
from elman.text.sources import STANDARD_INPUT, Source, TextInput, list_inputs
from elman.text.unknown import replace_rare


def read_corpus(
    source: Source | Sequence[Source] | Corpus,
    *,
    encoding: str = "utf-8",
    alphabet: Alphabet | None = None,
    extend: bool = False,
    min_count: int = 0,
    lines: bool = False,
) -> Corpus:
    """Read a text from one or several files.

    Parameters
    ----------
    source : str, path, open file, list of these, or Corpus
        The string ``-`` is standard input, and the name of a built-in text is that text, even
        if the current directory contains a file of that name: write ``./shakespeare`` for the file.
        Every other string and every path object is a file, which may be a pipe, or a directory; a string that is
        neither may be a glob pattern. Of a directory and of what a pattern matches, all text files are read, in sorted
        order and recursively; binary files are skipped and counted, and hidden files and run directories are skipped.
        A file may be compressed with gzip, bzip2, xz or Zstandard. The texts of several files are joined, with a
        line feed after each one that does not end with a line feed or a carriage return.
    encoding : str
        The encoding of the files; built-in texts are always UTF-8, and so is an open text file.
    alphabet : Alphabet, optional
        The alphabet to encode the text with, such as that of a trained model; by default, that of the text.
    extend : bool
        With `alphabet`: append characters that it lacks, in order of first appearance, unless it has an unknown symbol.
    min_count : int
        Without `alphabet`: replace characters that occur fewer times by one unknown symbol; 0 adds no such symbol. See
        `elman.text.replace_rare`.
    lines : bool
        Drop the carriage returns at the ends of lines, as a model of independent lines needs it.

    Raises
    ------
    ElmanError
        If a source cannot be read or decoded; if the text is empty; without `alphabet`, if it has a single distinct
        character; with `alphabet`, if it contains an unknown character that is neither appended nor replaced.
    """
    if isinstance(source, Corpus):
        has_returns = lines and source.line_starts is None and "\r" in source.alphabet.characters
        corpus = _encode_again(source, alphabet, extend, lines) if alphabet is not None or has_returns else source
    else:
        corpus = _read(source, encoding, alphabet, extend, lines)
    return corpus if alphabet is not None else replace_rare(corpus, min_count)


def read_chunks(source: Source | Sequence[Source], *, encoding: str = "utf-8") -> Iterator[str]:
    """Yield a text in chunks; of a pipe, whatever has arrived, without waiting for more.

    Parameters
    ----------
    source, encoding
        As in `read_corpus`.

    Raises
    ------
    ElmanError
        If a source cannot be read or decoded.
    """
    yield from JoinedText(*list_inputs(source), encoding, live=True)


def _read(
    source: Source | Sequence[Source], encoding: str, alphabet: Alphabet | None, extend: bool, lines: bool
) -> Corpus:
    name, inputs = list_inputs(source)
    text = JoinedText(name, inputs, encoding)
    chunks = trim_chunks(text) if lines else text
    used_alphabet, indices = encode_chunks(chunks, _given_name(source, name), alphabet, extend)
    return Corpus(name, used_alphabet, indices, text.sha256, text.encoding, text.files, text.skipped)


def _given_name(source: Source | Sequence[Source], name: str) -> str:
    """Return the path of a text as it was given, or else its name."""
    given = source[0] if isinstance(source, list | tuple) and len(source) == 1 else source
    return os.fspath(given) if isinstance(given, str | os.PathLike) else name


def _encode_again(corpus: Corpus, alphabet: Alphabet | None, extend: bool, lines: bool) -> Corpus:
    chunks: Iterable[str] = (corpus.alphabet.decode(chunk) for chunk in corpus.chunks())
    if corpus.alphabet.has_unknown:  # it has replaced rare characters already
        alphabet = alphabet or corpus.alphabet
    used_alphabet, indices = encode_chunks(trim_chunks(chunks) if lines else chunks, corpus.name, alphabet, extend)
    return Corpus(corpus.name, used_alphabet, indices, corpus.sha256, corpus.encoding, corpus.files, corpus.skipped)


class JoinedText:
    """The text of several files, as an iterable of chunks that can be consumed once.

    Parameters
    ----------
    name : str
        Name of the text in error messages.
    inputs : sequence of TextInput
    encoding : str
    live : bool
        Whether to yield what a pipe has delivered, without waiting for more.

    """

    def __init__(self, name: str, inputs: Sequence[TextInput], encoding: str, live: bool = False) -> None:
        self.name, self.inputs, self.live = name, inputs, live
        self.encoding = inputs[0].encoding or encoding if len(inputs) == 1 else encoding
        self.skipped = 0
        self._files: list[TextFile] = []
        self._hash = hashlib.sha256()
        self._last = ""

    @property
    def files(self) -> tuple[TextFile, ...]:
        """The files read so far; none if an open file, which has no path, is among them."""
        return tuple(self._files) if all(file.path for file in self._files) else ()

    @property
    def sha256(self) -> str:
        """SHA-256, in hexadecimal, of the bytes of the files read so far, with the line feeds between them."""
        return self._files[0].sha256 if len(self.inputs) == 1 else self._hash.hexdigest()

    def __iter__(self) -> Iterator[str]:
        for each in self.inputs:
            with each.open() as stream:
                try:
                    peeked = PeekedStream(_Readable(stream, self.live, each.name), CHUNK_SIZE)
                    content = PeekedStream(decompress(peeked, each.name, self.live), CHUNK_SIZE)
                    check_not_binary(content.head, each.encoding or self.encoding, _label(each))
                except BinaryFileError:
                    if not each.found:
                        raise
                    self.skipped += 1
                    continue
                yield from self._read(each, content)
        if self.skipped == len(self.inputs):
            raise ElmanError(f"there is no text file in {quote(self.name)}: all {self.skipped} files are binary")

    def _read(self, source: TextInput, content: PeekedStream) -> Iterator[str]:
        """Yield the text of one file, after a line feed where the one before does not end with a line end."""
        if content.head and self._last and self._last not in "\n\r":
            self._hash.update(b"\n")
            yield "\n"
        total = self._hash if len(self.inputs) > 1 else None
        text = DecodingStream(content, source.encoding or self.encoding, source.name, total)
        for chunk in text:
            self._last = chunk[-1:] or self._last
            yield chunk
        self._files.append(TextFile(source.path, text.sha256))


def _label(source: TextInput) -> str:
    """Return the name of a file as error messages have it."""
    return source.name if source.path == STANDARD_INPUT else quote(source.name)


class _Readable:
    """A stream whose reads return what is available, if it is live; see `elman.text.decoding.Readable`."""

    def __init__(self, stream: IO[bytes], live: bool, name: str) -> None:
        self.name = name
        self._read: Any = getattr(stream, "read1", stream.read) if live else stream.read

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes; none at the end."""
        try:
            return bytes(self._read(size))
        except OSError as error:
            raise ElmanError(f"cannot read {quote(self.name)} to the end ({error.strerror})") from error
