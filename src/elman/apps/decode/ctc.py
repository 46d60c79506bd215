"""CTC decoding with a language model by prefix beam search, and new scores for another decoder's hypotheses.

T  frames        K  symbols of the acoustic model, the blank among them        n  prefixes in the beam

An acoustic model that was trained with connectionist temporal classification (CTC) predicts a distribution f over K
symbols in each of T frames. A path has one symbol per frame; merging repeated symbols and then removing blanks gives
its text. The score of a text y is ::

    (1)  score(y) = log p(y) + alpha log p_lm(y) + beta |y| + bonus of hotwords

where p(y) is the sum over all paths of y. The search reads the frames in order and keeps the prefixes with the highest
scores, each with the probability b of its paths that end in a blank and s of its paths that end in a symbol. A frame
changes them to ::

    (2)  b' = (b + s) f(blank)    s' = s f(k)    where k is the last symbol, which is merged when repeated
    (3)  s' = (b + s) f(k)                       of the prefix with k added
    (4)  s' = b f(k)                             instead, if k is already the last symbol: only after a blank

If the prefix of (3) or (4) is in the beam, its two s' are added. The language model reads a prefix only if one of its
extensions might be kept: before the log p_lm of the added symbol is known, (1) without it bounds their scores. These
sums lack the paths through dropped prefixes, so p(y) of the final texts is computed again.

References: A. Graves, N. Jaitly, "Towards end-to-end speech recognition with recurrent neural networks", ICML 2014;
A. Hannun et al., "First-pass large vocabulary continuous speech recognition using bi-directional recurrent DNNs", 2014.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TypedDict, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elman.apps.decode import beam, inputs, language_model
from elman.apps.decode.beam import NONE
from elman.apps.decode.language_model import LanguageModel, LmState
from elman.errors import ElmanError, check_number, check_range, checks_types, list_strings
from elman.jit import bind
from elman.model import Model

ALPHA, BETA = 0.5, 1.5
"""The default weights with a language model."""
MAX_WIDTH = 100_000  # the states of so many prefixes of a small network use 100 MB


@dataclass(frozen=True)
class Hypothesis:
    """A text with its score (1) and its parts."""

    text: str
    score: float
    acoustic: float
    """log p(text) in nats; in `rescore`, the score that was passed."""
    lm: float
    """log p_lm(text) in nats; 0 without a language model."""
    symbols: tuple[int, ...] = ()
    """The column of each symbol in the log-probabilities; empty in `rescore`."""
    frames: tuple[tuple[int, int], ...] = ()
    """The first and the last frame of each symbol, on the most likely path of the text."""
    state: LmState | None = field(default=None, compare=False, repr=False)
    """The language model after the text; a search with this state continues the text. None without a model."""


BLOCK = 1024
"""Frames of which the steps of a most likely path are stored at a time; all at once need T (2 S + 1) bytes."""


def _start(S: int) -> NDArray[np.float64]:
    """Return log b and log s, (2, S + 1), of the prefixes of a text before the first frame."""
    start = np.full((2, S + 1), -np.inf)
    start[0, 0] = 0.0
    return start


class SearchOptions(TypedDict, total=False):
    """The options of `CtcSearch`, see `decode_ctc`."""

    alpha: float
    beta: float | None
    width: int
    blank: str | None
    space: str
    symbol_threshold: float
    beam_threshold: float
    hotwords: Iterable[str]
    hotword_weight: float
    from_logits: bool
    state: LmState | None


class CtcSearch:
    """The search of `decode_ctc`, with its parameters, for frames that arrive in pieces.

    Examples
    --------
    >>> import elman, numpy as np
    >>> search = elman.CtcSearch(["", "h", "i"])
    >>> search.advance(np.log([[0.1, 0.8, 0.1]]))
    >>> search.best().text
    'h'
    >>> search.advance(np.log([[0.1, 0.1, 0.8], [0.8, 0.1, 0.1]]))
    >>> search.finish()[0].frames
    ((0, 0), (1, 1))
    """

    @checks_types
    def __init__(
        self,
        symbols: Sequence[str] | Mapping[str, int],
        lm: LanguageModel | None = None,
        *,
        alpha: float = ALPHA,
        beta: float | None = None,
        width: int = 50,
        blank: str | None = None,
        space: str = "|",
        symbol_threshold: float = 5.0,
        beam_threshold: float = 10.0,
        hotwords: Iterable[str] = (),
        hotword_weight: float = 10.0,
        from_logits: bool = False,
        state: LmState | None = None,
    ) -> None:
        alpha, beta = inputs.check_weights(alpha, beta if beta is not None else 0.0 if lm is None else BETA)
        check_range("width", width, 1, MAX_WIDTH)
        thresholds = {"symbol_threshold": symbol_threshold, "beam_threshold": beam_threshold}
        for name, value in thresholds.items():
            check_number(name, value, "greater than 0", lambda number: number > 0)
        self.texts, self._from_logits = inputs.list_texts(symbols, blank, space), from_logits
        self._symbol_threshold, self._beam_threshold = symbol_threshold, float(beam_threshold)
        self._blank, self._width = self.texts.index(""), width
        self._weights, self._reader = (alpha, beta), language_model.Reader(lm, self.texts, width, state)
        if lm is not None:
            language_model.warn_of_unknown(lm, self.texts)
        self._hotwords = inputs.make_hotwords(self.texts, hotwords, hotword_weight)
        self._begin(0)

    def _begin(self, place: int) -> None:
        """Begin the search, which uses the slots of the language model at `place`."""
        self._place = place
        self._pieces = [np.empty((0, len(self.texts)))]
        links, numbers = np.array([[NONE, NONE, NONE, NONE, 1, 0, NONE, 0]], np.int32), np.zeros((1, 7))
        numbers[0, beam.S] = -np.inf
        self._prefixes = beam.Prefixes(np.array([1, 1]), np.zeros(self._width, np.int64), links, numbers)

    @property
    def _scorer(self) -> beam.Scorer:
        # Not stored: in a copy of the search, it would have another copy of the reader's predictions.
        reader, words = self._reader, self._hotwords
        return beam.Scorer(
            *self._weights, reader.unknown, reader.log_p[self._place], reader.index, words.kind, words.after,
            words.gain, words.value,
        )  # fmt: skip

    def advance(self, log_probs: ArrayLike) -> None:
        """Read frames, log-probabilities of shape (T, K)."""
        for unread in self._advance(self._read_frames(log_probs)):
            self._reader.read([unread])

    def _advance(self, frames: NDArray[np.float64]) -> Iterator[language_model.Unread]:
        """Read frames; yield the prefixes that the language model has to read before the next frame."""
        self._pieces.append(frames)
        is_tried = frames > frames.max(axis=1, keepdims=True) - self._symbol_threshold
        is_tried[:, self._blank] = False
        tried, starts = np.nonzero(is_tried)[1], np.append(0, np.cumsum(is_tried.sum(axis=1)))
        m, is_needed = self._width * int(np.diff(starts).max(initial=0)), np.zeros(self._width, np.bool_)
        nodes, symbols = np.empty((2, m), np.int64)
        added = beam.Added(nodes, symbols, np.empty(m), np.empty(m), np.empty(self._width))
        self._reserve(self._width * len(frames))
        advance, t = bind(
            beam.advance, frames, self._blank, tried, starts, self._beam_threshold, self._prefixes, self._scorer, added,
            is_needed,
        ), 0  # fmt: skip
        while (t := advance(t)) < len(frames):
            yield self._unread(is_needed)

    def _copies(self, count: int) -> list[CtcSearch]:
        """Return searches with the same arguments, whose prefixes a language model can read together."""
        self._reader.reserve(count)
        copies = [CtcSearch.__new__(CtcSearch) for _ in range(count)]
        for place, each in enumerate(copies):
            vars(each).update(vars(self))
            each._begin(place)
        return copies

    def __copy__(self) -> CtcSearch:
        return deepcopy(self)  # `advance` changes the prefixes, which two searches cannot share

    def _read_frames(self, log_probs: ArrayLike) -> NDArray[np.float64]:
        return inputs.read_frames(log_probs, len(self.texts), self._from_logits)

    def _unread(self, is_needed: NDArray[np.bool_]) -> language_model.Unread:
        n = self._prefixes.used[0]
        return language_model.Unread(self._place, self._prefixes.links, self._prefixes.beam[:n], is_needed[:n])

    def _reserve(self, nodes: int) -> None:
        """Make room for more nodes."""
        used, kept, links, numbers = self._prefixes
        if used[1] + nodes > len(links):
            size = 2 * len(links) + nodes
            more_links, more_numbers = np.empty((size, 8), np.int32), np.empty((size, 7))
            more_links[: used[1]], more_numbers[: used[1]] = links[: used[1]], numbers[: used[1]]
            self._prefixes = beam.Prefixes(used, kept, more_links, more_numbers)

    def best(self) -> Hypothesis:
        """Return the text with the highest score so far, without the end of a line."""
        return self.finish(end=False)[0]

    @checks_types
    def finish(self, *, end: bool = True, nbest: int = 1) -> list[Hypothesis]:
        """Return the texts with the highest scores, the best first; the search can be continued.

        Parameters
        ----------
        end : bool
            Whether the text ends here: a model of independent lines then predicts its end, and the beginning of a
            hotword adds nothing.
        nbest : int
            Maximum number of texts that are returned.
        """
        check_range("nbest", nbest, 1)
        self._pieces = [np.concatenate(self._pieces)]
        highest = self._pieces[0].max(axis=1, keepdims=True)
        log_p, nodes = self._pieces[0] - highest, self._prefixes.beam[: self._prefixes.used[0]]
        paths = self._list_paths(nodes.tolist())
        lm, rest = self._read_all(nodes, end)
        acoustic = self._sum_paths(log_p, paths) + highest.sum()
        scores, found = acoustic + rest, list[Hypothesis]()
        for row in np.argsort(-scores, kind="stable")[:nbest].tolist():
            symbols, spans = tuple(paths[row].tolist()), self._find_spans(log_p, paths[row]).tolist()
            text, frames = "".join(self.texts[k] for k in symbols), tuple((first, last) for first, last in spans)
            state = self._reader.state(self._place, self._prefixes.links[nodes[row], beam.SLOT])
            numbers = float(scores[row]), float(acoustic[row]), float(lm[row])
            found.append(Hypothesis(text, *numbers, symbols, frames, state))
        return found

    def _read_all(self, nodes: NDArray[np.int64], end: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return log p_lm of prefixes, and the sum of the terms of (1) after log p, once the model has read them."""
        self._reader.read([self._unread(np.ones(self._width, np.bool_))])
        links, numbers = self._prefixes.links[nodes], self._prefixes.numbers[nodes]
        hotword, log_p = links[:, beam.HOTWORD], np.zeros(len(nodes))
        if end and self._reader.end != NONE:
            log_p = self._scorer.log_p[links[:, beam.SLOT], self._reader.end]
        bonus = (self._hotwords.end if end else self._hotwords.value)[hotword]
        return numbers[:, beam.LM] + log_p, numbers[:, beam.REST] + self._scorer.alpha * log_p + bonus

    def _sum_paths(self, log_p: NDArray[np.float64], paths: list[NDArray[np.int64]]) -> NDArray[np.float64]:
        """Return log p(text) of texts, given their symbols."""
        p = np.exp(log_p)
        sums = [beam.sum_paths(p, self._blank, path, *np.zeros((2, len(path) + 1))) for path in paths]
        # Logarithms, which are exact, need ten times as long.
        pairs = zip(sums, paths, strict=True)
        return np.array([self._sum_logs(log_p, path) if np.isnan(total) else total for total, path in pairs])

    def _sum_logs(self, log_p: NDArray[np.float64], path: NDArray[np.int64]) -> float:
        back = np.empty((0, 2 * len(path) + 1), np.int8)
        return float(beam.find_paths(log_p, 0, self._blank, path, *_start(len(path)), back))

    def _find_spans(self, log_p: NDArray[np.float64], path: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the first and the last frame of each symbol on the most likely path of a text."""
        S, blocks, found = len(path), list[tuple[int, NDArray[np.float64]]](), _start(len(path))
        back, spans = np.zeros((min(BLOCK, len(log_p)), 2 * S + 1), np.int8), np.zeros((S, 2), np.int64)
        for first in range(0, len(log_p), BLOCK):
            blocks.append((first, found.copy()))
            frames = log_p[first : first + BLOCK]
            beam.find_paths(frames, first, self._blank, path, *found, back)
        z = 2 * S - (S > 0 and found[1, S - 1] > found[0, S])
        for first, start in reversed(blocks):
            frames = log_p[first : first + BLOCK]
            if len(blocks) > 1:  # `back` has room for one block
                beam.find_paths(frames, first, self._blank, path, *start, back)
            z = beam.find_spans(back[: len(frames)], first, z, spans)
        return spans

    def _list_paths(self, nodes: list[int]) -> list[NDArray[np.int64]]:
        """Return the symbols of prefixes."""
        parents, labels = self._prefixes.links[: self._prefixes.used[1], : beam.CHILD].T.tolist()
        paths = list[NDArray[np.int64]]()
        for node in nodes:
            path = list[int]()
            while node:
                path.append(labels[node])
                node = parents[node]
            paths.append(np.array(path[::-1], np.int64))
        return paths


def decode_ctc(
    log_probs: ArrayLike,
    symbols: Sequence[str] | Mapping[str, int],
    lm: LanguageModel | None = None,
    *,
    nbest: int = 1,
    end: bool = True,
    **options: Unpack[SearchOptions],
) -> list[Hypothesis]:
    """Return the texts that a prefix beam search finds in the output of a CTC model, the best first.

    A model of independent lines also predicts the end of the text. Every other model reads a line feed before the text.

    Parameters
    ----------
    log_probs : array, shape (T, K)
        The log-probability of every symbol in every frame, in nats.
    symbols : sequence of str, or mapping of str to int
        The K symbols, including the blank, or the column of each symbol. `elman.text.unknown` defines the cost of a
        symbol that is not a character of the language model.
    lm : Model, optional
        The language model: a network, with or without a prior, an ensemble, counts, or any object with the methods of
        `elman.apps.decode.LanguageModel`.
    nbest : int
        Maximum number of texts that are returned.
    end : bool
        Whether the text ends after the last frame, see `CtcSearch.finish`.
    alpha : float
        Weight of the language model, at least 0; by default 0.5. `elman.choose_weights` chooses it and `beta`.
    beta : float, optional
        Added to the score for every symbol; it compensates for the cost of a long text in the language model. By
        default 1.5 with a language model, and 0 without.
    width : int
        Maximum number of prefixes kept after each frame; by default 50.
    blank : str, optional
        The blank; by default the first of "", ``<pad>``, ``[PAD]``, ``<blank>``, ``<blk>`` and ``_`` that is a symbol.
    space : str
        The symbol that represents a space if " " is not a symbol; by default ``|``.
    symbol_threshold : float
        A symbol that is less likely than a frame's best symbol by this many nats or more is not added there; by default
        5.
    beam_threshold : float
        Prefixes whose score is lower than the best score by more than this many nats are dropped; by default 10. With
        both thresholds ``math.inf`` and a sufficient width, the scores are exact.
    hotwords : iterable of str
        Words that are more likely than the acoustic model and the language model predict.
    hotword_weight : float
        Added to the score for each of these words in the text, and a part of it for a beginning; by default 10.
    from_logits : bool
        Whether to normalize the array, which may contain logits, by a log-softmax; by default not.
    state : LmState, optional
        The state of the language model after the previous text, ``Hypothesis.state``; by default, a text begins.

    Returns
    -------
    list of Hypothesis

    Raises
    ------
    ElmanError
        If the shape of the log-probabilities is not (T, K), a frame's log-probabilities are not finite or not
        normalized, the symbols are not distinct or lack the blank, or an option is out of its range.

    Warns
    -----
    UserWarning
        If the language model does not know more than a third of the symbols.

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
    search = CtcSearch(symbols, lm, **options)
    search.advance(log_probs)
    return search.finish(end=end, nbest=nbest)


def decode_batch(
    log_probs: Iterable[ArrayLike],
    symbols: Sequence[str] | Mapping[str, int],
    lm: LanguageModel | None = None,
    *,
    nbest: int = 1,
    end: bool = True,
    batch_size: int = 16,
    **options: Unpack[SearchOptions],
) -> list[list[Hypothesis]]:
    """Return the result of `decode_ctc` for each of several lines; a network reads prefixes of many lines in one step.

    Parameters
    ----------
    log_probs : iterable of array, shape (T, K)
        The log-probabilities of each line, as in `decode_ctc`.
    batch_size : int
        Number of lines that are decoded together; by default 16.
    symbols, lm, …
        As in `decode_ctc`.

    Examples
    --------
    >>> import elman, numpy as np
    >>> lines = np.log([[[0.1, 0.8, 0.1], [0.8, 0.1, 0.1]], [[0.1, 0.1, 0.8], [0.2, 0.2, 0.6]]])
    >>> [hypotheses[0].text for hypotheses in elman.decode_batch(lines, ["", "h", "i"])]
    ['h', 'i']
    """
    check_range("batch_size", batch_size, 1)
    search, arrays = CtcSearch(symbols, lm, **options), inputs.list_arrays(log_probs)
    batch_size = max(1, min(batch_size, len(arrays)))  # there is memory for so many
    order = sorted(range(len(arrays)), key=lambda n: arrays[n].shape[:1])  # lines of a batch end at about the same time
    found = dict[int, list[Hypothesis]]()
    for first in range(0, len(arrays), batch_size):
        searches = dict(zip(order[first : first + batch_size], search._copies(batch_size), strict=False))
        running = [each._advance(each._read_frames(arrays[n])) for n, each in searches.items()]
        while unread := [*filter(None, (next(each, None) for each in running))]:
            search._reader.read(unread)
        found |= {n: each.finish(end=end, nbest=nbest) for n, each in searches.items()}
    return [found[n] for n in range(len(arrays))]


@checks_types
def rescore(
    nbest: Iterable[tuple[str, float] | Hypothesis],
    lm: LanguageModel,
    *,
    alpha: float = ALPHA,
    beta: float = BETA,
) -> list[Hypothesis]:
    """Return the hypotheses of a decoder with the scores of a language model, the best first.

    Parameters
    ----------
    nbest : iterable of (text, score), or of Hypothesis
        The score replaces log p(text) in the score of `decode_ctc`; it should not include another language model's
        score. The score of a ``Hypothesis`` is its `acoustic`.
    lm : Model
    alpha, beta : float
        As in `decode_ctc`.

    Returns
    -------
    list of Hypothesis
        As in `decode_ctc`, where `acoustic` is the score that was passed.

    Examples
    --------
    >>> import elman
    >>> text = elman.Corpus.from_text("tick tock\\n" * 40)
    >>> model = elman.train(text, preset="reference", hidden_size=16, max_updates=300, engine="numpy").model
    >>> elman.rescore([("tick tick", -2.1), ("tick tock", -2.6)], model)[0].text
    'tick tock'
    """
    alpha, beta = inputs.check_weights(alpha, beta)
    language_model.check_is_language_model(lm)
    try:
        pairs = [(each.text, each.acoustic) if isinstance(each, Hypothesis) else each for each in nbest]
        texts, scores = [text for text, *_ in pairs], [float(score) for _, score, *_ in pairs]
    except (TypeError, ValueError, OverflowError) as error:
        raise ElmanError(f"nbest must contain a text and a score of each hypothesis ({error})") from None
    if any(map(math.isnan, scores)):
        raise ElmanError("a score of the hypotheses is NaN")
    list_strings("the texts of the hypotheses", texts)
    rows = zip(texts, scores, language_model.read_texts(lm, texts), strict=True)
    found = [Hypothesis(text, s + alpha * log_p + beta * len(text), s, log_p) for text, s, log_p in rows]
    return sorted(found, key=lambda hypothesis: -hypothesis.score)


def compile_kernels(model: Model, text: str) -> None:
    """Compile the kernels by decoding a frame."""
    decode_ctc([[0.0]], [""], model)
