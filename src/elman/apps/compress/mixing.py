"""Model mixing: one distribution from several predictors, with weights that are learned while coding.

R  rows: substreams coded in lockstep      K  alphabet size      j  matched length of the n-gram prior

Geometric (logistic) mixing, after Mattern (2012): probabilities are multiplied, each to the power of its weight. In
logits, for every row with the characters x_{t-2}, x_{t-1} before the one to predict::

    (1)  o_k = w a_k + v log q_k + F[x_{t-1}]_k + S[x_{t-2}, x_{t-1}]_k + sum over z with match k of M_z(l_z)
         (w, v) = W_j + W'[x_{t-1}]
    (2)  p = softmax(o)

a are the logits of the network, q is the distribution of the n-gram prior, which counts the coded text, and l_z is the
length of the match of match model z, see `.matches`. F and S are biases by context: a final correction, like secondary
symbol estimation in PAQ, but of the logits of the whole alphabet.

With the gradient g_k = p_k - [k = x_t] of the loss -log p[x_t] every weight takes one step per character::

    (3)  W_j, W'[x_{t-1}] -= eta_w (g'a, g'log q)     M_z(l_z) -= eta_m g_match
    (4)  F[x_{t-1}] -= eta_f g     S[x_{t-2}, x_{t-1}] -= eta_s g

Initially v = alpha_j, and w is slightly less than 1, because a network is too confident of a new text. Rows are
processed in order. The rates and the initial weights are part of the file format.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from elman.apps.compress.arithmetic import FREQ_BITS, Floats, Ints
from elman.apps.compress.matches import LENGTHS, MODELS
from elman.jit import exact, exact_step

MAX_BIASES = 1 << 20  # size of S in numbers; with a larger alphabet, several contexts share a row
INITIAL_NETWORK_WEIGHT, INITIAL_MATCH_WEIGHT = 0.95, 0.2
"""w and M_z before the first character; v is initialized with the trained model's alpha."""

WEIGHT_RATE, MATCH_RATE, FIRST_RATE, SECOND_RATE = map(np.float32, (0.001, 0.03, 0.015, 0.05))
"""eta_w, eta_m, eta_f and eta_s of (3) and (4)."""
NETWORK, PRIOR = range(2)  # columns of the weights: w of the network, and v of the n-gram prior
_ONE, _UNIT = np.float32(1), np.float32(2.0**-FREQ_BITS)


class Mixture(NamedTuple):
    """The weights, the context and the gradient of R rows; changed in place."""

    by_order: Floats  # W (n + 1, 2)
    by_last: Floats  # W' (K, 2)
    match: Floats  # M (MODELS, LENGTHS)
    first: Floats  # F (K, K)
    second: Floats  # S (rows, K)
    before: Ints  # (R,): x_{t-2}
    last: Ints  # (R,): x_{t-1}
    gradient: Floats  # (K,): g, workspace


@exact_step
def second_row(second, K, before, last):
    """Return the row of S for two characters."""
    return (before * K + last) % len(second)


@exact
def mix_rows(mixture, inputs, matches, mixed):
    """Set `mixed` (R, K) to the logits o of (1), given a and log q (R, K) and the matched lengths (R,)."""
    a, log_q, matched = inputs
    by_order, by_last, first, second = mixture.by_order, mixture.by_last, mixture.first, mixture.second
    before, last, predicted, ranges = mixture.before, mixture.last, matches.predicted, matches.ranges
    R, K = mixed.shape
    for r in range(R):
        j, x = matched[r], last[r]
        w, v = by_order[j, NETWORK] + by_last[x, NETWORK], by_order[j, PRIOR] + by_last[x, PRIOR]
        add_predictors(w, a[r], v, log_q[r], first[x], second[second_row(second, K, before[r], x)], mixed[r])
        for z in range(MODELS):
            k = predicted[r, z]
            if k >= 0:
                mixed[r, k] = mixed[r, k] + mixture.match[z, ranges[r, z]]


@exact
def add_predictors(w, a, v, log_q, F, S, o):
    """Set o to the first terms of (1), vectors (K,)."""
    for k in range(len(o)):
        o[k] = ((w * a[k] + v * log_q[k]) + F[k]) + S[k]


@exact
def learn_rows(mixture, inputs, matches, freqs, x, coded):
    """Take the steps (3) and (4) in the rows where `coded` (R,) is true, with the inputs of `mix_rows`."""
    # `freqs` (R, K + 1) are the frequencies minus one by which the characters x (R,) were coded.
    a, log_q, matched = inputs
    first, second, g = mixture.first, mixture.second, mixture.gradient
    before, last, predicted, ranges = mixture.before, mixture.last, matches.predicted, matches.ranges
    K = len(g)
    for r in range(len(x)):
        if not coded[r]:
            continue
        for k in range(K):
            g[k] = (freqs[r, k] + _ONE) * _UNIT
        g[x[r]] = g[x[r]] - _ONE
        learn_biases(g, first[last[r]], second[second_row(second, K, before[r], last[r])])
        network_gradient, prior_gradient = np.float32(0), np.float32(0)
        for k in range(K):
            network_gradient = network_gradient + g[k] * a[r, k]
            prior_gradient = prior_gradient + g[k] * log_q[r, k]
        for weights in (mixture.by_order[matched[r]], mixture.by_last[last[r]]):
            weights[NETWORK] = weights[NETWORK] - WEIGHT_RATE * network_gradient
            weights[PRIOR] = weights[PRIOR] - WEIGHT_RATE * prior_gradient
        for z in range(MODELS):
            k = predicted[r, z]
            if k >= 0:
                mixture.match[z, ranges[r, z]] = mixture.match[z, ranges[r, z]] - MATCH_RATE * g[k]


@exact
def learn_biases(g, F, S):
    """Take the steps (4), vectors (K,)."""
    for k in range(len(g)):
        F[k] = F[k] - FIRST_RATE * g[k]
        S[k] = S[k] - SECOND_RATE * g[k]


@exact
def shift_context(mixture, x, reads):
    """Make characters x (R,) the last ones in the rows where `reads` (R,) is true."""
    before, last = mixture.before, mixture.last
    for r in range(len(x)):
        if reads[r]:
            before[r], last[r] = last[r], x[r]


def make_mixture(K: int, alpha: Floats, R: int, start: int) -> Mixture:
    """Return the mixture of R rows that begin with the character `start`; alpha (n + 1,) is (0,) without a prior."""
    by_order = np.stack([np.full(len(alpha), INITIAL_NETWORK_WEIGHT), alpha], 1).astype(np.float32)
    match = np.full((MODELS, LENGTHS), INITIAL_MATCH_WEIGHT, np.float32)
    shapes = (K, 2), (K, K), (min(K * K, max(MAX_BIASES // K, 1)), K), K
    by_last, first, second, gradient = (np.zeros(shape, np.float32) for shape in shapes)
    before, last = np.full((2, R), start, np.int64)
    return Mixture(by_order, by_last, match, first, second, before, last, gradient)
