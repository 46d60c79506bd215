"""A text of independent lines: names, log lines, commands.

Such a text is a sequence of characters like any other, except for its order::

    \\n line \\n line \\n … line \\n

It begins with a line feed and ends with one, so that every line is read after a line feed, at which the network is
reset, and its end is predicted. Empty lines are dropped. Carriage returns at the ends of lines are dropped, too, before
a text in memory is encoded, so that they are in no alphabet; the ones in a file are read as line feeds.

The lines are shuffled once. Then the last lines are held out for validation, and an n-gram prior counts the others. The
lines of the training set are shuffled again for every epoch. The orders follow from the seed and the number of the
epoch, so that a run is resumed in the same order.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.errors import ElmanError, option
from elman.text.alphabet import Alphabet
from elman.text.corpus import Corpus, Spool, drop_pages, iterate_chunks

Indices = NDArray[np.unsignedinteger[Any]]
Positions = NDArray[np.int64]
LineHashes = NDArray[np.uint64]

_RETURNS = re.compile(r"(?<!\r)\r+(?=\n|\Z)")

LINES = 1024  # lines hashed, or joined, at a time


def trim_lines(text: str) -> str:
    """Return a text without the carriage returns at the ends of its lines."""
    return _RETURNS.sub("", text) if "\r" in text else text  # the substitution is slower than reading a file


def trim_chunks(chunks: Iterable[str]) -> Iterator[str]:
    """Yield a text that arrives in chunks, trimmed as by `trim_lines`."""
    held = ""
    for chunk in chunks:
        text = (held + chunk).rstrip("\r")
        held = (held + chunk)[len(text) :]
        yield trim_lines(text)


def complete_lines(chunks: Iterable[str]) -> Iterator[str]:
    """Yield a text that arrives in chunks in blocks of complete lines; its last line is given a line feed if needed."""
    partial_line: list[str] = []
    for chunk in chunks:
        head, feed, tail = chunk.rpartition("\n")
        if feed:
            yield "".join((*partial_line, head, feed))
            partial_line = []
        partial_line.append(tail)
    if any(partial_line):
        yield "".join((*partial_line, "\n"))


class LineMoves(NamedTuple):
    """Where the lines of a shuffled text are, and where they were, given by the line feed before each line."""

    starts: Positions
    original: Positions  # shape (lines,)

    def originals(self, positions: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the original positions of characters; the line feed that ends a line belongs to it."""
        line = np.searchsorted(self.starts, positions) - 1
        return np.asarray(positions - self.starts[line] + self.original[line])


