"""The counts of an n-gram model as a table: packed arrays, the same on every machine.

K  size of the alphabet       n  length of the longest context
s  a string of 1 … n + 1 characters: a context, and the character that follows it

The table is a trie. A node is a string s, a child of the string without its last character; the root is the empty
string. The children of a context are therefore the characters that follow it. Nodes are numbered level by level, each
level in the order of its strings, so that the children of a node are consecutive. The table stores

strings   for each node except the root: its last character, and above it
          its weight, as a code                                                 bits(K) + 4 per node
rests     for each node that may have children: the weight of the children
          that are not kept, as a code                                          4 bits per node
children  for each such node: a zero for each child, then a one                 1 or 2 bits per node
large     the codes from 15 on, first of the weights and then of the rests;
          the field in `strings` or `rests` is then 15                          8 bits each

The trie was proposed by Fredkin (1960), the encoding of its structure by Jacobson (1989): the first child of node i is
1 + the number of zeros before the one of node i - 1. A code is a floating-point number of five bits for the exponent
and three for the fraction: numbers up to 16 are exact, larger ones are rounded to four binary digits. The arrays are
little-endian words of 64 bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elman.errors import ElmanError
from elman.storage.files import require_int
from elman.text.corpus import Spool

Ints = NDArray[np.intp]
Words = NDArray[np.uint64]

MAX_ORDER = 20
"""Maximum length of the counted strings, one more than the length of a context."""

CODES = np.array([*range(8), *(m << k for k in range(31) for m in range(8, 16))], np.int64)
"""The number that each code stands for: 0 … 16, 18, 20, …, 32, 36, …. Others are off by at most 1/17."""
CODE_BITS = 4
LARGE = (1 << CODE_BITS) - 1  # the field of a code that is in `large`: this one or a higher one
_CHUNK = 1 << 16  # numbers that are packed at a time, because each needs many bytes meanwhile; a multiple of 64


def encode_counts(counts: ArrayLike) -> NDArray[np.uint8]:
    """Return the code of the nearest number; numbers above the largest code's have the largest code."""
    numbers = np.asarray(counts, np.int64)
    shifts = np.maximum(np.frexp(numbers)[1] - 4, 0)
    codes = 8 * shifts + (numbers + (1 << shifts >> 1) >> shifts)
    return np.asarray(np.minimum(codes, len(CODES) - 1), np.uint8)


def symbol_bits(K: int) -> int:
    """Return the bits of a character's index."""
    return max(1, (K - 1).bit_length())


