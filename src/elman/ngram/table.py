"""The counts of an n-gram model as a table: packed arrays that can be memory-mapped, the same on every machine.

K  size of the alphabet       n  order: the length of the longest context
s  a string of 1 … n + 1 characters: a context, and the character that follows it

The table is a trie. A node is a string s, a child of the string without its last character; the root is the empty
string. So the children of a context are the characters that follow it. Nodes are numbered level by level, each level in
the order of its strings, so that the children of a node are consecutive. The table stores

strings   of each node but the root: its last character, and above it
          its weight, as a code                                                 bits(K) + 5 per node
rests     of each node that may have children: the weight of the children
          that are not kept, as a code                                          5 bits per node
children  of each such node: a one for each child, then a zero                  1 or 2 bits per node

The trie is that of Fredkin (1960), the encoding of its structure that of Jacobson (1989): the first child of node i is
1 + the number of ones before the zero of node i - 1. Codes below 16 are exact, and every further one is twice the one
before. The arrays are little-endian words of 64 bits; `ones`, of 32 bits, holds the number of ones before every 32nd
node, from which the children of a node are found in a few steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elman.errors import ElmanError
from elman.storage.untrusted import require_int

Ints = NDArray[np.intp]
Words = NDArray[np.uint64]

MAX_ORDER = 15

CODE_BITS = 5
EXACT_CODES = 16
CODES = np.array([*range(EXACT_CODES), *(3 << k for k in range(3, 3 + 2**CODE_BITS - EXACT_CODES))], np.int64)
"""The number that each code stands for: 0 … 15, 24, 48, …. One code and the next differ by a factor of two, so numbers
from 16 on are off by at most a third.
"""
_BOUNDS = np.array([*range(1, EXACT_CODES), *(1 << k for k in range(4, 4 + 2**CODE_BITS - EXACT_CODES))], np.int64)
"""The smallest number of each code from 1 on."""
_CHUNK = 1 << 16
"""Numbers that are packed at a time, as each takes many bytes meanwhile; a multiple of `STRIDE` and 64."""
STRIDE = 32
"""Nodes from one entry of `ones` to the next."""


def encode_counts(counts: ArrayLike) -> NDArray[np.uint8]:
    """Return the code of each number; those above the largest code's get that."""
    return np.searchsorted(_BOUNDS, counts, side="right").astype(np.uint8)


def symbol_bits(K: int) -> int:
    """Return the bits of a character's index."""
    return max(1, (K - 1).bit_length())


