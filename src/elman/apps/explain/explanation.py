"""Interpretation: the values that a network computes at every character of a text.

These are the surprisal, the predictions, the activations, and the contribution of the n-gram prior.
`elman.apps.explain.probing` measures how well units track features of the text.

N  characters in the text              K  size of the alphabet      y  the character at a position
D  numbers in the recurrent state      C  most likely characters recorded at each position, `CANDIDATES` or K

The text is read once, from its first character to its last, in slices. From the logits and states of a slice, only the
index and probability of each of the C characters and one byte per unit are recorded.

With an n-gram prior the logits are a sum of two terms, alpha_j log q of the n-gram model (counting) and V h + c (the
network), see `elman.network.output`. One term, no term, or both give y a probability::

    v(none) = log 1/K     v(counting) = log softmax(alpha_j log q)[y]     v(network) = log softmax(V h + c)[y]
    v(both) = log p[y]

The contribution of a term is its Shapley value (Lundberg and Lee, 2017), the mean of its gain when it is added first
and its gain when it is added last::

    (1)  counting = (v(counting) - v(none) + v(both) - v(network)) / 2
    (2)  network  = (v(network) - v(none) + v(both) - v(counting)) / 2
    (3)  counting + network = log p[y] - log 1/K

They are therefore shares of the model's gain over a uniform guess. A gain that either term gives is divided equally.

Unknown characters are not read; `elman.text.unknown` defines their cost, also for a uniform guess.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elman.engine import Engine, Indices, InferenceSession
from elman.errors import ElmanError
from elman.model import check_finite, top_k
from elman.network import Architecture, Array, Parameters, State, log_softmax
from elman.network.cells import StateVector
from elman.text import KNOWN_PENALTY_NATS, Spool, unknown_nats

CANDIDATES = 5
MAX_CHARS = 1_000_000  # maximum length of a text that is explained
ZERO_CODE = 127  # the quantized value of an activation of zero; values run from 0, which is -1, to 254, which is 1
MAX_SLICE_VALUES = 1 << 21  # log-probabilities and states of a slice

Floats = NDArray[np.float32]
QuantizedActivations = NDArray[np.uint8]


@dataclass(frozen=True)
class Unit:
    """One number of the recurrent state; layers and numbers count from 1."""

    layer: int
    number: int
    vector: StateVector
    """The state vector of the layer that it belongs to: the hidden state h, or the cell state s of an LSTM."""


@dataclass(frozen=True, eq=False)
class PriorExplanation:
    """The contributions of counting and of the network to each character, in bits."""

    order: int
    surprisal: Floats
    """(N,): -log2 q of the n-gram model alone; NaN for the first known character, which nothing precedes."""
    counting: Floats
    network: Floats  # (N,): the contributions (1) and (2); NaN for the first known character and for unknown ones
    matched: NDArray[np.uint8]  # (N,): the matched length; 0 where there is none
    uniform: Floats  # (N,): the surprisal of a uniform guess; NaN for the first known character

    def means(self) -> dict[str, float]:
        """Return means in nats over all characters predicted: a uniform guess, q alone, and the contributions."""
        names = ("uniform_nats_per_char", "nats_per_char", "counting_nats_per_char", "network_nats_per_char")
        # An unknown character costs the same in every sum of terms, so that the contributions to it are 0.
        parts = (np.where(np.isnan(self.uniform), np.nan, np.nan_to_num(c)) for c in (self.counting, self.network))
        means = map(_mean_of_numbers, (self.uniform, self.surprisal, *parts))
        return {name: bits * math.log(2) for name, bits in zip(names, means, strict=True)}

    @property
    def mean_matched_length(self) -> float:
        """Mean matched length of the known characters predicted."""
        return _mean_of_numbers(np.where(np.isnan(self.counting), np.float32(np.nan), self.matched))


@dataclass(frozen=True, eq=False)
class Explanation:
    """A text with a network's surprisal, predictions and activations."""

    indices: Indices  # (N,): K or more is an unknown character
    surprisal: Floats
    """(N,): -log2 of the probability that the network gave to the character, in bits; NaN for the first known
    character, which nothing precedes."""
    candidates: Indices  # (N, C): the most likely characters at each position, in descending order
    probabilities: Floats  # (N, C): their probabilities; 0 until the first known character has been read
    quantized: QuantizedActivations
    """(N, D): The activation of every unit after the character has been read, or skipped if it is unknown; see
    `dequantize`."""
    units: tuple[Unit, ...]
    prior: PriorExplanation | None = None  # None for a network without an n-gram prior, or with its prior off

    @property
    def chars(self) -> int:
        """Number of characters predicted: all but the first known one."""
        return int(np.sum(~np.isnan(self.surprisal)))

    @property
    def bits_per_char(self) -> float:
        """Mean surprisal of the characters predicted, in bits."""
        return float(np.nanmean(self.surprisal, dtype=np.float64))

    @property
    def nats_per_char(self) -> float:
        """Mean surprisal of the characters predicted, in nats."""
        return self.bits_per_char * math.log(2)


