"""The mixture of experts: one distribution from several, with weights that are learned while coding.

R  rows: substreams coded in lockstep      K  alphabet size      j  matched order of the n-gram model

Geometric (logistic) mixing, after Mattern (2012): probabilities are multiplied, each to the power of its weight. In
logits, for every row with the characters x_{t-2}, x_{t-1} before the one to predict::

    (1)  o_k = w_j a_k + v_j log q_k + F[x_{t-1}]_k + S[x_{t-2}, x_{t-1}]_k
               + u_s b_k + [k is the match] M_l
    (2)  p = softmax(o)

a are the logits of the network, q the distribution of the n-gram model whose counts go on, b the bonuses of the word
model (`words`) with confidence s, and l the length of a match (`match`). F and S are biases by context: a final
correction of the probabilities, as secondary symbol estimation is in PAQ, but of the logits of the whole alphabet.

With the gradient g_k = [k = x_t] - p_k of log p[x_t] every weight takes one step per character::

    (3)  w_j += eta_w g'a      v_j += eta_w g'log q     u_s += eta_u g'b     M_l += eta_m g_match
    (4)  F[x_{t-1}] += eta_f g     S[x_{t-2}, x_{t-1}] += eta_s g

Initially w = 1 and v = alpha, so that (1) without the other terms is the model as it was trained. Rows are processed
in order. The rates are part of the file format.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.compression.exact_kernels import FREQ_BITS, Floats, Ints, exact
from elman.compression.experts.match import MAX_LENGTH, MatchModel
from elman.compression.experts.words import CONFIDENCES, WordModel

EXPERT_RATE = np.float32(0.0005)
WORD_RATE = np.float32(0.0005)
MATCH_RATE = np.float32(0.03)
FIRST_RATE = np.float32(0.01)
SECOND_RATE = np.float32(0.04)
INITIAL_WORD_WEIGHT = 0.2
MAX_BIASES = 1 << 20
"""Numbers of S; of a larger alphabet, several contexts share a row."""
_UNIT, _ZERO, _ONE = np.float32(2.0**-FREQ_BITS), np.float32(0), np.float32(1)


Bools = NDArray[np.bool_]


class Weights(NamedTuple):
    """What is learned; changed in place."""

    network: Floats  # w (n + 1,)
    prior: Floats  # v (n + 1,)
    words: Floats  # u (CONFIDENCES,)
    match: Floats  # M (MAX_LENGTH + 1,)
    first: Floats  # F (K, K)
    second: Floats  # S (rows, K)


def initial_weights(K: int, alpha: Floats) -> Weights:
    """Return the weights before the first character, given alpha (n + 1,); one zero if there is no n-gram model."""
    words = np.full(CONFIDENCES, INITIAL_WORD_WEIGHT, np.float32)
    words[-1] = 0.0  # of frequent contexts with many characters, as a space, which the n-gram model knows better
    return Weights(
        network=np.ones(len(alpha), np.float32),
        prior=alpha.astype(np.float32),
        words=words,
        match=np.zeros(MAX_LENGTH + 1, np.float32),
        first=np.zeros((K, K), np.float32),
        second=np.zeros((min(K * K, max(MAX_BIASES // K, 1)), K), np.float32),
    )


@exact
def second_row(second, K, before, last):
    """Return the row of S for two characters."""
    return (before * K + last) % len(second)


@exact
def mix_rows(
    network, prior, words, match, first, second, a, log_q, matched, characters, bonuses, confidences, predicted,
    lengths, before, last, mixed,
):  # fmt: skip
    """Set `mixed` (R, K) to the logits o of (1)."""
    R, K = mixed.shape
    for r in range(R):
        w, v, o = network[matched[r]], prior[matched[r]], mixed[r]
        F, S = first[last[r]], second[second_row(second, K, before[r], last[r])]
        for k in range(K):
            o[k] = ((w * a[r, k] + v * log_q[r, k]) + F[k]) + S[k]
        u = words[confidences[r]]
        for n in range(characters.shape[1]):
            if characters[r, n] >= 0:
                k = characters[r, n]
                o[k] = o[k] + u * bonuses[r, n]
        if predicted[r] >= 0:
            o[predicted[r]] = o[predicted[r]] + match[lengths[r]]


@exact
def learn_rows(
    network, prior, words, match, first, second, a, log_q, matched, characters, bonuses, confidences, predicted,
    lengths, before, last, freqs, x, reads, g,
):  # fmt: skip
    """Take the steps (3) and (4) in the rows where `reads` (R,) is true, and set g (R, K), 0 in the others.

    `freqs` (R, K + 1) are the frequencies minus one by which the characters x (R,) were coded.
    """
    R, K = g.shape
    for r in range(R):
        if not reads[r]:
            for k in range(K):
                g[r, k] = _ZERO
            continue
        for k in range(K):
            g[r, k] = _ZERO - (freqs[r, k] + _ONE) * _UNIT
        g[r, x[r]] = g[r, x[r]] + _ONE
        F, S = first[last[r]], second[second_row(second, K, before[r], last[r])]
        for k in range(K):
            F[k] = F[k] + FIRST_RATE * g[r, k]
            S[k] = S[k] + SECOND_RATE * g[r, k]
        network_gradient, prior_gradient, word_gradient = _ZERO, _ZERO, _ZERO
        for k in range(K):
            network_gradient = network_gradient + g[r, k] * a[r, k]
            prior_gradient = prior_gradient + g[r, k] * log_q[r, k]
        j = matched[r]
        network[j] = network[j] + EXPERT_RATE * network_gradient
        prior[j] = prior[j] + EXPERT_RATE * prior_gradient
        for n in range(characters.shape[1]):
            if characters[r, n] >= 0:
                word_gradient = word_gradient + g[r, characters[r, n]] * bonuses[r, n]
        words[confidences[r]] = words[confidences[r]] + WORD_RATE * word_gradient
        if predicted[r] >= 0:
            match[lengths[r]] = match[lengths[r]] + MATCH_RATE * g[r, predicted[r]]


class Mixture:
    """The mixture of R rows.

    Parameters
    ----------
    weights : Weights
    match : MatchModel
    words : WordModel
    start : int
        The character before each row.
    R : int
    """

    def __init__(self, weights: Weights, match: MatchModel, words: WordModel, start: int, R: int) -> None:
        self.weights, self.match, self.words = weights, match, words
        self.before, self.last = np.full((2, R), start, np.int64)
        self.mixed = np.zeros((R, weights.first.shape[1]), np.float32)

    def mix(self, a: Floats, log_q: Floats, matched: Ints) -> Floats:
        """Return the logits (R, K) of the mixture, given those of the network, log q (R, K) and the matched orders."""
        self.words.predict(log_q)
        mix_rows(*self.weights, *self._inputs(a, log_q, matched), self.mixed)
        return self.mixed

    def learn(self, a: Floats, log_q: Floats, matched: Ints, freqs: Floats, x: Ints, coded: Bools) -> Floats:
        """Learn from characters x (R,) in the rows where `coded` (R,) is true; return g (R, K)."""
        g = np.empty_like(self.mixed)
        learn_rows(*self.weights, *self._inputs(a, log_q, matched), freqs, x, coded, g)
        return g

    def read(self, x: Ints, reads: Bools) -> None:
        """Read characters x (R,) in the rows where `reads` (R,) is true."""
        self.words.read(x, reads)
        self.match.read(x, reads)
        self.before[reads] = self.last[reads]
        self.last[reads] = x[reads]

    def _inputs(self, a: Floats, log_q: Floats, matched: Ints) -> tuple[Floats | Ints, ...]:
        words, match = self.words, self.match
        return (
            a, log_q, matched, words.characters, words.bonuses, words.confidences, match.predicted, match.lengths,
            self.before, self.last,
        )  # fmt: skip
