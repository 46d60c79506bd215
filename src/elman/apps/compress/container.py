"""The container format, byte for byte as specified in docs/reference/compressed_format.md.

A file is a member, or several, so that data of any length needs a bounded amount of memory::

    1        1010 1111: magic bits, format version 1, code 7
    for each member
    4        its length in bytes, not 0, least significant first
    …        the member
    4        0: the end

Every member is compressed separately; a mode starts each member without what it has learned::

    1        101 vv mmm: magic bits, format version, code: 0 for stored, or the code of a mode
    1 to 4   N, the number of tokens, as a varint: seven bits per byte, least significant first, high bit = continued
    f        fingerprint of the model: the first bytes of its SHA-256; f = 1 if N < 256, otherwise 4
    w        CRC-32 of the original bytes: its lowest w bytes, least significant first; w = 2 if N < 256, otherwise 4
    …        for each block the length of its payload as a varint, and the payload; the last one has no length
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Literal, NamedTuple

from elman.errors import ElmanError, option, shorten

if TYPE_CHECKING:
    from _typeshed import SupportsRead

ModeName = Literal["static", "mixture"]

DEFAULT_MODE: ModeName = "mixture"


class CodecMode(NamedTuple):
    """The mode that predicts the symbols of a file."""

    code: int  # its code in the header of a member
    help: str  # its description, for the middle of a sentence
    mixes: bool  # whether a mixture of predictors learns, see `.mixing`; blocks are then coded in sequence


MODES: dict[ModeName, CodecMode] = {
    "static": CodecMode(1, "uses the model as it is (fastest)", mixes=False),
    "mixture": CodecMode(2, "also learns counts, repeats and weights as it codes (smallest)", mixes=True),
}


def find_mode(name: ModeName) -> CodecMode:
    """Return the mode of a name, or raise an `ElmanError`."""
    if not isinstance(name, str) or name not in MODES:
        raise ElmanError(f"{option.mode} must be one of {', '.join(MODES)} (got {shorten(name)})")
    return MODES[name]


def mode_help() -> str:
    """Return the help of ``--mode``."""
    return "; ".join(f"{name} {mode.help}" for name, mode in MODES.items()) + "."


VERSION = 1
STORED, MEMBERS = 0, 7
"""Codes other than a mode's: stored data, whose only payload is the original, which coding would have made longer; and
a file of several members."""
MEMBER_SIZE = 1 << 24  # bytes of the original in a member, except the last

_MAGIC = 0b101
_SHORT = 256  # members of fewer tokens keep one byte of the fingerprint and two of the checksum instead of four
_MAX_VARINT_BYTES = 4
_LENGTH = 4
_OVERHEAD = 64  # maximum bytes by which a member exceeds its original, which is then stored
_ENDS_EARLY = "it ends too early"
_TOO_LONG = "a member is longer than any that Elman writes"


class Header(NamedTuple):
    """The header of a member."""

    mode: CodecMode | None  # None for stored data
    N: int  # number of tokens; for stored data, of bytes
    fingerprint: bytes  # truncated digest of the model
    checksum: bytes  # truncated CRC-32 of the original


def checksum(N: int, data: bytes) -> bytes:
    """Return the CRC-32 of the original as stored in a member of N tokens."""
    return zlib.crc32(data).to_bytes(4, "little")[: _widths(N)[1]]


def serialize(mode: CodecMode | None, N: int, digest: bytes, data: bytes, payloads: list[bytes]) -> bytes:
    """Return the member of `data`, coded as N tokens by the model with this digest."""
    first = _first_byte(STORED if mode is None else mode.code)
    sized = [_encode_varint(len(payload)) + payload for payload in payloads[:-1]]
    header = [first, _encode_varint(N), digest[: _widths(N)[0]], checksum(N, data)]
    return b"".join([*header, *sized, *payloads[-1:]])


def read_header(member: bytes) -> tuple[Header, int]:
    """Return the header and the offset of the first payload."""
    if not member:
        raise ElmanError("the compressed file is empty; a complete one has at least five bytes")
    version, code = member[0] >> 3 & 3, member[0] & 7
    if member[0] >> 5 != _MAGIC or version == 0:
        raise ElmanError("not a file written by elman compress: its first byte does not match")
    modes = {STORED: None} | {mode.code: mode for mode in MODES.values()}
    if version == VERSION and code == MEMBERS:
        raise corrupt_file_error("a member has members of its own")
    if version != VERSION or code not in modes:
        known = f"this version reads format {VERSION} with the codes {', '.join(map(str, (*modes, MEMBERS)))}"
        raise ElmanError(f"the file has format {version}.{code} of a newer Elman; {known}: upgrade Elman")
    N, offset = _read_varint(member, 1)
    if N > MEMBER_SIZE:
        raise corrupt_file_error("a member has more tokens than any that Elman writes")
    f, w = _widths(N)
    end = offset + f + w
    if len(member) < end:
        raise corrupt_file_error(_ENDS_EARLY)
    return Header(modes[code], N, member[offset : offset + f], member[offset + f : end]), end


def read_payloads(member: bytes, offset: int, count: int) -> list[bytes]:
    """Return the payloads of `count` blocks, the first of which starts at `offset`."""
    payloads = []
    for _ in range(count - 1):
        size, offset = _read_varint(member, offset)
        if offset + size > len(member):
            raise corrupt_file_error(_ENDS_EARLY)
        payloads.append(member[offset : offset + size])
        offset += size
    return [*payloads, member[offset:]]


def join_members(members: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the bytes of a file of at least one member, one member after the other."""
    first, second = next(members), next(members, None)
    if second is None:
        yield first
        return
    yield _first_byte(MEMBERS)
    for member in chain((first, second), members):
        yield len(member).to_bytes(_LENGTH, "little") + member
    yield bytes(_LENGTH)


