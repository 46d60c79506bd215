"""CTC decoding with a language model: a prefix beam search.

T  frames        K  symbols of the acoustic model, the blank among them        n  prefixes in the beam

An acoustic model that was trained with connectionist temporal classification (CTC) predicts a distribution f over K
symbols in each of T frames. A path has one symbol per frame; its text is what remains when repeated symbols are merged
and then blanks removed. The score of a text y is ::

    (1)  score(y) = log p(y) + alpha log p_lm(y) + beta |y| + bonus of hotwords

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

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypedDict, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elman.apps.decode import beam as kernels
from elman.apps.decode.beam import NONE
from elman.apps.decode.inputs import check_thresholds, check_weights, list_texts, make_hotwords, read_frames
from elman.apps.decode.language_model import LanguageModel, LmState, Reader
from elman.errors import check_range
from elman.jit import bind

ALPHA, BETA = 0.5, 1.5
"""The default weights with a language model."""


@dataclass(frozen=True)
class Hypothesis:
    """A text with its score (1), and what is known of it."""

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
    """The language model after the text: a search that is passed it continues the text. None without a model."""


class SearchOptions(TypedDict, total=False):
    """The options of `CtcSearch`."""

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
    """A prefix beam search that is passed the frames in pieces, as they arrive.

    Parameters
    ----------
    symbols, lm, …
        As in `decode_ctc`.

    Examples
    --------
    >>> import elman, numpy as np
    >>> search = elman.CtcSearch(["", "h", "i"])
    >>> for piece in np.log([[[0.1, 0.8, 0.1]], [[0.1, 0.1, 0.8], [0.8, 0.1, 0.1]]]):
    ...     search.advance(piece)
    ...     search.best().text
    'h'
    'hi'
    >>> search.finish()[0].frames
    ((0, 0), (1, 1))
    """

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
        beta = beta if beta is not None else 0.0 if lm is None else BETA
        check_weights(alpha, beta)
        check_range("width", width, 1)
        check_thresholds(symbol_threshold, beam_threshold)
        self.texts = list_texts(symbols, blank, space)
        self.from_logits, self.symbol_threshold, self.beam_threshold = (
            from_logits,
            symbol_threshold,
            float(beam_threshold),
        )
        self._blank, K = self.texts.index(""), len(self.texts)
        self._hotwords = make_hotwords(self.texts, hotwords, hotword_weight)
        self._reader = Reader(lm, self.texts, width, state)
        self._weights = float(alpha), float(beta), self._reader.unknown
        self._pieces = [np.empty((0, K))]
        self._beam, self._new = (kernels.Beam(np.zeros((width, 5)), np.zeros((width, 4), np.int64)) for _ in range(2))
        self._beam.numbers[0, kernels.S], self._beam.indices[0, kernels.UNREAD] = -np.inf, NONE
        self._used, self._trie = np.array([1, 1]), np.full((1, 5), NONE, np.int32)
        self._trie[0, kernels.ROW] = 0

    def advance(self, log_probs: ArrayLike) -> None:
        """Read frames, log-probabilities of shape (T, K)."""
        frames = read_frames(log_probs, len(self.texts), self.from_logits)
        self._pieces.append(frames)
        is_tried = frames > frames.max(axis=1, keepdims=True) - self.symbol_threshold
        is_tried[:, self._blank] = False
        counts, width = is_tried.sum(axis=1), len(self._beam.numbers)
        tried, starts, most = (
            np.nonzero(is_tried)[1],
            np.append(0, np.cumsum(counts)),
            width * int(counts.max(initial=0)),
        )
        added = kernels.Added(*np.empty((2, most), np.int64), *np.empty((2, most)), np.empty(most + width))
        if self._used[1] + width * len(frames) > len(self._trie):
            trie, used = np.empty((2 * len(self._trie) + width * len(frames), 5), np.int32), self._used[1]
            trie[:used], self._trie = self._trie[:used], trie
        scorer = kernels.Scorer(*self._weights, self._reader.log_p, self._reader.index, *self._hotwords[:4])
        needed, t = np.zeros(width, np.bool_), 0
        advance = bind(
            kernels.advance, frames, self._blank, tried, starts, self.beam_threshold, self._beam, self._new, self._used,
            self._trie, scorer, added, needed,
        )  # fmt: skip
        while (t := advance(t)) < len(frames):
            self._reader.read(self._beam.indices[: self._used[0]], np.flatnonzero(needed[: self._used[0]]))

    def best(self) -> Hypothesis:
        """Return the text with the highest score so far, without the end of a line."""
        return self.finish(end=False)[0]

    def finish(self, *, end: bool = True, nbest: int = 1) -> list[Hypothesis]:
        """Return the texts with the highest scores, the best first; the search may be continued.

        Parameters
        ----------
        end : bool
            Whether the text ends here: a model of independent lines then predicts its end, and the beginning of a
            hotword adds nothing.
        nbest : int
            Texts that are returned, at most.
        """
        check_range("nbest", nbest, 1)
        n, (alpha, _, _) = int(self._used[0]), self._weights
        self._pieces = [np.concatenate(self._pieces)]
        numbers, (node, slot, _, hotword) = self._beam.numbers[:n], self._beam.indices[:n].T
        self._reader.read(self._beam.indices[:n], np.arange(n))
        lm, rest = numbers[:, kernels.LM], numbers[:, kernels.REST]
        if end and self._reader.end != NONE:
            log_p = self._reader.log_p[slot, self._reader.end]
            lm, rest = lm + log_p, rest + alpha * log_p
        value = self._hotwords.value[hotword] * (self._hotwords.is_complete[hotword] if end else 1.0)
        acoustic = self._sum_paths(node)
        scores = acoustic + rest + value
        best = np.argsort(-scores, kind="stable")[:nbest]
        rows = zip(*(each[best].tolist() for each in (node, slot, scores, acoustic, lm)), strict=True)
        return [self._describe(*row) for row in rows]

    def _sum_paths(self, nodes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return log p(y) of prefixes: the sums in the beam lack the paths of which it dropped a part."""
        frames, count, sums = self._pieces[0], int(self._used[1]), np.empty(len(nodes))
        highest = frames.max(axis=1, keepdims=True)
        found = kernels.Ancestors(*np.zeros((3, count), np.int64), *np.zeros((3, count)))
        kernels.sum_paths(np.exp(frames - highest), self._blank, self._trie, nodes, found, sums)
        with np.errstate(divide="ignore"):
            return np.log(sums) + highest.sum()

    def _describe(self, node: int, slot: int, *scores: float) -> Hypothesis:
        symbols = list[int]()
        while node:
            node, k = self._trie[node, : kernels.CHILD].tolist()
            symbols.append(k)
        path, frames = np.array(symbols[::-1], np.int64), self._pieces[0]
        states, spans = 2 * len(path) + 1, np.zeros((len(path), 2), np.int64)
        if len(path):
            kernels.align(frames, self._blank, path, np.empty(states), np.empty((len(frames), states), np.int8), spans)
        text = "".join(self.texts[k] for k in path)
        return Hypothesis(
            text, *scores, tuple(path.tolist()), tuple(map(tuple, spans.tolist())), self._reader.state(slot)
        )


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

    A model of independent lines also predicts the end of the text. Every other one reads a line feed before it.

    Parameters
    ----------
    log_probs : array, shape (T, K)
        The log-probability of every symbol in every frame, in nats.
    symbols : sequence of str, or mapping of str to int
        The K symbols, with the blank, or the column of each. A symbol that is not a character of the language model
        costs what `elman.text.unknown` says.
    lm : Model, optional
        The language model: a network, with or without a prior, an ensemble, counts, or any object with the methods of
        `elman.apps.decode.LanguageModel`.
    nbest : int
        Texts that are returned, at most.
    end : bool
        Whether the text ends after the last frame, see `CtcSearch.finish`.
    alpha : float
        Weight of the language model, at least 0; by default 0.5. `elman.choose_weights` chooses it and `beta`.
    beta : float, optional
        Added to the score for every symbol; it makes up for the cost of a long text in the language model. By default
        1.5 with a language model, and 0 without.
    width : int
        Prefixes that are kept after each frame, at most; by default 50.
    blank : str, optional
        The name of the blank in `symbols`; by default the first of "", ``<pad>``, ``[PAD]``, ``<blank>``, ``<blk>`` and
        ``_`` that is one.
    space : str
        The symbol that stands for a space, if " " is not one of them; by default ``|``.
    symbol_threshold : float
        Symbols are not added in a frame in which they are less likely than the best one by this many nats or more; by
        default 5.
    beam_threshold : float
        Prefixes are dropped whose score is lower than the best one by more than this many nats; by default 10. With
        both thresholds ``math.inf`` and a sufficient width, the scores are exact.
    hotwords : iterable of str
        Words that are more likely than the acoustic and the language model say.
    hotword_weight : float
        Added to the score for each of these words in the text, and a part of it for the beginning of one; by default 10.
    from_logits : bool
        Whether to normalize what is passed, which may be logits, by a log-softmax; by default not.
    state : LmState, optional
        The language model after the text before, `Hypothesis.state`; by default, a text begins.

    Returns
    -------
    list of Hypothesis

    Raises
    ------
    ElmanError
        If the shape of the log-probabilities is not (T, K), those of a frame are not finite or not normalized; if the
        symbols are not distinct or lack the blank, or an option is out of its range.

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
