"""Reading texts: the bytes of one or several files are decompressed, decoded strictly and joined to one corpus."""

from __future__ import annotations

import codecs
import hashlib
import heapq
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from elman.errors import ElmanError, option, quote
from elman.text.alphabet import Alphabet
from elman.text.corpus import Corpus, SampledText, Spool, TextFile, drop_pages, encode_chunks
from elman.text.formats import CHUNK_SIZE, ByteStream, decompress, describe_binary, extract_field, translate_newlines
from elman.text.lines import LineHashes, trim_chunks
from elman.text.sources import Source, TextInput, list_inputs
from elman.text.unknown import replace_rare

if TYPE_CHECKING:
    from elman.text.masks import Masker

PIECE, MIN_PIECE = 1 << 16, 1000
"""Characters of a piece of a sample, at most; the pieces of a short sample are shorter, but have at least so many."""
PIECES = 64  # pieces of a sample that is not very short, at least

_BYTE_ORDER_MARK = "\ufeff"
_DOMAIN_NAMES = ("idna", "punycode")  # codecs of the names of Internet domains, which cannot decode a text in pieces
_MARKS = {"utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE), "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)}


def read_corpus(
    source: Source | Sequence[Source] | Corpus, *, encoding: str = "utf-8", keep_crlf: bool = False, field: str = "",
    alphabet: Alphabet | None = None, extend: bool = False, min_count: int = 0, lines: bool = False,
    masker: Masker | None = None, max_chars: int | None = None,
) -> Corpus:  # fmt: skip
    r"""Read a text from one or several files: paths, open files, a list of these, or a corpus.

    The string ``-`` is standard input, and the name of a built-in text is that text, even if there is a file of that
    name: write ``./shakespeare`` for the file. Every other string and every path object is a file, which may be a pipe,
    or a directory; a string that is neither may be a glob pattern. In a directory and among the paths that a pattern
    matches, all text files are read, in sorted order and recursively; binary files are skipped and counted, and hidden
    files and run directories are skipped. A file may be compressed with gzip, bzip2, xz or Zstandard. Decoding is
    strict. Texts are joined, with a line feed after each one that does not end with a line end.

    The line ends ``\r\n`` and ``\r`` are read as ``\n``, as by Python's `open`, unless `keep_crlf` is set or the
    alphabet has a carriage return. The text of a corpus or of an open text file is not changed.

    `encoding` applies to the files; built-in texts and open text files are always UTF-8. If `field` is not empty, only
    this field of JSON Lines, CSV or TSV is read. If an alphabet is given, such as a trained model's, characters that it
    lacks are errors or, if `extend`, appended to it; `min_count` is passed to `replace_rare`. For a model of
    independent lines, `lines` drops the carriage returns that are left at their ends, and `masker` replaces the matches
    of masks. If there are more than `max_chars` characters, evenly spread pieces are kept, unless lines were shuffled
    or masked.
    """
    chunks: Iterable[str]
    used_alphabet, hashes = alphabet, list[LineHashes]()
    if isinstance(source, Corpus):
        is_raw = source.line_starts is None and source.line_hashes is None
        masker, max_chars = (masker, max_chars) if is_raw else (None, None)
        is_long = max_chars is not None and len(source.indices) > max_chars
        changes = is_long or (lines and is_raw and (masker is not None or "\r" in source.alphabet.characters))
        if alphabet is None and not changes:
            return replace_rare(source, min_count)
        label, chunks = source.label, source.chunks()
        if source.alphabet.has_unknown:  # it has replaced rare characters already
            used_alphabet = alphabet or source.alphabet
    else:
        chunks = text = JoinedText(source, encoding, field, lines=lines, keep_crlf=keep_crlf, alphabet=alphabet)
        label = text.label
    chunks, sampled = sample_chunks(chunks, max_chars)
    chunks = trim_chunks(chunks) if lines else chunks
    chunks = chunks if masker is None else masker.mask_chunks(chunks, hashes)
    used_alphabet, indices = encode_chunks(chunks, label, used_alphabet, extend)
    if isinstance(source, Corpus):
        corpus = replace(source, alphabet=used_alphabet, indices=indices, line_starts=None)
    else:
        origin = (text.sha256, text.encoding, text.files, text.skipped)
        corpus = Corpus(text.name, used_alphabet, indices, *origin, newlines_translated=text.newlines_translated)
    corpus = replace(corpus, sampled=sampled or corpus.sampled)
    if hashes:
        corpus = replace(corpus, line_hashes=np.concatenate(hashes))
    if alphabet is not None and not min_count:
        return corpus
    return replace_rare(corpus, min_count, 0 if alphabet is None else len(alphabet))


