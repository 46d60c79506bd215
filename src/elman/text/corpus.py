"""A text ready for training, and its provenance.

The text is exactly what its bytes encode. Newlines are kept, so CRLF stays two characters. Decoding is strict, so
nothing is replaced silently; only a leading byte order mark is dropped. A text is read in chunks and never held in
memory as a string: only its indices are kept, in a file if it is long.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elman.errors import ElmanError, quote
from elman.text.alphabet import Alphabet, CodePointIndex
from elman.text.spool import Spool, drop_pages

_CHUNK_SIZE = 1 << 20
"""Characters of a text in memory, or indices, processed at a time."""


@dataclass(frozen=True)
class TextFile:
    """A file that a corpus was read from.

    Parameters
    ----------
    path : str
        Absolute path; ``-`` for standard input; or the name of a built-in text.
    sha256 : str
        SHA-256, in hexadecimal, of the bytes its text was decoded from; of a compressed file, those it contains.
    """

    path: str
    sha256: str


# Compared by identity: the equality of arrays is an array, not a truth value.
@dataclass(frozen=True, eq=False)
class Corpus:
    """A text of N characters as indices into its alphabet.

    Parameters
    ----------
    name : str
        Name of the file without its directory, ``-`` for standard input, or the name of a built-in text.
    alphabet : Alphabet
    indices : ndarray of ``alphabet.dtype``, shape (N,)
    sha256 : str
        SHA-256, in hexadecimal, of the bytes the text was decoded from; of several files, joined as their texts are.
    encoding : str
        Encoding of those bytes.
    files : tuple of TextFile
        The files that it was read from, in this order; empty for a text in memory.
    skipped : int
        Number of binary files in its directories, which were skipped.
    line_starts : ndarray of int64, optional
        Of a text of independent lines in the form of `elman.text.lines`: where its line feeds are.

    Examples
    --------
    >>> import elman
    >>> corpus = elman.Corpus.from_text("banana")
    >>> corpus.alphabet.characters, corpus.indices.tolist(), corpus.text
    ('ban', [0, 1, 2, 1, 2, 1], 'banana')
    """

    name: str
    alphabet: Alphabet
    indices: NDArray[np.unsignedinteger]
    sha256: str
    encoding: str
    files: tuple[TextFile, ...] = ()
    skipped: int = 0
    line_starts: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        K = len(self.alphabet)
        fits = self.indices.ndim == 1 and self.indices.dtype.kind == "u"
        if not fits or any(chunk.max() >= K for chunk in self.chunks()):
            raise ElmanError(
                f"corpus indices must be one-dimensional, unsigned and below {K} (got {self.indices.dtype} of shape"
                f" {self.indices.shape}): use Corpus.from_text or read_corpus"
            )

    @property
    def text(self) -> str:
        """The text, decoded on every access."""
        return self.alphabet.decode(self.indices)

    def chunks(self) -> Iterator[NDArray[np.unsignedinteger]]:
        """Yield the indices in chunks, releasing the memory of each."""
        for start in range(0, len(self.indices), _CHUNK_SIZE):
            yield self.indices[start : start + _CHUNK_SIZE]
            drop_pages(self.indices)

    def release(self) -> None:
        """Release the memory of a long text that has been read; it is read from its file again when needed."""
        drop_pages(self.indices)

    @classmethod
    def from_text(cls, text: str, name: str = "text") -> Corpus:
        """Return the corpus of a text in memory; its hash is that of its UTF-8 bytes.

        To resume a run that was trained on it, pass the same text again.

        Raises
        ------
        ElmanError
            If `text` is not a string, or has fewer than two distinct characters.
        """
        if not isinstance(text, str):
            raise ElmanError(f"Corpus.from_text requires a string (got {type(text).__name__})")
        chunks = [text[start : start + _CHUNK_SIZE] for start in range(0, len(text), _CHUNK_SIZE)]
        digest = hashlib.sha256()
        for chunk in chunks:
            digest.update(chunk.encode("utf-8", "surrogatepass"))
        alphabet, indices = encode_chunks(chunks, name)
        return cls(name, alphabet, indices, digest.hexdigest(), "utf-8")

    @classmethod
    def from_lines(cls, lines: Iterable[str], name: str = "lines") -> Corpus:
        """Return the corpus of lines in memory, each ended by a line feed unless it ends with one.

        Raises
        ------
        ElmanError
            If `lines` is a string or does not consist of strings; otherwise as `from_text`.
        """
        if isinstance(lines, str) or not isinstance(lines, Iterable):
            raise ElmanError(
                f"Corpus.from_lines requires a list of strings (got {quote(lines)}): for a text use Corpus.from_text or"
                " text.splitlines()"
            )
        lines = list(lines)
        if wrong := [line for line in lines if not isinstance(line, str)]:
            raise ElmanError(f"Corpus.from_lines requires a list of strings (it contains {quote(wrong[0])})")
        return cls.from_text("".join(line if line.endswith("\n") else f"{line}\n" for line in lines), name)


def encode_chunks(
    chunks: Iterable[str], name: str, alphabet: Alphabet | None = None, extend: bool = False
) -> tuple[Alphabet, NDArray[np.unsignedinteger]]:
    """Encode a text that arrives in chunks.

    Parameters
    ----------
    chunks : iterable of str
    name : str
        Name of the text in error messages.
    alphabet : Alphabet, optional
        Without it, the alphabet is built from the text.
    extend : bool
        Append characters that `alphabet` lacks to it; an alphabet with an unknown symbol lacks none.

    Returns
    -------
    alphabet : Alphabet
    indices : ndarray of ``alphabet.dtype``
    """
    fixed = None if extend and alphabet and not alphabet.has_unknown else alphabet
    builder = _AlphabetBuilder(alphabet.characters if alphabet else "")
    index = fixed.index() if fixed else builder.index()
    with Spool(builder.dtype) as spool:
        for chunk in chunks:
            for encoded in index.encode(chunk):
                if builder.dtype != spool.dtype:
                    spool.widen(builder.dtype)
                spool.append(encoded)
        indices = spool.array()
    label = "standard input" if name == "-" else quote(name)
    if not len(indices):
        raise ElmanError(f"{label} is empty: use a text of at least two characters")
    if alphabet is None and len(builder.characters) < 2:
        raise ElmanError(
            f"{label} has a single distinct character, {builder.characters!r}, so there is nothing"
            " to learn: use a text of at least two"
        )
    return fixed or Alphabet(builder.characters), indices


class _AlphabetBuilder:
    """Collects the characters of a text in order of first appearance, after the given ones."""

    def __init__(self, characters: str) -> None:
        self.characters = characters

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger]:
        """The smallest unsigned type for their indices."""
        return np.min_scalar_type(max(0, len(self.characters) - 1))

    def index(self) -> CodePointIndex:
        """Return an index that encodes text in chunks, and adds the unknown characters to this builder."""
        index = CodePointIndex(self.add)
        index.add(self.characters, np.arange(len(self.characters)))
        return index

    def add(self, characters: str) -> NDArray[np.intp]:
        """Append characters, and return their indices."""
        first = len(self.characters)
        self.characters += characters
        return np.arange(first, len(self.characters))
