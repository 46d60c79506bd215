"""A text ready to train on, and where it came from.

The text is exactly what its bytes say. Newlines are kept as they are, so CRLF stays two characters.
Decoding is strict, so nothing is replaced in silence. Only a leading byte order mark is dropped.
It is read in pieces and never held whole: what is kept is its indices, and those of a long text in a file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elman.errors import ElmanError
from elman.text.alphabet import Alphabet
from elman.text.code_points import Table
from elman.text.spool import Spool, let_go

_PIECE = 1 << 20
"""Characters of a text in memory, or indices, that are looked at at a time."""


# Compared by identity: the equality of arrays is an array, not a truth value.
@dataclass(frozen=True, eq=False)
class Corpus:
    """A text as indices into its alphabet, N characters long.

    Parameters
    ----------
    name : str
        The file's name without its folder, ``-`` for standard input, or the built-in's name.
    alphabet : Alphabet
    indices : ndarray of ``alphabet.dtype``, shape (N,)
    sha256 : str
        Hexadecimal, of the bytes the text was decoded from.
    encoding : str
        What those bytes were decoded as.
    """

    name: str
    alphabet: Alphabet
    indices: NDArray[np.unsignedinteger]
    sha256: str
    encoding: str

    def __post_init__(self) -> None:
        K = len(self.alphabet)
        fits = self.indices.ndim == 1 and self.indices.dtype.kind == "u"
        if not fits or any(piece.max() >= K for piece in self.pieces()):
            raise ElmanError(
                f"a corpus needs a row of unsigned indices below K = {K}, and {self.indices.dtype} of shape "
                f"{self.indices.shape} came: make it by Corpus.from_text or read_corpus"
            )

    @property
    def text(self) -> str:
        """The text, decoded anew each time it is asked for."""
        return self.alphabet.decode(self.indices)

    def pieces(self) -> Iterator[NDArray[np.unsignedinteger]]:
        """Yield the indices a few at a time, without their memory adding up."""
        for start in range(0, len(self.indices), _PIECE):
            yield self.indices[start : start + _PIECE]
            let_go(self.indices)

    def release(self) -> None:
        """Give back the memory that reading a long text took; it comes from its file again when it is read again."""
        let_go(self.indices)

    @classmethod
    def from_text(cls, text: str, name: str = "text") -> Corpus:
        """Return the corpus of a text in memory; its hash is that of its UTF-8 bytes.

        Raises
        ------
        ElmanError
            If `text` has fewer than two distinct characters.
        """
        pieces = [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)]
        digest = hashlib.sha256()
        for piece in pieces:
            digest.update(piece.encode("utf-8", "surrogatepass"))
        alphabet, indices = gathered(pieces, name)
        return cls(name, alphabet, indices, digest.hexdigest(), "utf-8")


def gathered(
    pieces: Iterable[str], name: str, alphabet: Alphabet | None = None, extend: bool = False
) -> tuple[Alphabet, NDArray[np.unsignedinteger]]:
    """Return the alphabet of a text that comes in pieces, unless it is given, and its indices.

    To `extend` one that is given is to take up what it does not have, behind its own; one that folds has everything.
    """
    fixed = None if extend and alphabet and not alphabet.folds else alphabet
    found = _Found(alphabet.characters if alphabet else "")
    table = fixed.table() if fixed else found.table()
    with Spool(found.dtype) as spool:
        for piece in pieces:
            for chunk in table.encode(piece):
                if found.dtype != spool.dtype:
                    spool.widen(found.dtype)
                spool.append(chunk)
        indices = spool.array()
    if not len(indices):
        raise ElmanError(f"{name!r} holds no text: give one of at least two characters")
    if alphabet is None and len(found.characters) < 2:
        raise ElmanError(
            f"{name!r} holds a single distinct character, {found.characters!r}, so there is nothing"
            " to learn: give a text of at least two"
        )
    return fixed or Alphabet(found.characters), indices


class _Found:
    """Characters that are there before, and those of a text in order of first appearance, while it is read."""

    def __init__(self, characters: str) -> None:
        self.characters = characters

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger]:
        """The smallest unsigned type for their indices."""
        return np.min_scalar_type(max(0, len(self.characters) - 1))

    def table(self) -> Table:
        """Return what encodes text piece by piece, and takes up the characters that it meets."""
        table = Table(self.meet)
        table.enter(self.characters, np.arange(len(self.characters)))
        return table

    def meet(self, strangers: str) -> NDArray[np.intp]:
        """Add characters, and return their indices."""
        first = len(self.characters)
        self.characters += strangers
        return np.arange(first, len(self.characters))
