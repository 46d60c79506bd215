"""The n-gram model: how often each character followed each context, and the distribution that the counts imply.

K  size of the alphabet         n  the length of the longest context, the order minus 1
o  0 … n, a context length      s  a string: a context, and the character k that follows it
N  occurrences of s, or the lines with s if a text consists of independent lines

::

    (1)  s is kept if N(s) >= the minimum count
    (2)  w(s) = how many different characters precede s           its continuation count
         w(s) = how often s occurs, if its context has n characters or begins a line
    (3)  W_o = the sum of w over all k, kept or not
    (4)  q_{-1}(k) = 1 / K
    (5)  q_o(k) = max(w_o(k) - D(w_o(k)), 0) / W_o  +  r_o q_{o-1}(k)      the first term only if s is kept
    (6)  r_o = 1 - the sum of the first terms of (5)
    (7)  q = q_o of the longest context after which a character is kept; its length is the matched length

This is the interpolated, modified smoothing of Kneser and Ney (1995) with the discounts of Chen and Goodman (1999),
D(1), D(2), D(3) = D(4) = … per context length, estimated from how many strings have a weight of 1, 2, 3 and 4. The
weight of strings that are not kept goes to the shorter context, like the discounts. A network adds alpha log q to its
logits, see `elman.network.output`. No gradient enters the counts. A prior whose alpha are all zero is off: it takes no
part, and alpha is not trained.

By (1), a model contains no string that occurs once in a text (in one line), whatever its length. Such a string cannot
be read out, nor be composed of shorter strings. The counts are a table, `elman.ngram.table`, in which large numbers are
rounded.

Cross-fitting: the counts of a text describe that text better than a new one, and a network that is trained with them
would rely on them too much. The text is therefore divided into folds, equal contiguous parts. At a position that is
trained on, the counts of its own fold are left out of (1) to (7), except of the discounts. A string belongs to the fold
in which it begins.

In a text of independent lines no context extends beyond the line feed before its line, with which the network's state
is reset, see `elman.network.bptt`.

A model may count the characters that it reads: each then adds to w and W of every context that it follows.

A model that was read from an ARPA file has the first term of (5) and r of each string in place of counts, and neither
grows nor is merged.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from elman.errors import ElmanError
from elman.ngram.table import ARRAYS, CODES, FoldCounts, NgramSpec, NgramTable, check_table
from elman.storage.files import require_int

Indices = NDArray[np.unsignedinteger[Any]]
Ints = NDArray[np.intp]

MIN_PROB = 1e-7
"""Lower bound of probabilities before their logarithm is computed, so that no unseen character dominates a logit."""
READ_COUNT = 1  # how often a growing model counts a character that it reads
TYPICAL_DISCOUNTS = (0.6, 0.9, 1.2)
"""D(1), D(2) and D(3) of contexts of a length for which there are too few strings to estimate them."""
MIN_STRINGS = 20  # minimum number of strings of each weight from which discounts are estimated


@dataclass(frozen=True, eq=False)
class NgramModel:
    """An n-gram model."""

    table: NgramTable
    histogram: NDArray[np.int64]
    """How many strings with a context of each length have a weight of 1, 2, 3 and 4, kept or not, (n + 1, 4)."""
    min_count: int = 2  # the minimum count; no computation depends on it
    fold_starts: Ints = field(default_factory=lambda: np.zeros(0, np.intp))
    """Where the folds of the training text begin, (folds,); empty if nothing is left out."""
    fold_counts: FoldCounts | None = None  # while training
    pretrained: NgramModel | None = None  # the model whose counts were added, see `elman.ngram.merging`
    base: NgramModel | None = None  # the model whose counts this one continues, see `continued`
    grows: bool = False  # whether every character that is read is counted
    terms: NDArray[np.float64] | None = None
    """For a model without counts, the first term of (5) and r of each node of the table, (nodes, 2)."""
    derived: dict[str, Any] = field(default_factory=dict, repr=False)
    """The values that each engine derived from the table, by the engine's name; filled on first use."""

    def __deepcopy__(self, memo: dict[int, Any]) -> NgramModel:
        """Return the model itself: its counts are large, and only reading with `grows` changes them."""
        return self

    @property
    def K(self) -> int:
        """Size of the alphabet."""
        return self.table.spec.K

    @property
    def context_length(self) -> int:
        """n, the length of the longest context."""
        return self.table.spec.context_length

    @property
    def order(self) -> int:
        """The length of the longest counted strings, n + 1, as in KenLM."""
        return self.context_length + 1

    @property
    def reset_at(self) -> int | None:
        """The line feed of independent lines; None for other texts."""
        return self.table.spec.reset_at

    @property
    def folds(self) -> int:
        """Number of folds; 0 if nothing is left out."""
        return len(self.fold_starts)

    @cached_property
    def discounts(self) -> NDArray[np.float64]:
        """D(1), D(2) and D(3) of contexts of each length, (n + 1, 3), by Chen and Goodman's formulas."""
        discounts = np.tile(np.array(TYPICAL_DISCOUNTS), (self.context_length + 1, 1))
        for row, numbers in zip(discounts, self.histogram.tolist(), strict=True):
            if min(numbers) >= MIN_STRINGS:
                y = numbers[0] / (numbers[0] + 2 * numbers[1])
                row[:] = [k - (k + 1) * y * numbers[k] / numbers[k - 1] for k in (1, 2, 3)]
                np.clip(row, 0, [1, 2, 3], out=row)
        return discounts

    def folds_at(self, positions: Ints) -> Ints:
        """Return the fold of the characters at `positions` of the training text."""
        return np.maximum(np.searchsorted(self.fold_starts, positions, side="right") - 1, 0)

    def histories(self, history: NDArray[np.int32], x: NDArray[Any]) -> NDArray[np.int32]:
        """Return the last n characters before x (T,) or (T, B), and after each of x: (T + 1, n) or (T + 1, B, n).

        The characters before the last `reset_at` among them are 0.
        """
        codes = np.concatenate([history.T, x.astype(history.dtype) + 1])
        histories: NDArray[np.int32] = np.lib.stride_tricks.sliding_window_view(codes, self.context_length, axis=0)
        if self.reset_at is None:
            return histories
        resets = histories[..., ::-1] == self.reset_at + 1
        resets_since = np.cumsum(resets, axis=-1) - resets
        return np.where(resets_since[..., ::-1] > 0, 0, histories)

    def describe(self) -> str:
        """Return which strings are kept."""
        which = "all" if self.min_count == 1 else f"those that occur at least {self.min_count} times"
        return f"{self.table.nodes - 1:,} strings ({which})"

    def continued(self) -> NgramModel:
        """Return a model with the same counts that counts characters it reads, `READ_COUNT` times; `self` is unchanged.

        The rows of a batch count in the same model, step by step, and in their order within a step.
        """
        self.require_counts()
        return replace(self, base=self, grows=True, derived={})

    def require_counts(self) -> None:
        """Check that the model has counts."""
        if self.terms is not None:
            raise ElmanError("this n-gram model was imported from an ARPA file: it has probabilities and no counts")

    def frozen(self) -> NgramModel:
        """Return a model with the counts of a continued one that counts nothing more."""
        return replace(self, grows=False)