def explain_indices(engine: Engine, parameters: Parameters, state: State, indices: Indices) -> Explanation:
    """Read a text (N,) from a state; record surprisal, predictions and activations at every character."""
    # An index of K or more is an unknown character, see `elman.text.with_unknown`.
    check_length(len(indices))
    network = parameters.architecture
    K, is_known, ngrams = network.K, indices < network.K, parameters.prior.model
    penalty = 0.0 if is_known.all() else KNOWN_PENALTY_NATS
    session = engine.session(parameters)
    nats, matched, candidates, probabilities, quantized = _record(session, parameters, state, indices, penalty)
    uniform = np.where(np.isnan(nats[:1]), np.nan, math.log(K))
    costs = np.concatenate([uniform, nats[:2]]) + penalty
    uniform_bits, *bits = (np.where(is_known, costs, unknown_nats(K)) / math.log(2)).astype(np.float32)
    prior = None
    if ngrams is not None:
        counting, of_network = _contributions(nats, K)
        prior = PriorExplanation(ngrams.order, bits[1], counting, of_network, matched, uniform_bits)
    return Explanation(indices, bits[0], candidates, probabilities, quantized, list_units(network), prior)


def check_length(N: int) -> None:
    """Check that a text of N characters can be explained."""
    if N < 2:
        raise ElmanError(f"a text needs at least 2 characters to be explained (got {N})")
    if N > MAX_CHARS:
        limit = f"a text may have at most {MAX_CHARS:,} characters to be explained"
        raise ElmanError(f"{limit} (got {N:,}); pass a part of it")


