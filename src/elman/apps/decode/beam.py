"""The kernels: a beam of prefixes that reads frames until the language model is needed, and the paths of a text.

K  symbols    n  prefixes in the beam, at most `width`    m  prefixes with a symbol added that are not in the beam
t  frame of T

A node is a prefix that was in the beam; node 0 is the empty prefix. `elman.apps.decode.ctc` has the equations. If Numba
is not installed, the interpreter runs the kernels: a line then takes a few hundred milliseconds.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.jit import inlined, kernel

NONE = -1
FREE, UNKNOWN = -1, -2
"""Values in place of the model's index of a symbol: there is no model; the model does not know the symbol."""
IMPOSSIBLE = -1e300
"""The scores of dropped prefixes are lower."""
TINY = 1e-60
"""Smaller fractions of the most likely prefix's probability become 0: numbers below 1e-308 are slow."""
LEAST_LOG = -90.0
"""Below this logarithm, which is 48 nats above log `TINY`, a sum without these fractions may be inexact."""

PARENT, LABEL, CHILD, SIBLING, IS_KEPT, SLOT, UNREAD, HOTWORD = range(8)
"""Columns of `Prefixes.links`: the prefix without its last symbol, and this symbol; the latest child; the previous
child of the same parent; whether the prefix is in the beam; the slot of the model's state; the model's index of a
symbol that the model has not read yet, or NONE; the node of the hotwords."""
B, S, LM, REST, NEXT_B, NEXT_S, SCORE = range(7)
"""Columns of `Prefixes.numbers`: log b, log s, log p_lm; the terms of (1) after log p, without the beginning of a
hotword; log b' and log s' of the next frame, and the score (1) there."""


class Prefixes(NamedTuple):
    """The prefixes that were in the beam."""

    used: NDArray[np.int64]  # (2,): n, and the number of nodes
    beam: NDArray[np.int64]  # (width,): nodes
    links: NDArray[np.int32]  # (nodes, 8)
    numbers: NDArray[np.float64]  # (nodes, 7)


class Scorer(NamedTuple):
    """The terms of (1) after log p."""

    alpha: float
    beta: float
    unknown: float  # log p_lm of a symbol that the model does not know
    log_p: NDArray[np.float64]  # (slots, K of the model): the model's predictions
    model_index: NDArray[np.int64]  # (K,): the model's index of each symbol
    kind: NDArray[np.int64]  # (K,): its column in the tables of hotwords
    after: NDArray[np.int64]  # (nodes of hotwords, kinds): the node after a symbol
    gain: NDArray[np.float64]  # (nodes of hotwords, kinds): the bonus of a word that ends there
    value: NDArray[np.float64]  # (nodes of hotwords,): the bonus of a beginning


class Added(NamedTuple):
    """Prefixes with a symbol added, and workspace."""

    node: NDArray[np.int64]  # (m,): of the prefix
    symbol: NDArray[np.int64]
    s: NDArray[np.float64]  # log s'
    score: NDArray[np.float64]  # (1), without log p_lm of the symbol if the model has not read the prefix
    best: NDArray[np.float64]  # (width,)


@inlined
def add_logs(a, b):
    """log(exp a + exp b)."""
    high, low = max(a, b), min(a, b)
    return high + math.log1p(math.exp(low - high)) if low > high - 40.0 else high  # exp(-40) disappears in rounding


@inlined
def find_child(links, node, symbol):
    """The node of a prefix with a symbol added; NONE if there is none."""
    child = np.int64(links[node, CHILD])
    while child != NONE and links[child, LABEL] != symbol:
        child = np.int64(links[child, SIBLING])
    return child


@inlined
def log_p_lm(scorer, slot, symbol):
    """log p_lm of a symbol after the prefix whose state is in a slot."""
    index = scorer.model_index[symbol]
    return scorer.log_p[slot, index] if index >= 0 else scorer.unknown if index == UNKNOWN else 0.0