def pack(read: Callable[[slice], NDArray[Any]], count: int, width: int) -> Words:
    """Return numbers as consecutive fields of `width` bits, the first in the lowest bits, and one word more.

    `read` returns some of the `count` numbers. The additional word lets a field be read from two words without a test.
    Large arrays are memory-mapped.
    """
    left = count * width // 64 + 2
    with Spool(np.dtype(np.uint64)) as spool:
        for chunk in _chunks(count):
            numbers = np.zeros(_CHUNK, np.uint64)
            numbers[: chunk.stop - chunk.start] = read(chunk)
            packed = np.zeros((width, _CHUNK // 64), np.uint64)  # 64 numbers fill `width` words
            for i, of_groups in enumerate(np.ascontiguousarray(numbers.reshape(-1, 64).T)):
                word, shift = divmod(i * width, 64)
                packed[word] |= of_groups << np.uint64(shift)
                if shift + width > 64:
                    packed[word + 1] |= of_groups >> np.uint64(64 - shift)
            words = packed.T.ravel()[:left]
            spool.append(words)
            left -= len(words)
        spool.append(np.zeros(left, np.uint64))
        return spool.array()


def _chunks(count: int) -> Iterator[slice]:
    for first in range(0, count, _CHUNK):
        yield slice(first, min(first + _CHUNK, count))


def unpack(words: Words, width: int, count: int, first: int = 0) -> Ints:
    """Return `count` numbers of the result of `pack`, from `first` on."""
    at = np.arange(first, first + count, dtype=np.uint64) * np.uint64(width)
    word, shift = (at >> np.uint64(6)).astype(np.intp), at & np.uint64(63)
    high = np.where(shift > 0, words[word + 1] << ((np.uint64(64) - shift) & np.uint64(63)), np.uint64(0))
    return ((words[word] >> shift | high) & np.uint64((1 << width) - 1)).astype(np.intp)


def bytes_per_node(K: int) -> float:
    """Return the maximum size of a node in a table, in bytes, without its part of `large`."""
    return (symbol_bits(K) + 2 * CODE_BITS + 2) / 8


class Nodes(NamedTuple):
    """The nodes of a trie, unpacked, in the order of their numbers."""

    symbols: NDArray[Any]  # of each node except the root, (nodes - 1,)
    weights: NDArray[np.uint8]  # the same, as codes
    rests: NDArray[np.uint8]
    """For each node that may have children, (contexts,), as codes: the root, then the nodes of the first levels."""
    children: NDArray[Any]  # the same; how many children it has


class Level(NamedTuple):
    """The strings of one length, with numbers in place of codes; the numbers that the longest ones lack are 0."""

    symbols: Ints
    weights: NDArray[np.int64]
    rests: NDArray[np.int64]
    children: Ints


class FoldCounts(NamedTuple):
    """The counts of a trie's nodes without each fold of a text, as codes."""

    weights: NDArray[np.uint8]
    """For every node, (folds, nodes); 0 for the root, and if the string is not kept without the fold."""
    rests: NDArray[np.uint8]  # of every context, (folds, contexts)


class NgramSpec(NamedTuple):
    """How a text is counted."""

    K: int
    context_length: int  # n; 0 if nothing is counted
    reset_at: int | None = None
    """The character that is the first of every context in which it occurs: the line feed of independent lines."""

    @classmethod
    def parse(cls, description: Any) -> NgramSpec:
        """Return the values in a file; raise ValueError, LookupError or TypeError if they are invalid."""
        K = require_int(description["K"], "K", minimum=1)
        order = require_int(description["order"], "order", minimum=2, maximum=MAX_ORDER)
        feed = description["reset_at"]
        return cls(K, order - 1, None if feed is None else require_int(feed, "reset_at", maximum=K - 1))


@dataclass(frozen=True, eq=False)
class NgramTable:
    """The counts of a text; see the module."""

    spec: NgramSpec
    nodes: int  # all nodes …
    contexts: int  # … and the nodes that may have children; both include the root
    strings: Words
    rests: Words
    children: Words
    large: Words

    @classmethod
    def from_nodes(cls, spec: NgramSpec, nodes: Nodes) -> NgramTable:
        """Return the table of the nodes of a trie."""
        strings, contexts, width, end = len(nodes.symbols), len(nodes.children), symbol_bits(spec.K), -1
        children = np.zeros((strings + contexts) // 64 + 2, np.uint64)
        for chunk in _chunks(contexts):
            ends = end + np.cumsum(1 + nodes.children[chunk].astype(np.int64))
            np.add.at(children, ends >> 6, np.uint64(1) << (ends & 63).astype(np.uint64))
            end = ends[-1]
        codes = [array[chunk] for array in (nodes.weights, nodes.rests) for chunk in _chunks(len(array))]
        large = np.concatenate([chunk[chunk >= LARGE] for chunk in codes])

        def read_string(chunk: slice) -> NDArray[np.uint64]:
            code = np.minimum(nodes.weights[chunk], LARGE).astype(np.uint64)
            return nodes.symbols[chunk].astype(np.uint64) | code << np.uint64(width)

        return cls(
            spec, strings + 1, contexts, pack(read_string, strings, width + CODE_BITS),
            pack(lambda chunk: np.minimum(nodes.rests[chunk], LARGE), contexts, CODE_BITS), children,
            pack(large.__getitem__, len(large), 8),
        )  # fmt: skip

    def unpack(self) -> Nodes:
        """Return the nodes."""
        width, number = symbol_bits(self.spec.K), self.nodes - 1
        ends = np.flatnonzero(unpack(self.children, 1, number + self.contexts))
        strings = unpack(self.strings, width + CODE_BITS, number)
        codes = np.concatenate([strings >> width, unpack(self.rests, CODE_BITS, self.contexts)]).astype(np.uint8)
        (places,) = np.nonzero(codes == LARGE)
        codes[places] = unpack(self.large, 8, len(places))
        children = np.diff(ends, prepend=-1) - 1
        return Nodes(strings & ((1 << width) - 1), codes[:number], codes[number:], children)

    def levels(self, count: int) -> list[Level]:
        """Return the first levels, from the root on; levels that it lacks are empty."""
        nodes, missing, starts = self.unpack(), (0, self.nodes - self.contexts), [0, 1]  # of each level, the first node
        while len(starts) <= count:
            starts.append(starts[-1] + int(nodes.children[starts[-2] : starts[-1]].sum()))
        of_all = np.append(0, nodes.symbols), np.append(0, CODES[nodes.weights])
        arrays = *of_all, np.pad(CODES[nodes.rests], missing), np.pad(nodes.children, missing)
        return [Level(*(array[a:b] for array in arrays)) for a, b in pairwise(starts)]

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return sum(array.nbytes for array in self.arrays().values())

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by name."""
        return {name: getattr(self, name) for name in ARRAYS}


ARRAYS = ("strings", "rests", "children", "large")  # the arrays of a table, by the names of its attributes
_DO_NOT_FIT = "the arrays of its n-gram counts do not fit one another"
_NO_TRIE = "its n-gram counts are not a trie"


def check_table(table: NgramTable) -> None:
    """Check that the arrays of a table fit one another, and are a trie of strings of up to n + 1 characters.

    It is read in chunks: a large one would be many times its size when unpacked.
    """
    K, strings, contexts, width = table.spec.K, table.nodes - 1, table.contexts, symbol_bits(table.spec.K)
    bits = strings * (width + CODE_BITS), contexts * CODE_BITS, strings + contexts
    arrays = table.strings, table.rests, table.children
    if any(array.shape != (number // 64 + 2,) for array, number in zip(arrays, bits, strict=True)):
        raise ElmanError(_DO_NOT_FIT)
    starts, string, parent, sibling, large, is_end = [0, 1], 0, 0, -1, 0, np.zeros(1, bool)
    for chunk in _chunks(strings + contexts):
        is_end = unpack(table.children, 1, chunk.stop - chunk.start, chunk.start) > 0
        ends = chunk.start + np.flatnonzero(is_end)
        while len(starts) < table.spec.context_length + 3 and starts[-1] <= parent + len(ends):
            starts.append(int(ends[starts[-1] - 1 - parent]) + 2 - starts[-1])
        parents = parent + np.cumsum(is_end)[~is_end]
        if string + len(parents) > strings:
            raise ElmanError(_NO_TRIE)
        found = unpack(table.strings, width + CODE_BITS, len(parents), string)
        symbols = found & ((1 << width) - 1)
        siblings = np.append(sibling, parents * K + symbols)
        if (symbols >= K).any() or (np.diff(siblings) <= 0).any():
            raise ElmanError(_NO_TRIE)
        large += int(np.count_nonzero(found >> width == LARGE))
        string, parent, sibling = string + len(parents), parent + len(ends), int(siblings[-1])
    if not is_end[-1] or starts[table.spec.context_length + 1 :] != [contexts, table.nodes]:
        raise ElmanError(_NO_TRIE)
    for chunk in _chunks(contexts):
        codes = unpack(table.rests, CODE_BITS, chunk.stop - chunk.start, chunk.start)
        large += int(np.count_nonzero(codes == LARGE))
    if table.large.shape != (large // 8 + 2,):
        raise ElmanError(_DO_NOT_FIT)