def hash_text(source: Source | Sequence[Source], *, encoding: str = "utf-8") -> str:
    """Return the SHA-256 of a text, see `JoinedText.sha256`, without holding it in memory."""
    text = JoinedText(source, encoding)
    deque(text, maxlen=0)
    return text.sha256


def sample_chunks(chunks: Iterable[str], max_chars: int | None) -> tuple[Iterable[str], SampledText | None]:
    """Return a text of at most `max_chars` characters: evenly spread pieces of a longer text.

    The pieces end with a line feed where there is one. While their number is unknown, the pieces with the lowest
    bit-reversed numbers are kept, the van der Corput sequence, so that they are spread evenly wherever the text ends.
    They are kept as UTF-8, in a file if they are many.
    """
    if max_chars is None:
        return chunks, None
    size = min(PIECE, max(max_chars // PIECES, MIN_PIECE), max_chars)
    kept: list[tuple[int, int, int, slice]] = []
    chars = total = end = 0
    lowest_dropped = 1 << 32
    with Spool(np.dtype(np.uint8)) as spool:
        for number, piece in enumerate(cut_pieces(chunks, size)):
            chars += len(piece)
            rank = int(f"{number:032b}"[::-1], 2)
            if rank < lowest_dropped:
                data = np.frombuffer(piece.encode("utf-8", "surrogatepass"), np.uint8)
                spool.append(data)
                heapq.heappush(kept, (-rank, number, len(piece), slice(end, end := end + len(data))))
                total += len(piece)
            while total > max_chars:
                negative_rank, _, dropped, _ = heapq.heappop(kept)
                lowest_dropped, total = -negative_rank, total - dropped
        stored = spool.array()

    def decode_pieces() -> Iterator[str]:
        for _, _, _, place in sorted(kept, key=lambda piece: piece[1]):
            yield stored[place].tobytes().decode("utf-8", "surrogatepass")
            drop_pages(stored)

    return decode_pieces(), SampledText(chars, len(kept)) if total < chars else None


def cut_pieces(chunks: Iterable[str], size: int) -> Iterator[str]:
    """Yield a text in pieces of at most `size` characters, which end with a line feed where there is one."""
    held = ""
    for chunk in chunks:
        text, start = held + chunk, 0
        while len(text) - start >= size:
            end = text.rfind("\n", start, start + size) + 1 or start + size
            yield text[start:end]
            start = end
        held = text[start:]
    if held:
        yield held


class JoinedText(Iterator[str]):
    """The text of one or several files in chunks; from a pipe, the text that has arrived, without waiting for more.

    `alphabet` is the alphabet of the model that reads it; the other arguments are documented in `read_corpus`.
    """

    def __init__(
        self, source: Source | Sequence[Source], encoding: str = "utf-8", field: str = "", *, lines: bool = False,
        keep_crlf: bool = False, alphabet: Alphabet | None = None,
    ) -> None:  # fmt: skip
        self.name, self.inputs = list_inputs(source)
        self.field, self.lines, self.skipped = field, lines, 0
        self.keep_crlf = keep_crlf or (alphabet is not None and "\r" in alphabet.characters)
        only = self.inputs[0] if len(self.inputs) == 1 else None
        self.label = only.label if only else quote(self.name)
        self.encoding = (only and only.encoding) or encoding
        self._files, self._hash, self._last, self._newlines = list[TextFile](), hashlib.sha256(), "", set[str]()
        self._chunks = self._read_files()

    @property
    def files(self) -> tuple[TextFile, ...]:
        """The files read so far; none if an open file, which has no path, is among them."""
        return tuple(self._files) if all(file.path for file in self._files) else ()

    @property
    def sha256(self) -> str:
        """SHA-256, in hexadecimal, of the bytes of the files read so far, with the line feeds between them."""
        return self._files[0].sha256 if len(self.inputs) == 1 else self._hash.hexdigest()

    @property
    def newlines_translated(self) -> tuple[str, ...]:
        """The line ends that were read as line feeds so far, as in `elman.text.Corpus`."""
        return tuple(sorted(self._newlines))

    def __next__(self) -> str:
        return next(self._chunks)

    def _read_files(self) -> Iterator[str]:
        for each in self.inputs:
            with each.open() as file:
                content = decompress(ByteStream(file, each.label))
                problem = describe_binary(content.head, find_codec(each.encoding or self.encoding))
                if problem and not each.found:
                    raise ElmanError(f"{each.label} {problem}")
                if problem:
                    self.skipped += 1
                else:
                    yield from self._read(each, content)
        if self.skipped == len(self.inputs):
            found = "the only file is" if self.skipped == 1 else f"all {self.skipped:,} files are"
            raise ElmanError(f"there is no text file in {quote(self.name)}: {found} binary")

    def _read(self, source: TextInput, content: ByteStream) -> Iterator[str]:
        """Yield the text of one file, after a line feed if the previous file does not end with a line end."""
        if content.head and self._last and self._last not in "\n\r":
            self._hash.update(b"\n")
            yield "\n"
        own = hashlib.sha256()
        hashes = [own, self._hash] if len(self.inputs) > 1 else [own]
        chunks = decode(content, source.encoding or self.encoding, hashes)
        if self.field:
            chunks = extract_field(chunks, self.field, source.path, source.label, lines=self.lines)
        if not (self.keep_crlf or source.keeps_newlines):
            chunks = translate_newlines(chunks, self._newlines)
        for chunk in chunks:
            self._last = chunk[-1:] or self._last
            yield chunk
        self._files.append(TextFile(source.path, own.hexdigest()))


def find_codec(encoding: str) -> str:
    """Return the name of the codec of a text encoding, or raise an `ElmanError`."""
    try:
        with suppress(UnicodeDecodeError):  # only bytes.decode rejects codecs that are not text
            b"a".decode(encoding)
        if (codec := codecs.lookup(encoding).name) in _DOMAIN_NAMES:
            raise LookupError
        return codec
    except (LookupError, ValueError):  # ValueError for a name with a zero byte, or for a pseudo-encoding
        remedy = "use utf-8, latin-1, cp1252 or another of Python's encodings"
        raise ElmanError(f"unknown text encoding {quote(encoding)}: {remedy}") from None


def decode(stream: ByteStream, encoding: str, hashes: Sequence[hashlib._Hash] = ()) -> Iterator[str]:
    """Yield the text of a stream in chunks, without a leading byte order mark; update hashes with the bytes."""
    codec = find_codec(encoding)
    if codec in _MARKS and not stream.head.startswith(_MARKS[codec]):
        codec += "-le" if sys.byteorder == "little" else "-be"  # the native order, like bytes.decode
    decoder, offset, is_start, chunk = codecs.getincrementaldecoder(codec)(), 0, True, b"-"
    while chunk:
        chunk = stream.read(CHUNK_SIZE)
        for each in hashes:
            each.update(chunk)
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeError as error:
            if not isinstance(error, UnicodeDecodeError):  # a multibyte codec was given an endless sequence
                raise ElmanError(f"{stream.label} is not valid {encoding} ({error})") from None
            # Bytes that the decoder held back precede the chunk.
            position = offset + len(chunk) - len(error.object) + error.start
            raise ElmanError(
                f"byte 0x{error.object[error.start]:02x} at offset {position} of {stream.label} is not valid"
                f" {encoding}: {_suggest_encoding(stream.head, codec)}"
            ) from None
        yield text.removeprefix(_BYTE_ORDER_MARK) if is_start else text
        is_start = is_start and not text
        offset += len(chunk)


def _suggest_encoding(head: bytes, codec: str) -> str:
    # The byte order mark of UTF-16, which Windows programs write, is invalid UTF-8 and reads as noise in latin-1.
    if not head.startswith(_MARKS["utf-16"]):
        return f"pass the encoding of the text, such as {option.encoding:latin-1} or {option.encoding:cp1252}"
    if codec.startswith("utf-16"):
        return "the file is corrupted there (iconv -c removes invalid bytes)"
    return f"pass the encoding of the text, such as {option.encoding:utf-16}"
