"""The kernels of the search: a beam of prefixes that reads frames until the language model is asked, and exact sums.

K  symbols        n  prefixes in the beam, at most `width`        m  prefixes that are not in it, with a symbol added
t  frame of T     node  a prefix in the trie; 0 is the empty one

The equations are those of `elman.apps.decode.ctc`. Where Numba is not installed, the interpreter runs the kernels: a
line then takes about as long as in a search with dictionaries.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.jit import inlined, kernel

NONE = -1
FREE, UNKNOWN = -1, -2
"""In the place of the model's index of a symbol: there is no model; the model does not know it."""
TINY = 1e-250
"""Smaller probabilities are 0: numbers below 1e-308 are slow."""

LEAST = -1e300
"""The score of what is impossible is less."""

B, S, LM, REST, SCORE = range(5)
"""Columns of `Beam.numbers`: log b, log s, log p_lm; all that (1) adds to log p, without the beginning of a hotword;
and the score (1)."""
NODE, SLOT, UNREAD, HOTWORD = range(4)
"""Columns of `Beam.indices`: the prefix; the slot of the model's state, and the model's index of a symbol that it has
not read since, or NONE; the node of the hotwords."""
PARENT, LABEL, CHILD, SIBLING, ROW = range(5)
"""Columns of the trie: the prefix without its last symbol, and that symbol; its latest child; the child of the same
parent that was made before; its row in the beam, or NONE."""


class Beam(NamedTuple):
    """Prefixes, one in each of the first n rows."""

    numbers: NDArray[np.float64]  # (width, 5)
    indices: NDArray[np.int64]  # (width, 4)


class Scorer(NamedTuple):
    """What (1) adds to log p."""

    alpha: float
    beta: float
    unknown: float  # log p_lm of a symbol that the model does not know
    log_p: NDArray[np.float64]  # (slots, K of the model): what the model predicts
    index: NDArray[np.int64]  # (K,): the model's index of each symbol
    kind: NDArray[np.int64]  # (K,): its column in the tables of hotwords
    after: NDArray[np.int64]  # (nodes, kinds): the node after a symbol
    gain: NDArray[np.float64]  # (nodes, kinds): the bonus of the word that it ends
    value: NDArray[np.float64]  # (nodes,): the bonus of a beginning


class Added(NamedTuple):
    """Prefixes with a symbol added."""

    row: NDArray[np.int64]  # (width K,): of the prefix
    symbol: NDArray[np.int64]
    s: NDArray[np.float64]
    score: NDArray[np.float64]  # (1), which lacks log p_lm of the symbol where the prefix is not read
    ranked: NDArray[np.float64]  # (width (K + 1),): workspace of `rank`


@inlined
def add_logs(a, b):
    """log(exp a + exp b)."""
    high, low = max(a, b), min(a, b)
    return high + math.log1p(math.exp(low - high)) if low > high - 40.0 else high  # exp(-40) is lost in rounding


@inlined
def find_node(trie, node, symbol):
    """The node of a prefix with a symbol added; NONE if there is none."""
    child = trie[node, CHILD]
    while child != NONE and trie[child, LABEL] != symbol:
        child = trie[child, SIBLING]
    return child


@inlined
def copy_row(source, row, to, place):
    """Copy a row of a beam to another."""
    for column in range(source.numbers.shape[1]):
        to.numbers[place, column] = source.numbers[row, column]
    for column in range(source.indices.shape[1]):
        to.indices[place, column] = source.indices[row, column]


@inlined
def log_p_lm(scorer, slot, symbol):
    """log p_lm of a symbol after the prefix whose state is in a slot."""
    index = scorer.index[symbol]
    return scorer.log_p[slot, index] if index >= 0 else scorer.unknown if index == UNKNOWN else 0.0


