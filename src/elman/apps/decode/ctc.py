"""CTC decoding with a language model: a prefix beam search, and new scores for the hypotheses of another decoder.

T  frames        K  symbols of the acoustic model, the blank among them        n  prefixes in the beam

An acoustic model that was trained with connectionist temporal classification (CTC) predicts a distribution f over K
symbols in each of T frames. A path has one symbol per frame; its text is what remains when repeated symbols are merged
and then blanks removed. The score of a text y is ::

    (1)  score(y) = log p(y) + alpha log p_lm(y) + beta |y|

where p(y) is the sum over all paths of y. The search reads the frames in order and keeps the prefixes with the highest
scores, each with the probability b of its paths that end in a blank and s of those that end in a symbol. A frame
changes them to ::

    (2)  b' = (b + s) f(blank)    s' = s f(k)    where k is the last symbol, which is merged when repeated
    (3)  s' = (b + s) f(k)                       of the prefix with k added
    (4)  s' = b f(k)                             likewise, if k is the last symbol already: after a blank only

If the prefix of (3) or (4) is in the beam, its two s' are added. The language model reads a prefix only if one of its
extensions might be kept: without the log p_lm of what is added, which is not known yet, (1) bounds their scores.

References: A. Graves, N. Jaitly, "Towards end-to-end speech recognition with recurrent neural networks", ICML 2014;
A. Hannun et al., "First-pass large vocabulary continuous speech recognition using bi-directional recurrent DNNs", 2014.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elman.errors import ElmanError, check_range, quote, shorten
from elman.model import Model, check_is_model
from elman.network import Array, State
from elman.text import unknown_nats

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

ROUNDING = 0.01
"""A log-probability in half precision may be above 0 by less."""
FREE, UNKNOWN = -1, -2
"""In the place of the index of a character: what costs nothing, and what the language model does not know."""


class Hypothesis(NamedTuple):
    """A text with its score (1), and the two log-probabilities in it, in nats."""

    text: str
    score: float
    acoustic: float
    """log p(text); in `rescore`, the score that was passed."""
    lm: float
    """log p_lm(text); 0 without a language model."""


def decode_ctc(
    log_probs: ArrayLike,
    symbols: Sequence[str],
    lm: Model | None = None,
    *,
    alpha: float = 0.5,
    beta: float = 1.5,
    width: int = 50,
    nbest: int = 1,
    blank: str = "",
    space: str = "|",
    symbol_threshold: float = 5.0,
    beam_threshold: float = 10.0,
) -> list[Hypothesis]:
    """Return the texts that a prefix beam search finds in the output of a CTC model, the best first.

    A model of independent lines also predicts the end of the text. Every other one reads a line feed before it.

    Parameters
    ----------
    log_probs : array, shape (T, K)
        The log-probability of every symbol in every frame, in nats.
    symbols : sequence of str
        The K symbols, with the blank. A symbol that is not a character of the language model costs what
        `elman.text.unknown` says.
    lm : Model, optional
        The language model: a network, with or without a prior, an ensemble, or counts.
    alpha : float
        Weight of the language model, at least 0. Choose it and `beta` on a development set.
    beta : float
        Added to the score for every symbol; it makes up for the cost of a long text in the language model.
    width : int
        Prefixes that are kept after each frame, at most.
    nbest : int
        Texts that are returned, at most.
    blank : str
        The name of the blank in `symbols`, such as ``<pad>``.
    space : str
        The symbol that stands for a space, if " " is not one of them.
    symbol_threshold : float
        Symbols are not added in a frame in which they are less likely than the best one by this many nats or more.
    beam_threshold : float
        Prefixes are dropped whose score is lower than the best one by more than this many nats. With both thresholds
        ``math.inf`` and a sufficient width, the scores are exact.

    Returns
    -------
    list of (text, score, acoustic, lm)
        Named tuples: the text, its score, and the log-probabilities of the acoustic and of the language model in nats.

    Raises
    ------
    ElmanError
        If the shape of the log-probabilities is not (T, K), some are NaN or above 0, or all of a frame are -infinity;
        if the symbols are not distinct or lack the blank, or an option is out of its range.

    Examples
    --------
    >>> import elman, numpy as np
    >>> text = elman.Corpus.from_text("tick tock\\n" * 40)
    >>> model = elman.train(text, preset="reference", hidden_size=16, max_updates=300, engine="numpy").model
    >>> symbols = ["", "c", "i", "k", "o", "t", "|"]
    >>> p = np.full((9, 7), 0.01)
    >>> p[np.arange(9), [5, 2, 1, 3, 6, 5, 2, 1, 3]] = 0.64
    >>> p[6, [2, 4]] = 0.4, 0.25
    >>> p /= p.sum(axis=1, keepdims=True)
    >>> [elman.decode_ctc(np.log(p), symbols, each)[0].text for each in (None, model)]
    ['tick tick', 'tick tock']
    """
    _check_weights(alpha, beta)
    check_range("width", width, 1)
    check_range("nbest", nbest, 1)
    if not all(_is_number(each) and each > 0 for each in (symbol_threshold, beam_threshold)):
        given = f"got {shorten(symbol_threshold)} and {shorten(beam_threshold)}"
        raise ElmanError(f"symbol_threshold and beam_threshold must be greater than 0 ({given})")
    if lm is not None:
        check_is_model(lm)
    texts = _list_texts(symbols, blank, space)
    frames, blank_index = _check_frames(log_probs, len(texts)), texts.index("")
    tried = frames > frames.max(axis=1, keepdims=True) - symbol_threshold
    tried[:, blank_index] = False
    used = np.flatnonzero(tried.any(axis=0))  # a few of the thousands of symbols of a recognizer of Chinese
    texts = [texts[k] for k in used.tolist()]
    search = _Search(_Reader(lm, texts), alpha, float(beta), width, beam_threshold)
    f = np.pad(frames[:, used], ((0, 0), (0, 1)), constant_values=-np.inf)
    for frame, of_blank, is_tried in zip(f, frames[:, blank_index], tried[:, used], strict=True):
        search.advance(frame, of_blank, np.flatnonzero(is_tried))
    return [*search.finish(texts)][:nbest]


def rescore(
    nbest: Iterable[tuple[str, float] | Hypothesis], lm: Model, *, alpha: float = 0.5, beta: float = 1.5
) -> list[Hypothesis]:
    """Return the hypotheses of a decoder with the scores (1) of a language model, the best first.

    Parameters
    ----------
    nbest : iterable of (text, score)
        The score takes the place of log p(y) in (1): it should not contain that of another language model.
    lm : Model
    alpha, beta : float
        As in `decode_ctc`.

    Returns
    -------
    list of (text, score, acoustic, lm)
        As in `decode_ctc`, where `acoustic` is the score that was passed.

    Examples
    --------
    >>> import elman
    >>> text = elman.Corpus.from_text("tick tock\\n" * 40)
    >>> model = elman.train(text, preset="reference", hidden_size=16, max_updates=300, engine="numpy").model
    >>> elman.rescore([("tick tick", -2.1), ("tick tock", -2.6)], model)[0].text
    'tick tock'
    """
    _check_weights(alpha, beta)
    check_is_model(lm)
    try:
        pairs = [(text, float(score)) for text, score, *_ in nbest]
    except (TypeError, ValueError) as error:
        raise ElmanError(f"nbest must contain a text and a score of each hypothesis ({error})") from None
    if any(math.isnan(score) for _, score in pairs):
        raise ElmanError("a score of the hypotheses is NaN")
    _check_strings("the texts of the hypotheses", [text for text, _ in pairs])
    log_p_lm = _read_texts(lm, [text for text, _ in pairs])
    rows = ((*pair, log_p) for pair, log_p in zip(pairs, log_p_lm, strict=True))
    found = [Hypothesis(text, s + alpha * log_p + beta * len(text), s, log_p) for text, s, log_p in rows]
    return sorted(found, key=lambda hypothesis: -hypothesis.score)


class _Beam(NamedTuple):
    """Prefixes, one in each row of every array (n,)."""

    node: Ints
    """Number of the prefix; 0 of the empty one."""
    parent: Ints
    """Number of the prefix without its last symbol."""
    last: Ints
    """Its last symbol; K of the empty one."""
    length: Ints
    b: Floats
    """log b, see (2)."""
    s: Floats
    """log s."""
    lm: Floats
    """log p_lm."""


class _Search:
    """The search: `advance` reads a frame, and `finish` returns what was found."""

    def __init__(self, reader: _Reader, alpha: float, beta: float, width: int, threshold: float) -> None:
        self.reader, self.alpha, self.beta, self.width, self.threshold = reader, alpha, beta, width, threshold
        self.nodes: dict[tuple[int, int], int] = {}
        """The number of every prefix that was in the beam, from 1, by that of its parent and its last symbol."""
        none, certain = np.zeros(1, np.intp), np.zeros(1)
        self.beam = _Beam(none, none - 1, none + reader.K, none, certain, certain - np.inf, certain)

    def advance(self, frame: Floats, blank: float, tried: Ints) -> None:
        """Read log f of the symbols of the reader, followed by -inf, and of the blank; those in `tried` are tried."""
        beam = self.beam
        total = np.logaddexp(beam.b, beam.s)
        base = np.where(beam.last[:, None] == tried, beam.b[:, None], total[:, None])
        added = base + frame[tried]  # (3) and (4), (n, len(tried))
        self.beam = beam = beam._replace(b=total + blank, s=beam.s + frame[beam.last])  # (2)
        if len(tried):
            self._merge(tried, added)
            scores = self._score(np.logaddexp(beam.b, beam.s), beam.lm, beam.length)
            bounds = self._score(added, beam.lm[:, None], beam.length[:, None] + 1)
            least = np.partition(scores, -self.width)[-self.width] if len(scores) >= self.width else -np.inf
            least = max(least, scores.max() - self.threshold)
            lm = self.reader.predict((bounds >= least).any(axis=1))[:, tried]
            self._select(tried, added, lm, np.append(scores, bounds + self.alpha * lm), least)

    def _score(self, acoustic: Floats, lm: Floats, length: Ints) -> Floats:
        return acoustic + self.alpha * lm + self.beta * length  # (1)

    def _merge(self, tried: Ints, added: Floats) -> None:
        """Move what is added to a prefix that is in the beam."""
        beam = self.beam
        child, row = np.nonzero(beam.parent[:, None] == beam.node)
        column = np.searchsorted(tried, beam.last[child])
        found = tried.take(column, mode="clip") == beam.last[child]
        child, place = child[found], (row[found], column[found])
        beam.s[child] = np.logaddexp(beam.s[child], added[place])
        added[place] = -np.inf

    def _select(self, tried: Ints, added: Floats, lm: Floats, scores: Floats, least: float) -> None:
        """Keep the best of the n prefixes and of those with a symbol added, given the scores of all in this order."""
        beam, n = self.beam, len(self.beam.node)
        least = max(least, scores.max() - self.threshold, np.finfo(np.float64).min)
        best = np.flatnonzero(scores >= least)
        if len(best) > self.width:
            best = np.sort(best[np.argpartition(-scores[best], self.width)[: self.width]])
        old, (row, column) = best[best < n], np.divmod(best[best >= n] - n, len(tried))
        parent, last = beam.node[row], tried[column]
        keys = zip(parent.tolist(), last.tolist(), strict=True)
        node = np.array([self.nodes.setdefault(key, len(self.nodes) + 1) for key in keys], np.intp)
        b, s = np.full(len(row), -np.inf), added[row, column]
        new = _Beam(node, parent, last, beam.length[row] + 1, b, s, beam.lm[row] + lm[row, column])
        self.beam = _Beam(*(np.concatenate([kept[old], more]) for kept, more in zip(beam, new, strict=True)))
        self.reader.select(np.append(old, row), last)

    def finish(self, texts: Sequence[str]) -> Iterator[Hypothesis]:
        """Yield what is in the beam after the last frame, the best first."""
        beam, acoustic = self.beam, np.logaddexp(self.beam.b, self.beam.s)
        lm = beam.lm + self.reader.predict()[:, -1]
        scores = self._score(acoustic, lm, beam.length)
        keys = [(0, 0), *self.nodes]
        for row in np.argsort(-scores, kind="stable"):
            node, found = int(beam.node[row]), []
            while node:
                node, symbol = keys[node]
                found.append(texts[symbol])
            yield Hypothesis("".join(reversed(found)), float(scores[row]), float(acoustic[row]), float(lm[row]))


class _Reader:
    """What a language model predicts after each of n prefixes, which it reads when that is asked for."""

    def __init__(self, model: Model | None, texts: Sequence[str]) -> None:
        self.model, self.K = model, len(texts)
        self.indices = np.full(self.K + 1, FREE)
        """The model's index of each symbol, and of the end of the line."""
        self.others = np.zeros(2)
        """log p of UNKNOWN and FREE."""
        self.unread = np.full(1, FREE)
        """The model's index of the character that follows `state`; negative if there is none."""
        if model is None:
            log_p: Array = np.empty((1, 0))
            self.state = State(log_p, np.empty((1, 0), np.int32))
        else:
            characters = model.alphabet.characters
            index_of = {character: k for k, character in enumerate(characters)}
            unknown = len(characters) - 1 if model.alphabet.has_unknown else UNKNOWN
            self.indices[:-1] = [index_of.get(text, unknown) for text in texts]
            if model.is_of_lines:
                self.indices[-1] = index_of["\n"]
            self.others[UNKNOWN] = -unknown_nats(len(characters))
            self.state, log_p = model.step(model.start(), model.alphabet.start_char)
        self.log_p = self._arrange(log_p)

    def _arrange(self, log_p: Array) -> Floats:
        """Return the log-probabilities of the K symbols and of the end of the line, given those of the model."""
        others = np.tile(self.others, (len(log_p), 1))
        return np.append(log_p.astype(np.float64), others, axis=1)[:, self.indices]

    def select(self, rows: Ints, symbols: Ints) -> None:
        """Keep some rows, and add a symbol to each of the last ones."""
        self.state, self.log_p = self.state.select(rows), self.log_p[rows]
        self.unread = np.append(self.unread[rows[: len(rows) - len(symbols)]], self.indices[symbols])

    def predict(self, is_needed: Bools | bool = True) -> Floats:
        """Return log p (n, K + 1) of the symbols and the end of the line; rows that are not needed are undefined."""
        rows = np.flatnonzero((self.unread >= 0) & is_needed)
        if self.model is not None and len(rows):
            state, log_p = self.model.step(self.state.select(rows), self.unread[rows])
            self.state = self.state.replace_rows(rows, state)
            self.log_p[rows], self.unread[rows] = self._arrange(log_p), FREE
        return self.log_p


