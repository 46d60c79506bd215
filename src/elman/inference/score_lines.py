"""Scores of a text, line by line.

The line feed that ends a line is scored too, since a line that breaks off is as anomalous as one that runs on. Every
line starts from the same state, so that its score does not depend on other lines, and an engine may read many in one
batch.
That state is the mean of the states at line ends in a fixed sample of the model's own text. The final state of training
would be one of them at best, with what preceded it still in it, or be the state in the middle of a line. An n-gram
prior has read nothing there: the line feed is the first character that a line's contexts contain.

The cost of unknown characters is defined in `elman.text.unknown`, and is applied line by line. If the alphabet has no
line feed, a line is read after the alphabet's first character, and its end is not scored.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.engine.protocol import Indices, InferenceSession, SegmentLosses
from elman.inference.score import check_finite
from elman.network import Architecture, SamplingParams, architecture
from elman.network.parameters import Array
from elman.text import with_unknown
from elman.text.lines import trim_lines
from elman.text.unknown import KNOWN_PENALTY_NATS, unknown_nats

if TYPE_CHECKING:
    from elman.inference.model import Model

SAMPLE_SHAPE = (160, 32)
"""Length and number of the texts that are sampled to find the initial state of a line."""
SLICE = 256
"""Characters per call of an engine that reads one line after the other."""

Ints = NDArray[np.intp]
Floats = NDArray[np.float64]


class Line(NamedTuple):
    """The score of a line.

    Parameters
    ----------
    number : int
        Line number, from 1.
    text : str
        The line without its line feed.
    chars : int
        Characters predicted, including the line feed; 0 if there was nothing to predict.
    nats : float
        -sum log p over those characters.
    worst_column : int
        Column of the most surprising character, from 1; the first of several. The line feed follows the text.
    worst_nats : float
        Surprisal of that character in nats.
    """

    number: int
    text: str
    chars: int
    nats: float
    worst_column: int
    worst_nats: float

    @property
    def nats_per_char(self) -> float:
        """Mean cross-entropy in nats; NaN if nothing was predicted."""
        return self.nats / self.chars if self.chars else math.nan

    @property
    def bits_per_char(self) -> float:
        """Mean cross-entropy in bits."""
        return self.nats_per_char / math.log(2)

    @property
    def worst_char(self) -> str:
        """The most surprising character."""
        return (self.text + "\n")[self.worst_column - 1] if self.chars else ""


def score_lines(model: Model, chunks: Iterable[str], *, carry_state: bool = False) -> Iterator[list[Line]]:
    """Score a text that arrives in chunks; yield the lines that each chunk completes as soon as it arrives.

    Parameters
    ----------
    model : Model
        One of independent lines scores lines as it is trained on them: empty ones are left out, and so is a carriage
        return at the end of a line.
    chunks : iterable of str
        The more lines a chunk contains, the larger the batch they are read in.
    carry_state : bool
        Carry the state from line to line instead of starting each line from the same state.
    """
    scorer = BlockScorer(model, carry_state)
    number = 1
    for block in _complete_lines(chunks):
        lines = scorer.score(block, number)
        number += len(lines)
        yield [line for line in lines if line.text] if model.is_of_lines else lines


def _complete_lines(chunks: Iterable[str]) -> Iterator[str]:
    """Yield blocks of complete lines; a line feed is added to the last line if it has none."""
    partial_line: list[str] = []
    for chunk in chunks:
        head, feed, tail = chunk.rpartition("\n")
        if feed:
            yield "".join((*partial_line, head, feed))
            partial_line = []
        if tail:
            partial_line.append(tail)
    if partial_line:
        yield "".join((*partial_line, "\n"))


class BlockScorer:
    """Scores blocks of lines with one network."""

    def __init__(self, model: Model, carry_state: bool) -> None:
        self.session, self.carry_state = model.engine.session(model.parameters), carry_state
        alphabet = with_unknown(model.alphabet)
        self.K = len(model.alphabet)
        self.table, self.dtype = alphabet.index(), alphabet.dtype
        self.scores_line_feed = model.alphabet.start_char == "\n"
        self.start = model.alphabet.characters.index(model.alphabet.start_char)
        self.table.add("\n", self.start)
        self.is_of_lines = model.is_of_lines
        h = model.h  # a model of independent lines is reset at every line feed, whatever the state
        if self.scores_line_feed and not self.is_of_lines:
            h = _mean_line_end_state(self.session, model.h, self.start)
        self.h = _without_characters(h, architecture(model.parameters))[None]

    def score(self, block: str, number: int) -> list[Line]:
        """Return the lines of a text that ends in a line feed; `number` is that of the first."""
        block = trim_lines(block) if self.is_of_lines else block
        texts = block[:-1].split("\n")
        indices = np.concatenate([[self.start], *self.table.encode(block)], dtype=self.dtype, casting="unsafe")
        lengths = np.fromiter(map(len, texts), np.intp, len(texts))
        score = self._score_known if indices.max() < self.K else self._score_with_unknown
        columns = [array.tolist() for array in score(indices, lengths)]
        numbers = range(number, number + len(texts))
        return [Line(*fields) for fields in zip(numbers, texts, *columns, strict=True)]

    def _score_with_unknown(self, indices: Indices, lengths: Ints) -> tuple[Ints, Floats, Ints, Floats]:
        """Do the same as `_score_known` for lines that contain unknown characters."""
        is_known = indices < self.K
        starts = _line_starts(lengths)
        num_unknown = np.add.reduceat(~is_known[1:], starts, dtype=np.intp)
        chars, nats, columns, worst = self._score_known(indices[is_known], lengths - num_unknown)
        cost = unknown_nats(self.K)
        for n in np.flatnonzero(num_unknown):
            is_known_here = is_known[1:][starts[n] : starts[n] + lengths[n] + 1]
            nats[n] += num_unknown[n] * cost + chars[n] * KNOWN_PENALTY_NATS
            worst[n] += KNOWN_PENALTY_NATS
            if cost > worst[n]:
                columns[n], worst[n] = np.argmin(is_known_here) + 1, cost
            else:
                columns[n] = np.flatnonzero(is_known_here)[columns[n] - 1] + 1
        return chars + num_unknown, nats, columns, worst

    def _score_known(self, indices: Indices, lengths: Ints) -> tuple[Ints, Floats, Ints, Floats]:
        """Return chars, nats, worst column and worst nats of lines, given end to end after one line feed."""
        chars, starts = lengths + self.scores_line_feed, _line_starts(lengths)
        read = self._read_in_order if self.carry_state else partial(self.session.segment_losses, self.h[0])
        nats, worst, worst_nats = read(indices, starts, chars)
        check_finite(nats)
        return chars, nats, worst + (chars > 0), worst_nats

    def _read_in_order(self, indices: Indices, starts: Ints, chars: Ints) -> SegmentLosses:
        """Read every line from the final state of the line before."""
        slices = []
        for first in range(0, len(indices) - 1, SLICE):
            chunk = indices[first : first + SLICE + 1, None]
            losses, self.h = self.session.losses(self.h, chunk[:-1], chunk[1:])
            slices.append(losses[:, 0])
        losses = np.concatenate(slices)
        check_finite(losses)
        if not self.scores_line_feed:
            losses[starts + chars] = 0
        line = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(losses)))
        worst_nats = np.maximum.reduceat(losses, starts)
        positions = np.flatnonzero(losses == worst_nats[line])
        worst = positions[np.searchsorted(positions, starts)] - starts
        # Summed in the order in which they are read, as the losses of a line that is read alone.
        return SegmentLosses(np.bincount(line, losses).astype(np.float64), worst, worst_nats)


def _mean_line_end_state(session: InferenceSession, h: Array, feed: int) -> Array:
    """Return the mean of the states (D,) before the line feeds in sampled text; h (D,) if there are none.

    Sampling starts in the state h, after a line feed, and is deterministic.
    """
    count = SAMPLE_SHAPE[1]
    first, states = np.full(count, feed), np.repeat(h[None], count, axis=0)
    uniforms = np.random.default_rng(0).random(SAMPLE_SHAPE)
    text, _ = session.generate(states, first, uniforms, [SamplingParams()] * count)
    _, states = session.logits(states, np.concatenate([first[None], text[:-1]]).astype(np.uint32))
    ends = states[text == feed]
    return ends.mean(axis=0, dtype=np.float64).astype(h.dtype) if len(ends) else h


def _without_characters(h: Array, network: Architecture) -> Array:
    """Return a state (D,) in which no characters of an n-gram prior were read."""
    return np.where(np.arange(len(h)) < network.recurrent_size, h, 0).astype(h.dtype)


def _line_starts(lengths: Ints) -> Ints:
    """Return the offset of each line, given that each is followed by a line feed."""
    return np.concatenate([[0], np.cumsum(lengths + 1)[:-1]])
