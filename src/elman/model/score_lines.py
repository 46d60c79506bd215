"""Scores of a text, line by line.

The line feed that ends a line is scored too, because a line that breaks off is as anomalous as one that runs on. Every
line starts from the same state: the mean of the states at line ends in a fixed sample of the model's own text. Its
score therefore does not depend on other lines, and an engine can read many lines in one batch. In this state, an n-gram
prior has read nothing: the line feed is the first character that a line's contexts contain.

A model with masks reads masked lines; the columns refer to the original line.

The cost of unknown characters is defined in `elman.text.unknown` and applied line by line. If the alphabet has no line
feed, a line is read after the alphabet's first character, and its end is not scored.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import compress
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.engine.protocol import WORST, Indices, InferenceSession, SegmentLosses
from elman.errors import ElmanError, list_items, option, quote
from elman.model.score import check_finite, read_slices
from elman.network import SamplingParams
from elman.network.state import State
from elman.runs.snapshot import LINE_SCORES_SHAPE
from elman.text import with_unknown
from elman.text.lines import complete_lines, trim_lines
from elman.text.unknown import KNOWN_PENALTY_NATS, unknown_nats

if TYPE_CHECKING:
    from elman.model.model import Model

SAMPLE_SHAPE = (160, 32)  # length and number of the texts that are sampled to find the initial state of a line
MAX_LOGITS = 1 << 22  # approximate number of logits of those texts in memory at once

BLOCK_LINES = 4096  # maximum number of lines that are read in one batch, which bounds the memory
CACHED_CHARS = 8_000_000  # characters of the lines whose scores are cached, approximately: masked lines of a log repeat

Ints = NDArray[np.intp]
LineScore = tuple[int, float, float, int, float, str]  # the last six fields of `Line`


class Line(NamedTuple):
    """The score of a line; `text` is the line without its line feed."""

    number: int  # from 1
    text: str
    chars: int  # characters predicted, including the line feed; 0 if there was nothing to predict
    nats: float  # -sum log p over those characters
    worst5_nats: float  # the sum over the five most surprising characters
    worst_column: int
    """Column, from 1, of the first of the most surprising characters. The line feed's column follows the text."""
    worst_nats: float  # surprisal of that character in nats
    unknown: str = ""  # the characters of the line that the model does not know, each once

    @property
    def nats_per_char(self) -> float:
        """Mean cross-entropy in nats; NaN if nothing was predicted."""
        return self.nats / self.chars if self.chars else math.nan

    @property
    def worst_char(self) -> str:
        """The most surprising character."""
        return (self.text + "\n")[self.worst_column - 1] if self.chars else ""


AGGREGATIONS: dict[str, Callable[[Line], float]] = {
    "worst5+mean": lambda line: line.worst5_nats / max(1, min(line.chars, WORST)) + line.nats / max(1, line.chars),
    "worst5": lambda line: line.worst5_nats,
    "mean": lambda line: line.nats_per_char,
    "max": lambda line: line.worst_nats,
    "sum": lambda line: line.nats,
}
"""The scores of a line by name: the mean of its five highest losses plus the mean of all, the sum of the five, the
mean, the highest loss, or the sum of all. The first is the default: it finds most anomalies in logs and, unlike a sum,
also finds anomalous short lines."""

DEFAULT_AGGREGATION = next(iter(AGGREGATIONS))


def score_lines(model: Model, chunks: Iterable[str], *, carry_state: bool = False) -> Iterator[list[Line]]:
    """Score a text that arrives in chunks; yield the lines that each chunk completes as soon as it arrives.

    A model of independent lines scores lines in the form it was trained on: without empty lines, and without the
    carriage return at the end of a line. With `carry_state`, the state is carried from line to line.
    """
    scorer, number = BlockScorer(model, carry_state), 1
    for block in complete_lines(chunks):
        lines = scorer.score(block, number)
        number += len(lines)
        yield [line for line in lines if line.text] if model.is_of_lines else lines


