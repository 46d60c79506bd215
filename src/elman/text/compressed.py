"""Compressed files: recognized by their first bytes, and decompressed as they are read.

gzip, bzip2 and xz are read with the standard library, and Zstandard too from Python 3.14 on; before, with
``backports.zstd``, the same module for older versions of Python (extra ``zstd``).
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from elman.errors import ElmanError, quote
from elman.text.decoding import Readable


@dataclass(frozen=True)
class Compression:
    """A format of compressed files.

    Parameters
    ----------
    name : str
    magic : tuple of bytes
        What a file may start with.
    open : callable
        Returns the decompressed content of a stream as a binary file object.
    """

    name: str
    magic: tuple[bytes, ...]
    open: Callable[[Any], Any]


def _open_gzip(stream: Any) -> Any:
    return gzip.GzipFile(fileobj=stream, mode="rb")


def _open_zstd(stream: Any) -> Any:
    return _import_zstd().ZstdFile(stream)


def _import_zstd() -> Any:
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
    return zstd


COMPRESSIONS = (
    Compression("gzip", (b"\x1f\x8b\x08",), _open_gzip),
    Compression("bzip2", tuple(b"BZh%d1AY&SY" % level for level in range(1, 10)), bz2.BZ2File),
    Compression("xz", (b"\xfd7zXZ\0",), lzma.LZMAFile),
    Compression("zstd", (b"\x28\xb5\x2f\xfd",), _open_zstd),
)
_MAGIC = tuple(magic for compression in COMPRESSIONS for magic in compression.magic)


class PeekedStream:
    """A stream whose first bytes are known before they are read.

    Parameters
    ----------
    stream : Readable
    size : int
        Bytes to read ahead, at most.
    """

    def __init__(self, stream: Readable, size: int) -> None:
        self.stream = stream
        self.head = stream.read(size)
        # A pipe may deliver the first bytes of a format in pieces.
        while self.head and any(magic.startswith(self.head) and magic != self.head for magic in _MAGIC):
            if not (more := stream.read(size)):
                break
            self.head += more
        self._rest = self.head

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes; none at the end."""
        if not self._rest:
            return self.stream.read(size)
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


class DecompressedStream:
    """The decompressed content of a stream.

    Parameters
    ----------
    stream : Readable
    compression : Compression
    name : str
        Name of the stream in error messages.
    live : bool
        Whether `read` returns what is available rather than wait for as many bytes as it is asked for.

    Raises
    ------
    ElmanError
        If the library that reads the format is not installed; when it is read, if the content is truncated or corrupt.
    """

    def __init__(self, stream: Readable, compression: Compression, name: str, live: bool) -> None:
        self.name, self.compression = name, compression
        content = compression.open(stream)
        self._read = content.read1 if live else content.read

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes of the content; none at the end."""
        try:
            return bytes(self._read(size))
        except EOFError:
            raise ElmanError(f"{quote(self.name)} is a truncated {self.compression.name} file") from None
        except Exception as error:
            if not _is_corrupt(error):
                raise
            raise ElmanError(f"{quote(self.name)} is a corrupt {self.compression.name} file ({error})") from None


def _is_corrupt(error: Exception) -> bool:
    """Whether a decompressor rejects its input, rather than the system a file."""
    if isinstance(error, OSError):  # of gzip and bz2
        return error.errno is None
    return isinstance(error, lzma.LZMAError | zlib.error) or type(error).__name__ == "ZstdError"


def decompress(stream: PeekedStream, name: str, live: bool = False) -> Readable:
    """Return the content of a stream: decompressed if it is compressed, otherwise as it is.

    Parameters
    ----------
    stream : PeekedStream
    name : str
        Name of the stream in error messages.
    live : bool
        As in `DecompressedStream`.
    """
    for compression in COMPRESSIONS:
        if stream.head.startswith(compression.magic):
            return DecompressedStream(stream, compression, name, live)
    return stream
