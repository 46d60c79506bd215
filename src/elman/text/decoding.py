"""Strict incremental decoding of a byte stream, with a running SHA-256."""

from __future__ import annotations

import codecs
import hashlib
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Protocol

from elman.errors import ElmanError, quote

CHUNK_SIZE = 1 << 20
"""Bytes read and decoded at a time."""

_BYTE_ORDER_MARK = "\ufeff"
_MARKS = {
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
}


class Readable(Protocol):
    """A source of bytes."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes; none at the end."""
        ...


class DecodingStream:
    """The text of a byte stream, as an iterable of chunks that can be consumed once.

    Parameters
    ----------
    stream : Readable
        A file or a pipe.
    encoding : str
    name : str
        Name of the stream in error messages.
    total : hash, optional
        Hash of several streams, updated with the bytes of this one.

    Raises
    ------
    ElmanError
        During iteration, if the encoding is unknown or the bytes are invalid in it.
    """

    def __init__(self, stream: Readable, encoding: str, name: str, total: hashlib._Hash | None = None) -> None:
        self.stream, self.encoding, self.name = stream, encoding, name
        self._hash, self._total = hashlib.sha256(), total
        self._head = b""
        self._started = False

    @property
    def sha256(self) -> str:
        """SHA-256, in hexadecimal, of the bytes read so far."""
        return self._hash.hexdigest()

    def __iter__(self) -> Iterator[str]:
        self._head = chunk = self._read()
        decoder = self._make_decoder()
        hashed: Future[None] | None = None
        offset = 0
        with ThreadPoolExecutor(1) as hasher:  # hashing releases the GIL
            while chunk:
                if hashed is not None:
                    hashed.result()
                hashed = hasher.submit(self._update_hashes, chunk)
                yield from self._decode(decoder, chunk, offset)
                offset += len(chunk)
                chunk = self._read()
            yield from self._decode(decoder, b"", offset, final=True)

    def _update_hashes(self, chunk: bytes) -> None:
        self._hash.update(chunk)
        if self._total is not None:
            self._total.update(chunk)

    def _read(self) -> bytes:
        try:
            return self.stream.read(CHUNK_SIZE)
        except OSError as error:
            raise ElmanError(f"cannot read {quote(self.name)} to the end ({error.strerror})") from error

    def _make_decoder(self) -> codecs.IncrementalDecoder:
        try:
            with suppress(UnicodeDecodeError):  # only bytes.decode rejects codecs that are not text
                b"a".decode(self.encoding)
            name = codecs.lookup(self.encoding).name
            if name in _MARKS and not self._head.startswith(_MARKS[name]):
                name += "-le" if sys.byteorder == "little" else "-be"  # the native order, like bytes.decode
            return codecs.getincrementaldecoder(name)()
        except (LookupError, ValueError):  # ValueError for a name with a zero byte, or of a pseudo-encoding
            raise ElmanError(
                f"unknown text encoding {quote(self.encoding)}: use utf-8, latin-1, cp1252 or another of Python's"
                " encodings"
            ) from None

    def _decode(
        self, decoder: codecs.IncrementalDecoder, chunk: bytes, offset: int, final: bool = False
    ) -> Iterator[str]:
        """Yield the text completed by `chunk`, which starts at `offset`."""
        before = decoder.getstate()
        try:
            text = decoder.decode(chunk, final)
        except UnicodeDecodeError as error:
            # Bytes that the decoder held back precede the chunk.
            position = len(chunk) - len(error.object) + error.start
            if position > 0:  # a caller that reads line by line gets the preceding lines
                decoder.setstate(before)  # decoders of Chinese, Japanese and Korean lose it when they fail
                yield from self._decode(decoder, chunk[:position], offset)
            raise ElmanError(
                f"byte 0x{error.object[error.start]:02x} at offset {offset + position} of {quote(self.name)} is not"
                f" valid {self.encoding}: {self._suggest_encoding()}"
            ) from None
        if text and not self._started:
            self._started, text = True, text.removeprefix(_BYTE_ORDER_MARK)
        yield text

    def _suggest_encoding(self) -> str:
        # The byte order mark of UTF-16, which Windows programs write, is invalid UTF-8 and reads as noise in latin-1.
        if not self._head.startswith(_MARKS["utf-16"]):
            return "pass the encoding of the text, such as --encoding latin-1 or --encoding cp1252"
        if codecs.lookup(self.encoding).name.startswith("utf-16"):
            return "the file is corrupted there (iconv -c removes invalid bytes)"
        return "pass the encoding of the text, such as --encoding utf-16"
