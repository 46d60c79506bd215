"""Reading texts: the bytes of one or several files are decompressed, decoded and joined to one corpus.

Decoding is strict and incremental: a text is never held in memory as a string.
"""

from __future__ import annotations

import codecs
import hashlib
import lzma
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

from elman.errors import ElmanError, quote
from elman.text.alphabet import Alphabet
from elman.text.corpus import Corpus, TextFile, encode_chunks
from elman.text.formats import COMPRESSIONS, begins_like_compressed, describe_binary
from elman.text.lines import trim_chunks
from elman.text.sources import Source, TextInput, list_inputs
from elman.text.unknown import replace_rare

CHUNK_SIZE = 1 << 20
"""Bytes read and decoded at a time."""

_BYTE_ORDER_MARK = "\ufeff"
_MARKS = {
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
}


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
        name, inputs = list_inputs(source)
        text = JoinedText(name, inputs, encoding)
        chunks = trim_chunks(text) if lines else text
        used_alphabet, indices = encode_chunks(chunks, text.label, alphabet, extend)
        corpus = Corpus(name, used_alphabet, indices, text.sha256, text.encoding, text.files, text.skipped)
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
    yield from JoinedText(*list_inputs(source), encoding)


def _encode_again(corpus: Corpus, alphabet: Alphabet | None, extend: bool, lines: bool) -> Corpus:
    chunks: Iterable[str] = (corpus.alphabet.decode(chunk) for chunk in corpus.chunks())
    if corpus.alphabet.has_unknown:  # it has replaced rare characters already
        alphabet = alphabet or corpus.alphabet
    used_alphabet, indices = encode_chunks(
        trim_chunks(chunks) if lines else chunks, quote(corpus.name), alphabet, extend
    )
    return replace(corpus, alphabet=used_alphabet, indices=indices, line_starts=None)


class JoinedText:
    """The text of several files, as an iterable of chunks that can be consumed once.

    Parameters
    ----------
    name : str
    inputs : sequence of TextInput
    encoding : str
    """

    def __init__(self, name: str, inputs: Sequence[TextInput], encoding: str) -> None:
        self.name, self.inputs = name, inputs
        self.label = inputs[0].label if len(inputs) == 1 else quote(name)
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
            with each.open() as file:
                content = decompress(ByteStream(file, each.label))
                problem = describe_binary(content.head, each.encoding or self.encoding)
                if problem and not each.found:
                    raise ElmanError(f"{each.label} {problem}")
                if problem:
                    self.skipped += 1
                else:
                    yield from self._read(each, content)
        if self.skipped == len(self.inputs):
            raise ElmanError(f"there is no text file in {quote(self.name)}: all {self.skipped} files are binary")

    def _read(self, source: TextInput, content: ByteStream) -> Iterator[str]:
        """Yield the text of one file, after a line feed where the one before does not end with a line end."""
        if content.head and self._last and self._last not in "\n\r":
            self._hash.update(b"\n")
            yield "\n"
        own = hashlib.sha256()
        hashes = [own, self._hash] if len(self.inputs) > 1 else [own]
        for chunk in decode(content, source.encoding or self.encoding, hashes):
            self._last = chunk[-1:] or self._last
            yield chunk
        self._files.append(TextFile(source.path, own.hexdigest()))


