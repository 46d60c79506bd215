"""The kernel that counts a text, whose positions are sorted by context.

K  size of the alphabet         node    a context, see `elman.engine.numba.ngrams.tree`
N  characters counted           entry   a character that followed the context of a node, and how often
"""

from __future__ import annotations

import numpy as np

from elman.engine.numba.ngrams.counting import CHARACTER, COUNT, FOLD, IN_SEVERAL, allocating


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
            c, only[kind] = seen[kind], IN_SEVERAL
            for f in range(fold_number + 1):
                if by_fold[c, f] == by_character[c]:
                    only[kind] = f
            several += only[kind] == IN_SEVERAL
        front, back = 0, several
        for kind in range(kinds):
            c, place = seen[kind], back
            if only[kind] == IN_SEVERAL:
                place = front
                for f in range(fold_number):
                    fold_counts[fold_end + f * several + front] = by_fold[c, f]
                front += 1
            else:
                back += 1
            entry = end + place
            entries[entry, CHARACTER], entries[entry, COUNT], entries[entry, FOLD] = c, by_character[c], only[kind]
            by_character[c] = 0
            for f in range(fold_number + 1):
                by_fold[c, f] = 0
        sizes[node], severals[node] = kinds, several
        end += kinds
        fold_end += several * fold_number
    return sizes, severals, entries[:end].copy(), fold_counts[:fold_end].copy()