def _read_texts(model: Model, texts: Sequence[str]) -> list[float]:
    """Return log p_lm of each text."""
    characters = sorted({*"".join(texts)})
    index_of = {character: k for k, character in enumerate(characters)}
    reader, total, rows = _Reader(model, characters), np.zeros(len(texts)), np.arange(len(texts))
    reader.select(np.zeros_like(rows), rows[:0])
    for t in range(1 + max(map(len, texts), default=-1)):
        symbols = np.array([index_of[texts[n][t]] if t < len(texts[n]) else reader.K for n in rows.tolist()])
        total[rows] += reader.predict()[np.arange(len(rows)), symbols]
        unfinished = np.flatnonzero(symbols < reader.K)
        reader.select(unfinished, symbols[unfinished])
        rows = rows[unfinished]
    return [*map(float, total)]


def _check_weights(alpha: float, beta: float) -> None:
    if not (_is_number(alpha) and 0 <= alpha < math.inf):
        raise ElmanError(f"alpha must be finite and at least 0 (got {shorten(alpha)})")
    if not (_is_number(beta) and math.isfinite(beta)):
        raise ElmanError(f"beta must be finite (got {shorten(beta)})")


def _is_number(value: object) -> bool:
    return isinstance(value, Real)


def _check_strings(name: str, values: Any) -> None:
    if not (isinstance(values, Iterable) and all(isinstance(each, str) for each in values)):
        raise ElmanError(f"{name} must be strings (got {quote(values)})")