class ByteStream:
    """The bytes of a file, of which the first are known before they are read.

    Parameters
    ----------
    file : binary file object
    label : str
        The file in error messages.
    compression : str
        Name of the format that `file` decompresses; empty if it is none.

    Raises
    ------
    ElmanError
        When the file is read, if it cannot be, or is truncated or corrupt.
    """

    def __init__(self, file: Any, label: str, compression: str = "") -> None:
        self.label, self.compression = label, compression
        # `read1` returns what has arrived, so that a line of a pipe can be scored as soon as it is there.
        self._read_file = getattr(file, "read1", file.read)
        self.head = self._read(CHUNK_SIZE)
        while begins_like_compressed(self.head) and (more := self._read(CHUNK_SIZE)):
            self.head += more
        self._rest = self.head

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes; none at the end."""
        if not self._rest:
            return self._read(size)
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def _read(self, size: int) -> bytes:
        try:
            return bytes(self._read_file(size))
        except EOFError:
            raise ElmanError(f"{self.label} is a truncated {self.compression} file") from None
        except Exception as error:
            if self.compression and _is_corrupt(error):
                raise ElmanError(f"{self.label} is a corrupt {self.compression} file ({error})") from None
            if not isinstance(error, OSError):
                raise
            raise ElmanError(f"cannot read {self.label} to the end ({error.strerror})") from error


def _is_corrupt(error: Exception) -> bool:
    """Whether a decompressor rejects its input; the OSError of gzip and bz2 has no number."""
    is_numbered = isinstance(error, OSError) and error.errno is not None
    is_rejection = isinstance(error, OSError | lzma.LZMAError | zlib.error) or type(error).__name__ == "ZstdError"
    return is_rejection and not is_numbered


def decompress(stream: ByteStream) -> ByteStream:
    """Return the content of a stream: decompressed if it is compressed, otherwise as it is."""
    for compression in COMPRESSIONS:
        if stream.head.startswith(compression.magic):
            return ByteStream(compression.open(stream), stream.label, compression.name)
    return stream


def decode(stream: ByteStream, encoding: str, hashes: Sequence[hashlib._Hash] = ()) -> Iterator[str]:
    """Yield the text of a stream in chunks, without a leading byte order mark.

    Parameters
    ----------
    stream : ByteStream
    encoding : str
    hashes : sequence of hash
        Are updated with the bytes.

    Raises
    ------
    ElmanError
        If the encoding is unknown, or the bytes are invalid in it; the text before these bytes is yielded first.
    """
    decoder, offset, is_start = _make_decoder(encoding, stream.head), 0, True
    with ThreadPoolExecutor(1) as hasher:  # hashing releases the GIL
        while True:
            chunk = stream.read(CHUNK_SIZE)
            updates = [hasher.submit(each.update, chunk) for each in hashes]
            for text in _decode_chunk(decoder, chunk, offset, stream, encoding):
                yield text.removeprefix(_BYTE_ORDER_MARK) if is_start else text
                is_start = is_start and not text
            for update in updates:
                update.result()
            if not chunk:
                return
            offset += len(chunk)


def _make_decoder(encoding: str, head: bytes) -> codecs.IncrementalDecoder:
    try:
        with suppress(UnicodeDecodeError):  # only bytes.decode rejects codecs that are not text
            b"a".decode(encoding)
        name = codecs.lookup(encoding).name
        if name in _MARKS and not head.startswith(_MARKS[name]):
            name += "-le" if sys.byteorder == "little" else "-be"  # the native order, like bytes.decode
        return codecs.getincrementaldecoder(name)()
    except (LookupError, ValueError):  # ValueError for a name with a zero byte, or of a pseudo-encoding
        raise ElmanError(
            f"unknown text encoding {quote(encoding)}: use utf-8, latin-1, cp1252 or another of Python's encodings"
        ) from None


def _decode_chunk(
    decoder: codecs.IncrementalDecoder, chunk: bytes, offset: int, stream: ByteStream, encoding: str
) -> Iterator[str]:
    """Yield the text completed by `chunk`, which starts at `offset`; an empty chunk is the end."""
    before = decoder.getstate()
    try:
        text = decoder.decode(chunk, final=not chunk)
    except UnicodeDecodeError as error:
        # Bytes that the decoder held back precede the chunk.
        position = len(chunk) - len(error.object) + error.start
        if position > 0:  # a caller that reads line by line gets the preceding lines
            decoder.setstate(before)  # decoders of Chinese, Japanese and Korean lose it when they fail
            yield from _decode_chunk(decoder, chunk[:position], offset, stream, encoding)
        raise ElmanError(
            f"byte 0x{error.object[error.start]:02x} at offset {offset + position} of {stream.label} is not valid"
            f" {encoding}: {_suggest_encoding(stream.head, encoding)}"
        ) from None
    yield text


def _suggest_encoding(head: bytes, encoding: str) -> str:
    # The byte order mark of UTF-16, which Windows programs write, is invalid UTF-8 and reads as noise in latin-1.
    if not head.startswith(_MARKS["utf-16"]):
        return "pass the encoding of the text, such as --encoding latin-1 or --encoding cp1252"
    if codecs.lookup(encoding).name.startswith("utf-16"):
        return "the file is corrupted there (iconv -c removes invalid bytes)"
    return "pass the encoding of the text, such as --encoding utf-16"
