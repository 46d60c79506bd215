"""The counts of a text as a tree of contexts in flat arrays, and a model prepared for the kernels.

N  characters counted           node    a context; its children are the contexts that are longer by one character
K  size of the alphabet         code    the index of a character + 1; 0 where there is none
n  order                        entry   a character that followed the context of a node, and how often

The nodes of one depth are consecutive, and so are the children of a node, in ascending order of their codes, and the
entries of a node. A context is found by descending from the root, the latest character first.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.engine.numba.ngrams import counting, distributions
from elman.engine.numba.ngrams.counting import Added, Ints32, allocating, copy, empty_added, grow
from elman.network.ngram import NgramModel

Floats64 = NDArray[np.float64]

MAX_CACHE_BYTES = 1 << 26
"""Size of the distributions of short contexts that are stored."""
MAX_CACHED_ORDER = 2
INITIAL_CAPACITY = 1 << 10
"""Contexts and blocks of entries for which a growing model has room at first."""


class Tree(NamedTuple):
    """The counts of a text; immutable."""

    K: int
    order: int
    folds: int
    discount: float
    nodes: Ints32  # (nodes + 2, 5): see `counting.CHILD`, …; the last two have no children and no entries
    entries: Ints32  # (entries + 1, 3): see `counting.CHARACTER`, …
    fold_counts: Ints32  # the counts of entries that are in several folds: by node, then by fold, then by entry
    cached_order: int  # the length of the contexts in the cache; -1 without a cache
    cached_first: int  # the first node of that length
    cached_q: Floats64  # (folds + 1, contexts, K)
    cached_matched: NDArray[np.int8]  # (folds + 1, contexts)
    reset_at: int = -1  # the character that begins every context in which it occurs, or -1


def empty_tree() -> Tree:
    """Return the counts of no text, which are passed to a kernel without a prior."""
    cache = np.zeros((1, 1, 1)), np.zeros((1, 1), np.int8)
    nodes, entries = np.zeros((2, counting.TREE_NODE_WIDTH), np.int32), np.zeros((1, 3), np.int32)
    return Tree(2, 1, 0, 0.0, nodes, entries, np.zeros(1, np.int32), -1, 0, *cache)


def build_tree(model: NgramModel) -> Tree:
    """Return the counts of a model's text, from one sort of its positions by context."""
    K, n, folds = model.K, model.order, model.folds
    codes, characters, fold = _sorted_positions(model)
    common, N = _common_lengths(codes), len(fold)
    starts = [np.append(np.flatnonzero(common < o), N) for o in range(n + 1)]  # where the nodes of each length begin
    first = np.concatenate([[0], np.cumsum([len(s) - 1 for s in starts])])
    sizes, severals, entries, fold_counts = zip(
        *(count_entries(s, characters, fold, K, folds) for s in starts), strict=True
    )
    tree = Tree(
        K, n, folds, float(model.discount),
        _make_nodes(codes, starts, first, np.concatenate(sizes), np.concatenate(severals)),
        np.concatenate([*entries, np.zeros((1, 3), np.int32)]), np.concatenate(fold_counts),
        -1, 0, np.zeros((1, 1, 1)), np.zeros((1, 1), np.int8), -1 if model.reset_at is None else model.reset_at,
    )  # fmt: skip
    return _with_cache(tree, first)


def _make_nodes(
    codes: Ints32,
    starts: list[NDArray[np.intp]],
    first: NDArray[np.int64],
    sizes: NDArray[np.int64],
    severals: NDArray[np.int64],
) -> Ints32:
    """Return `Tree.nodes`, whose nodes of length o begin at `first[o]`.

    They have `sizes` entries, of which `severals` are in several folds.
    """
    nodes = np.zeros((first[-1] + 2, counting.TREE_NODE_WIDTH), np.int32)
    for o, start in enumerate(starts):
        of_length = nodes[first[o] : first[o + 1]]
        is_last = o == len(starts) - 1
        of_length[:, counting.CHILD] = (
            first[-1] if is_last else np.searchsorted(starts[o + 1], start[:-1]) + first[o + 1]
        )
        of_length[:, counting.TOTAL] = np.diff(start)
        of_length[:, counting.CODE] = codes[o - 1, start[:-1]] if o else 0
    nodes[-2:, counting.CHILD] = first[-1]
    for column, numbers in ((counting.ENTRY, sizes), (counting.SEVERAL, severals)):
        nodes[1:-1, column] = np.cumsum(numbers)
        nodes[-1, column] = nodes[-2, column]
    return nodes


