"""Files that are not text, recognized by their first bytes.

A file of a known format is rejected whatever the encoding. Otherwise the bytes decide: control characters, and in
particular NUL, are frequent in binary files and rare in text. A text that is valid UTF-8 may contain NUL.
"""

from __future__ import annotations

import codecs
from typing import NamedTuple

from elman.errors import ElmanError


class BinaryFileError(ElmanError):
    """A file is not text."""


class BinaryFormat(NamedTuple):
    """A format: what its files start with, what they are, and how to get at their text."""

    magic: bytes
    what: str
    remedy: str = ""


_EXTRACT = "extract the text first"
_DECOMPRESS = "decompress it first"
FORMATS = (
    BinaryFormat(b"PK\x03\x04", "a ZIP archive (.zip, .docx, .epub, .odt, …)", _EXTRACT),
    BinaryFormat(b"%PDF-", "a PDF document", f"{_EXTRACT}, as with pdftotext"),
    BinaryFormat(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Microsoft Office document", _EXTRACT),
    BinaryFormat(b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _EXTRACT),
    BinaryFormat(b"Rar!\x1a\x07", "a RAR archive", _EXTRACT),
    BinaryFormat(b"\x04\x22\x4d\x18", "an LZ4 file", _DECOMPRESS),
    BinaryFormat(b"LZIP\x01", "an lzip file", _DECOMPRESS),
    BinaryFormat(b"\x1f\x9d", "a .Z file of compress", _DECOMPRESS),
    BinaryFormat(b"\x89PNG\r\n\x1a\n", "a PNG image"),
    BinaryFormat(b"\xff\xd8\xff", "a JPEG image"),
    BinaryFormat(b"\x7fELF", "an executable or a library"),
    BinaryFormat(b"SQLite format 3\0", "an SQLite database"),
    BinaryFormat(b"\x93NUMPY", "a NumPy array"),
)
_TAR = BinaryFormat(b"ustar", "a tar archive", "extract it first (tar -xf) and pass the directory")
_TAR_OFFSET = 257

_CHECKED = 1 << 16
"""Bytes that decide."""
_CONTROL = bytes(byte for byte in range(1, 0x20) if byte not in b"\b\t\n\v\f\r\x1b") + b"\x7f"
"""Control characters that are rare in text, without NUL."""
_FEW = 0.02
"""Fraction of control characters up to which bytes are taken for text."""


def check_not_binary(head: bytes, encoding: str, name: str) -> None:
    """Check that the first bytes of a file are those of a text.

    Parameters
    ----------
    head : bytes
        The first bytes, at least 64 kB of them unless the file is shorter.
    encoding : str
        The encoding of the text.
    name : str
        Name of the file in error messages, as a literal.

    Raises
    ------
    BinaryFileError
        If they are not.
    """
    known = [_TAR] if head[_TAR_OFFSET:].startswith(_TAR.magic) else []
    known += [each for each in FORMATS if head.startswith(each.magic)]
    if known:
        remedy = f": {known[0].remedy}" if known[0].remedy else ""
        raise BinaryFileError(f"{name} is {known[0].what}, not text{remedy}")
    head, codec = head[:_CHECKED], _codec_name(encoding)
    if codec.startswith(("utf-16", "utf-32")) or head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return
    if suffix := _utf16_without_mark(head):
        raise BinaryFileError(f"{name} appears to be UTF-16: pass --encoding utf-16-{suffix}")
    if _is_binary(head, codec):
        raise BinaryFileError(f"{name} is a binary file, not text")


def _codec_name(encoding: str) -> str:
    try:
        return codecs.lookup(encoding).name
    except (LookupError, ValueError):  # reported when the text is decoded
        return encoding


def _utf16_without_mark(head: bytes) -> str:
    """Return the byte order of what is UTF-16 with mostly ASCII characters; empty if it is something else."""
    half = len(head) // 2
    if half < 4:
        return ""
    high, low = head[0::2].count(0), head[1::2].count(0)
    for order, many, few in (("be", high, low), ("le", low, high)):
        if many > 0.8 * half and few < 0.05 * half:
            return order
    return ""


def _is_binary(head: bytes, codec: str) -> bool:
    nul = head.count(0)
    control = len(head) - len(head.translate(None, _CONTROL))
    if nul > len(head) / 2:
        return True
    if codec in ("utf-8", "utf-8-sig", "ascii"):
        return nul + control > _FEW * len(head) and not _decodes(head, codec)
    return nul > 0 and control > _FEW * len(head)


def _decodes(head: bytes, codec: str) -> bool:
    try:
        codecs.getincrementaldecoder(codec)().decode(head)  # the last character may be incomplete
    except UnicodeDecodeError:
        return False
    return True
