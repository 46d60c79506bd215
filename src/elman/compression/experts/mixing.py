"""The mixture of experts: one distribution from several, with weights that are learned while coding.

R  rows: substreams coded in lockstep      K  alphabet size      j  matched order of the n-gram model

Geometric (logistic) mixing, after Mattern (2012): probabilities are multiplied, each to the power of its weight. In
logits, for every row with the characters x_{t-2}, x_{t-1} before the one to predict::

    (1)  o_k = w a_k + v log q_k + F[x_{t-1}]_k + S[x_{t-2}, x_{t-1}]_k
               + u_s b_k + [k is the match] M_l
         (w, v) = W_j + W'[x_{t-1}] + W''_s
    (2)  p = softmax(o)

a are the logits of the network, q the distribution of the n-gram model whose counts go on, b the bonuses of the word
model (`words`) with confidence s, and l the length of a match (`match`). The weights of a and log q are sums of three,
each selected by another context. F and S are biases by context: a final correction of the probabilities, as secondary
symbol estimation is in PAQ, but of the logits of the whole alphabet.

With the gradient g_k = p_k - [k = x_t] of the loss -log p[x_t] every weight takes one step per character::

    (3)  W_j, W'[x_{t-1}], W''_s -= eta_w (g'a, g'log q)     u_s -= eta_u g'b     M_l -= eta_m g_match
    (4)  F[x_{t-1}] -= eta_f g     S[x_{t-2}, x_{t-1}] -= eta_s g

Initially w = 1 and v = alpha_j, so that (1) without the other terms is the model as it was trained. Rows are processed
in order. The rates are part of the file format.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from elman.compression.exact_gradients import output_gradient
from elman.compression.exact_kernels import Floats, Ints, exact
from elman.compression.experts import match, words
from elman.compression.experts.match import MAX_LENGTH, MatchArrays
from elman.compression.experts.words import CONFIDENCES, WordModel

INITIAL_WORD_WEIGHT = 0.2
MAX_BIASES = 1 << 20
"""Numbers of S; of a larger alphabet, several contexts share a row."""
_ZERO = np.float32(0)


class Rates(NamedTuple):
    """eta of (3) and (4)."""

    experts: np.float32
    words: np.float32
    match: np.float32
    first: np.float32
    second: np.float32


RATES = Rates(*map(np.float32, (0.0005, 0.0005, 0.03, 0.01, 0.04)))

NETWORK, PRIOR = range(2)
"""Columns of the weights: of the network, w, and of the n-gram model, v."""


class Weights(NamedTuple):
    """What is learned; changed in place."""

    by_order: Floats  # W (n + 1, 2)
    by_last: Floats  # W' (K, 2)
    by_confidence: Floats  # W'' (CONFIDENCES, 2)
    words: Floats  # u (CONFIDENCES,)
    match: Floats  # M (MAX_LENGTH + 1,)
    first: Floats  # F (K, K)
    second: Floats  # S (rows, K)


def initial_weights(K: int, alpha: Floats) -> Weights:
    """Return the weights before the first character, given alpha (n + 1,); one zero if there is no n-gram model."""
    words = np.full(CONFIDENCES, INITIAL_WORD_WEIGHT, np.float32)
    words[-1] = 0.0  # of frequent contexts with many characters, as a space, which the n-gram model knows better
    return Weights(
        by_order=np.stack([np.ones(len(alpha)), alpha], 1).astype(np.float32),
        by_last=np.zeros((K, 2), np.float32),
        by_confidence=np.zeros((CONFIDENCES, 2), np.float32),
        words=words,
        match=np.zeros(MAX_LENGTH + 1, np.float32),
        first=np.zeros((K, K), np.float32),
        second=np.zeros((min(K * K, max(MAX_BIASES // K, 1)), K), np.float32),
    )


class Mixture(NamedTuple):
    """The mixture of R rows."""

    rates: Rates
    weights: Weights
    words: WordModel
    matches: MatchArrays
    before: Ints  # (R,): x_{t-2}
    last: Ints  # (R,): x_{t-1}


@exact
def second_row(second, K, before, last):
    """Return the row of S for two characters."""
    return (before * K + last) % len(second)


@exact
def mix_rows(mixture, a, log_q, matched, mixed):
    """Set `mixed` (R, K) to the logits o of (1), given a and log q (R, K) and the matched orders (R,)."""
    by_order, by_last, by_confidence, word_weights, match_weights, first, second = mixture.weights
    characters, bonuses, confidences = mixture.words.characters, mixture.words.bonuses, mixture.words.confidences
    predicted, lengths = mixture.matches.predicted, mixture.matches.lengths
    before, last = mixture.before, mixture.last
    R, K = mixed.shape
    for r in range(R):
        j, x, s = matched[r], last[r], confidences[r]
        w = (by_order[j, NETWORK] + by_last[x, NETWORK]) + by_confidence[s, NETWORK]
        v = (by_order[j, PRIOR] + by_last[x, PRIOR]) + by_confidence[s, PRIOR]
        add_experts(w, a[r], v, log_q[r], first[x], second[second_row(second, K, before[r], x)], mixed[r])
        u = word_weights[s]
        for n in range(characters.shape[1]):
            if characters[r, n] >= 0:
                k = characters[r, n]
                mixed[r, k] = mixed[r, k] + u * bonuses[r, n]
        if predicted[r] >= 0:
            mixed[r, predicted[r]] = mixed[r, predicted[r]] + match_weights[lengths[r]]


@exact
def add_experts(w, a, v, log_q, F, S, o):
    """Set o to the first line of (1), vectors (K,)."""
    for k in range(len(o)):
        o[k] = ((w * a[k] + v * log_q[k]) + F[k]) + S[k]


@exact
def learn_rows(mixture, a, log_q, matched, freqs, x, reads, g):
    """Take the steps (3) and (4) in the rows where `reads` (R,) is true, and set g (R, K), 0 in the others.

    `freqs` (R, K + 1) are the frequencies minus one by which the characters x (R,) were coded.
    """
    by_order, by_last, by_confidence, word_weights, match_weights, first, second = mixture.weights
    characters, bonuses, confidences = mixture.words.characters, mixture.words.bonuses, mixture.words.confidences
    predicted, lengths = mixture.matches.predicted, mixture.matches.lengths
    before, last, rates = mixture.before, mixture.last, mixture.rates
    R, K = g.shape
    for r in range(R):
        if not reads[r]:
            for k in range(K):
                g[r, k] = _ZERO
            continue
        output_gradient(freqs[r], x[r], g[r])
        learn_biases(rates, g[r], first[last[r]], second[second_row(second, K, before[r], last[r])])
        network_gradient, prior_gradient, word_gradient = _ZERO, _ZERO, _ZERO
        for k in range(K):
            network_gradient = network_gradient + g[r, k] * a[r, k]
            prior_gradient = prior_gradient + g[r, k] * log_q[r, k]
        w_step, v_step = rates.experts * network_gradient, rates.experts * prior_gradient
        learn_weights(by_order[matched[r]], w_step, v_step)
        learn_weights(by_last[last[r]], w_step, v_step)
        learn_weights(by_confidence[confidences[r]], w_step, v_step)
        for n in range(characters.shape[1]):
            if characters[r, n] >= 0:
                word_gradient = word_gradient + g[r, characters[r, n]] * bonuses[r, n]
        word_weights[confidences[r]] = word_weights[confidences[r]] - rates.words * word_gradient
        if predicted[r] >= 0:
            match_weights[lengths[r]] = match_weights[lengths[r]] - rates.match * g[r, predicted[r]]


@exact
def learn_weights(weights, w_step, v_step):
    """Subtract from the weights (2,) of a context."""
    weights[NETWORK] = weights[NETWORK] - w_step
    weights[PRIOR] = weights[PRIOR] - v_step


@exact
def learn_biases(rates, g, F, S):
    """Take the steps (4), vectors (K,)."""
    first_rate, second_rate = rates.first, rates.second
    for k in range(len(g)):
        F[k] = F[k] - first_rate * g[k]
        S[k] = S[k] - second_rate * g[k]


@exact
def read_rows(mixture, x, reads):
    """Read characters x (R,) in the rows where `reads` (R,) is true."""
    words.read_characters(mixture.words, x, reads)
    match.read_characters(mixture.matches, x, reads)
    before, last = mixture.before, mixture.last
    for r in range(len(x)):
        if reads[r]:
            before[r], last[r] = last[r], x[r]