@kernel
def extend(n, beam, new, trie, scorer, added, f, blank, tried):
    """Set `new` to the n prefixes after frame f (K,), and add to each the symbols that are tried; return m."""
    m = 0
    for row in range(n):
        copy_row(beam, row, new, row)
        last = trie[beam.indices[row, NODE], LABEL]
        new.numbers[row, B] = add_logs(beam.numbers[row, B], beam.numbers[row, S]) + f[blank]  # (2)
        new.numbers[row, S] = beam.numbers[row, S] + (f[last] if last != NONE else 0.0)
    for row in range(n):
        b, node, hotword = beam.numbers[row, B], beam.indices[row, NODE], beam.indices[row, HOTWORD]
        total, last = add_logs(b, beam.numbers[row, S]), trie[node, LABEL]
        for i in range(len(tried)):
            k = tried[i]
            s, child = (b if k == last else total) + f[k], find_node(trie, node, k)  # (4), (3)
            place = trie[child, ROW] if child != NONE else np.int32(NONE)
            if place != NONE:
                new.numbers[place, S] = add_logs(new.numbers[place, S], s)
            elif s > -np.inf:
                kind = scorer.kind[k]
                bonus = scorer.gain[hotword, kind] + scorer.value[scorer.after[hotword, kind]]
                added.row[m], added.symbol[m], added.s[m] = row, k, s
                added.score[m] = s + beam.numbers[row, REST] + scorer.beta + bonus
                if beam.indices[row, UNREAD] == NONE:
                    added.score[m] += scorer.alpha * log_p_lm(scorer, beam.indices[row, SLOT], k)
                m += 1
    for row in range(n):
        score = add_logs(new.numbers[row, B], new.numbers[row, S]) + new.numbers[row, REST]
        new.numbers[row, SCORE] = score + scorer.value[new.indices[row, HOTWORD]]
    return m


@kernel
def find_rank(values, count, rank):
    """The value of a rank, from 0 of the largest, by Hoare's selection; the values are reordered."""
    low, high = 0, count - 1
    while low < high:
        pivot, i, j = values[(low + high) >> 1], low, high
        while i <= j:
            while values[i] > pivot:
                i += 1
            while values[j] < pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i, j = i + 1, j - 1
        if j < rank < i:
            break
        low, high = (low, j) if rank <= j else (i, high)
    return values[rank]


@kernel
def rank(n, m, beam, new, threshold, added):
    """Return the least score in the new beam, as far as the scores are known."""
    count, width, best = n, len(beam.numbers), -np.inf
    for row in range(n):
        added.ranked[row] = new.numbers[row, SCORE]
    for i in range(m):
        if beam.indices[added.row[i], UNREAD] == NONE:
            added.ranked[count] = added.score[i]
            count += 1
    for i in range(count):
        best = max(best, added.ranked[i])
    least = max(best - threshold, LEAST)
    return max(least, find_rank(added.ranked, count, width - 1)) if count >= width else least


@kernel
def select(n, m, beam, new, used, trie, least, scorer, added):
    """Keep the prefixes, and those with a symbol added, that have at least a score; at most `width`."""
    count, width = 0, len(beam.numbers)
    for row in range(n):
        trie[beam.indices[row, NODE], ROW] = NONE
        if new.numbers[row, SCORE] >= least:
            copy_row(new, row, new, count)
            count += 1
    for i in range(m):
        if added.score[i] >= least and count < width:
            add(count, beam, new, used, trie, scorer, added, i)
            count += 1
    for row in range(count):
        copy_row(new, row, beam, row)
        trie[beam.indices[row, NODE], ROW] = row
    used[0] = count


@kernel
def add(place, beam, new, used, trie, scorer, added, i):
    """Set a row of the new beam to a prefix with a symbol added."""
    row, k = added.row[i], added.symbol[i]
    node, slot, hotword = beam.indices[row, NODE], beam.indices[row, SLOT], beam.indices[row, HOTWORD]
    log_p, gain, child = (
        log_p_lm(scorer, slot, k),
        scorer.gain[hotword, scorer.kind[k]],
        np.int64(find_node(trie, node, k)),
    )
    if child == NONE:
        child = used[1]
        used[1] += 1
        trie[child, PARENT], trie[child, LABEL], trie[child, CHILD] = node, k, NONE
        trie[child, SIBLING], trie[node, CHILD] = trie[node, CHILD], child
    new.numbers[place, B], new.numbers[place, S] = -np.inf, added.s[i]
    new.numbers[place, LM] = beam.numbers[row, LM] + log_p
    new.numbers[place, REST] = beam.numbers[row, REST] + scorer.alpha * log_p + scorer.beta + gain
    new.indices[place, NODE], new.indices[place, SLOT] = child, slot
    new.indices[place, UNREAD] = max(scorer.index[k], NONE)
    new.indices[place, HOTWORD] = scorer.after[hotword, scorer.kind[k]]


