"""The kernel of the search: a beam of prefixes that reads frames until the language model is asked.

K  symbols        n  prefixes in the beam, at most `width`        t  frame

Beside the sums b and s of `elman.apps.decode.ctc`, the beam has the probability of the most likely path of each prefix
that ends in a blank and of that which ends in its last symbol, (2) to (4) with a maximum for each sum. The frames of
its last symbol are columns of the beam; those of the symbols before are a linked list, `Tables.spans`.
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

B, S, LM, BONUS, BEST_B, BEST_S, SCORE = range(7)
"""Columns of `Beam.numbers`: log b, log s, log p_lm, the bonus of complete hotwords, log of the most likely paths, and
the score (1)."""
NODE, LAST, LENGTH, SLOT, UNREAD, HOTWORD, B_SPAN, B_FIRST, B_LAST, S_SPAN, S_FIRST, SOURCE = range(12)
"""Columns of `Beam.indices`: the prefix in `Tables.trie`; its last symbol, K of the empty one; its length; where the model's
state is; the model's index of a symbol that it has not read, or NONE; the node of the hotwords; the span before the
last symbol, its first and last frame, on the most likely path that ends in a blank, and on the other; and the row of
the parent if that path came from there."""
ROW, SYMBOL = range(2)
"""Columns of `Workspace.added`: the prefix in the beam, and the symbol that is added to it."""
PARENT, LABEL, CHILD, SIBLING, PLACE = range(5)
"""Columns of `Tables.trie`: the prefix without its last symbol, that symbol, its latest child, the child of the same parent
that was added before, and its row in the beam."""
BEFORE, FIRST, FINAL = range(3)
"""Columns of `Tables.spans`: the span of the symbol before, the first and the last frame."""


class Beam(NamedTuple):
    """Prefixes, one in each of the first n rows."""

    numbers: NDArray[np.float64]  # (width, 7)
    indices: NDArray[np.int64]  # (width, 12)


class Tables(NamedTuple):
    """What the prefixes refer to."""

    used: NDArray[np.int64]  # (3,): n, nodes and spans in use
    trie: NDArray[np.int32]  # (nodes, 5)
    spans: NDArray[np.int32]  # (spans, 3)


class Scorer(NamedTuple):
    """What is added to the acoustic score, (1)."""

    alpha: float
    beta: float
    unknown: float  # log p_lm of a symbol that the model does not know
    log_p: NDArray[np.float64]  # (slots, K of the model): what the model predicts
    index: NDArray[np.int64]  # (K,): the model's index of each symbol
    kind: NDArray[np.int64]  # (K,): its column in the tables of hotwords
    after: NDArray[np.int64]  # (nodes, kinds): the node after a symbol
    gain: NDArray[np.float64]  # (nodes, kinds): the bonus that then is kept
    value: NDArray[np.float64]  # (nodes,): the bonus of a part of a hotword


class Workspace(NamedTuple):
    """Workspace of `advance`."""

    next: Beam
    kept: Beam  # the prefixes of the beam after the frame
    added: NDArray[np.int64]  # (width tried, 2)
    scores: NDArray[np.float64]  # (width tried, 3): log s, that of the most likely path, and the score
    ranked: NDArray[np.float64]  # (width (tried + 1),)


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


@kernel
def make_node(used, trie, node, symbol):
    """The node of a prefix with a symbol added, which is made if there is none."""
    child = np.int64(find_node(trie, node, symbol))
    if child == NONE:
        child = used[1]
        used[1] += 1
        trie[child, PARENT], trie[child, LABEL], trie[child, CHILD] = node, symbol, NONE
        trie[child, SIBLING], trie[child, PLACE] = trie[node, CHILD], NONE
        trie[node, CHILD] = child
    return child


@kernel
def make_span(used, spans, indices, numbers, row, symbol, K, t):
    """The span of the last symbol of a row, to which a symbol is added in frame t; NONE if it is empty."""
    span = np.int64(NONE)
    if indices[row, LAST] < K:
        span = used[2]
        used[2] += 1
        if indices[row, LAST] == symbol or numbers[row, BEST_B] >= numbers[row, BEST_S]:  # (4), (3)
            spans[span, BEFORE], spans[span, FIRST] = indices[row, B_SPAN], indices[row, B_FIRST]
            spans[span, FINAL] = indices[row, B_LAST]
        else:
            spans[span, BEFORE], spans[span, FIRST] = indices[row, S_SPAN], indices[row, S_FIRST]
            spans[span, FINAL] = t - 1
    return span


@kernel
def keep(n, beam, kept, f, blank, K, t):
    """Set `kept` to the prefixes after frame f (K,), (2); their scores lack those of the merged."""
    for row in range(n):
        copy_row(beam, row, kept, row)
        b, s, last = beam.numbers[row, B], beam.numbers[row, S], beam.indices[row, LAST]
        best_b, best_s = beam.numbers[row, BEST_B], beam.numbers[row, BEST_S]
        again = f[last] if last < K else -np.inf
        kept.numbers[row, B], kept.numbers[row, S] = add_logs(b, s) + f[blank], s + again
        kept.numbers[row, BEST_B], kept.numbers[row, BEST_S] = max(best_b, best_s) + f[blank], best_s + again
        kept.indices[row, SOURCE] = NONE
        if best_s > best_b:
            kept.indices[row, B_SPAN], kept.indices[row, B_FIRST] = (
                beam.indices[row, S_SPAN],
                beam.indices[row, S_FIRST],
            )
            kept.indices[row, B_LAST] = t - 1


@kernel
def extend(n, beam, trie, scorer, workspace, f, tried):
    """Add the symbols that are tried to the prefixes, (3) and (4); return how many are not in the beam.

    Their scores lack log p_lm of the symbol that is added.
    """
    kept, added, scores, m = workspace.kept, workspace.added, workspace.scores, 0
    for row in range(n):
        b, s, last = beam.numbers[row, B], beam.numbers[row, S], beam.indices[row, LAST]
        best_b, best_s = beam.numbers[row, BEST_B], beam.numbers[row, BEST_S]
        total, best, hotword = add_logs(b, s), max(best_b, best_s), beam.indices[row, HOTWORD]
        rest = scorer.alpha * beam.numbers[row, LM] + scorer.beta * (beam.indices[row, LENGTH] + 1)
        rest += beam.numbers[row, BONUS]
        for i in range(len(tried)):
            k = tried[i]
            base, most = (b, best_b) if last == k else (total, best)
            child = find_node(trie, beam.indices[row, NODE], k)
            place = trie[child, PLACE] if child != NONE else np.int32(NONE)
            if place != NONE:
                kept.numbers[place, S] = add_logs(kept.numbers[place, S], base + f[k])
                if most + f[k] > kept.numbers[place, BEST_S]:
                    kept.numbers[place, BEST_S], kept.indices[place, SOURCE] = most + f[k], row
            elif base > -np.inf:
                kind = scorer.kind[k]
                added[m, ROW], added[m, SYMBOL] = row, k
                scores[m, 0], scores[m, 1] = base + f[k], most + f[k]
                hot = scorer.gain[hotword, kind] + scorer.value[scorer.after[hotword, kind]]
                scores[m, 2] = base + f[k] + rest + hot
                m += 1
    return m


@kernel
def score_kept(n, kept, scorer):
    """Set the scores (1) of the prefixes that are kept."""
    for row in range(n):
        rest = scorer.alpha * kept.numbers[row, LM] + scorer.beta * kept.indices[row, LENGTH]
        rest += kept.numbers[row, BONUS] + scorer.value[kept.indices[row, HOTWORD]]
        kept.numbers[row, SCORE] = add_logs(kept.numbers[row, B], kept.numbers[row, S]) + rest


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
        if rank <= j:
            high = j
        elif rank >= i:
            low = i
        else:
            low = high
    return values[rank]


@kernel
def rank(n, m, width, threshold, least, scorer, workspace, beam):
    """Complete the scores of what is added; return the least that is in the new beam."""
    scores, added, ranked, count, best = workspace.scores, workspace.added, workspace.ranked, n, -np.inf
    for row in range(n):
        ranked[row] = workspace.kept.numbers[row, SCORE]
        best = max(best, ranked[row])
    for i in range(m):
        if scores[i, 2] >= least:
            index = scorer.index[added[i, SYMBOL]]
            if index >= 0:
                scores[i, 2] += scorer.alpha * scorer.log_p[beam.indices[added[i, ROW], SLOT], index]
            elif index == UNKNOWN:
                scores[i, 2] += scorer.alpha * scorer.unknown
            ranked[count] = scores[i, 2]
            best, count = max(best, scores[i, 2]), count + 1
    least = max(least, best - threshold, -1e300)  # what is impossible is left out
    return max(least, find_rank(ranked, count, width - 1)) if count > width else least


@kernel
def select(n, m, width, least, beam, tables, scorer, workspace, K, t):
    """Fill the beam with what has at least this score, at most `width`."""
    used, trie, kept, new = tables.used, tables.trie, workspace.kept, workspace.next
    count = 0
    for row in range(n):
        trie[beam.indices[row, NODE], PLACE] = NONE
    for row in range(n):
        if kept.numbers[row, SCORE] >= least and count < width:
            copy_row(kept, row, new, count)
            if kept.indices[row, SOURCE] != NONE:
                source, last = kept.indices[row, SOURCE], kept.indices[row, LAST]
                new.indices[count, S_SPAN] = make_span(
                    used, tables.spans, beam.indices, beam.numbers, source, last, K, t
                )
                new.indices[count, S_FIRST] = t
            count += 1
    for i in range(m):
        if workspace.scores[i, 2] >= least and count < width:
            add(count, new, beam, tables, scorer, workspace, i, K, t)
            count += 1
    for row in range(count):
        copy_row(new, row, beam, row)
        trie[beam.indices[row, NODE], PLACE] = row
    used[0] = count


@kernel
def add(count, new, beam, tables, scorer, workspace, i, K, t):
    """Set a row of the new beam to a prefix with a symbol added."""
    row, k, numbers, indices = workspace.added[i, ROW], workspace.added[i, SYMBOL], new.numbers, new.indices
    index, kind, hotword = scorer.index[k], scorer.kind[k], beam.indices[row, HOTWORD]
    lm, slot = beam.numbers[row, LM], beam.indices[row, SLOT]
    if index >= 0:
        lm += scorer.log_p[slot, index]
    elif index == UNKNOWN:
        lm += scorer.unknown
    numbers[count, B], numbers[count, S], numbers[count, LM] = -np.inf, workspace.scores[i, 0], lm
    numbers[count, BEST_B], numbers[count, BEST_S] = -np.inf, workspace.scores[i, 1]
    numbers[count, BONUS] = beam.numbers[row, BONUS] + scorer.gain[hotword, kind]
    numbers[count, SCORE] = workspace.scores[i, 2]
    indices[count, NODE] = make_node(tables.used, tables.trie, beam.indices[row, NODE], k)
    indices[count, LAST], indices[count, LENGTH] = k, beam.indices[row, LENGTH] + 1
    indices[count, SLOT], indices[count, UNREAD] = slot, index if index >= 0 else NONE
    indices[count, HOTWORD] = scorer.after[hotword, kind]
    indices[count, S_SPAN] = make_span(tables.used, tables.spans, beam.indices, beam.numbers, row, k, K, t)
    indices[count, S_FIRST] = t


@kernel
def advance(frames, blank, tried, starts, first, width, threshold, beam, tables, scorer, workspace, needed, t):
    """Read frames (T, K) from t on; return the frame that cannot be read yet, or T.

    Frame t tries the symbols ``tried[starts[t] : starts[t + 1]]``; `first` is the number of the first frame. A frame
    is not read until the tables have room for `width` more nodes and twice as many spans, and the model has read the
    prefixes for which `needed` (width,) is set.
    """
    T, K, used = frames.shape[0], frames.shape[1], tables.used
    while t < T:
        n, f = used[0], frames[t]
        symbols = tried[starts[t] : starts[t + 1]]
        if used[1] + width > len(tables.trie) or used[2] + 2 * width > len(tables.spans):
            return t
        keep(n, beam, workspace.kept, f, blank, K, first + t)
        m = extend(n, beam, tables.trie, scorer, workspace, f, symbols)
        score_kept(n, workspace.kept, scorer)
        best, worst = -np.inf, np.inf
        for row in range(n):
            best, worst = max(best, workspace.kept.numbers[row, SCORE]), min(worst, workspace.kept.numbers[row, SCORE])
            needed[row] = False
        least, is_needed = max(best - threshold, worst if n == width else -np.inf), False
        for i in range(m):
            row = workspace.added[i, ROW]
            if workspace.scores[i, 2] >= least and beam.indices[row, UNREAD] != NONE:
                needed[row] = is_needed = True
        if is_needed:
            return t
        least = rank(n, m, width, threshold, least, scorer, workspace, beam)
        select(n, m, width, least, beam, tables, scorer, workspace, K, first + t)
        t += 1
    return t
