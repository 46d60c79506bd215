"""Bytes decoded strictly and piece by piece, their SHA-256 found on the way."""

from __future__ import annotations

import codecs
import hashlib
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Protocol

from elman.errors import ElmanError

PIECE = 1 << 20
"""Bytes read and decoded at a time."""

_BYTE_ORDER_MARK = "\ufeff"
_MARKS = {
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
}


class Readable(Protocol):
    """What bytes are read from."""

    def read(self, size: int, /) -> bytes:
        """Return at most so many bytes; none at the end."""
        ...


class Reading:
    """The text of a stream; it can be gone through once.

    Parameters
    ----------
    stream : Readable
        A file. How many bytes there are need not be known, so it may be a pipe.
    encoding : str
    name : str
        What errors call it.

    Raises
    ------
    ElmanError
        While it is gone through, if the encoding is unknown or the bytes are not of it.
    """

    def __init__(self, stream: Readable, encoding: str, name: str) -> None:
        self.stream, self.encoding, self.name = stream, encoding, name
        self._hash = hashlib.sha256()
        self._head = b""
        self._begun = False

    @property
    def sha256(self) -> str:
        """Hexadecimal, of the bytes read so far."""
        return self._hash.hexdigest()

    def __iter__(self) -> Iterator[str]:
        self._head = piece = self._read()
        decoder = self._decoder()
        hashed: Future[None] | None = None
        offset = 0
        with ThreadPoolExecutor(1) as hasher:  # hashing lets other threads run beside
            while piece:
                if hashed is not None:
                    hashed.result()
                hashed = hasher.submit(self._hash.update, piece)
                yield from self._decoded(decoder, piece, offset)
                offset += len(piece)
                piece = self._read()
            yield from self._decoded(decoder, b"", offset, final=True)

    def _read(self) -> bytes:
        try:
            return self.stream.read(PIECE)
        except OSError as error:
            raise ElmanError(
                f"cannot read {self.name!r} to its end ({error.strerror}): give a file that can be read"
            ) from error

    def _decoder(self) -> codecs.IncrementalDecoder:
        try:
            with suppress(UnicodeDecodeError):  # of a single byte; only bytes.decode refuses what is no text encoding
                b"a".decode(self.encoding)
            name = codecs.lookup(self.encoding).name
            if name in _MARKS and not self._head.startswith(_MARKS[name]):
                name += "-le" if sys.byteorder == "little" else "-be"  # as bytes.decode takes it
            return codecs.getincrementaldecoder(name)()
        except (LookupError, ValueError):  # the second for a name with a zero byte, or that of no real encoding
            raise ElmanError(
                f"{self.encoding!r} is not a text encoding that Python knows: use utf-8, latin-1, cp1252 or another of"
                " its names"
            ) from None

    def _decoded(
        self, decoder: codecs.IncrementalDecoder, piece: bytes, offset: int, final: bool = False
    ) -> Iterator[str]:
        """Yield the text that `piece`, which stands at `offset`, completes."""
        before = decoder.getstate()
        try:
            text = decoder.decode(piece, final)
        except UnicodeDecodeError as error:
            # What the decoder had held back stands before the piece.
            at = len(piece) - len(error.object) + error.start
            if at > 0:  # whoever reads line by line gets the lines before
                decoder.setstate(before)  # those of Chinese, Japanese and Korean forget it where they fail
                yield from self._decoded(decoder, piece[:at], offset)
            raise ElmanError(
                f"byte 0x{error.object[error.start]:02x} at offset {offset + at} of {self.name!r} is not"
                f" {self.encoding}: {self._remedy()}"
            ) from None
        if text and not self._begun:
            self._begun, text = True, text.removeprefix(_BYTE_ORDER_MARK)
        yield text

    def _remedy(self) -> str:
        # The mark that Windows programs open UTF-16 with is no UTF-8, and reads as noise in latin-1.
        if not self._head.startswith(_MARKS["utf-16"]):
            return "name the text's own encoding, such as --encoding latin-1 or --encoding cp1252"
        if codecs.lookup(self.encoding).name.startswith("utf-16"):
            return "the file is damaged there, so mend it (iconv -c leaves out what cannot be read)"
        return "name the text's own encoding, such as --encoding utf-16"
