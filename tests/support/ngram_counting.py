"""Counting a text in dictionaries, written to be read: the counts of the n-gram model of `elman.ngram.model`.

`elman.ngram.counting` is the compiled counterpart.
"""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np

from elman.ngram.model import Indices, Ints, NgramModel, start_folds
from elman.ngram.table import FoldCounts, NgramSpec, NgramTable, Nodes, encode_counts


class _Occurrences:
    """What is counted of one string."""

    def __init__(self) -> None:
        self.times: Counter[int] = Counter()  # by fold
        self.units: dict[int, set[int]] = defaultdict(set)  # by fold: positions or lines
        self.preceding: dict[int, set[int]] = defaultdict(set)  # by character: folds

    def weight(self, is_raw: bool, without: int | None) -> int:
        """Return w (2), without a fold."""
        if is_raw:
            return sum(times for fold, times in self.times.items() if fold != without)
        return sum(bool(folds - {without}) for folds in self.preceding.values())

    def is_kept(self, min_count: int, without: int | None) -> bool:
        """Return (1), without a fold."""
        return sum(len(units) for fold, units in self.units.items() if fold != without) >= min_count


def count_text(text: Indices, spec: NgramSpec, folds: int, min_count: int) -> NgramModel:
    """Return the model of a text, as `elman.ngram.counting.count_ngrams` does."""
    fold_starts, order = start_folds(text, folds, spec), spec.context_length
    folds, strings = len(fold_starts), _find_strings(text, spec, fold_starts)
    histogram = np.zeros((order + 1, 4), np.int64)
    children: dict[tuple[int, ...], list[tuple[int, ...]]] = defaultdict(list)
    for s in strings:
        children[s[:-1]].append(s)

    def weight(s: tuple[int, ...], without: int | None) -> int:
        is_raw = len(s) == order + 1 or (len(s) > 1 and s[0] == spec.reset_at)
        return strings[s].weight(is_raw, without)

    def rest(s: tuple[int, ...], without: int | None) -> int:
        return sum(weight(c, without) for c in children[s] if not strings[c].is_kept(min_count, without))

    level, levels = list[tuple[int, ...]]([()]), list[list[tuple[int, ...]]]()
    for s in strings:
        if 1 <= (w := weight(s, None)) <= 4:
            histogram[len(s) - 1, w - 1] += 1
    for _ in range(order + 2):
        levels.append(level)
        level = [c for s in level for c in sorted(children[s]) if strings[c].is_kept(min_count, None)]
    nodes, contexts = [s for level in levels for s in level], [s for level in levels[:-1] for s in level]
    kept = set(nodes)
    fold_weights, fold_rests = np.zeros((folds, len(nodes)), np.int64), np.zeros((folds, len(contexts)), np.int64)
    for fold in range(folds):
        fold_weights[fold, 1:] = [weight(s, fold) if strings[s].is_kept(min_count, fold) else 0 for s in nodes[1:]]
        fold_rests[fold] = [rest(s, fold) for s in contexts]
    table = Nodes(
        np.array([s[-1] for s in nodes[1:]], np.intp),
        encode_counts([weight(s, None) for s in nodes[1:]]),
        encode_counts([rest(s, None) for s in contexts]),
        np.array([sum(c in kept for c in children[s]) for s in contexts], np.intp),
    )
    counts = FoldCounts(encode_counts(fold_weights), encode_counts(fold_rests)) if folds else None
    return NgramModel(NgramTable.from_nodes(spec, table), histogram, min_count, fold_starts, counts)


def _find_strings(text: Indices, spec: NgramSpec, fold_starts: Ints) -> dict[tuple[int, ...], _Occurrences]:
    """Return all strings of a text, of up to n + 1 characters, and what is counted of them."""
    strings: dict[tuple[int, ...], _Occurrences] = defaultdict(_Occurrences)
    characters, line = text.tolist(), 0
    folds = (np.searchsorted(fold_starts, np.arange(len(text)), side="right") - 1).clip(0).tolist()
    for i, (character, fold) in enumerate(zip(characters, folds, strict=True)):
        line += character == spec.reset_at
        s: tuple[int, ...] = ()
        for following in characters[i : i + spec.context_length + 1]:
            if len(s) > 1 and s[-1] == spec.reset_at:
                break
            s = (*s, following)
            of_string = strings[s]
            of_string.times[fold] += 1
            of_string.units[fold].add(i if spec.reset_at is None else line)
            of_string.preceding[characters[i - 1] if i else -1].add(fold)
    return dict(strings)
