"""A text scored a line at a time.

A line is what stands before a line feed, and its end is predicted as well: a line that breaks off is as odd as one that
goes on. Every line is read from the same state, so that what it costs depends on no other, and an engine may read many
side by side. The state is the mean of those in which lines end that the network itself writes. The state that training
ended in would be one of them at best, with what went before still in it, or stand in the middle of a line.

Characters that the model does not know cost what `elman.inference.strangers` says, line by line. A model that knows no line
feed begins a line behind the first character of its alphabet, and is not asked for the end.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.engine.protocol import Indices, InferenceSession, SegmentLosses
from elman.inference.checks import check_finite
from elman.inference.strangers import KNOWN_NATS, stranger_nats
from elman.network import SamplingParams
from elman.network.parameters import Array
from elman.text import opened

if TYPE_CHECKING:
    from elman.inference.model import Model

WRITTEN = (160, 32)
"""Characters that a network writes to find where lines begin, of each of so many texts."""
SLICE = 256
"""Characters that are given at a time to an engine that reads one line after the other."""

Ints = NDArray[np.intp]
Floats = NDArray[np.float64]


class Line(NamedTuple):
    """What a line costs.

    Parameters
    ----------
    number : int
        Counted from 1.
    text : str
        Without its line feed.
    chars : int
        Characters predicted, the line feed among them; 0 where there was nothing to predict.
    nats : float
        -sum log p of them all.
    worst_column : int
        Of the character that costs most, counted from 1; of several the first. The line feed stands behind the text.
    worst_nats : float
        What that one costs.
    """

    number: int
    text: str
    chars: int
    nats: float
    worst_column: int
    worst_nats: float

    @property
    def nats_per_char(self) -> float:
        """Mean cross-entropy in nats; not a number where nothing was predicted."""
        return self.nats / self.chars if self.chars else math.nan

    @property
    def bits_per_char(self) -> float:
        """Mean cross-entropy in bits."""
        return self.nats_per_char / math.log(2)

    @property
    def worst_char(self) -> str:
        """The character that costs most."""
        return (self.text + "\n")[self.worst_column - 1] if self.chars else ""


def scored_lines(model: Model, pieces: Iterable[str], *, context: bool = False) -> Iterator[list[Line]]:
    """Yield the lines of a text that comes in pieces: those whose line feeds a piece brings, as soon as it has come.

    Parameters
    ----------
    model : Model
    pieces : iterable of str
        The more lines one holds, the more are read side by side.
    context : bool
        Read one line after the other, each in the state that the one before left.
    """
    scorer = _Scorer(model, context)
    number = 1
    for block in _whole_lines(pieces):
        lines = scorer.lines(block, number)
        number += len(lines)
        yield lines


def _whole_lines(pieces: Iterable[str]) -> Iterator[str]:
    """Yield text that ends in a line feed each time; the last line gets one where it has none."""
    begun: list[str] = []
    for piece in pieces:
        head, feed, tail = piece.rpartition("\n")
        if feed:
            yield "".join((*begun, head, feed))
            begun = []
        if tail:
            begun.append(tail)
    if begun:
        yield "".join((*begun, "\n"))


class _Scorer:
    """Reads blocks of lines with one network."""

    def __init__(self, model: Model, context: bool) -> None:
        self.session, self.context = model.engine.session(model.parameters), context
        alphabet = opened(model.alphabet)
        self.K = len(model.alphabet)
        self.table, self.dtype = alphabet.table(), alphabet.dtype
        self.asks_for_end = model.alphabet.beginning == "\n"
        self.start = model.alphabet.characters.index(model.alphabet.beginning)
        self.table.enter("\n", self.start)
        self.h = _end_of_a_line(self.session, model.h, self.start)[None] if self.asks_for_end else model.h[None]

    def lines(self, block: str, number: int) -> list[Line]:
        """Return the lines of a text that ends in a line feed; the first has this number."""
        texts = block[:-1].split("\n")
        codes = np.concatenate([[self.start], *self.table.encode(block)], dtype=self.dtype, casting="unsafe")
        lengths = np.fromiter(map(len, texts), np.intp, len(texts))
        found = self._of_network(codes, lengths) if codes.max() < self.K else self._with_strangers(codes, lengths)
        columns = [array.tolist() for array in found]
        numbers = range(number, number + len(texts))
        return [Line(*fields) for fields in zip(numbers, texts, *columns, strict=True)]

    def _with_strangers(self, codes: Indices, lengths: Ints) -> tuple[Ints, Floats, Ints, Floats]:
        """As `_of_network`, where some of the characters are not known."""
        known = codes < self.K
        begins = _begins(lengths)
        strangers = np.add.reduceat(~known[1:], begins, dtype=np.intp)
        chars, nats, columns, worst = self._of_network(codes[known], lengths - strangers)
        cost = stranger_nats(self.K)
        for n in np.flatnonzero(strangers):
            here = known[1:][begins[n] : begins[n] + lengths[n] + 1]
            nats[n] += strangers[n] * cost + chars[n] * KNOWN_NATS
            worst[n] += KNOWN_NATS
            if cost > worst[n]:
                columns[n], worst[n] = np.argmin(here) + 1, cost
            else:
                columns[n] = np.flatnonzero(here)[columns[n] - 1] + 1
        return chars + strangers, nats, columns, worst

    def _of_network(self, codes: Indices, lengths: Ints) -> tuple[Ints, Floats, Ints, Floats]:
        """Return of lines, given end to end behind one line feed: chars, nats, column of the worst, its nats.

        All are read from the same state, or each from the one that the line before left.
        """
        chars, begins = lengths + self.asks_for_end, _begins(lengths)
        read = self._in_turn if self.context else partial(self.session.segment_losses, self.h[0])
        nats, worst, worst_nats = read(codes, begins, chars)
        check_finite(nats)
        return chars, nats, worst + (chars > 0), worst_nats

    def _in_turn(self, codes: Indices, begins: Ints, chars: Ints) -> SegmentLosses:
        """Read every line from the state that the one before left."""
        pieces = []
        for first in range(0, len(codes) - 1, SLICE):
            piece = codes[first : first + SLICE + 1, None]
            losses, self.h = self.session.losses(self.h, piece[:-1], piece[1:])
            pieces.append(losses[:, 0])
        losses = np.concatenate(pieces)
        check_finite(losses)
        if not self.asks_for_end:
            losses[begins + chars] = 0
        line = np.repeat(np.arange(len(begins)), np.diff(begins, append=len(losses)))
        worst_nats = np.maximum.reduceat(losses, begins)
        places = np.flatnonzero(losses == worst_nats[line])
        worst = places[np.searchsorted(places, begins)] - begins
        # Added up in the order in which they are read, as those of a line that is read alone.
        return SegmentLosses(np.bincount(line, losses).astype(np.float64), worst, worst_nats)


def _end_of_a_line(session: InferenceSession, h: Array, feed: int) -> Array:
    """Return the mean of the states (D,) before the line feeds that a network writes; h (D,) if it writes none.

    It begins in the state h, behind a line feed, and always writes the same.
    """
    count = WRITTEN[1]
    first, states = np.full(count, feed), np.repeat(h[None], count, axis=0)
    uniforms = np.random.default_rng(0).random(WRITTEN)
    text, _ = session.generate(states, first, uniforms, [SamplingParams()] * count)
    _, states = session.logits(states, np.concatenate([first[None], text[:-1]]).astype(np.uint32))
    ends = states[text == feed]
    return ends.mean(axis=0, dtype=np.float64).astype(h.dtype) if len(ends) else h


def _begins(lengths: Ints) -> Ints:
    """Where each of several lines begins, if every line is one character longer."""
    return np.concatenate([[0], np.cumsum(lengths + 1)[:-1]])
