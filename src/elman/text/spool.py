"""A row of indices that is written from its beginning: in memory or, where it is long, in a temporary file.

The file has no name that could outlive the process. It lies in the cache folder, since the system's folder for
temporary files is often memory itself, and is mapped only once it is whole: what is mapped counts as the process's own
memory when it is touched, what is written does not.
"""

from __future__ import annotations

import mmap
import tempfile
from io import BytesIO
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from elman.errors import ElmanError
from elman.paths import cache_dir

LARGE = 64 << 20
"""Bytes of indices that are kept in memory at most."""

_PIECE = 1 << 20
"""Indices that are written in another type at a time."""


class Spool:
    """A context within which indices are gathered; `array` ends it.

    Parameters
    ----------
    dtype : dtype of unsigned int
        Of the indices; see `widen`.
    """

    def __init__(self, dtype: np.dtype[np.unsignedinteger]) -> None:
        self.dtype = dtype
        self.file: IO[bytes] = BytesIO()

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        if not isinstance(self.file, BytesIO):
            self.file.close()  # its mapping keeps it; the memory of a BytesIO is let go with the array

    def append(self, indices: NDArray[Any]) -> None:
        """Write indices behind those that are there."""
        self._write(indices.astype(self.dtype, copy=False))

    def widen(self, dtype: np.dtype[np.unsignedinteger]) -> None:
        """Go on in another type, and write in it what is there."""
        with Spool(self.dtype) as narrow:
            narrow.file = self.file
            self.dtype, self.file = dtype, BytesIO()
            narrow.file.seek(0)
            while data := narrow.file.read(_PIECE * narrow.dtype.itemsize):
                self.append(np.frombuffer(data, narrow.dtype))

    def array(self) -> NDArray[np.unsignedinteger]:
        """Return the indices; a file's are mapped, and the file is gone when nothing refers to them any more."""
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
                f"a text of this size needs room for its characters in {str(cache_dir())!r} ({error.strerror}): "
                "make room there, or name another folder by ELMAN_CACHE"
            ) from error

    def _move_to_file(self) -> None:
        cache_dir().mkdir(parents=True, exist_ok=True)
        memory, self.file = self.file, tempfile.TemporaryFile(dir=cache_dir())  # noqa: SIM115 (see __exit__)
        assert isinstance(memory, BytesIO)
        self.file.write(memory.getbuffer())


def let_go(indices: NDArray[Any]) -> None:
    """Give back the memory that reading mapped indices took; what is read again comes from the file again."""
    owner: Any = indices
    while isinstance(owner, np.ndarray | memoryview):
        owner = owner.base if isinstance(owner, np.ndarray) else owner.obj
    if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        owner.madvise(mmap.MADV_DONTNEED)