def pack(values: NDArray[Any], width: int) -> Words:
    """Return numbers as consecutive fields of `width` bits, the first in the lowest bits, and one word more.

    The word more lets a field be read from two words without a test.
    """
    words = np.zeros(len(values) * width // 64 + 2, np.uint64)
    for first in range(0, len(values), _CHUNK):
        numbers = np.zeros(_CHUNK, np.uint64)
        numbers[: len(values) - first] = values[first : first + _CHUNK]
        packed = np.zeros((width, _CHUNK // 64), np.uint64)  # 64 numbers take `width` words
        for i, of_groups in enumerate(np.ascontiguousarray(numbers.reshape(-1, 64).T)):
            word, shift = divmod(i * width, 64)
            packed[word] |= of_groups << np.uint64(shift)
            if shift + width > 64:
                packed[word + 1] |= of_groups >> np.uint64(64 - shift)
        into = words[first * width // 64 :][: packed.size]
        into[:] = packed.T.ravel()[: len(into)]
    return words


def unpack(words: Words, width: int, count: int) -> Ints:
    """Return the first `count` numbers of what `pack` returned."""
    at = np.arange(count, dtype=np.uint64) * np.uint64(width)
    word, shift = (at >> np.uint64(6)).astype(np.intp), at & np.uint64(63)
    high = np.where(shift > 0, words[word + 1] << ((np.uint64(64) - shift) & np.uint64(63)), np.uint64(0))
    return ((words[word] >> shift | high) & np.uint64((1 << width) - 1)).astype(np.intp)


def bytes_per_node(K: int) -> float:
    """Return the size of a node in a table at most, in bytes."""
    return (symbol_bits(K) + 2 * CODE_BITS + 2 + 32 / STRIDE) / 8


class Nodes(NamedTuple):
    """The nodes of a trie, unpacked, in the order of their numbers."""

    symbols: NDArray[Any]
    """Of each node but the root, (nodes - 1,)."""
    weights: NDArray[np.uint8]
    """The same, as codes."""
    rests: NDArray[np.uint8]
    """Of each node that may have children, (contexts,), as codes: the root, then those of the first levels."""
    children: NDArray[Any]
    """The same; how many it has."""

    def level_starts(self, levels: int) -> list[int]:
        """Return the first node of each level, and of the one after them."""
        starts = [0, 1]
        while len(starts) <= levels:
            starts.append(starts[-1] + int(self.children[starts[-2] : starts[-1]].sum()))
        return starts


class FoldCounts(NamedTuple):
    """The counts of a trie's nodes without each fold of a text, as codes."""

    weights: NDArray[np.uint8]
    """Of every node, (folds, nodes); 0 of the root, and where the string is not kept without the fold."""
    rests: NDArray[np.uint8]
    """Of every context, (folds, contexts)."""


class NgramSpec(NamedTuple):
    """What is counted of a text."""

    K: int
    order: int
    """n; 0 where nothing is counted."""
    reset_at: int | None = None
    """The character that is the first of every context in which it occurs: the line feed of independent lines."""

    @classmethod
    def parse(cls, description: Any) -> NgramSpec:
        """Return the values in a file; raise ValueError, LookupError or TypeError if they are invalid."""
        K = require_int(description["K"], "K", minimum=1)
        order = require_int(description["order"], "order", minimum=1, maximum=MAX_ORDER)
        feed = description["reset_at"]
        return cls(K, order, None if feed is None else require_int(feed, "reset_at", maximum=K - 1))


@dataclass(frozen=True, eq=False)
class NgramTable:
    """The counts of a text; see the module."""

    spec: NgramSpec
    nodes: int
    """All nodes …"""
    contexts: int
    """… and those that may have children, the root included in both."""
    strings: Words
    rests: Words
    children: Words
    ones: NDArray[np.uint32]

    @classmethod
    def from_nodes(cls, spec: NgramSpec, nodes: Nodes) -> NgramTable:
        """Return the table of the nodes of a trie."""
        bits, ones, before = np.ones(len(nodes.symbols) + len(nodes.children), np.uint8), list[NDArray[np.int64]](), 0
        for first in range(0, len(nodes.children), _CHUNK):
            ends = before + np.cumsum(nodes.children[first : first + _CHUNK], dtype=np.int64)
            bits[ends + np.arange(first, first + len(ends))] = 0
            ones.append(np.append(before, ends[:-1])[::STRIDE])
            before = ends[-1]
        width = symbol_bits(spec.K)
        kind = np.min_scalar_type((1 << width + CODE_BITS) - 1)
        strings = nodes.weights.astype(kind) << width
        strings |= nodes.symbols.astype(kind)
        return cls(
            spec, len(nodes.symbols) + 1, len(nodes.children),
            pack(strings, width + CODE_BITS), pack(nodes.rests, CODE_BITS), pack(bits, 1),
            np.concatenate(ones).astype(np.uint32),
        )  # fmt: skip

    def unpack(self) -> Nodes:
        """Return the nodes."""
        bits, width = unpack(self.children, 1, self.nodes - 1 + self.contexts), symbol_bits(self.spec.K)
        ends = np.flatnonzero(bits == 0)
        ends -= np.arange(len(ends))
        strings = unpack(self.strings, width + CODE_BITS, self.nodes - 1)
        return Nodes(
            strings & ((1 << width) - 1),
            (strings >> width).astype(np.uint8),
            unpack(self.rests, CODE_BITS, self.contexts).astype(np.uint8),
            np.diff(ends, prepend=0),
        )

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return sum(array.nbytes for array in self.arrays().values())

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by name."""
        return {name: getattr(self, name) for name in ARRAYS}


ARRAYS = ("strings", "rests", "children", "ones")
"""The arrays of a table, by the names of its attributes."""


def check_table(table: NgramTable) -> None:
    """Check the sizes of a table's arrays; kernels stay within them, whatever they contain."""
    nodes, contexts = table.nodes, table.contexts
    bits = (nodes - 1) * (symbol_bits(table.spec.K) + CODE_BITS), contexts * CODE_BITS, nodes - 1 + contexts
    lengths = *(number // 64 + 2 for number in bits), -(-contexts // STRIDE)
    if any(array.shape != (length,) for array, length in zip(table.arrays().values(), lengths, strict=True)):
        raise ElmanError("the arrays of its n-gram counts do not fit one another")
