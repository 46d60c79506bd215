"""Files of several members, each compressed on its own, so that data of any length needs a bounded amount of memory.

::

    1        1110 1100: magic bits, format version 3, mode 0
    for each member
    4        its length in bytes, not 0, least significant first
    …        a file of another mode or version, see `elman.compression.container`
    4        0: the end

Data of at most `MEMBER_SIZE` bytes is a file without members. What an adaptive model has learned is lost between
members.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from itertools import chain
from typing import TYPE_CHECKING, Protocol

from elman.compression import codec, container
from elman.config import CodecAdapt

if TYPE_CHECKING:
    from elman.inference.adaptation import OnProgress
from elman.inference.model import Model

MEMBER_SIZE = 1 << 24
"""Bytes of the original in a member, except the last."""
_FIRST_BYTE = bytes([0b11101100])
_LENGTH = 4
_OVERHEAD = 64
"""Maximum bytes by which a member is larger than its original, which is then stored."""


class Readable(Protocol):
    """A stream of bytes."""

    def read(self, size: int = -1, /) -> bytes:
        """Return at most `size` bytes, fewer only at the end; all for -1."""


def compress(model: Model, data: bytes, *, adapt: bool | CodecAdapt = False) -> bytes:
    """Return `data` compressed; see `elman.compression.codec.compress`."""
    pieces = (data[start : start + MEMBER_SIZE] for start in range(0, len(data), MEMBER_SIZE))
    return b"".join(compress_pieces(model, pieces, adapt))


def decompress(model: Model, file: bytes) -> bytes:
    """Return the original of a compressed file; see `elman.compression.codec.decompress`."""
    return b"".join(decompress_members(model, split_members(BytesIO(file))))


def compress_pieces(
    model: Model,
    pieces: Iterable[bytes],
    adapt: bool | CodecAdapt,
    on_bytes: Callable[[float], None] = lambda count: None,
) -> Iterator[bytes]:
    """Yield the bytes of a file, given the original in pieces of at most `MEMBER_SIZE` bytes.

    Parameters
    ----------
    model : Model
    pieces : iterable of bytes
    adapt : bool or str
    on_bytes : callable
        Is called often, with the number of bytes of the original that have been compressed.

    Raises
    ------
    ElmanError
        As `elman.compression.codec.compress`.
    """
    pieces = iter(pieces)
    first, second = next(pieces, b""), next(pieces, None)
    if second is None:
        yield codec.compress(model, first, adapt=adapt, on_progress=_count_bytes(0, first, on_bytes))
        return
    yield _FIRST_BYTE
    before = 0
    for piece in chain((first, second), pieces):
        member = codec.compress(model, piece, adapt=adapt, on_progress=_count_bytes(before, piece, on_bytes))
        before += len(piece)
        yield len(member).to_bytes(_LENGTH, "little") + member
    yield bytes(_LENGTH)


def decompress_members(
    model: Model, members: Iterable[bytes], on_bytes: Callable[[float], None] = lambda count: None
) -> Iterator[bytes]:
    """Yield the original of each member of a file.

    Parameters
    ----------
    model : Model
    members : iterable of bytes
    on_bytes : callable
        Is called often, with the number of bytes of the members that have been decompressed.

    Raises
    ------
    ElmanError
        As `elman.compression.codec.decompress`.
    """
    before = 0
    for member in members:
        yield codec.decompress(model, member, on_progress=_count_bytes(before, member, on_bytes))
        before += len(member)


def _count_bytes(before: int, data: bytes, on_bytes: Callable[[float], None]) -> OnProgress:
    """Return a function that is told the progress in `data`, which `before` bytes precede."""
    return lambda fraction: on_bytes(before + fraction * len(data))


def split_members(file: Readable) -> Iterator[bytes]:
    """Yield the members of a file, at least one; `elman.compression.codec.decompress` restores each.

    Raises
    ------
    ElmanError
        If the file is truncated or corrupted between members. Those yielded before may be correct.
    """
    first = file.read(1)
    if first != _FIRST_BYTE:
        yield first + file.read()
        return
    length = _read_length(file)
    if not length:
        raise container.corrupt_file_error("it has no member")
    while length:
        yield _read_exactly(file, length)
        length = _read_length(file)
    if file.read(1):
        raise container.corrupt_file_error("data follows its end")


def _read_length(file: Readable) -> int:
    """Return the length of the next member, 0 at the end."""
    length = int.from_bytes(_read_exactly(file, _LENGTH), "little")
    if length > MEMBER_SIZE + _OVERHEAD:
        raise container.corrupt_file_error("a member is longer than any that Elman writes")
    return length


def _read_exactly(file: Readable, size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise container.corrupt_file_error(container.ENDS_EARLY)
    return data