def split_members(file: SupportsRead[bytes]) -> Iterator[bytes]:
    """Yield the members of a file, at least one. Members yielded before an error may be correct."""
    first = file.read(1)
    if first != _first_byte(MEMBERS):
        yield first + file.read(MEMBER_SIZE + _OVERHEAD)
        if file.read(1):
            raise corrupt_file_error(_TOO_LONG)
        return
    count = 0
    while length := _read_length(file):
        count += 1
        yield _read_exactly(file, length)
    if not count or file.read(1):
        raise corrupt_file_error("data follows its end" if count else "it has no member")


def corrupt_file_error(reason: str) -> ElmanError:
    """Return the error for a file that no encoder can have written."""
    return ElmanError(f"the compressed file is truncated or corrupted: {reason}")


def _first_byte(code: int) -> bytes:
    return bytes([_MAGIC << 5 | VERSION << 3 | code])


def _widths(N: int) -> tuple[int, int]:
    """Return the bytes of the fingerprint and of the checksum."""
    return (1, 2) if N < _SHORT else (4, 4)


def _read_length(file: SupportsRead[bytes]) -> int:
    """Return the length of the next member, 0 at the end."""
    length = int.from_bytes(_read_exactly(file, _LENGTH), "little")
    if length > MEMBER_SIZE + _OVERHEAD:
        raise corrupt_file_error(_TOO_LONG)
    return length


def _read_exactly(file: SupportsRead[bytes], size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise corrupt_file_error(_ENDS_EARLY)
    return data


def _encode_varint(n: int) -> bytes:
    """Return a non-negative integer as a varint (LEB128)."""
    *digits, last = (n >> shift & 0x7F for shift in range(0, max(n.bit_length(), 1), 7))
    return bytes([*(digit | 0x80 for digit in digits), last])


def _read_varint(member: bytes, offset: int) -> tuple[int, int]:
    """Return the varint at `offset`, and the offset behind it."""
    n, digits = 0, member[offset : offset + _MAX_VARINT_BYTES]
    for count, byte in enumerate(digits, 1):
        n |= (byte & 0x7F) << 7 * (count - 1)
        if byte < 0x80:
            return n, offset + count
    if len(digits) < _MAX_VARINT_BYTES:
        raise corrupt_file_error(_ENDS_EARLY)
    raise corrupt_file_error(f"it contains an integer of more than {_MAX_VARINT_BYTES} bytes")
