"""Headers and members of compressed files."""

import zlib
from io import BytesIO
from typing import get_args

import pytest

from elman.apps.compress import container
from elman.apps.compress.container import MODES, ModeName, join_members, read_header, split_members
from elman.errors import ElmanError

FIRST_BYTES = {"static": 0xA9, "mixture": 0xAA, None: 0xA8}
MEMBERS = [b"one", b"second", bytes(5)]
READABLE = "this version reads format 1 with the codes 0, 1, 2, 7"
FILE = b"".join(join_members(iter(MEMBERS)))


def test_the_registry_has_every_mode() -> None:
    assert tuple(MODES) == get_args(ModeName)


@pytest.mark.parametrize("name", [*MODES, None])
@pytest.mark.parametrize("N", [0, 255, 256, container.MEMBER_SIZE])
def test_a_header_is_read_as_it_was_written(name: ModeName | None, N: int) -> None:
    mode, (f, w) = name and MODES[name], (1, 2) if N < 256 else (4, 4)
    member = container.serialize(mode, N, bytes(range(32)), b"text", [b"payload"])
    assert member[0] == FIRST_BYTES[name]
    checksum = zlib.crc32(b"text").to_bytes(4, "little")[:w]
    assert read_header(member) == ((mode, N, bytes(range(f)), checksum), len(member) - len(b"payload"))


def test_payloads_are_read_as_they_were_written() -> None:
    payloads = [b"", bytes(200), b"abc", b"end"]
    member = container.serialize(None, 1, bytes(32), b"", payloads)
    _, offset = read_header(member)
    assert container.read_payloads(member, offset, 4) == payloads
    with pytest.raises(ElmanError, match="corrupted: it ends too early"):
        container.read_payloads(member[:-7], offset, 4)


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (b"", "the compressed file is empty; a complete one has at least five bytes"),
        (b"PK\x03\x04", "not a file written by elman compress: its first byte does not match"),
        (b"\xa0" + bytes(9), "not a file written by elman compress: its first byte does not match"),
        (b"\xab" + bytes(9), f"the file has format 1.3 of a newer Elman; {READABLE}: upgrade Elman"),
        (b"\xb1" + bytes(9), f"the file has format 2.1 of a newer Elman; {READABLE}: upgrade Elman"),
        (b"\xaf" + bytes(9), "the compressed file is truncated or corrupted: a member has members of its own"),
        (b"\xa9\x81\x80\x80\x08" + bytes(9), "corrupted: a member has more tokens than any that Elman writes"),
        (b"\xa9\xff\xff\xff\xff" + bytes(9), "corrupted: it contains an integer of more than 4 bytes"),
        (b"\xa9\x05\x00\x00", "corrupted: it ends too early"),
    ],
)
def test_what_is_no_member_is_refused(member: bytes, message: str) -> None:
    with pytest.raises(ElmanError) as error:
        read_header(member)
    assert str(error.value).endswith(message)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_members_are_split_as_they_were_joined(count: int) -> None:
    file = b"".join(join_members(iter(MEMBERS[:count])))
    assert list(split_members(BytesIO(file))) == MEMBERS[:count]
    assert len(file) == sum(map(len, MEMBERS[:count])) + (1 + 4 * (count + 1)) * (count > 1)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (FILE[:-1], "it ends too early"),
        (FILE[:-4], "it ends too early"),
        (FILE[:10], "it ends too early"),
        (FILE[:1], "it ends too early"),
        (FILE + b"x", "data follows its end"),
        (FILE[:1] + bytes(4), "it has no member"),
        (FILE[:1] + b"\xff\xff\xff\x7f" + FILE[5:], "a member is longer than any that Elman writes"),
    ],
)
def test_a_file_corrupted_between_members_is_refused(file: bytes, message: str) -> None:
    with pytest.raises(ElmanError, match=f"^the compressed file is truncated or corrupted: {message}$"):
        list(split_members(BytesIO(file)))
