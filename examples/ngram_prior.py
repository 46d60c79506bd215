"""The n-gram prior of an exported model in plain NumPy: log q after every character.

`docs/how_to/export_and_import.md` uses it.
It computes what `elman.network.ngram` defines: interpolated absolute discounting,

    q_o(k) = max(N_o(k) - D, 0) / N_o + D S_o / N_o q_{o-1}(k),    q_{-1}(k) = 1 / K

where N_o(k) is how often character k followed the last o characters in the counted text, N_o is their sum over k, S_o
how many k have N_o(k) > 0, and D the discount. q is that of the longest context that was counted, whose length is the
matched order.

A context is a node in a tree whose root is the empty context; a child has one more character, on the left. Nodes of one
depth are numbered, and a pair of a node and a character is the number node K + character, so that all pairs of one
depth are a sorted array that can be searched.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MIN_PROB = 1e-7
"""Probabilities below this enter the logarithm as this."""


class NgramPrior:
    """The counts of a text, and the last characters read.

    Parameters
    ----------
    text : ndarray of int, shape (N,)
        The counted text, as indices below K.
    K : int
        Size of the alphabet.
    order : int
        n, the length of the longest context.
    discount : float
        D.
    history : sequence of int, length n
        The characters read before, each as its index + 1, the latest last; 0 where there is none.
    """

    def __init__(
        self, text: NDArray[Any], K: int, order: int, discount: float, history: Sequence[int] | None = None
    ) -> None:
        self.K, self.order, self.discount = K, order, discount
        self.history = np.array([[0] * order if history is None else history], np.int64)  # (1, n)
        # Of every depth: the pairs (parent, character on the left), and the pairs (node, next character) with counts.
        self.children, self.pairs, self.counts = list[Any](), list[Any](), list[Any]()
        text = text.astype(np.int64)
        node = np.zeros(len(text), np.int64)  # of the context of length o before each character from the o-th on
        for o in range(min(order, len(text) - 1) + 1):
            if o > 0:
                children, node = np.unique(node[1:] * K + text[:-o], return_inverse=True)
                self.children.append(children)
            pairs, counts = np.unique(node * K + text[o:], return_counts=True)
            self.pairs.append(pairs)
            self.counts.append(counts)

    def distribution(self, context: Sequence[int]) -> tuple[NDArray[np.float64], int]:
        """Return q (K,) after some characters, the latest last, and the matched order."""
        K, D = self.K, self.discount
        q, node, matched = np.full(K, 1 / K), 0, 0
        for o in range(min(len(context), self.order, len(self.children)) + 1):
            if o > 0:
                child = node * K + context[-o]
                node = int(np.searchsorted(self.children[o - 1], child))
                if node == len(self.children[o - 1]) or self.children[o - 1][node] != child:
                    break
            first, last = np.searchsorted(self.pairs[o], [node * K, (node + 1) * K])
            counts = self.counts[o][first:last]
            q *= D * len(counts) / counts.sum()
            q[self.pairs[o][first:last] - node * K] += (counts - D) / counts.sum()
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
            context = codes[b, t + 1 : t + 1 + self.order]
            q, matched[t, b] = self.distribution((context[context > 0] - 1).tolist())
            log_q[t, b] = np.log(np.maximum(q, MIN_PROB))
        self.history = codes[:, T:]
        return log_q, matched