class BlockScorer:
    """Scores blocks of lines with one network."""

    def __init__(self, model: Model, carry_state: bool) -> None:
        self.session, self.carry_state = model.engine.session(model.parameters), carry_state
        alphabet = with_unknown(model.alphabet)
        self.K, self.table, self.dtype = len(model.alphabet), alphabet.index(), alphabet.dtype
        self.scores_line_feed = model.alphabet.start_char == "\n"
        self.start = model.alphabet.characters.index(model.alphabet.start_char)
        self.table.add("\n", self.start)
        self.is_of_lines, self.masker = model.is_of_lines, model.masker
        state = model.state  # a model of independent lines is reset at every line feed, so the state has no effect
        if self.scores_line_feed and not self.is_of_lines and state.recurrent.size:
            state = _mean_line_end_state(self.session, state, self.start, self.K)
        self.state, self.lock = state.forget_history(), Lock()
        self.cache, self.cached_chars = dict[str, LineScore](), 0

    def score(self, block: str, number: int) -> list[Line]:
        """Return the lines of a text that ends in a line feed; `number` is the number of the first line."""
        originals = (trim_lines(block) if self.is_of_lines else block)[:-1].split("\n")
        masked = None if self.masker is None else self.masker.mask_lines(originals)
        texts = originals if masked is None else [line.text for line in masked]
        lines = []
        for n, score in enumerate(self._score_texts(texts) if self.carry_state else self._look_up(texts)):
            chars, nats, worst5_nats, column, worst_nats, characters = score
            if masked is not None and column:
                column = masked[n].find_original(column - 1) + 1
            lines.append(Line(number + n, originals[n], chars, nats, worst5_nats, column, worst_nats, characters))
        return lines

    def char_nats(self, line: str) -> NDArray[np.float64]:
        """Return the losses of the characters of a line and of its end, float64 of shape (length + 1,), as scored.

        The characters that a mask replaces have the loss of its symbol. An end that is not scored has the loss 0.
        """
        masked = None if self.masker is None else self.masker.mask_lines([line])[0]
        text = line if masked is None else masked.text
        indices = np.concatenate([[self.start], *self.table.encode(f"{text}\n")], dtype=self.dtype, casting="unsafe")
        known = np.flatnonzero(indices < self.K)
        losses = np.full(len(indices), unknown_nats(self.K))
        read, x = KNOWN_PENALTY_NATS * (len(known) < len(indices)), indices[known][:, None]
        slices = read_slices(self.session, self.state.reshape(1), x[:-1], x[1:])
        losses[known[1:]] = read + np.concatenate([nats[:, 0] for nats, _ in slices])
        if not self.scores_line_feed:
            losses[-1] = 0
        if masked is None:
            return losses[1:]
        columns = [masked.find_original(n) for n in range(len(text) + 1)]
        return np.repeat(losses[1:], np.diff(columns, append=len(line) + 1))

    def score_batch(self, lines: Iterable[str]) -> list[Line]:
        """Score lines in memory, each with or without its line feed; threads take turns."""
        if isinstance(lines, str) or not isinstance(lines, Iterable):
            raise ElmanError(f"lines must be a list, an array or a column of strings (got {quote(lines)})")
        texts = []
        for n, line in enumerate(list_items("lines", lines), 1):
            if not isinstance(line, str):
                raise ElmanError(f"line {n} of the batch must be a string (got {quote(line)})")
            texts.append(line.removesuffix("\n"))
            if "\n" in texts[-1]:
                raise ElmanError(f"line {n} of the batch contains a line feed: split it")
        blocks = ("\n".join([*texts[n : n + BLOCK_LINES], ""]) for n in range(0, len(texts), BLOCK_LINES))
        with self.lock:
            return [line for block in blocks for line in self.score(block, 1)]

    def _look_up(self, texts: list[str]) -> list[LineScore]:
        """Return the scores of lines; a line whose score is cached is not read again."""
        if self.cached_chars > CACHED_CHARS:
            self.cache, self.cached_chars = {}, 0
        if new := [text for text in dict.fromkeys(texts) if text not in self.cache]:
            self.cache.update(zip(new, self._score_texts(new), strict=True))
            self.cached_chars += sum(len(text) + 200 for text in new)  # a score uses as much as 200 characters
        return [self.cache[text] for text in texts]

    def _score_texts(self, texts: list[str]) -> list[LineScore]:
        """Read lines, and return their scores; the columns refer to the lines as they are read."""
        block = "\n".join([*texts, ""])
        indices = np.concatenate([[self.start], *self.table.encode(block)], dtype=self.dtype, casting="unsafe")
        lengths, is_known = np.fromiter(map(len, texts), np.intp, len(texts)), indices < self.K
        starts = _line_starts(lengths)
        unknown = np.add.reduceat(~is_known[1:], starts, dtype=np.intp)
        chars = lengths - unknown + self.scores_line_feed
        read = self._read_in_order if self.carry_state else partial(self.session.segment_losses, self.state)
        nats, worst, worst_nats = read(indices[is_known], _line_starts(lengths - unknown), chars)
        check_finite(nats)
        columns, cost = worst + (chars > 0), unknown_nats(self.K)
        count, characters = np.minimum(chars, WORST), [""] * len(texts)  # of the losses in each row of worst_nats
        for n in np.flatnonzero(unknown):
            known_here = is_known[1:][starts[n] : starts[n] + lengths[n] + 1]
            nats[n] += unknown[n] * cost + chars[n] * KNOWN_PENALTY_NATS
            worst_nats[n, : count[n]] += KNOWN_PENALTY_NATS
            is_worst = cost > worst_nats[n, 0]
            columns[n] = np.argmin(known_here) + 1 if is_worst else np.flatnonzero(known_here)[columns[n] - 1] + 1
            worst_nats[n] = np.sort(np.append(worst_nats[n], np.full(min(unknown[n], WORST), cost)))[::-1][:WORST]
            characters[n] = "".join(dict.fromkeys(compress(texts[n], ~known_here)))
        fields = (chars + unknown, nats, worst_nats.sum(axis=1), columns, worst_nats[:, 0])
        return [*zip(*(array.tolist() for array in fields), characters, strict=True)]

    def _read_in_order(self, indices: Indices, starts: Ints, chars: Ints) -> SegmentLosses:
        """Read every line from the final state of the line before."""
        slices = list(read_slices(self.session, self.state.reshape(1), indices[:-1, None], indices[1:, None]))
        losses, self.state = np.concatenate([nats[:, 0] for nats, _ in slices]), slices[-1][1].select(0)
        check_finite(losses)
        if not self.scores_line_feed:
            losses[starts + chars] = 0
        nats, worst, worst_nats = np.zeros(len(starts)), np.zeros(len(starts), np.intp), np.zeros((len(starts), WORST))
        for n, of_line in enumerate(np.split(losses, starts[1:])):
            nats[n] = sum(of_line.tolist())  # in reading order, so that the sum equals the sum of a line scored alone
            worst[n], highest = of_line.argmax(), np.sort(of_line)[::-1][:WORST]
            worst_nats[n, : len(highest)] = highest
        return SegmentLosses(nats, worst, worst_nats)


