"""The sum of the counts of two texts, one of which is known by its table only.

A string is kept if one of the two tables keeps it. The two weights are added, although the two texts may have it after
the same characters.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from elman.ngram.model import Ints, NgramModel
from elman.ngram.table import CODES, FoldCounts, Level, NgramSpec, NgramTable, Nodes, encode_counts

OVERLAP = 0.95
"""Fraction of the longest strings of one table in the other, from which one text is regarded as a part of the other."""
LONG = 6
"""Length from which `OVERLAP` decides. A text has nearly all shorter strings of a text of the same language, too."""


def merge(model: NgramModel, other: NgramModel, index: Ints | None = None) -> NgramModel:
    """Return the model `other` with the counts of another model added, which no fold leaves out.

    `index` has the index in `other` of each character of `model`, at least K for a character that `other` lacks; by
    default the same indices. Several characters may become one. Strings with a character that `other` lacks are
    dropped: their weight becomes weight of characters that are not kept.
    """
    for each in (model, other):
        each.require_counts()
    K, levels = other.K, other.context_length + 2
    to_other = np.arange(K) if index is None else index
    tries = model.table.levels(levels), other.table.levels(levels)
    places = [np.zeros(1, np.intp), np.zeros(1, np.intp)]  # in the sum, of the nodes of a level; -1 for a dropped one
    zero = np.zeros(1, np.int64)
    of_level = Level(zero, zero, zero, zero)
    merged, places_of_other = list[Level](), list[Ints]()
    for L in range(levels):
        rests, keys = np.zeros(len(of_level.symbols), np.int64), list[Ints]()
        for trie, place, mapped in zip(tries, places, (to_other, np.arange(K)), strict=True):
            np.add.at(rests, place[place >= 0], trie[L].rests[place >= 0])
            if levels > L + 1:
                parents, symbols = np.repeat(place, trie[L].children), mapped[trie[L + 1].symbols]
                lost = (parents >= 0) & (symbols >= K)
                np.add.at(rests, parents[lost], trie[L + 1].weights[lost])
                keys.append(np.where((parents >= 0) & ~lost, parents * K + symbols, -1))
        union = np.unique(np.concatenate([key[key >= 0] for key in keys])) if keys else np.zeros(0, np.intp)
        merged.append(of_level._replace(rests=rests, children=np.bincount(union // K, minlength=len(rests))))
        places_of_other.append(places[1])
        weights = np.zeros(len(union), np.int64)
        places = [np.where(key >= 0, np.searchsorted(union, key), -1) for key in keys]
        for trie, place in zip(tries, places, strict=False):
            np.add.at(weights, place[place >= 0], trie[L + 1].weights[place >= 0])
        of_level = Level(union % K, weights, np.zeros(0, np.int64), np.zeros(0, np.intp))
    contexts = sum(len(level.rests) for level in merged[:-1])
    symbols, weights, rests, children = (np.concatenate(arrays) for arrays in zip(*merged, strict=True))
    nodes = Nodes(symbols[1:], encode_counts(weights[1:]), encode_counts(rests[:contexts]), children[:contexts])
    counts = other.fold_counts
    if counts is not None:
        starts = np.cumsum([0, *(len(level.symbols) for level in merged)])
        place = np.concatenate([start + of_level for start, of_level in zip(starts, places_of_other, strict=False)])
        _, weights_before, rests_before, _ = (np.concatenate(arrays) for arrays in zip(*tries[1], strict=True))
        counts = FoldCounts(
            _merge_folds(counts.weights, weights_before, weights, place),
            _merge_folds(counts.rests, rests_before[: counts.rests.shape[1]], rests[:contexts], place),
        )
    histogram, rows = other.histogram.copy(), min(model.context_length, other.context_length) + 1
    histogram[:rows] += model.histogram[:rows]
    table = NgramTable.from_nodes(other.table.spec, nodes)
    min_count = min(model.min_count, other.min_count)
    return replace(
        other, table=table, histogram=histogram, min_count=min_count, fold_counts=counts, pretrained=model, derived={}
    )  # fmt: skip


def _merge_folds(
    codes: NDArray[np.uint8], before: NDArray[np.int64], after: NDArray[np.int64], place: Ints
) -> NDArray[np.uint8]:
    """Return the codes of numbers without each fold, after the other model's numbers were added.

    `codes` (folds, nodes) are the codes before, `before` and `after` the numbers with all folds, and `place` (nodes,)
    has the index of each node after the sum.
    """
    place = place[: codes.shape[1]]
    whole, added = encode_counts(before), after[place] - before
    merged = np.tile(encode_counts(after), (len(codes), 1))
    for without, of_fold in zip(codes, merged, strict=True):
        differs = np.flatnonzero(without != whole)
        of_fold[place[differs]] = encode_counts(CODES[without[differs]] + added[differs])
    return merged


def translate(model: NgramModel, index: Ints, spec: NgramSpec) -> NgramModel:
    """Return a model for another alphabet, which has its characters at `index`, and for another order.

    A model of a lower order lacks the longer strings. See `merge`.
    """
    root = NgramTable.from_nodes(spec, Nodes(*np.zeros((2, 0), np.uint8), *np.zeros((2, 1), np.uint8)))
    histogram = np.zeros((spec.context_length + 1, *model.histogram.shape[1:]), model.histogram.dtype)
    nothing = replace(model, table=root, histogram=histogram, fold_starts=model.fold_starts[:0], fold_counts=None)
    return replace(merge(model, nothing, index), pretrained=None)


def overlap(model: NgramModel, other: NgramModel) -> bool:
    """Return whether nearly all strings of one model are in another model of the same alphabet.

    The texts then have a part in common, whose counts must not be added. The strings compared are the longest of which
    both models have some: a model that was translated to a higher order lacks longer ones.
    """
    levels = other.context_length + 2
    tables = model.table, other.table, merge(model, other).table
    of_model, of_other, of_both = ([len(level.symbols) for level in table.levels(levels)] for table in tables)
    length = max(n for n in range(levels) if of_model[n] and of_other[n])
    least = OVERLAP if length >= LONG else 1
    common, fewer = of_model[length] + of_other[length] - of_both[length], min(of_model[length], of_other[length])
    return length > 1 and common >= least * fewer
