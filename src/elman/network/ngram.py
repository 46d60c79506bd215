"""The n-gram model: how often each character followed each context, and the distribution that these counts give.

K  size of the alphabet         n  the order: the length of the longest context
o  0 … n, a context length      N_o(k)  occurrences of character k after the last o characters
D  the discount, in [0, 1)      N_o  their sum over k; S_o  how many k have N_o(k) > 0

::

    (1)  q_{-1}(k) = 1 / K
    (2)  q_o(k) = max(N_o(k) - D, 0) / N_o + D S_o / N_o q_{o-1}(k)        interpolated absolute discounting
    (3)  q = q_o of the longest context with N_o > 0, whose length is the matched order

Absolute discounting is that of Ney, Essen and Kneser (1994). Each q_o sums to 1, since the discounts D S_o / N_o that
(2) takes from the characters seen go to q_{o-1}. A network adds alpha log q to its logits, see
`elman.network.output`. No gradient enters the counts. A prior whose alpha are all zero is off: it takes no part, and
alpha is not trained.

Cross-fitting: the counts of a text describe that text better than a new one, and a network that is trained with them
would rely on them too much. So the text is divided into folds, equal contiguous parts, and at a position that is
trained on the counts of its own fold are left out.

In a text of independent lines no context extends beyond the line feed before its line, with which the network's state
is reset, see `elman.network.resets`.

Everything is derived from the counted text, which is all that is stored. `NgramCounts` keeps the counts in
dictionaries, written to be read; `elman.engine.numba.ngrams` is its compiled counterpart.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.unsignedinteger[Any]]
Ints = NDArray[np.intp]

MIN_PROB = 1e-7
"""Probabilities below this enter the logarithm as this, so that no logit is dominated by a character never seen."""
READ_COUNT = 2
"""How often a character counts that a growing model reads: it is nearer to what follows than the training text."""
MAX_ORDER = 15
MAX_COUNTED = 1 << 24
"""Characters that are counted at most, the last ones of a longer text: the memory of the counts is bounded."""


@dataclass(frozen=True, eq=False)
class NgramModel:
    """An n-gram model: the text that is counted, and how.

    Parameters
    ----------
    text : ndarray of unsigned int, shape (N,)
    K : int
        Size of the alphabet.
    order : int
        n, from 1 to `MAX_ORDER`.
    discount : float
        D.
    folds : int
        Folds of cross-fitting; 0 leaves nothing out.
    offset : int
        Characters of the training text before the first that is counted. If it is negative, the counted text begins
        with as many characters of another text, which belong to no fold.
    base : NgramModel, optional
        The model whose counts this one continues, see `continued`.
    grows : bool
        Whether every character that is read is counted.
    reset_at : int, optional
        The character that is the first of every context in which it occurs: the line feed of independent lines.
    tables : dict
        What each engine derived from the text, by the engine's name; filled on first use.
    """

    text: Indices
    K: int
    order: int
    discount: float = 0.9
    folds: int = 10
    offset: int = 0
    base: NgramModel | None = None
    grows: bool = False
    reset_at: int | None = None
    tables: dict[str, Any] = field(default_factory=dict, repr=False)

    def __deepcopy__(self, memo: dict[int, Any]) -> NgramModel:
        """Return the model itself: what is derived from its text is large, and only reading with `grows` changes it."""
        return self

    def folds_at(self, positions: Ints) -> Ints:
        """Return the fold of the characters at `positions` of the training text; `folds` where they are not counted."""
        if not self.folds:
            return np.zeros_like(positions)
        counted, N = positions - max(0, self.offset), len(self.text) + min(0, self.offset)
        fold = counted * self.folds // max(1, N)
        return np.where((counted >= 0) & (counted < N), fold, self.folds)

    def continued(self) -> NgramModel:
        """Return a model with the same counts that counts what it reads, `READ_COUNT` times; this one does not change.

        The rows of a batch count in the same model, step by step and within a step in their order.
        """
        return replace(self, base=self, grows=True, tables={})

    def frozen(self) -> NgramModel:
        """Return a model with the counts of a continued one that counts nothing more."""
        return replace(self, grows=False)


def count_training_text(
    text: Indices,
    K: int,
    order: int,
    discount: float,
    folds: int,
    limit: int = MAX_COUNTED,
    *,
    before: Indices | None = None,
    reset_at: int | None = None,
) -> NgramModel | None:
    """Return the n-gram model of a training text, after the text `before`: of the last `limit` characters of both.

    None for order 0.
    """
    if order == 0:
        return None
    counted = np.array(text[max(0, len(text) - limit) :])  # in memory, as every checkpoint contains it
    folds = usable_folds(counted, folds)
    if before is not None and len(counted) < limit:
        counted = np.concatenate([before[len(counted) - limit :].astype(counted.dtype), counted])
    return NgramModel(counted, K, order, discount, folds, len(text) - len(counted), reset_at=reset_at)


def usable_folds(text: Indices, folds: int) -> int:
    """Return the number of folds, 0 where a text is too short to be divided into them."""
    return folds if folds > 1 and len(text) >= folds else 0


class NgramCounts:
    """The counts of a model, by context and fold.

    A context is the bytes of its indices; that of length 0 is empty.
    """

    def __init__(self, model: NgramModel) -> None:
        self.model = model
        self.counts: dict[bytes, Counter[int]] = defaultdict(Counter)
        self.fold_counts: list[dict[bytes, Counter[int]]] = [defaultdict(Counter) for _ in range(model.folds)]
        self.base = None if model.base is None else ngram_counts(model.base)
        if self.base is None:
            folds = model.folds_at(np.arange(len(model.text)) + model.offset).tolist()
            for t, y in enumerate(model.text.tolist()):
                for context in self._contexts(model.text[max(0, t - model.order) : t]):
                    self.counts[context][y] += 1
                    if folds[t] < model.folds:
                        self.fold_counts[folds[t]][context][y] += 1

    def add(self, history: NDArray[Any], y: int) -> None:
        """Count character y, `READ_COUNT` times, after the characters `history`, the last of which is the latest."""
        for context in self._contexts(history):
            self.counts[context][y] += READ_COUNT

    def distribution(self, history: NDArray[Any], fold: int) -> tuple[NDArray[np.float64], int]:
        """Return q (K,) after the characters `history`, without the counts of a fold, and the matched order."""
        model = self.model
        q = np.full(model.K, 1 / model.K)  # (1)
        matched = 0
        for o, context in enumerate(self._contexts(history)):
            counts = self.lookup(context, fold)
            total = sum(counts.values())
            if not total:
                break
            q *= model.discount * len(counts) / total  # (2)
            for k, count in counts.items():
                q[k] += (count - model.discount) / total
            matched = o  # (3)
        return q, matched

    def _contexts(self, history: NDArray[Any]) -> list[bytes]:
        """Return the contexts that end a history, the shortest first."""
        codes = np.asarray(history, self.model.text.dtype)
        if self.model.reset_at is not None and self.model.reset_at in codes:
            codes = codes[np.flatnonzero(codes == self.model.reset_at)[-1] :]
        return [codes[len(codes) - o :].tobytes() for o in range(min(len(codes), self.model.order) + 1)]

    def lookup(self, context: bytes, fold: int) -> Counter[int]:
        """Return how often each character followed a context, without the counts of a fold."""
        counts = Counter(self.counts.get(context))
        if self.base is not None:
            return counts + self.base.lookup(context, fold)
        if fold < len(self.fold_counts):
            counts -= self.fold_counts[fold].get(context, Counter())
        return counts


def ngram_counts(model: NgramModel) -> NgramCounts:
    """Return the counts of a model, which are made on first use."""
    if "numpy" not in model.tables:
        model.tables["numpy"] = NgramCounts(model)
    counts: NgramCounts = model.tables["numpy"]
    return counts


def read(
    model: NgramModel, history: NDArray[np.floating], x: Indices, folds: Ints | None = None, dtype: Any = np.float64
) -> tuple[NDArray[np.floating], Ints, NDArray[np.floating]]:
    """Read characters: return log q after each of them.

    Parameters
    ----------
    model : NgramModel
    history : ndarray, shape (n,) or (B, n)
        The n characters before the first, the latest last, each as its index + 1; 0 where there is none.
    x : ndarray of unsigned int, shape (T,) or (T, B)
    folds : ndarray of int, shape (T,) or (T, B), optional
        The fold that is left out of each distribution.
    dtype : dtype
        Of log q.

    Returns
    -------
    log_q : ndarray, shape (T, K) or (T, B, K)
    matched : ndarray of int, shape (T,) or (T, B)
        The matched orders.
    history : ndarray, shape (n,) or (B, n)
        The n characters at the end.
    """
    counts = ngram_counts(model)
    rows = np.rint(history).astype(np.intp).reshape(-1, model.order)
    read_rows = x.reshape(len(x), len(rows)).astype(np.intp)
    histories = read_histories(rows, read_rows, model.reset_at)
    log_q, matched = np.empty((*read_rows.shape, model.K), dtype), np.empty(read_rows.shape, np.intp)
    left_out = np.full(read_rows.shape, model.folds) if folds is None else folds.reshape(read_rows.shape)
    for t, b in np.ndindex(*read_rows.shape):
        before, after = histories[t : t + 2, b]
        if model.grows:
            counts.add(before[before > 0] - 1, int(read_rows[t, b]))
        q, matched[t, b] = counts.distribution(after[after > 0] - 1, int(left_out[t, b]))
        log_q[t, b] = np.log(np.maximum(q, MIN_PROB))
    return log_q.reshape(*x.shape, model.K), matched.reshape(x.shape), append(history, x, model.reset_at)


def append(history: NDArray[np.floating], x: Indices, reset_at: int | None = None) -> NDArray[np.floating]:
    """Return the n characters at the end of a history, (n,) or (B, n), and the characters x, (T,) or (T, B)."""
    return np.array(read_histories(history, x, reset_at)[-1], history.dtype)


def read_histories(history: NDArray[Any], x: NDArray[Any], reset_at: int | None = None) -> NDArray[Any]:
    """Return the last n characters before x (T,) or (T, B), and after each of x: (T + 1, n) or (T + 1, B, n).

    Those before the last `reset_at` among them are 0.
    """
    codes = np.concatenate([history.T, x.astype(history.dtype) + 1])
    n = history.shape[-1]
    if n == 0:
        return np.empty((len(x) + 1, *history.shape), history.dtype)
    histories = np.lib.stride_tricks.sliding_window_view(codes, n, axis=0)
    if reset_at is None:
        return histories
    from_end = histories[..., ::-1]
    resets_since = np.cumsum(from_end == reset_at + 1, axis=-1) - (from_end == reset_at + 1)
    return np.where(resets_since[..., ::-1] > 0, 0, histories)