def check_indices(text: NDArray[Any], K: int) -> None:
    """Check that a text has one character at least, and each an index of the alphabet, before kernels read it."""
    if text.ndim != 1 or not len(text) or not 0 <= text.min() <= text.max() < K:
        raise ElmanError(f"a text must be one or more indices from 0 to {K - 1}")


def start_folds(text: Indices, folds: int, spec: NgramSpec) -> Ints:
    """Return where the folds of a text begin: fewer folds, or none, if it is too short; at a line if it has lines."""
    usable = min(folds, len(text) // (4 * (spec.context_length + 1)))
    if usable < 2:
        return np.zeros(0, np.intp)
    starts = -(-np.arange(usable) * len(text) // usable)
    if spec.reset_at is not None:
        lines = np.concatenate([[0], np.flatnonzero(text[:-1] == spec.reset_at)])
        starts = np.unique(lines[np.searchsorted(lines, starts, side="right") - 1])
    return starts if len(starts) > 1 else np.zeros(0, np.intp)


# --- Reading, in dictionaries ---


class NgramCounts:
    """The counts of a model in dictionaries. A context is a tuple of indices."""

    def __init__(self, model: NgramModel) -> None:
        self.model = model
        self.added: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
        self.nodes: dict[tuple[int, ...], int] = {}
        self.children: dict[tuple[int, ...], list[int]] = {}
        self.of_table = self
        if model.base is not None:
            base = ngram_counts(model.base)
            self.of_table = base.of_table
            self.added.update({context: counts.copy() for context, counts in base.added.items()})
            return
        table, names = model.table.unpack(), list[tuple[int, ...]]([()])
        self.codes = FoldCounts(np.append(np.uint8(0), table.weights), table.rests)
        for context, children in zip(range(model.table.contexts), table.children.tolist(), strict=True):
            first = len(names)
            self.children[names[context]] = table.symbols[first - 1 : first - 1 + children].tolist()
            names += [(*names[context], k) for k in self.children[names[context]]]
        self.nodes = {name: node for node, name in enumerate(names)}

    def add(self, history: NDArray[Any], y: int) -> None:
        """Count character y, `READ_COUNT` times, after the contexts of a history that have been read themselves."""
        contexts = self._contexts(history)
        for context in [c for c in contexts if not c or self.added.get(c[:-1], Counter())[c[-1]]]:
            self.added[context][y] += READ_COUNT

    def distribution(self, history: NDArray[Any], fold: int) -> tuple[NDArray[np.float64], int]:
        """Return q (K,) after the characters `history`, without the counts of a fold, and the matched length."""
        q = np.full(self.model.K, 1 / self.model.K)  # (4)
        matched = 0
        for o, context in enumerate(self._contexts(history)):
            weights, rest = self.lookup(context, fold)
            if not weights:
                break
            if self.model.terms is None:
                total = sum(weights.values()) + rest  # (3)
                D = self.model.discounts[o]
                kept = {k: max(w - D[min(w, 3) - 1], 0.0) / total for k, w in weights.items()}
                q *= 1.0 - sum(kept.values())  # (5), (6)
            else:
                kept = {k: float(self.model.terms[self.nodes[*context, k], 0]) for k in weights}
                q *= self.model.terms[self.nodes[context], 1]
            for k, share in kept.items():
                q[k] += share
            matched = o  # (7)
        return q, matched

    def _contexts(self, history: NDArray[Any]) -> list[tuple[int, ...]]:
        """Return the contexts that end a history, the shortest first."""
        codes = tuple(np.asarray(history).tolist())
        if self.model.reset_at in codes:
            codes = codes[len(codes) - 1 - codes[::-1].index(self.model.reset_at) :]
        return [codes[len(codes) - o :] for o in range(min(len(codes), self.model.context_length) + 1)]

    def lookup(self, context: tuple[int, ...], fold: int) -> tuple[Counter[int], int]:
        """Return w of the characters that are kept after a context, and the sum of the others, without a fold."""
        if self.of_table is not self:
            weights, rest = self.of_table.lookup(context, fold)
            return weights + self.added.get(context, Counter()), rest
        if context not in self.children:
            return Counter(), 0
        codes, without = self.codes, self.model.fold_counts
        if without is not None and fold < self.model.folds:
            codes = FoldCounts(without.weights[fold], without.rests[fold])
        weights = Counter({k: int(CODES[codes.weights[self.nodes[*context, k]]]) for k in self.children[context]})
        return +weights, int(CODES[codes.rests[self.nodes[context]]])


def ngram_counts(model: NgramModel) -> NgramCounts:
    """Return the counts of a model, which are made on first use."""
    if "numpy" not in model.derived:
        model.derived["numpy"] = NgramCounts(model)
    return cast("NgramCounts", model.derived["numpy"])


def read(
    model: NgramModel, history: NDArray[np.int32], x: Indices, folds: Ints | None = None, dtype: Any = np.float64
) -> tuple[NDArray[np.floating], Ints, NDArray[np.int32]]:
    """Read x (T,) or (T, B): return log q in `dtype` after each character, the matched lengths, and the last history.

    The history (n,) or (B, n) has the indices + 1 of the characters before the first, the latest last; 0 if there is
    none. `folds`, of the shape of x, are the folds that are left out of the distributions.
    """
    counts = ngram_counts(model)
    rows = history.reshape(-1, model.context_length)
    read_rows = x.reshape(len(x), len(rows)).astype(np.intp)
    histories = model.histories(rows, read_rows)
    log_q, matched = np.empty((*read_rows.shape, model.K), dtype), np.empty(read_rows.shape, np.intp)
    left_out = np.full(read_rows.shape, model.folds) if folds is None else folds.reshape(read_rows.shape)
    for t, b in np.ndindex(*read_rows.shape):
        before, after = histories[t : t + 2, b]
        if model.grows:
            counts.add(before[before > 0] - 1, int(read_rows[t, b]))
        q, matched[t, b] = counts.distribution(after[after > 0] - 1, int(left_out[t, b]))
        log_q[t, b] = np.log(np.maximum(q, MIN_PROB))
    return log_q.reshape(*x.shape, model.K), matched.reshape(x.shape), histories[-1].reshape(history.shape).copy()


# --- A model in a file: its arrays, the table's as signed integers, which every format has, and a description ---

PREFIX = "ngrams."  # prefix of the names of the arrays
DESCRIBED = ("nodes", "contexts", "min_count")  # the numbers in the description


def describe_ngrams(ngrams: NgramModel) -> dict[str, int]:
    """Return the description of an n-gram model."""
    return {"nodes": ngrams.table.nodes, "contexts": ngrams.table.contexts, "min_count": ngrams.min_count}


def ngram_tensors(ngrams: NgramModel | None, prefix: str = PREFIX) -> dict[str, NDArray[Any]]:
    """Return the arrays of an n-gram model, if there is one."""
    if ngrams is None:
        return {}
    terms = {} if ngrams.terms is None else {"terms": ngrams.terms}
    signed = {name: array.view(array.dtype.str.replace("u", "i")) for name, array in ngrams.table.arrays().items()}
    return {prefix + name: array for name, array in (signed | terms | {"histogram": ngrams.histogram}).items()}


def pop_ngram_tensors(tensors: dict[str, Any], prefix: str = PREFIX) -> dict[str, NDArray[Any]]:
    """Remove the arrays of an n-gram model from other arrays, and return them."""
    return {name: tensors.pop(name) for name in sorted(tensors) if name.startswith(prefix)}


def restore_ngrams(
    description: Any, tensors: Mapping[str, NDArray[Any]], spec: NgramSpec, prefix: str = PREFIX
) -> NgramModel:
    """Return the n-gram model in a file; raise ElmanError, ValueError, LookupError or TypeError if it is invalid."""
    nodes, contexts, min_count = (require_int(description[name], name, minimum=1) for name in DESCRIBED)
    arrays = {name.removeprefix(prefix): array for name, array in tensors.items()}
    terms = arrays.pop("terms", None)
    if terms is not None and (terms.dtype != np.float64 or terms.shape != (nodes, 2) or not np.isfinite(terms).all()):
        raise ValueError("the terms of its n-gram model are invalid")
    if {name: array.dtype for name, array in arrays.items()} != dict.fromkeys((*ARRAYS, "histogram"), np.int64):
        raise ValueError("the arrays of its n-gram counts are invalid")
    histogram = arrays["histogram"]
    if histogram.shape != (spec.context_length + 1, 4) or histogram.min() < 0:
        raise ValueError("the histogram of its n-gram counts is invalid")
    table = NgramTable(spec, nodes, contexts, **{name: arrays[name].view(np.uint64) for name in ARRAYS})
    check_table(table)
    return NgramModel(table, histogram, min_count, terms=terms)
