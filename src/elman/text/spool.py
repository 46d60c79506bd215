"""An append-only array of indices: in memory or, if it is large, in a temporary file that is memory-mapped.

The file is unlinked, so it cannot outlive the process. It is in the cache directory, since the system's directory for
temporary files is often in memory itself, and it is mapped only when complete: mapped pages count as the process's
memory once they are touched, written ones do not.
"""

from __future__ import annotations

import mmap
import tempfile
from contextlib import suppress
from io import BytesIO
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from elman.errors import ElmanError
from elman.paths import cache_dir

LARGE = 64 << 20
"""Maximum bytes of indices kept in memory."""

_CHUNK_SIZE = 1 << 20
"""Indices converted at a time when the type is widened."""


class Spool:
    """Context manager that collects indices; `array` returns them and ends it.

    Parameters
    ----------
    dtype : dtype of unsigned int
        Type of the indices; see `widen`.
    """

    def __init__(self, dtype: np.dtype[np.unsignedinteger]) -> None:
        self.dtype = dtype
        self.file: IO[bytes] = BytesIO()

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        if not isinstance(self.file, BytesIO):
            # What a full disk has refused is still in the buffer of Python 3.14, which would raise the error once more.
            with suppress(OSError):
                self.file.close()  # the mapping keeps it open; the memory of a BytesIO is freed with the array

    def append(self, indices: NDArray[Any]) -> None:
        """Append indices."""
        self._write(indices.astype(self.dtype, copy=False))

    def widen(self, dtype: np.dtype[np.unsignedinteger]) -> None:
        """Convert to a wider type, including the indices that were appended already."""
        with Spool(self.dtype) as narrow:
            narrow.file = self.file
            self.dtype, self.file = dtype, BytesIO()
            narrow.file.seek(0)
            while data := narrow.file.read(_CHUNK_SIZE * narrow.dtype.itemsize):
                self.append(np.frombuffer(data, narrow.dtype))

    def array(self) -> NDArray[np.unsignedinteger]:
        """Return the indices; those in a file are memory-mapped, and the file is freed with the array."""
        if isinstance(self.file, BytesIO):
            return np.frombuffer(self.file.getbuffer(), self.dtype)
        self._write(b"", last=True)
        return np.frombuffer(mmap.mmap(self.file.fileno(), 0), self.dtype)

    def _write(self, data: Any, last: bool = False) -> None:
        try:
            if isinstance(self.file, BytesIO) and self.file.tell() + memoryview(data).nbytes > LARGE:
                self._move_to_file()
            self.file.write(data)
            if last:
                self.file.flush()
        except OSError as error:
            raise ElmanError(
                f"cannot store a text of this size in {str(cache_dir())!r} ({error.strerror}): "
                "free disk space there, or set ELMAN_CACHE to another directory"
            ) from error

    def _move_to_file(self) -> None:
        cache_dir().mkdir(parents=True, exist_ok=True)
        memory, self.file = self.file, tempfile.TemporaryFile(dir=cache_dir())  # noqa: SIM115 (see __exit__)
        assert isinstance(memory, BytesIO)
        self.file.write(memory.getbuffer())


def drop_pages(indices: NDArray[Any]) -> None:
    """Release the pages of memory-mapped indices that have been read; they are read from the file again when needed."""
    owner: Any = indices
    while isinstance(owner, np.ndarray | memoryview):
        owner = owner.base if isinstance(owner, np.ndarray) else owner.obj
    if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        owner.madvise(mmap.MADV_DONTNEED)
