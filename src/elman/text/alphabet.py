"""The characters of a model, text as indices into them, and the lookup of code points.

K  alphabet size (vocabulary size)    N  characters in a text

A character is one Unicode code point. Text is encoded in NumPy through a table indexed by code point, which has at most
0x110001 entries and is extended by a callback when it meets unknown characters.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elman.errors import ElmanError

_KEPT = "\t\n\u200c\u200d"  # tab, line feed and the joiners, without which some scripts and emoji look different


@dataclass(frozen=True)
class Alphabet:
    """K distinct characters; the index of a character is its position."""

    characters: str  # each character once, ordered by first appearance in the text it was made from
    has_unknown: bool = False
    """Whether the last character is the unknown symbol, which replaces every character outside the alphabet; see
    ``--min-count``. Without it, such a character is an error."""

    def __post_init__(self) -> None:
        if not self.characters:
            raise ElmanError("an alphabet must have at least one character")
        character, count = Counter(self.characters).most_common(1)[0]
        if count > 1:
            repeated = f"{format_character(character)} occurs {count} times"
            raise ElmanError(f"an alphabet must contain each character once: {repeated}")

    def __len__(self) -> int:
        return len(self.characters)

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger]:
        """The smallest unsigned type that holds K - 1: uint8, uint16 or uint32."""
        return index_dtype(len(self))

    @property
    def start_char(self) -> str:
        """The character read where no text precedes: a line feed, unless it is the unknown symbol, or the first one."""
        return "\n" if "\n" in self.characters[: len(self) - self.has_unknown] else self.characters[0]

    @classmethod
    def from_text(cls, text: str) -> Alphabet:
        """Return the alphabet of `text`, ordered by first appearance."""
        return cls("".join(dict.fromkeys(text)))  # unlike a set, in the same order in every process

    def encode(self, text: str) -> NDArray[np.unsignedinteger]:
        """Return the index of each character of `text`, `dtype` (N,)."""
        if not isinstance(text, str):
            raise ElmanError(f"a text must be a string (got {type(text).__name__})")
        # The chunks are int32, up to four times as large.
        chunks = [chunk.astype(self.dtype) for chunk in self.index().encode(text)]
        return np.concatenate([np.empty(0, self.dtype), *chunks])

    def decode(self, indices: ArrayLike) -> str:
        """Return the text of `indices` (N,), each in [0, K)."""
        return as_text(code_points(self.characters)[np.asarray(indices, np.intp)])

    def index(self) -> CodePointIndex:
        """Return an index that encodes text in chunks, and rejects or replaces unknown characters."""
        return CodePointIndex(self._on_unknown, self.characters)

    def _on_unknown(self, characters: str) -> int:
        if self.has_unknown:
            return len(self) - 1
        remedy = "remove it, or train on a text that contains it"
        raise ElmanError(f"{format_character(characters[0])} is not among the model's {len(self)} characters: {remedy}")


def index_dtype(size: int) -> np.dtype[np.unsignedinteger]:
    """Return the smallest unsigned type for the indices of an alphabet of `size` characters."""
    return np.min_scalar_type(max(0, size - 1))


def format_character(character: str) -> str:
    """Return a character as a Python literal with its code point: ``'é' (U+00E9)``."""
    return f"{character!r} (U+{ord(character):04X})"


CHUNK = 1 << 16
"""Characters encoded at a time: their code points (4 bytes) and NumPy's gather indices (8 bytes) fit in the cache."""

_UNKNOWN = -1


class CodePointIndex:
    """Maps code points to indices; at first, `characters` to their positions.

    `on_unknown` is called with characters that have no index yet, each once, in order of first appearance. It returns
    an index for each, or one index for all, or raises.
    """

    def __init__(self, on_unknown: Callable[[str], ArrayLike], characters: str = "") -> None:
        self.on_unknown = on_unknown
        # The last entry belongs to no code point: code points beyond the table are clipped to it.
        self.index_of = np.full(1, _UNKNOWN, np.int32)
        self.add(characters, np.arange(len(characters)))

    def add(self, characters: str, indices: ArrayLike) -> None:
        """Assign indices to characters."""
        points = code_points(characters)
        missing = int(points.max(initial=0)) + 2 - len(self.index_of)
        if missing > 0:
            self.index_of = np.pad(self.index_of, (0, missing), constant_values=_UNKNOWN)
        self.index_of[points] = indices

    def encode(self, text: str) -> Iterator[NDArray[np.int32]]:
        """Yield the indices of `text` in chunks of at most `CHUNK`, N in total."""
        for start in range(0, len(text), CHUNK):
            points = code_points(text[start : start + CHUNK])
            indices = self.index_of.take(points, mode="clip")
            if indices.min() < 0:
                unknown = "".join(dict.fromkeys(as_text(points[indices < 0])))
                self.add(unknown, self.on_unknown(unknown))
                indices = self.index_of.take(points, mode="clip")
            yield indices


def code_points(text: str) -> NDArray[np.uint32]:
    """Return the code points of `text`, uint32 of shape (N,); a lone surrogate is one code point."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def as_text(points: NDArray[np.uint32]) -> str:
    """Return the text of code points."""
    return points.astype("<u4", copy=False).tobytes().decode("utf-32-le", "surrogatepass")


def visible(text: str) -> str:
    """Return a text with a visible character for each one that has no shape, reorders others, or is half of a pair."""
    table = {}
    for code in map(ord, set(text).difference(_KEPT)):
        if unicodedata.category(chr(code)) in ("Cc", "Cs", "Zl", "Zp", "Cf"):
            table[code] = 0x2400 + code if code < 0x20 else 0x2421 if code == 0x7F else 0xFFFD
    return text.translate(table)
