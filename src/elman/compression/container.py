"""The container format, byte for byte as specified in docs/reference/compressed_format.md.

::

    1        1110 vvmm: magic bits, format version, mode; 3 announces a mode of more than two bits in version 1;
             mode 0 of version 3 is a file of several members, see `elman.compression.members`
    0 or 1   that mode
    1 to 9   N, the number of tokens, as a varint: seven bits per byte, least significant first, high bit = continued
    f        fingerprint of the model: the first bytes of its SHA-256
    w        CRC-32 of the original bytes: its lowest w bytes, least significant first
             w = 2 if N < 256, otherwise 4; f = w, but 1 from version 2 on if N < 256
    …        for each block the length of its payload as a varint, and the payload; the last one has no length
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from elman.errors import ElmanError

VERSION = 3
_MAGIC = 0b1110
_EXTENDED = 3
"""Mode bits of a file of version 1 whose mode is the next byte."""
_VERSION_2, _VERSION_3, _MORE_OF_VERSION_1 = 8, 12, 16
"""The first number of a mode in these versions: four times the version, so that the first byte contains it. Modes of
version 1 continue behind them.
"""
_SHORT = 256
"""Files of fewer tokens keep two bytes of fingerprint and checksum instead of four."""
_MAX_VARINT_BYTES = 9
ENDS_EARLY = "it ends too early"


class Mode(IntEnum):
    """How the payloads were made.

    Those that train the weights and are not of version 3 have another learning rate, see `elman.compression.adaptive`.
    They are read, and no longer written.
    """

    STATIC = 0
    """With fixed weights, in several substreams."""
    ADAPTIVE = 1
    """With weights that are trained while coding, in one substream."""
    STORED = 2
    """The only payload is the original, which coding would have made longer."""
    ADAPTIVE_COUNTS = 4
    """With counts of the n-gram prior that go on while coding, in substreams that share them."""
    ADAPTIVE_BOTH = 5
    """With weights that are trained and counts that go on while coding, in one substream."""
    BITWISE_FEW = 6
    """As `BITWISE`, in fewer substreams, each of which is predicted with more of the text before it."""
    BITWISE_PARAGRAPHS = 7
    """As `BITWISE_FEW`, also with the contexts and match models of paragraphs, and in fewer substreams yet."""
    BITWISE_BACKGROUND = _MORE_OF_VERSION_1
    """As `BITWISE_PARAGRAPHS`, also with a background n-gram model, see `elman.compression.bitwise.variants`."""
    MIXTURE = _VERSION_2
    """With a mixture of experts that learns while coding, in substreams that share it."""
    MIXTURE_ALL = _VERSION_2 + 1
    """The same, and weights that are trained: written by versions before bitwise context mixing."""
    BITWISE = _VERSION_2 + 2
    """With such a mixture, and bitwise context mixing, see `elman.compression.bitwise`."""
    BITWISE_ALL = _VERSION_2 + 3
    """The same, and weights that are trained."""
    WEIGHTS = _VERSION_3 + 1
    """As `ADAPTIVE`, with the relative learning rate."""
    BOTH = _VERSION_3 + 2
    """As `ADAPTIVE_BOTH`, with the relative learning rate."""
    ALL = _VERSION_3 + 3
    """As `BITWISE_ALL`, with the relative learning rate."""

    @property
    def version(self) -> int:
        """The format version of files of this mode."""
        return self >> 2 if _VERSION_2 <= self < _MORE_OF_VERSION_1 else 1

    @property
    def has_relative_rate(self) -> bool:
        """Whether the learning rate is relative to the weights of the network."""
        return _VERSION_3 < self < _MORE_OF_VERSION_1

    @property
    def adapts_weights(self) -> bool:
        """Whether the network is trained while coding."""
        former = self in (Mode.ADAPTIVE, Mode.ADAPTIVE_BOTH, Mode.MIXTURE_ALL, Mode.BITWISE_ALL)
        return former or self.has_relative_rate

    @property
    def adapts_counts(self) -> bool:
        """Whether the n-gram prior counts what is coded."""
        return self in (Mode.ADAPTIVE_COUNTS, Mode.ADAPTIVE_BOTH, Mode.BOTH)

    @property
    def is_mixture(self) -> bool:
        """Whether a mixture of experts predicts."""
        return self.version == 2 or self.is_bitwise

    @property
    def is_bitwise(self) -> bool:
        """Whether symbols are coded as bits."""
        return self in (
            Mode.BITWISE_FEW,
            Mode.BITWISE_PARAGRAPHS,
            Mode.BITWISE_BACKGROUND,
            Mode.BITWISE,
            Mode.BITWISE_ALL,
            Mode.ALL,
        )

    @property
    def is_adaptive(self) -> bool:
        """Whether the model changes while coding, so that blocks have to be coded in sequence."""
        return self.adapts_weights or self.adapts_counts or self.is_mixture


@dataclass(frozen=True)
class Header:
    """Header of a compressed file.

    Parameters
    ----------
    mode : Mode
    N : int
        Number of tokens; in a stored file, of bytes.
    fingerprint : bytes
        Truncated digest of the model.
    checksum : bytes
        Truncated CRC-32 of the original.
    """

    mode: Mode
    N: int
    fingerprint: bytes
    checksum: bytes


def make_header(mode: Mode, N: int, digest: bytes, data: bytes) -> Header:
    """Return the header of a file of `data`, coded as N tokens by the model with this digest."""
    return Header(mode, N, digest[: _fingerprint_width(mode, N)], checksum(N, data))


def checksum(N: int, data: bytes) -> bytes:
    """Return the CRC-32 of the original as stored in a file of N tokens."""
    return zlib.crc32(data).to_bytes(4, "little")[: _width(N)]


def serialize(header: Header, payloads: list[bytes]) -> bytes:
    """Return the bytes of a file."""
    first = _encode_mode(header.mode)
    sized = [_encode_varint(len(payload)) + payload for payload in payloads[:-1]]
    return b"".join([first, _encode_varint(header.N), header.fingerprint, header.checksum, *sized, *payloads[-1:]])


def read_header(file: bytes) -> tuple[Header, int]:
    """Return the header and the offset of the first payload.

    Raises
    ------
    ElmanError
        If the file was not written by Elman, has a newer format or several members, or is truncated.
    """
    if not file:
        raise ElmanError("the compressed file is empty; a complete one has at least five bytes")
    magic, version = file[0] >> 4, file[0] >> 2 & 3
    if magic != _MAGIC or version == 0:
        raise ElmanError("not a file written by elman compress: its first byte does not match")
    number, offset = _read_mode(file, version)
    if version == VERSION and number == _VERSION_3:
        raise corrupt_file_error("a member has members of its own")
    if number not in {*Mode} or Mode(number).version != version:
        last = max(mode for mode in Mode if mode < _VERSION_2)  # all numbers of later versions are in use
        more = ", ".join(f"1.{mode}" for mode in Mode if mode >= _MORE_OF_VERSION_1)
        raise ElmanError(
            f"the file has format {version}.{number} of a newer Elman; this version reads 1.0 to 1.{last}, {more} and"
            f" all of 2 and {VERSION}: upgrade Elman"
        )
    mode = Mode(number)
    N, offset = _read_varint(file, offset)
    middle = offset + _fingerprint_width(mode, N)
    end = middle + _width(N)
    if len(file) < end:
        raise corrupt_file_error(ENDS_EARLY)
    return Header(mode, N, file[offset:middle], file[middle:end]), end


def read_payloads(file: bytes, offset: int, count: int) -> Iterator[bytes]:
    """Yield the payloads of `count` blocks, the first of which starts at `offset`.

    Raises
    ------
    ElmanError
        If the file ends too early.
    """
    if count - 1 > len(file) - offset:
        raise corrupt_file_error(ENDS_EARLY)
    for _ in range(count - 1):
        size, offset = _read_varint(file, offset)
        if offset + size > len(file):
            raise corrupt_file_error(ENDS_EARLY)
        yield file[offset : offset + size]
        offset += size
    yield file[offset:]


def corrupt_file_error(reason: str) -> ElmanError:
    """Return the error for a file that no encoder wrote in this form."""
    return ElmanError(f"the compressed file is truncated or corrupted: {reason}")


def _width(N: int) -> int:
    return 2 if N < _SHORT else 4


def _fingerprint_width(mode: Mode, N: int) -> int:
    return 1 if mode.version > 1 and N < _SHORT else _width(N)


def _encode_mode(mode: Mode) -> bytes:
    if mode.version > 1:
        return bytes([_MAGIC << 4 | mode])
    first = _MAGIC << 4 | mode.version << 2
    return bytes([first | _EXTENDED, mode] if mode >= _EXTENDED else [first | mode])


def _read_mode(file: bytes, version: int) -> tuple[int, int]:
    """Return the number of the mode, and the offset behind it."""
    if version > 1:
        return file[0] & 15, 1
    mode = file[0] & 3
    if mode != _EXTENDED:
        return mode, 1
    if len(file) < 2:
        raise corrupt_file_error(ENDS_EARLY)
    if file[1] <= _EXTENDED:
        raise corrupt_file_error("a mode of two bits has a byte of its own")
    return file[1], 2


def _encode_varint(n: int) -> bytes:
    """Return a non-negative integer as a varint (LEB128)."""
    digits = [n >> shift & 0x7F for shift in range(0, max(n.bit_length(), 1), 7)]
    return bytes([*(digit | 0x80 for digit in digits[:-1]), digits[-1]])


def _read_varint(file: bytes, offset: int) -> tuple[int, int]:
    """Return the varint at `offset`, and the offset behind it."""
    n = 0
    for digit in range(_MAX_VARINT_BYTES):
        if offset + digit >= len(file):
            raise corrupt_file_error(ENDS_EARLY)
        byte = file[offset + digit]
        n |= (byte & 0x7F) << 7 * digit
        if byte < 0x80:
            return n, offset + digit + 1
    raise corrupt_file_error(f"it contains an integer of more than {_MAX_VARINT_BYTES} bytes")
