"""The n-gram prior of an exported model in plain NumPy: log q after every character.

It computes what `elman.ngram.model` defines: modified Kneser-Ney smoothing. Of a context of o characters, let w(k) be
the weights of the characters k that are kept after it, R that of all others together, W = sum_k w(k) + R, and D the
discount of a weight after contexts of this length. Then

    q_o(k) = max(w(k) - D, 0) / W + r q_{o-1}(k),    q_{-1}(k) = 1 / K

where r is 1 minus the sum of the first terms. q is q_o of the longest context after which a character is kept, whose
length is the matched order.

The table is a trie of the strings that are kept, of 1 to n + 1 characters, where n is the order:

- A node is a string; the root is the empty one. The children of a node are the strings with one more character at the
  end, in ascending order of its index. Nodes are numbered by length, those of a length in the order of their strings,
  from 0, the root. So the children of a node have consecutive numbers, and those of node i + 1 follow those of node i.
- `nodes` counts all nodes, `contexts` the strings of at most n characters, which alone may have children; both include
  the root.

Its arrays:

strings     of each node but the root, a field of b + 4 bits: the index of its last character in the lower b bits, the
            code of its weight in the upper 4; b is the number of bits of K - 1, at least 1
rests       of each context, a field of 4 bits: the code of R
children    of each context, a field of 1 bit, zero, for each of its children, and then one that is one
large       of each code from 15 on, whose field is 15, a field of 8 bits: first those of the weights, then those of R
histogram   (n + 1, 4): for contexts of each length, how many strings have a weight of 1, 2, 3 and 4

Fields are packed without gaps into little-endian words of 64 bits, the lowest bit first; an array of k bits has
⌊k / 64⌋ + 2 words. All are int64. Codes 0 to 7 are the number itself. Code 8 e + m, with m from 0 to 7, is read as
(8 + m) · 2^(e - 1); numbers that have no code have that of the nearest.

In a state dict they are the buffers `ngram.table_strings` and so on, in npz `ngrams.strings`. An ONNX file has
operators that compute log q instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MIN_PROB = 1e-7
"""Probabilities below this enter the logarithm as this."""
CODE_BITS, LARGE = 4, 15
NUMBERS = np.array([*range(8), *(m << e for e in range(31) for m in range(8, 16))])
"""The number that each code stands for."""


def unpack(words: NDArray[Any], width: int, count: int) -> NDArray[np.int64]:
    """Return the first `count` fields of `width` bits of words of 64 bits."""
    bits = np.unpackbits(words.astype("<i8").view(np.uint8), count=count * width, bitorder="little")
    fields = np.zeros(count, np.int64)
    for place, column in enumerate(bits.reshape(count, width).T):
        fields |= column.astype(np.int64) << place
    return fields


def discounts(histogram: NDArray[Any]) -> NDArray[np.float64]:
    """Return the discounts of weights of 1, 2 and 3 or more, (n + 1, 3), given how many strings have 1, 2, 3 and 4."""
    D = np.tile([0.6, 0.9, 1.2], (len(histogram), 1))
    for row, (n1, n2, n3, n4) in zip(D, histogram.tolist(), strict=True):
        if min(n1, n2, n3, n4) >= 20:
            y = n1 / (n1 + 2 * n2)
            row[:] = 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3
    np.clip(D, 0, [1, 2, 3], out=D)
    return D


class NgramPrior:
    """A table of counts, and the last characters read.

    Parameters
    ----------
    arrays : mapping
        ``strings``, ``rests``, ``children``, ``large`` and ``histogram``.
    K : int
        Size of the alphabet.
    order : int
        n, the length of the longest context.
    nodes, contexts : int
        The nodes of the trie, and those that may have children.
    min_count : int
        Nothing depends on it.
    history : sequence of int, length n
        The characters read before, each as its index + 1, the latest last; 0 where there is none.
    reset_at : int, optional
        The index of the line feed in a model of independent lines, of which no context extends beyond it.
    """

    def __init__(
        self,
        arrays: Mapping[str, NDArray[Any]],
        K: int,
        order: int,
        nodes: int,
        contexts: int,
        min_count: int = 2,
        history: Sequence[int] | None = None,
        reset_at: int | None = None,
    ) -> None:
        self.K, self.order, self.reset_at = K, order, reset_at
        self.history = np.array([[0] * order if history is None else history], np.int64)  # (1, n)
        width = max(1, (K - 1).bit_length())
        strings = unpack(arrays["strings"], width + CODE_BITS, nodes - 1)
        self.symbols = np.append(0, strings & ((1 << width) - 1))  # of each node; the root is node 0 and has none
        codes = np.concatenate([strings >> width, unpack(arrays["rests"], CODE_BITS, contexts)])
        codes[codes == LARGE] = unpack(arrays["large"], 8, np.count_nonzero(codes == LARGE))
        self.weights, self.rests = np.append(0, NUMBERS[codes[: nodes - 1]]), NUMBERS[codes[nodes - 1 :]]
        ones = np.flatnonzero(unpack(arrays["children"], 1, nodes - 1 + contexts))
        self.first = np.append(1, 1 + ones - np.arange(contexts))  # the first child of each node, and of the next
        self.discounts = discounts(arrays["histogram"].reshape(order + 1, 4))

    def children(self, node: int) -> slice:
        """Return the children of a node."""
        return slice(*self.first[node : node + 2]) if node < len(self.rests) else slice(0, 0)

    def find(self, context: Sequence[int]) -> int | None:
        """Return the node of a string; None if it is not kept."""
        node = 0
        for k in context:
            children = self.children(node)
            place = int(np.searchsorted(self.symbols[children], k))
            node = children.start + place
            if node == children.stop or self.symbols[node] != k:
                return None
        return node

    def distribution(self, context: Sequence[int]) -> tuple[NDArray[np.float64], int]:
        """Return q (K,) after some characters, the latest last, and the matched order."""
        q, matched = np.full(self.K, 1 / self.K), 0
        for o in range(min(len(context), self.order) + 1):
            node = self.find(context[len(context) - o :])
            if node is None:
                break
            children = self.children(node)
            w, D = self.weights[children], self.discounts[o]
            if len(w) == 0:
                break
            shares = np.maximum(w - D[np.minimum(w, 3) - 1], 0) / (w.sum() + self.rests[node])
            q *= 1 - shares.sum()
            q[self.symbols[children]] += shares
            matched = o
        return q, matched

    def read(self, x: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Read characters x (T, B): return log q (T, B, K) after each of them and the matched orders (T, B).

        The first call sets the number of rows B, all of which continue the same history.
        """
        T, B = x.shape
        history = np.broadcast_to(self.history, (B, self.order))
        codes = np.concatenate([history, x.T.astype(np.int64) + 1], axis=1)  # (B, n + T)
        log_q, matched = np.empty((T, B, self.K), np.float32), np.empty((T, B), np.int64)
        for t, b in np.ndindex(T, B):
            context = (codes[b, t + 1 : t + 1 + self.order] - 1).tolist()
            if self.reset_at in context:
                context = context[len(context) - 1 - context[::-1].index(self.reset_at) :]
            q, matched[t, b] = self.distribution([k for k in context if k >= 0])
            log_q[t, b] = np.log(np.maximum(q, MIN_PROB))
        self.history = codes[:, T:]
        return log_q, matched
