"""Formats of files, recognized by their first bytes: compressed files are decompressed, other binary files rejected.

gzip, bzip2 and xz are read with the standard library, and Zstandard too from Python 3.14 on; before, with
``backports.zstd``, the same module for older versions of Python (extra ``zstd``).

A file of a known binary format is rejected whatever the encoding. Otherwise the bytes decide: control characters, in
particular NUL, are frequent in binary files and rare in text. A text that is valid UTF-8 may contain NUL.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from elman.errors import ElmanError


class Compression(NamedTuple):
    """A format of compressed files: its name, what its files start with, and how a stream is decompressed."""

    name: str
    magic: tuple[bytes, ...]
    open: Callable[[Any], Any]


def _open_zstd(stream: Any) -> Any:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        try:
            from backports import zstd
        except ModuleNotFoundError:
            raise ElmanError(
                "zstd files require backports.zstd, which is not installed: pip install 'elman[zstd]', or pipe the"
                " output of zstdcat"
            ) from None
    return zstd.ZstdFile(stream)


COMPRESSIONS = (
    Compression("gzip", (b"\x1f\x8b\x08",), lambda stream: gzip.GzipFile(fileobj=stream, mode="rb")),
    Compression("bzip2", tuple(b"BZh%d1AY&SY" % level for level in range(1, 10)), bz2.BZ2File),
    Compression("xz", (b"\xfd7zXZ\0",), lzma.LZMAFile),
    Compression("zstd", (b"\x28\xb5\x2f\xfd",), _open_zstd),
)
_MAGIC = tuple(magic for compression in COMPRESSIONS for magic in compression.magic)


def begins_like_compressed(head: bytes) -> bool:
    """Whether bytes are the incomplete first ones of a compressed file."""
    return any(head != magic and magic.startswith(head) for magic in _MAGIC) if head else False


_EXTRACT = "extract the text first"
_DECOMPRESS = "decompress it first"
_BINARY = {
    b"PK\x03\x04": f"a ZIP archive (.zip, .docx, .epub, .odt, …), not text: {_EXTRACT}",
    b"%PDF-": f"a PDF document, not text: {_EXTRACT}, as with pdftotext",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": f"an old Microsoft Office document, not text: {_EXTRACT}",
    b"7z\xbc\xaf\x27\x1c": f"a 7-Zip archive, not text: {_EXTRACT}",
    b"Rar!\x1a\x07": f"a RAR archive, not text: {_EXTRACT}",
    b"\x04\x22\x4d\x18": f"an LZ4 file, not text: {_DECOMPRESS}",
    b"LZIP\x01": f"an lzip file, not text: {_DECOMPRESS}",
    b"\x1f\x9d": f"a .Z file of compress, not text: {_DECOMPRESS}",
    b"\x89PNG\r\n\x1a\n": "a PNG image, not text",
    b"\xff\xd8\xff": "a JPEG image, not text",
    b"\x7fELF": "an executable or a library, not text",
    b"SQLite format 3\0": "an SQLite database, not text",
    b"\x93NUMPY": "a NumPy array, not text",
}
"""What a binary file starts with, and what it is."""
_TAR = b"ustar"
_TAR_OFFSET = 257

_CHECKED = 1 << 16
"""Bytes that decide."""
_CONTROL = bytes(byte for byte in range(1, 0x20) if byte not in b"\b\t\n\v\f\r\x1b") + b"\x7f"
"""Control characters that are rare in text, without NUL."""
_FEW = 0.02
"""Fraction of control characters up to which bytes are taken for text."""


def describe_binary(head: bytes, encoding: str) -> str:
    """Return what a file is that is not text, and a remedy, as the end of a sentence; an empty string for text.

    Parameters
    ----------
    head : bytes
        The first bytes, at least 64 kB of them unless the file is shorter, or a pipe has delivered fewer.
    encoding : str
        The encoding of the text.
    """
    if head[_TAR_OFFSET:].startswith(_TAR):
        return "is a tar archive, not text: extract it first (tar -xf) and pass the directory"
    for magic, what in _BINARY.items():
        if head.startswith(magic):
            return f"is {what}"
    head, codec = head[:_CHECKED], _codec_name(encoding)
    if codec.startswith(("utf-16", "utf-32")) or head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return ""
    if suffix := _utf16_without_mark(head):
        return f"appears to be UTF-16: pass --encoding utf-16-{suffix}"
    return "is a binary file, not text" if _is_binary(head, codec) else ""


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
