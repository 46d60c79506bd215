"""The formats of files: compressed files, binary files, line ends, and records with a field that is read.

Before Python 3.14, Zstandard is read with ``backports.zstd``, the same module for older versions (extra ``zstd``).

A file of a known binary format is rejected whatever the encoding. Otherwise the bytes decide: control characters, in
particular NUL, are frequent in binary files and rare in text. A text that is valid UTF-8 may contain NUL.
"""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import json
import lzma
import re
import sys
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from io import IncrementalNewlineDecoder
from itertools import chain
from pathlib import Path
from typing import Any

from elman.errors import ElmanError, option, quote, shorten
from elman.text.lines import complete_lines

CHUNK_SIZE = 1 << 20  # bytes read and decoded at a time


def _open_zstd(stream: Any) -> Any:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        try:
            from backports import zstd
        except ModuleNotFoundError:
            remedy = "pip install 'elman[zstd]', or pipe the output of zstdcat"
            raise ElmanError(f"zstd files require backports.zstd, which is not installed: {remedy}") from None
    return zstd.ZstdFile(stream)


COMPRESSIONS: dict[str, tuple[tuple[bytes, ...], Callable[[Any], Any]]] = {
    "gzip": ((b"\x1f\x8b\x08",), lambda stream: gzip.GzipFile(fileobj=stream, mode="rb")),
    "bzip2": (tuple(b"BZh%d1AY&SY" % level for level in range(1, 10)), bz2.BZ2File),
    "xz": ((b"\xfd7zXZ\0",), lzma.LZMAFile),
    "zstd": ((b"\x28\xb5\x2f\xfd",), _open_zstd),
}
"""Format -> the bytes that its files may start with, and a function that decompresses a stream."""
_MAGIC = tuple(magic for magics, _ in COMPRESSIONS.values() for magic in magics)


