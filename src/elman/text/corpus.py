"""A text ready for training, and its provenance.

A text is never held in memory as a string. Only its indices are kept; if there are many, they are in a memory-mapped
temporary file. The file is unlinked, so that it cannot outlive the process. It is in the cache directory, because the
system's directory for temporary files is often in memory itself. It is mapped only when complete: mapped pages that are
touched count as the process's memory, written ones do not.
"""

from __future__ import annotations

import hashlib
import mmap
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from typing import IO, Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from elman.errors import ElmanError, checks_types, list_items, quote, report_system_errors
from elman.storage import writable_cache_dir
from elman.text.alphabet import Alphabet, CodePointIndex, index_dtype

CHUNK_SIZE = 1 << 20  # characters of a text in memory, or indices, processed at a time
LARGE = 64 << 20  # maximum bytes of indices kept in memory


@dataclass(frozen=True)
class TextFile:
    """A file that a corpus was read from."""

    path: str  # absolute path; ``-`` for standard input; or the name of a built-in text
    sha256: str
    """SHA-256, in hexadecimal, of the bytes its text was decoded from, decompressed if the file is compressed."""


class SampledText(NamedTuple):
    """The complete text that a corpus is a sample of: its number of characters, and the number of sampled pieces."""

    chars: int
    pieces: int


# Compared by identity: the equality of arrays is an array, not a truth value.
@dataclass(frozen=True, eq=False)
class Corpus:
    """A text of N characters as indices into its alphabet.

    Examples
    --------
    >>> import elman
    >>> corpus = elman.Corpus.from_text("banana")
    >>> corpus.alphabet.characters, corpus.indices.tolist(), corpus.text
    ('ban', [0, 1, 2, 1, 2, 1], 'banana')
    """

    name: str
    """The name of the file without its directory, ``-`` for standard input, or the name of a built-in text."""
    alphabet: Alphabet
    indices: NDArray[np.unsignedinteger]
    """Shape (N,), of ``alphabet.dtype``."""
    sha256: str
    """SHA-256, in hexadecimal, of the bytes the text was decoded from; of the complete text if this is a sample."""
    encoding: str
    files: tuple[TextFile, ...] = ()
    """The files that it was read from, in this order; empty for a text in memory."""
    skipped: int = 0
    """Number of binary files in its directories, which were skipped."""
    line_starts: NDArray[np.int64] | None = None
    """The positions of the line feeds of a text of independent lines in the form of `elman.text.lines`."""
    line_hashes: NDArray[np.uint64] | None = None
    """The hashes of the lines of a masked text before they were masked, without the empty lines."""
    sampled: SampledText | None = None
    """The complete text, if this is a sample of it, see ``max_chars`` of `elman.text.read_corpus`."""
    newlines_translated: tuple[str, ...] = ()
    r"""The line ends of its files, ``\r\n`` or ``\r``, that were read as ``\n``."""

    def __post_init__(self) -> None:
        K = len(self.alphabet)
        if not isinstance(self.indices, np.ndarray):
            raise ElmanError(f"corpus indices must be an array (got {quote(self.indices)}): use Corpus.from_text")
        fits = self.indices.ndim == 1 and self.indices.dtype.kind == "u"
        if not fits or any(chunk.max() >= K for chunk in iterate_chunks(self.indices)):
            raise ElmanError(
                f"corpus indices must be one-dimensional, unsigned and below {K} (got {self.indices.dtype} of shape"
                f" {self.indices.shape}): use Corpus.from_text or read_corpus"
            )

    @property
    def label(self) -> str:
        """The text as messages name it."""
        return "standard input" if self.name == "-" else quote(self.name)

    @property
    def text(self) -> str:
        """The text, decoded on every access."""
        return self.alphabet.decode(self.indices)

    def chunks(self) -> Iterator[str]:
        """Yield the text in chunks."""
        return map(self.alphabet.decode, iterate_chunks(self.indices))

    def release(self) -> None:
        """Release the memory of a long text that has been read; it is read from its file again when needed."""
        drop_pages(self.indices)

    @classmethod
    @checks_types
    def from_text(cls, text: str, name: str = "text") -> Corpus:
        """Return the corpus of a text in memory of at least two distinct characters, to pass again on resume.

        Its hash is the hash of its UTF-8 bytes.
        """
        alphabet, indices = encode_chunks([text], quote(name))
        return cls(name, alphabet, indices, hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest(), "utf-8")

    @classmethod
    @checks_types
    def from_lines(cls, lines: Iterable[str], name: str = "lines") -> Corpus:
        """Return the corpus of lines in memory; a line feed is added to each line that does not end with one."""
        requires = "Corpus.from_lines requires a list of strings"
        if isinstance(lines, str) or not isinstance(lines, Iterable):
            raise ElmanError(f"{requires} (got {quote(lines)}): for a text use Corpus.from_text or text.splitlines()")
        lines = list_items("lines", lines)
        if wrong := [line for line in lines if not isinstance(line, str)]:
            raise ElmanError(f"{requires} (it contains {quote(wrong[0])})")
        return cls.from_text("".join(line if line.endswith("\n") else f"{line}\n" for line in lines), name)