def _record(
    session: InferenceSession, parameters: Parameters, initial: State, indices: Indices, penalty: float
) -> tuple[NDArray[np.float64], NDArray[np.uint8], Indices, Floats, QuantizedActivations]:
    """Read the known characters of a text (N,) from a state."""
    # Return the R costs of each character in nats (R, N), see `_predict`, NaN where it is the first or unknown; the
    # matched lengths (N,), 0 there; the most likely characters and their probabilities; and the activations.
    network, known, state = parameters.architecture, np.flatnonzero(indices < len(parameters["c"])), initial.reshape(1)
    N, n, K, D = len(indices), len(known), network.K, network.state_size
    C, R = min(CANDIDATES, K), 4 if parameters.prior.model else 1
    is_bounded = np.array([unit.vector.bounded for unit in list_units(network)], np.bool_)
    nats, matched = np.full((R, N), np.nan), np.zeros(N, np.uint8)
    candidates, probabilities = np.zeros((n + 1, C), indices.dtype), np.zeros((n + 1, C), np.float32)
    times = np.diff(known, prepend=0, append=N)  # number of positions that share the state before each known character
    step = max(1, MAX_SLICE_VALUES // (R * K + D))
    with Spool(np.dtype(np.uint8)) as spool:
        spool.append(np.repeat(quantize(state.recurrent, is_bounded), times[0], axis=0))
        for start in range(0, n, step):
            after = slice(start + 1, start + step + 1)
            log_p, lengths, states = _predict(session, parameters, state, indices[known[start : start + step]])
            top, top_log_p = top_k(log_p[:, 0] - penalty, C)
            candidates[after], probabilities[after] = top, np.exp(top_log_p)
            following = known[after]
            nats[:, following] = -log_p[np.arange(len(following)), :, indices[following]].T
            matched[following] = lengths[: len(following)]
            spool.append(np.repeat(quantize(states.recurrent, is_bounded), times[after], axis=0))
            state = states.select(slice(-1, None))
        quantized = spool.array().reshape(N, D)
    num_read = np.searchsorted(known, np.arange(N))  # before each position
    return nats, matched, candidates[num_read], probabilities[num_read], quantized


def _contributions(nats: NDArray[np.float64], K: int) -> tuple[Floats, Floats]:
    """Return the contributions of counting and of the network, given the R costs of each character, (R, N)."""
    both, _, counting, network = -nats / math.log(2)
    none = -math.log2(K)
    by_counting, by_network = counting - none + both - network, network - none + both - counting
    return (by_counting / 2).astype(np.float32), (by_network / 2).astype(np.float32)  # (1), (2)


def _predict(
    session: InferenceSession, parameters: Parameters, state: State, x: Indices
) -> tuple[Array, NDArray[np.intp], State]:
    """Read x (n,); return R log-probabilities after each character, the matched lengths and the states."""
    # The log-probabilities (n, R, K) are log p and, with an n-gram prior, log q, log softmax(alpha_j log q) and log
    # softmax(V h + c).
    logits, after = session.logits(state, x[:, None])
    check_finite(logits)
    o, states = logits[:, 0].astype(np.float64), after.reshape(len(x))
    if parameters.prior.model is None:
        return log_softmax(o)[:, None], np.zeros(len(x), np.intp), states
    prior = session.prior(state, x[:, None])
    log_q, matched = prior.log_q[:, 0].astype(np.float64), prior.matched[:, 0]
    counted = parameters["alpha"].astype(np.float64)[matched, None] * log_q
    return np.stack([log_softmax(o), log_q, log_softmax(counted), log_softmax(o - counted)], axis=1), matched, states


def _mean_of_numbers(values: Floats) -> float:
    """Return the mean of values that are not NaN; 0 if there are none."""
    numbers = values[~np.isnan(values)]
    return float(numbers.mean(dtype=np.float64)) if len(numbers) else 0.0


def list_units(network: Architecture) -> tuple[Unit, ...]:
    """Return the units in the order of the state."""
    numbers = range(1, network.m + 1)
    groups = [(layer, vector) for layer in range(1, network.layers + 1) for vector in network.spec.state]
    return tuple(Unit(layer, number, vector) for layer, vector in groups for number in numbers)


def quantize(activations: Array, is_bounded: NDArray[np.bool_] | bool = True) -> QuantizedActivations:
    """Quantize activations in [-1, 1] to one byte; of a cell state, which is unbounded, its tanh, which h receives."""
    # The distance from the middle is proportional to the root of the activation, so that a unit of small range still
    # gets many levels: the step is 0.0005 at an activation of 0.001, and 0.016 at 1.
    activations = np.where(is_bounded, activations, np.tanh(activations))
    roots = np.sqrt(np.abs(activations).clip(0, 1)) * np.sign(activations)
    return np.asarray(np.rint(ZERO_CODE * roots + ZERO_CODE), np.uint8)


def dequantize(quantized: QuantizedActivations | NDArray[np.integer]) -> Floats:
    """Return the activations that quantized values represent."""
    roots = (quantized.astype(np.float32) - ZERO_CODE) / ZERO_CODE
    return np.asarray(roots * np.abs(roots))