def _list_texts(symbols: Sequence[str], blank: str, space: str) -> list[str]:
    """Return the text that each symbol stands for: "" for the blank only."""
    _check_strings("the symbols", symbols)
    names = [*symbols]
    if blank not in names:
        raise ElmanError(f"the {len(names)} symbols do not contain the blank {quote(blank)}: pass blank")
    texts = [" " if name == space and " " not in names else name for name in names]
    texts[names.index(blank)] = ""
    if repeated := Counter(texts) - Counter({*texts}):
        raise ElmanError(f"the symbols must be distinct (got {quote(min(repeated))} several times)")
    return texts


def _check_frames(log_probs: ArrayLike, K: int) -> Floats:
    """Return the log-probabilities (T, K)."""
    try:
        frames = np.asarray(log_probs, np.float64)
    except (TypeError, ValueError) as error:
        raise ElmanError(f"log_probs must be an array of numbers ({error})") from None
    if frames.ndim != 2 or frames.shape[1] != K:
        raise ElmanError(f"log_probs must have a row per frame and {K} columns (got the shape {frames.shape})")
    if len(frames) and not (frames.max() <= ROUNDING and frames.max(axis=1).min() > -np.inf):
        given = f"got {frames.min():.4g} to {frames.max():.4g}"
        raise ElmanError(f"log_probs must be log-probabilities, at most 0 and finite in every frame ({given})")
    return frames