@kernel
def advance(frames, blank, tried, starts, threshold, beam, new, used, trie, scorer, added, needed, t):
    """Read frames (T, K) from t on; return the frame that cannot be read yet, or T.

    Frame t tries the symbols ``tried[starts[t] : starts[t + 1]]``; `used` (2,) has n and the number of nodes. A frame
    cannot be read while the model has not read the prefixes for which `needed` (width,) is set: those with a symbol
    added that may be in the beam.
    """
    while t < len(frames):
        n, is_needed = used[0], False
        m = extend(n, beam, new, trie, scorer, added, frames[t], blank, tried[starts[t] : starts[t + 1]])
        least = rank(n, m, beam, new, threshold, added)
        for row in range(n):
            needed[row] = False
        for i in range(m):
            if added.score[i] >= least and beam.indices[added.row[i], UNREAD] != NONE:
                needed[added.row[i]] = is_needed = True
        if is_needed:
            return t
        select(n, m, beam, new, used, trie, least, scorer, added)
        t += 1
    return t


class Ancestors(NamedTuple):
    """Workspace of `sum_paths`: prefixes and all of which they are extensions, each after its parent; first the empty one."""

    place: NDArray[np.int64]  # (nodes,): 0; the position of a node here
    parent: NDArray[np.int64]  # (nodes,): its position
    label: NDArray[np.int64]
    is_new: NDArray[np.float64]  # 1 if the label is not that of the parent, or 0
    b: NDArray[np.float64]  # 0
    s: NDArray[np.float64]  # 0


@kernel
def sum_paths(p, blank, trie, nodes, found, sums):
    """Set the sums (n,) to p(y) of the prefixes, nodes (n,), over all paths, given the probabilities p (T, K)."""
    parent, label, is_new, b, s = found.parent, found.label, found.is_new, found.b, found.s
    for row in range(len(nodes)):
        node = nodes[row]
        while node > 0 and found.place[node] == 0:
            found.place[node] = 1
            node = np.int64(trie[node, PARENT])
    count = 1
    for node in range(1, len(b)):
        if found.place[node] > 0:
            found.place[node] = count
            parent[count], label[count] = found.place[trie[node, PARENT]], trie[node, LABEL]
            is_new[count] = 1.0 if trie[node, LABEL] != trie[trie[node, PARENT], LABEL] else 0.0
            count += 1
    b[0] = 1.0
    for t in range(len(p)):
        for i in range(count - 1, 0, -1):  # from the last: a prefix needs what its parent was before the frame
            before = b[parent[i]] + is_new[i] * s[parent[i]]
            p_b, p_s = (b[i] + s[i]) * p[t, blank], (s[i] + before) * p[t, label[i]]  # (2) to (4)
            b[i], s[i] = p_b if p_b > TINY else 0.0, p_s if p_s > TINY else 0.0
        b[0] *= p[t, blank]
    for row in range(len(nodes)):
        sums[row] = b[found.place[nodes[row]]] + s[found.place[nodes[row]]]


@kernel
def align(f, blank, path, best, back, spans):
    """Set the spans (S, 2) to the first and last frame of the symbols of a path (S,), the most likely one for f (T, K).

    State 2 i + 1 is symbol i, the others are blanks; `best` (2 S + 1,) has the log-probabilities of the states, and
    `back` (T, 2 S + 1) how many states before each the state of the frame before is.
    """
    T, states = len(f), len(best)
    for z in range(states):
        best[z] = 0.0 if z == 0 else -np.inf
    for t in range(T):
        for z in range(states - 1, -1, -1):
            most, step = best[z], 0
            if z > 0 and best[z - 1] > most:
                most, step = best[z - 1], 1
            if z % 2 == 1 and z > 1 and path[z // 2] != path[z // 2 - 1] and best[z - 2] > most:
                most, step = best[z - 2], 2
            best[z], back[t, z] = most + f[t, path[z // 2] if z % 2 == 1 else blank], step
    z = states - 1 if best[states - 1] > best[states - 2] else states - 2
    last = NONE
    for t in range(T - 1, -1, -1):
        if z % 2 == 1:
            spans[z // 2, 0] = t
            if last != z:
                spans[z // 2, 1] = t
        last = z
        z -= back[t, z]