@kernel
def extend(prefixes, scorer, added, f, blank, tried):
    """Find the prefixes after frame f (K,), also with each tried symbol added; return m."""
    (n, _), beam, links, numbers, m = prefixes.used, prefixes.beam, prefixes.links, prefixes.numbers, 0
    for node in beam[:n]:
        last = links[node, LABEL]
        numbers[node, NEXT_B] = add_logs(numbers[node, B], numbers[node, S]) + f[blank]  # (2)
        numbers[node, NEXT_S] = numbers[node, S] + (f[last] if last != NONE else 0.0)
    for node in beam[:n]:
        total, hotword = add_logs(numbers[node, B], numbers[node, S]), links[node, HOTWORD]
        for k in tried:
            s, child = (numbers[node, B] if k == links[node, LABEL] else total) + f[k], find_child(links, node, k)
            if child != NONE and links[child, IS_KEPT]:
                numbers[child, NEXT_S] = add_logs(numbers[child, NEXT_S], s)  # (3), (4)
            elif s > -np.inf:
                kind = scorer.kind[k]
                bonus = scorer.beta + scorer.gain[hotword, kind] + scorer.value[scorer.after[hotword, kind]]
                if links[node, UNREAD] == NONE:
                    bonus += scorer.alpha * log_p_lm(scorer, links[node, SLOT], k)
                added.node[m], added.symbol[m], added.s[m] = node, k, s
                added.score[m] = s + numbers[node, REST] + bonus
                m += 1
    for node in beam[:n]:
        rest = numbers[node, REST] + scorer.value[links[node, HOTWORD]]
        numbers[node, SCORE] = add_logs(numbers[node, NEXT_B], numbers[node, NEXT_S]) + rest
    return m


@kernel
def find_least(prefixes, added, m, threshold):
    """Return the lowest score in the next beam, as far as the scores are known."""
    n, width, best, count = prefixes.used[0], len(prefixes.beam), added.best, 0
    for i in range(n + m):
        is_known = i < n or prefixes.links[added.node[i - n], UNREAD] == NONE
        score = prefixes.numbers[prefixes.beam[i], SCORE] if i < n else added.score[i - n]
        if is_known and (count < width or score > best[width - 1]):
            place = min(count, width - 1)
            while place > 0 and best[place - 1] < score:
                best[place] = best[place - 1]
                place -= 1
            best[place], count = score, min(count + 1, width)
    return max(best[0] - threshold, best[width - 1] if count == width else IMPOSSIBLE, IMPOSSIBLE)


@kernel
def select(prefixes, scorer, added, m, least):
    """Keep the prefixes, with and without an added symbol, that reach a score; at most `width` prefixes."""
    (n, _), beam, links, numbers, count = prefixes.used, prefixes.beam, prefixes.links, prefixes.numbers, 0
    ties = len(beam)  # kept prefixes: fewer than `width` have a higher score
    for i in range(n + m):
        ties -= (numbers[beam[i], SCORE] if i < n else added.score[i - n]) > least
    for i in range(n):
        node = beam[i]
        ties -= numbers[node, SCORE] == least
        links[node, IS_KEPT] = numbers[node, SCORE] > least or (numbers[node, SCORE] == least and ties >= 0)
        if links[node, IS_KEPT]:
            numbers[node, B], numbers[node, S] = numbers[node, NEXT_B], numbers[node, NEXT_S]
            beam[count] = node
            count += 1
    for i in range(m):
        ties -= added.score[i] == least
        if added.score[i] > least or (added.score[i] == least and ties >= 0):
            beam[count] = add(prefixes, scorer, added.node[i], added.symbol[i])
            numbers[beam[count], B], numbers[beam[count], S] = -np.inf, added.s[i]
            count += 1
    prefixes.used[0] = count


@kernel
def add(prefixes, scorer, node, k):
    """The node of a prefix with a symbol added, which is now in the beam."""
    links, numbers, child = prefixes.links, prefixes.numbers, find_child(prefixes.links, node, k)
    if child == NONE:
        child = prefixes.used[1]
        prefixes.used[1] += 1
        links[child, PARENT], links[child, LABEL], links[child, CHILD] = node, k, NONE
        links[child, SIBLING], links[node, CHILD] = links[node, CHILD], child
    hotword, kind, log_p = links[node, HOTWORD], scorer.kind[k], log_p_lm(scorer, links[node, SLOT], k)
    links[child, IS_KEPT], links[child, HOTWORD] = 1, scorer.after[hotword, kind]
    links[child, SLOT], links[child, UNREAD] = links[node, SLOT], max(scorer.model_index[k], NONE)
    numbers[child, LM] = numbers[node, LM] + log_p
    rest = scorer.alpha * log_p + scorer.beta + scorer.gain[hotword, kind]
    numbers[child, REST] = numbers[node, REST] + rest
    return child