def encode_chunks(
    chunks: Iterable[str], label: str, alphabet: Alphabet | None = None, extend: bool = False
) -> tuple[Alphabet, NDArray[np.unsignedinteger]]:
    """Return the alphabet and the indices of a text that arrives in chunks; `label` names it in errors.

    Without `alphabet`, it is built from the text; with `extend`, characters that it lacks are appended to it.
    """
    characters = alphabet.characters if alphabet else ""
    is_fixed = alphabet is not None and (alphabet.has_unknown or not extend)

    def append(unknown: str) -> NDArray[np.intp]:
        nonlocal characters
        characters += unknown
        return np.arange(len(characters) - len(unknown), len(characters))

    index = alphabet.index() if alphabet is not None and is_fixed else CodePointIndex(append, characters)
    with Spool(index_dtype(len(characters))) as spool:
        for chunk in chunks:
            for encoded in index.encode(chunk):
                spool.widen(index_dtype(len(characters)))
                spool.append(encoded)
        indices = spool.array()
    if not len(indices):
        raise ElmanError(f"{label} is empty: use a text of at least two characters")
    if alphabet is None and len(characters) < 2:
        reason = f"a single distinct character, {characters!r}, so there is nothing to learn"
        raise ElmanError(f"{label} has {reason}: use a text of at least two")
    return alphabet if alphabet is not None and is_fixed else Alphabet(characters), indices


class Spool:
    """Context manager that collects unsigned integers of one type; `array` returns them and ends it."""

    def __init__(self, dtype: np.dtype[np.unsignedinteger]) -> None:
        self.dtype, self.file = dtype, cast(IO[bytes], BytesIO())

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        if not isinstance(self.file, BytesIO):
            # The buffer of Python 3.14 still has the bytes that a full disk refused, and would raise the error again.
            with suppress(OSError):
                self.file.close()  # the mapping keeps it open; the memory of a BytesIO is freed with the array

    def append(self, indices: NDArray[Any]) -> None:
        """Append indices."""
        self._write(indices.astype(self.dtype, copy=False))

    def widen(self, dtype: np.dtype[np.unsignedinteger]) -> None:
        """Convert to a wider type, including the indices that were appended already."""
        if dtype != self.dtype:
            with self:
                narrow = self.array()
            self.dtype, self.file = dtype, BytesIO()
            for chunk in iterate_chunks(narrow):
                self.append(chunk)

    def array(self) -> NDArray[np.unsignedinteger]:
        """Return the indices; if they are in a file, they are memory-mapped, and the file is freed with the array."""
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
        except OSError:  # not earlier: finding the cache is slower than writing a few indices
            remedy = ": free disk space there, or set ELMAN_CACHE to another directory"
            with report_system_errors(f"store a text of this size in {str(writable_cache_dir())!r}", remedy):
                raise

    def _move_to_file(self) -> None:
        directory = writable_cache_dir()
        directory.mkdir(parents=True, exist_ok=True)
        memory, self.file = self.file, tempfile.TemporaryFile(dir=directory)  # noqa: SIM115 (see __exit__)
        assert isinstance(memory, BytesIO)
        self.file.write(memory.getbuffer())


def iterate_chunks(indices: NDArray[np.unsignedinteger]) -> Iterator[NDArray[np.unsignedinteger]]:
    """Yield indices in chunks, releasing the memory of each."""
    for start in range(0, len(indices), CHUNK_SIZE):
        yield indices[start : start + CHUNK_SIZE]
        drop_pages(indices)


def drop_pages(indices: NDArray[Any]) -> None:
    """Release the pages of memory-mapped indices that have been read; they are read from the file again when needed."""
    owner: Any = indices
    while isinstance(owner, np.ndarray | memoryview):
        owner = owner.base if isinstance(owner, np.ndarray) else owner.obj
    if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        owner.madvise(mmap.MADV_DONTNEED)