CALIBRATION_LINES = 4096  # maximum number of held-out lines from whose scores the quantiles are computed
LEVELS = np.linspace(0, 1, LINE_SCORES_SHAPE[1])  # levels of the quantiles


def compute_score_quantiles(model: Model, indices: Indices) -> NDArray[np.float64]:
    """Return the quantiles of the scores of held-out lines, float64 of shape (aggregations, `LEVELS`).

    `indices` are the masked lines in the form of `elman.text.lines`.
    """
    feeds = np.flatnonzero(indices == indices[0])
    chosen = range(0, len(feeds) - 1, math.ceil(len(feeds) / CALIBRATION_LINES))
    texts = [model.alphabet.decode(indices[feeds[n] + 1 : feeds[n + 1]]) for n in chosen]
    lines = BlockScorer(replace(model, masker=None), carry_state=False).score_batch(texts)
    scores = [[aggregate(line) for line in lines] for aggregate in AGGREGATIONS.values()]
    return np.quantile(scores, LEVELS, axis=1).T


def find_threshold(model: Model, by: str, fraction: float) -> float:
    """Return the score that a fraction of the held-out lines do not exceed."""
    if model.score_quantiles is None:
        stored = f"which a finished run with {option.lines:True} and {option.validation:0.1} stores"
        needed = f"a threshold in percent requires the scores of held-out lines, {stored}"
        raise ElmanError(f"{needed}: train one, or pass a number such as {option.threshold:8}")
    return float(np.interp(fraction, LEVELS, model.score_quantiles[[*AGGREGATIONS].index(by)]))


def _mean_line_end_state(session: InferenceSession, state: State, feed: int, K: int) -> State:
    """Return the mean of the states before the line feeds in sampled text; `state` if there are no line feeds.

    Sampling starts from `state`, after a line feed, and is deterministic.
    """
    count = SAMPLE_SHAPE[1]
    first, states = np.full(count, feed), state.tile(count)
    uniforms = np.random.default_rng(0).random(SAMPLE_SHAPE)
    text, _ = session.generate(states, first, uniforms, [SamplingParams()] * count)
    x, found, n = np.concatenate([first[None], text[:-1]]).astype(np.uint32), [], max(1, MAX_LOGITS // (count * K))
    for part in (slice(t, t + n) for t in range(0, len(x), n)):
        _, states_after = session.logits(states, x[part])
        found.append(states_after.recurrent[text[part] == feed])
        states = states_after.select(-1)
    ends = np.concatenate(found)
    return state.with_recurrent(ends.mean(axis=0, dtype=np.float64).astype(ends.dtype)) if len(ends) else state


def _line_starts(lengths: Ints) -> Ints:
    """Return the offset of each line, given that each is followed by a line feed."""
    return np.concatenate([[0], np.cumsum(lengths + 1)[:-1]])