def _sorted_positions(model: NgramModel) -> tuple[Ints32, Ints32, NDArray[np.uint8]]:
    """Return the positions of the text, sorted by context, then character, then fold.

    Returns
    -------
    codes : ndarray, shape (n, N)
        The code of the latest character of the context, of the one before, and so on.
    characters, folds : ndarray, shape (N,)
    """
    n, N = model.order, len(model.text)
    bits, fold_bits = int(model.K).bit_length(), model.folds.bit_length()
    padded = np.concatenate([np.zeros(n, np.uint64), model.text.astype(np.uint64) + 1])
    fold = model.folds_at(np.arange(N) + model.offset).astype(np.uint64)
    contexts = [padded[n - o : n - o + N] for o in range(1, n + 1)]
    if model.reset_at is not None:
        contexts = _cut_contexts(contexts, model.reset_at)
    columns = [*((column, bits) for column in contexts), (model.text, bits), (fold, fold_bits)]
    words, shifts = _pack(columns)
    if len(words) == 1:
        words = [np.sort(words[0])]
    else:
        order = np.lexsort(words[::-1])
        words = [word[order] for word in words]
    digits = [
        (words[word] >> np.uint64(shift)) & np.uint64((1 << width) - 1)
        for (word, shift), (_, width) in zip(shifts, columns, strict=True)
    ]
    return np.array(digits[:n], np.int32).reshape(n, N), digits[n].astype(np.int32), digits[n + 1].astype(np.uint8)


def _cut_contexts(contexts: list[NDArray[Any]], reset_at: int) -> list[NDArray[Any]]:
    """Return the codes (N,) of contexts, by distance, without those before the nearest `reset_at`."""
    cut, is_before = list[NDArray[Any]](), np.zeros(len(contexts[0]), np.bool_)
    for column in contexts:
        cut.append(np.where(is_before, 0, column))
        is_before |= column == reset_at + 1
    return cut


def _pack(columns: list[tuple[NDArray[Any], int]]) -> tuple[list[NDArray[np.uint64]], list[tuple[int, int]]]:
    """Return columns of numbers as few words of 64 bits, the first column in the highest bits, and where each is."""
    groups: list[list[int]] = [[]]
    used = 0
    for index, (_, width) in enumerate(columns):
        if used + width > 64:
            groups.append([])
            used = 0
        groups[-1].append(index)
        used += width
    words, places = [], []
    for number, group in enumerate(groups):
        shift = sum(columns[index][1] for index in group)
        word = np.zeros(len(columns[0][0]), np.uint64)
        for index in group:
            array, width = columns[index]
            shift -= width
            word |= array.astype(np.uint64) << np.uint64(shift)
            places.append((number, shift))
        words.append(word)
    return words, places


def _common_lengths(codes: Ints32) -> Ints32:
    """Return how many codes each sorted context has in common with the one before it, the latest first; -1 at first."""
    n, N = codes.shape
    common, equal = np.zeros(N, np.int32), np.ones(max(N - 1, 0), np.bool_)
    for o in range(n):
        equal &= codes[o, 1:] == codes[o, :-1]
        common[1:] += equal
    common[:1] = -1
    return common


def _with_cache(tree: Tree, first: NDArray[np.int64]) -> Tree:
    """Return the tree with the distributions of the contexts of one length, the longest for which they fit."""
    for o in range(min(MAX_CACHED_ORDER, tree.order), -1, -1):
        contexts = int(first[o + 1] - first[o])
        shape = (tree.folds + 1, contexts, tree.K)
        if int(np.prod(shape, dtype=np.int64)) * 8 <= MAX_CACHE_BYTES:
            q, matched = np.empty(shape), np.empty(shape[:2], np.int8)
            distributions.fill_cache(tree, empty_added(), _nodes_of_length(tree, first, o), q, matched)
            return tree._replace(cached_order=o, cached_first=int(first[o]), cached_q=q, cached_matched=matched)
    return tree