class ByteStream:
    """The bytes of a file; the first ones are known before they are read.

    `label` names the file in errors; `compression` is the format that `file` decompresses, empty if it is none.
    """

    def __init__(self, file: Any, label: str, compression: str = "") -> None:
        self.label, self.compression = label, compression
        # `read1` returns the bytes that have arrived, so that a line of a pipe can be scored as soon as it is there.
        self._read_file = getattr(file, "read1", file.read)
        more = self.head = self._read(CHUNK_SIZE)
        while more and any(self.head != magic and magic.startswith(self.head) for magic in _MAGIC):
            more = self._read(CHUNK_SIZE)
            self.head += more
        self._rest = self.head

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes; none at the end."""
        if not self._rest:
            return self._read(size)
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def _read(self, size: int) -> bytes:
        try:
            return bytes(self._read_file(size))
        except EOFError:
            raise ElmanError(f"{self.label} is a truncated {self.compression} file") from None
        except Exception as error:
            if isinstance(error, OSError) and (error.errno or not self.compression):
                raise ElmanError(f"cannot read {self.label} to the end ({error.strerror})") from error
            # gzip and bz2 raise an OSError without a number.
            is_known = isinstance(error, OSError | lzma.LZMAError | zlib.error) or type(error).__name__ == "ZstdError"
            if self.compression and is_known:
                raise ElmanError(f"{self.label} is a corrupt {self.compression} file ({error})") from None
            raise


def decompress(stream: ByteStream) -> ByteStream:
    """Return the content of a stream: decompressed if it is compressed, otherwise as it is."""
    for name, (magics, open_stream) in COMPRESSIONS.items():
        if stream.head.startswith(magics):
            return ByteStream(open_stream(stream), stream.label, name)
    return stream


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
    b"PAR1": "a Parquet file, not text: convert it to JSON Lines first",
}
"""The bytes that a binary file starts with, and its description."""
_TAR, _TAR_OFFSET = b"ustar", 257

_CHECKED = 1 << 16  # number of first bytes that decide
_CONTROL = bytes(byte for byte in range(1, 0x20) if byte not in b"\b\t\n\v\f\r\x1b") + b"\x7f"
"""Control characters that are rare in text, without NUL."""
_FEW = 0.02  # fraction of control characters up to which bytes are regarded as text


def describe_binary(head: bytes, codec: str) -> str:
    """Return what kind of file a binary file is, and a remedy, as the end of a sentence; an empty string for text.

    `head` are the first bytes, at least 64 kB if there are as many; `codec` is the codec of the text.
    """
    if head[_TAR_OFFSET:].startswith(_TAR):
        return "is a tar archive, not text: extract it first (tar -xf) and pass the directory"
    for magic, what in _BINARY.items():
        if head.startswith(magic):
            return f"is {what}"
    head = head[:_CHECKED]
    if codec.startswith(("utf-16", "utf-32")) or head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return ""
    half, even, odd = len(head) // 2, head[0::2].count(0), head[1::2].count(0)
    for order, many, few in (("be", even, odd), ("le", odd, even)):
        if half >= 4 and many > 0.8 * half and few < 0.05 * half:  # without a mark, and mostly ASCII characters
            return f"appears to be UTF-16: pass {option.encoding:utf-16-{order}}"
    return "is a binary file, not text" if _is_binary(head, codec) else ""


def _is_binary(head: bytes, codec: str) -> bool:
    nul, control = head.count(0), len(head) - len(head.translate(None, _CONTROL))
    if nul > len(head) / 2:
        return True
    if codec not in ("utf-8", "utf-8-sig", "ascii"):
        return nul > 0 and control > _FEW * len(head)
    try:
        codecs.getincrementaldecoder(codec)().decode(head)  # the last character may be incomplete
    except UnicodeDecodeError:
        return nul + control > _FEW * len(head)
    return False


# --- Line ends: the line ends of Windows and of old Macintoshes are read as line feeds, as Python's `open` does ---


def translate_newlines(chunks: Iterable[str], found: set[str]) -> Iterator[str]:
    r"""Yield a text in chunks with line feeds as its line ends; add ``\r`` and ``\r\n`` to `found` if it has them.

    A carriage return at the end of a chunk is held back until it is known whether a line feed follows.
    """
    decoder = IncrementalNewlineDecoder(None, translate=True)
    for chunk in chain(chunks, [None]):
        text, seen = decoder.decode(chunk or "", final=chunk is None), decoder.newlines or ()
        found.update({"\r", "\r\n"}.intersection([seen] if isinstance(seen, str) else seen))
        yield text


def describe_newlines(translated: Iterable[str]) -> str:
    r"""Return which line ends were read as line feeds: ``line ends \r\n read as \n``."""
    return f"line ends {' and '.join(repr(kind)[1:-1] for kind in translated)} read as \\n"


# --- Records: each becomes its field's value and a line feed; records without the field are skipped ---

RECORD_FORMATS = {".jsonl": "JSON Lines", ".ndjson": "JSON Lines", ".csv": "CSV", ".tsv": "TSV"}
"""Suffix of a file of records -> its format."""
COMPRESSED = re.compile(r"(\.(gz|bz2|xz|zst))+$")


def find_record_format(path: str) -> str:
    """Return the format of a file of records, which may be compressed, by its suffix; empty if it has none."""
    name = COMPRESSED.sub("", Path(path.lower()).name)
    return RECORD_FORMATS.get(Path(name).suffix, "")


_LINE_ENDS = re.compile(r"[\r\n]+")
_LONGEST_VALUE = 1 << 30
"""Characters of a value of CSV; articles may be longer than the default of the standard library, 128 KiB."""

Rows = Iterator[dict[str, Any]]


def _read_json_lines(lines: Iterator[str], label: str) -> Rows:
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                record = None
            if not isinstance(record, dict):
                raise ElmanError(f"line {number:,} of {label} is not a JSON object (got {shorten(line.strip())})")
            yield record


def _read_csv(lines: Iterator[str], label: str, delimiter: str) -> Rows:
    csv.field_size_limit(_LONGEST_VALUE)
    rows = csv.DictReader(lines, delimiter=delimiter, strict=True)  # a quote that is not closed is an error
    try:
        yield from rows
    except csv.Error as error:
        reason = str(error).partition(" - ")[0]  # what follows is a remedy for Python programs
        raise ElmanError(f"line {rows.reader.line_num:,} of {label} is not CSV ({reason})") from None


def extract_field(chunks: Iterable[str], field: str, path: str, label: str, *, lines: bool = False) -> Iterator[str]:
    """Yield the values of a field in chunks; from a pipe, the values that have arrived.

    The suffix of `path` decides which format the file has. Text without a suffix, as from a pipe, is JSON Lines if it
    begins with a brace, otherwise CSV. `label` names the file in errors. With `lines`, every record becomes one line.
    """
    pending: deque[str] = deque()
    chunks = iter(chunks)
    head = next(chunks, "")
    chunks = chain([head], chunks)
    if "\n" not in head and "\r" in head[:-1]:  # rows end with a carriage return
        chunks = (chunk.replace("\r", "\n") for chunk in chunks)
    waiting = _split_lines(chunks, pending)
    first = next(filter(str.strip, waiting), "")
    kind = find_record_format(path) or ("JSON Lines" if first.lstrip().startswith("{") else "CSV")
    read = _read_json_lines if kind == "JSON Lines" else partial(_read_csv, delimiter="\t" if kind == "TSV" else ",")
    names, values, is_found = dict[str, None](), list[str](), False
    for record in read(chain([first], waiting), label):
        if field in record:
            is_found = True
            values.append(_format_value(record[field], field, label, lines))
        elif not is_found:
            names |= dict.fromkeys(map(str, record))
        if not pending:
            yield "".join(values)
            values.clear()
    yield "".join(values)
    if not is_found:
        known = f"its fields are {shorten(', '.join(names))}" if names else "it has no record"
        raise ElmanError(f"no record of {label} has the field {quote(field)}: {known}")


def _split_lines(chunks: Iterator[str], pending: deque[str]) -> Iterator[str]:
    """Yield the lines of a text, with their ends; `pending` holds lines that have arrived and are not yielded yet."""
    for block in complete_lines(chunks):
        pending.extend(line + "\n" for line in block[:-1].split("\n"))
        while pending:
            yield pending.popleft()


def _format_value(value: Any, field: str, label: str, lines: bool) -> str:
    """Return a value as text, with a line feed; empty if there is none."""
    if isinstance(value, list | dict):
        kind = "a list" if isinstance(value, list) else "an object"
        raise ElmanError(f"the field {quote(field)} of {label} must be text (got {kind}: {shorten(json.dumps(value))})")
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value)
    text = " ".join(filter(None, map(str.strip, _LINE_ENDS.split(text)))) if lines else text
    if not text:
        return ""
    # JSON may escape half of a surrogate pair, which no encoding of text can represent.
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text if text.endswith("\n") else f"{text}\n"