@dataclass(frozen=True, eq=False)
class Lines:
    """Lines in the form above."""

    indices: Indices  # shape (N,)
    starts: Positions  # shape (lines + 1,). Positions of the line feeds: the one before each line, and the last one.

    def __len__(self) -> int:
        return len(self.starts) - 1

    def slice(self, first: int, last: int) -> Lines:
        """Return some of the lines; the characters are not copied."""
        starts = self.starts[first : last + 1]
        return Lines(self.indices[starts[0] : starts[-1] + 1], starts - starts[0])

    def sample(self, chars: int) -> Lines:
        """Return evenly spread lines of about so many characters; all lines if they are not longer."""
        n, N = len(self), len(self.indices)
        if chars >= N:
            return self
        count = max(1, n * chars // N)
        chosen = np.arange(count) * n // count
        return _join(self.indices, self.starts[chosen] + 1, self.starts[chosen + 1], int(self.indices[0]))

    def shuffle(self, seed: int, epoch: int) -> tuple[Lines, LineMoves]:
        """Return the lines in the order of an epoch."""
        # NumPy does not change the results of its legacy generator, so that a run can be resumed with a later version.
        order = np.random.RandomState([seed, epoch]).permutation(len(self))
        shuffled = _join(self.indices, self.starts[order] + 1, self.starts[order + 1], int(self.indices[0]))
        return shuffled, LineMoves(shuffled.starts[:-1], self.starts[order])


def find_line_feed(alphabet: Alphabet) -> int:
    """Return the index of the line feed, which the alphabet must have."""
    if alphabet.start_char != "\n":
        raise ElmanError(f"{option.lines:True} requires a text of several lines, but this one has no line feed")
    return alphabet.characters.index("\n")


def make_lines(indices: Indices, alphabet: Alphabet) -> Lines:
    """Return the lines of a text of any form without carriage returns at the ends of its lines, in their order."""
    feed = find_line_feed(alphabet)
    found, length = [np.zeros(0, np.int64)], 0
    for chunk in iterate_chunks(indices):
        found.append(np.flatnonzero(chunk == feed) + length)
        length += len(chunk)
    feeds = np.concatenate(found)
    starts, ends = np.append(0, feeds + 1), np.append(feeds, length)
    is_filled = ends > starts
    if not is_filled.any():
        raise ElmanError("the text has no line that is not empty")
    return _join(indices, starts[is_filled], ends[is_filled], feed)


def shuffle_corpus(corpus: Corpus, seed: int) -> Corpus:
    """Return a text with its lines in the order in which they are divided into training and validation set."""
    if corpus.line_starts is not None:
        return corpus
    lines = make_lines(corpus.indices, corpus.alphabet)
    if (n := len(lines)) < 2:
        raise ElmanError(f"{option.lines:True} requires a text of at least two lines that are not empty (got {n})")
    shuffled, moves = lines.shuffle(seed, 0)
    hashes = corpus.line_hashes
    hashes = None if hashes is None else hashes[np.searchsorted(lines.starts, moves.original)]
    return replace(corpus, indices=shuffled.indices, line_starts=shuffled.starts, line_hashes=hashes)


def split_lines(corpus: Corpus, validation: float) -> tuple[Lines, Lines | None]:
    """Return the training and, if there are any, the validation lines of a shuffled text: its last, at least one."""
    assert corpus.line_starts is not None
    lines, border = Lines(corpus.indices, corpus.line_starts), count_training_lines(corpus, validation)
    return lines.slice(0, border), lines.slice(border, len(lines)) if validation else None


def count_training_lines(corpus: Corpus, validation: float) -> int:
    """Return how many lines of a shuffled text precede the held-out lines."""
    assert corpus.line_starts is not None
    n = len(corpus.line_starts) - 1
    return n - min(max(1, round(n * validation)), n - 1) if validation else n


def hash_training_lines(corpus: Corpus, lines: Lines) -> LineHashes:
    """Return the hashes of the first lines of a shuffled text, not masked, each once, in ascending order."""
    if corpus.line_hashes is not None:
        return np.unique(corpus.line_hashes[: len(lines)])
    hashes = []
    for first in range(0, len(lines), LINES):
        part = lines.slice(first, first + LINES)
        hashes.append(hash_texts(corpus.alphabet.decode(part.indices)[1:-1].split("\n")))
        drop_pages(lines.indices)
    return np.unique(np.concatenate(hashes))


def are_training_lines(hashes: LineHashes, lines: Iterable[str]) -> NDArray[np.bool_]:
    """Return whether the hash of each line is among the hashes of `hash_training_lines`."""
    found = hash_texts(trim_lines(line.removesuffix("\n")) for line in lines)
    nearest: LineHashes = hashes.take(np.searchsorted(hashes, found), mode="clip")  # `numpy.isin` would sort them again
    return np.equal(nearest, found)


def hash_texts(lines: Iterable[str]) -> LineHashes:
    """Return a 64-bit hash of each line, by which a model recognizes a line that it was trained on."""
    encoded = (line.encode("utf-8", "surrogatepass") for line in lines)
    return np.frombuffer(b"".join(hashlib.blake2b(line, digest_size=8).digest() for line in encoded), "<u8")


def _join(indices: Indices, starts: Positions, ends: Positions, feed: int) -> Lines:
    """Return the lines from `starts` to `ends` of a text in the form above."""
    with Spool(indices.dtype) as spool:
        spool.append(np.array([feed]))
        for first in range(0, len(starts), LINES):
            start = starts[first : first + LINES]
            lengths = ends[first : first + LINES] - start + 1
            offsets = np.cumsum(lengths)
            source = np.arange(offsets[-1]) + np.repeat(start - offsets + lengths, lengths)
            joined = indices.take(source, mode="clip")  # the feed of the last line may be missing
            joined[offsets - 1] = feed
            spool.append(joined)
        return Lines(spool.array(), np.append(0, np.cumsum(ends - starts + 1)))