def _nodes_of_length(tree: Tree, first: NDArray[np.int64], o: int) -> NDArray[np.int64]:
    """Return the nodes of all contexts of length o and of those that they extend, (contexts, o + 1)."""
    nodes = np.zeros((first[o + 1] - first[o], o + 1), np.int64)
    nodes[:, o] = np.arange(first[o], first[o + 1])
    for depth in range(o - 1, 0, -1):
        children = tree.nodes[first[depth] : first[depth + 1], counting.CHILD]
        nodes[:, depth] = first[depth] + np.searchsorted(children, nodes[:, depth + 1], side="right") - 1
    return nodes


@allocating
def count_entries(starts, characters, folds, K, fold_number):
    """Return the entries of nodes that begin at `starts` of the sorted positions.

    Returns the number of entries of each node, how many of these are in several folds, and the rows of `Tree.entries`
    and the numbers of `Tree.fold_counts`.
    """
    N, nodes = len(characters), len(starts) - 1
    sizes, severals = np.zeros(nodes, np.int64), np.zeros(nodes, np.int64)
    entries = np.empty((N, 3), np.int32)
    fold_counts = np.empty((N // 2 + 1) * fold_number, np.int32)  # an entry in several folds counts two or more
    by_character = np.zeros(K, np.int32)
    by_fold = np.zeros((K, fold_number + 1), np.int32)
    seen, only = np.empty(K, np.int32), np.empty(K, np.int32)
    end, fold_end = 0, 0
    for node in range(nodes):
        kinds, several = 0, 0
        for i in range(starts[node], starts[node + 1]):
            c = characters[i]
            if by_character[c] == 0:
                seen[kinds] = c
                kinds += 1
            by_character[c] += 1
            by_fold[c, folds[i]] += 1
        for kind in range(kinds):
            c, only[kind] = seen[kind], counting.IN_SEVERAL
            for f in range(fold_number + 1):
                if by_fold[c, f] == by_character[c]:
                    only[kind] = f
            several += only[kind] == counting.IN_SEVERAL
        front, back = 0, several
        for kind in range(kinds):
            c, place = seen[kind], back
            if only[kind] == counting.IN_SEVERAL:
                place = front
                for f in range(fold_number):
                    fold_counts[fold_end + f * several + front] = by_fold[c, f]
                front += 1
            else:
                back += 1
            entry = end + place
            entries[entry, counting.CHARACTER], entries[entry, counting.COUNT] = c, by_character[c]
            entries[entry, counting.FOLD] = only[kind]
            by_character[c] = 0
            for f in range(fold_number + 1):
                by_fold[c, f] = 0
        sizes[node], severals[node] = kinds, several
        end += kinds
        fold_end += several * fold_number
    return sizes, severals, entries[:end].copy(), fold_counts[:fold_end].copy()


class NgramReader:
    """An n-gram model for the kernels: the counts of its text, and those that are added if it continues another."""

    def __init__(self, model: NgramModel) -> None:
        self.model = model
        if model.base is None:
            self.tree, self.added = build_tree(model), empty_added()
        else:
            base = reader(model.base)
            self.tree = base.tree
            self.added = grow(empty_added(), INITIAL_CAPACITY, INITIAL_CAPACITY)
            if base.added.sizes[0]:
                self.added = copy(base.added)

    @property
    def growth(self) -> Added | None:
        """The counts that are added to those of the tree; None for a model that continues no other."""
        return self.added if self.added.sizes[0] else None

    def reserve(self, characters: int) -> None:
        """Make room for counting so many characters."""
        nodes, blocks = (int(size) + characters * (self.tree.order + 1) for size in self.added.sizes)
        if nodes > len(self.added.nodes) or blocks > len(self.added.blocks):
            self.added = grow(self.added, 2 * nodes, 2 * blocks)


def reader(model: NgramModel) -> NgramReader:
    """Return the compiled form of a model, which is made on first use."""
    if "numba" not in model.tables:
        model.tables["numba"] = NgramReader(model)
    of_model: NgramReader = model.tables["numba"]
    return of_model
