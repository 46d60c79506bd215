"""The file: what stands before the payloads, byte for byte as docs/compress.md has it.

::

    1        1110 vvmm: a mark, the version of the format, the mode
    1 to 9   N, the tokens: seven bits a byte, the lowest first, the highest bit set where more follow
    w        fingerprint of the model, the first bytes of its SHA-256
    w        CRC-32 of the original bytes, the lowest w bytes, lowest first
             w = 2 where N < 256, and else 4
    …        of each part but the last the bytes of its payload, as N is written, and the payload; of the last only that
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from elman.errors import ElmanError

VERSION = 1
_MARK = 0b1110
_SHORT = 256
_DIGITS = 9
_MORE = "it says that more follows"


class Mode(IntEnum):
    """How the payloads were made."""

    FIXED = 0
    """By the network as it is, in streams side by side."""
    LEARNING = 1
    """By a network that learns as it goes, in one stream."""
    STORED = 2
    """The one payload is the original, which the network would only have made longer."""


@dataclass(frozen=True)
class Header:
    """What a file says of itself.

    Parameters
    ----------
    mode : Mode
    N : int
        Tokens; of a stored file, bytes.
    fingerprint : bytes
        As many bytes of the model's digest as the file keeps.
    checksum : bytes
        As many bytes of the original's CRC-32.
    """

    mode: Mode
    N: int
    fingerprint: bytes
    checksum: bytes


def header_of(mode: Mode, N: int, digest: bytes, data: bytes) -> Header:
    """Return the header of a file of `data`, coded as N tokens by the model that has this digest."""
    return Header(mode, N, digest[: _width(N)], checksum(N, data))


def checksum(N: int, data: bytes) -> bytes:
    """Return what a file of N tokens keeps of its original's CRC-32."""
    return zlib.crc32(data).to_bytes(4, "little")[: _width(N)]


def write(header: Header, payloads: list[bytes]) -> bytes:
    """Return the file."""
    first = bytes([_MARK << 4 | VERSION << 2 | header.mode])
    sized = [_number(len(payload)) + payload for payload in payloads[:-1]]
    return b"".join([first, _number(header.N), header.fingerprint, header.checksum, *sized, *payloads[-1:]])


def read_header(file: bytes) -> tuple[Header, int]:
    """Return the header, and where the payloads begin.

    Raises
    ------
    ElmanError
        If it is not Elman's, of a later version, or truncated.
    """
    if not file:
        raise ElmanError("a compressed file has at least six bytes, and this has none: get it again")
    mark, version, mode = file[0] >> 4, file[0] >> 2 & 3, file[0] & 3
    if mark != _MARK or version == 0:
        raise ElmanError("this is no file that elman compress wrote, as its first byte is another: give one that is")
    if version > VERSION or mode > max(Mode):
        raise ElmanError(
            f"the file is of format {version}.{mode}, of a newer Elman, and this one reads {VERSION}.0 to"
            f" {VERSION}.{max(Mode)}: install the newer one"
        )
    N, at = _read_number(file, 1)
    w = _width(N)
    if len(file) < at + 2 * w:
        raise altered(_MORE)
    return Header(Mode(mode), N, file[at : at + w], file[at + w : at + 2 * w]), at + 2 * w


def read_payloads(file: bytes, at: int, parts: int) -> Iterator[bytes]:
    """Yield the payloads of so many parts, the first of which begins at `at`.

    Raises
    ------
    ElmanError
        Where the file ends too early.
    """
    if parts - 1 > len(file) - at:
        raise altered(_MORE)
    for _ in range(parts - 1):
        size, at = _read_number(file, at)
        if at + size > len(file):
            raise altered(_MORE)
        yield file[at : at + size]
        at += size
    yield file[at:]


def altered(reason: str) -> ElmanError:
    """Return the error of a file that an encoder has not left so."""
    return ElmanError(f"the compressed file is truncated or altered, as {reason}: get it again")


def _width(N: int) -> int:
    return 2 if N < _SHORT else 4


def _number(n: int) -> bytes:
    """Return a number of 0 or more, seven bits a byte."""
    digits = [n >> shift & 0x7F for shift in range(0, max(n.bit_length(), 1), 7)]
    return bytes([*(digit | 0x80 for digit in digits[:-1]), digits[-1]])


def _read_number(file: bytes, at: int) -> tuple[int, int]:
    """Return the number that begins at `at`, and where it ends."""
    n = 0
    for digit in range(_DIGITS):
        if at + digit >= len(file):
            raise altered(_MORE)
        byte = file[at + digit]
        n |= (byte & 0x7F) << 7 * digit
        if byte < 0x80:
            return n, at + digit + 1
    raise altered("no number in it takes ten bytes")