@kernel
def advance(frames, blank, tried, starts, threshold, prefixes, scorer, added, is_needed, t):
    """Read frames (T, K) from t on; return the frame that cannot be read yet, or T.

    Frame t tries the symbols ``tried[starts[t] : starts[t + 1]]``. It cannot be read until the model has read the
    prefixes in the beam for which `is_needed` (width,) is set: with a symbol added, they may be in the next beam.
    """
    while t < len(frames):
        m, waits = extend(prefixes, scorer, added, frames[t], blank, tried[starts[t] : starts[t + 1]]), False
        least = find_least(prefixes, added, m, threshold)
        for i in range(m):
            if added.score[i] >= least and prefixes.links[added.node[i], UNREAD] != NONE:
                prefixes.links[added.node[i], IS_KEPT], waits = 2, True
        for i in range(prefixes.used[0]):
            is_needed[i] = prefixes.links[prefixes.beam[i], IS_KEPT] == 2
            prefixes.links[prefixes.beam[i], IS_KEPT] = 1
        if waits:
            return t
        select(prefixes, scorer, added, m, least)
        t += 1
    return t


@kernel
def sum_paths(p, blank, path, b, s):
    """Return the logarithm of the sum over all paths of a text, given p (T, K); NaN if it may be inexact.

    `path` (S,) has the symbols of the text; ``b[i]`` is the probability of its first i symbols and a blank, ``s[i]`` of
    i + 1 symbols, both (S + 1,) and 0 before.
    """
    S, log_p, first, last, least, is_exact = len(path), 0.0, 0, -1, 0.0, True
    b[0] = 1.0
    for t in range(len(p)):
        most, lowest, highest = 0.0, first, min(S - 1, last + 1)
        first, last = S, -1
        for i in range(highest, lowest - 1, -1):  # the others are 0
            k = path[i]
            two = s[i - 1] if i > 0 and path[i - 1] != k else 0.0  # (3), (4)
            b[i + 1], s[i] = (b[i + 1] + s[i]) * p[t, blank], (s[i] + b[i] + two) * p[t, k]
            if b[i + 1] + s[i] > least:
                most, first, last = max(most, b[i + 1] + s[i]), i, max(last, i)
            else:
                b[i + 1], s[i], is_exact = 0.0, 0.0, False
        b[0] *= p[t, blank]
        if b[0] > least:
            most, first = max(most, b[0]), 0
        least = TINY * most
        if 0.0 < most < TINY:
            log_p, least = log_p + math.log(most), TINY
            for i in range(S + 1):
                b[i], s[i] = b[i] / most, s[i] / most
    total = b[S] + s[S - 1]
    log_p = log_p + math.log(total) if total > 0.0 else -np.inf
    return log_p if is_exact or log_p > LEAST_LOG else np.nan


@kernel
def find_paths(log_p, first, blank, path, b, s, back):
    """Return the logarithm of the sum over all paths of a text, given log p (T, K) of frames from the first one on.

    As `sum_paths`, but `b` and `s` are logarithms: slower, and exact. If `back` (T, 2 S + 1) is not empty, maxima
    replace the sums, and `back` is set to how many of these states earlier the most likely path was in the previous
    frame.
    """
    S = len(path)
    for t in range(len(log_p)):
        for i in range(min(S - 1, first + t), -1, -1):  # the others are -inf
            k = path[i]
            two = s[i - 1] if i > 0 and path[i - 1] != k else -np.inf  # (3), (4)
            if len(back) > 0:
                in_b, in_s = max(b[i + 1], s[i]), max(s[i], b[i], two)
                back[t, 2 * i + 2] = 1 if s[i] > b[i + 1] else 0
                back[t, 2 * i + 1] = 0 if in_s == s[i] else 1 if in_s == b[i] else 2
            else:
                in_b, in_s = add_logs(b[i + 1], s[i]), add_logs(add_logs(s[i], b[i]), two)
            b[i + 1], s[i] = in_b + log_p[t, blank], in_s + log_p[t, k]
        b[0] += log_p[t, blank]
    return add_logs(b[S], s[S - 1])


@kernel
def find_spans(back, first, z, spans):
    """Follow the most likely path backwards from state z; return its state before the first of these frames.

    `spans` (S, 2), 0 before, is set to the first and last frame of each symbol.
    """
    for t in range(len(back) - 1, -1, -1):
        if z % 2 == 1:
            spans[z // 2, 0], spans[z // 2, 1] = first + t, max(spans[z // 2, 1], first + t)
        z -= back[t, z]
    return z
