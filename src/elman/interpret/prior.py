"""What counting and what the network contribute to each character, for a network with an n-gram prior.

N  characters in the text     K  size of the alphabet     y  the character at a position

The logits are a sum of two terms, alpha_j log q of the n-gram model (counting) and V h + c (the network), see
`elman.network.output`. A term by itself, or none, or both, give y a probability::

    v(none) = log 1/K     v(counting) = log softmax(alpha_j log q)[y]     v(network) = log softmax(V h + c)[y]
    v(both) = log p[y]

The contribution of a term is its Shapley value (Lundberg and Lee, 2017), the mean of what it adds when it is added
first and when it is added last::

    (1)  counting = (v(counting) - v(none) + v(both) - v(network)) / 2
    (2)  network  = (v(network) - v(none) + v(both) - v(counting)) / 2
    (3)  counting + network = log p[y] - log 1/K

So they are shares of what the model knows more than a uniform guess. What both terms know is divided equally.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elman.engine import Engine, InferenceSession
from elman.engine.protocol import Indices
from elman.inference.score import check_finite
from elman.network import Parameters, architecture
from elman.network.output import at, log_softmax
from elman.network.parameters import Array
from elman.text.unknown import KNOWN_PENALTY_NATS, unknown_nats

MAX_SLICE_VALUES = 1 << 19
"""Logits of a slice."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class PriorExplanation:
    """A text with what counting and the network contribute to each character, in bits.

    Parameters
    ----------
    order : int
        n, the order of the n-gram prior.
    surprisal : ndarray of float32, shape (N,)
        -log2 q of the n-gram model alone; NaN for the first known character, which nothing precedes.
    counting, network : ndarray of float32, shape (N,)
        The contributions (1) and (2); NaN for the first known character and for unknown ones.
    matched : ndarray of uint8, shape (N,)
        The matched order; 0 where there is none.
    """

    order: int
    surprisal: Floats
    counting: Floats
    network: Floats
    matched: NDArray[np.uint8]

    def means(self) -> dict[str, float]:
        """Return means in nats per character: q alone, over all characters predicted, and the contributions."""
        bits = {
            "nats_per_char": self.surprisal,
            "counting_nats_per_char": self.counting,
            "network_nats_per_char": self.network,
        }
        return {name: _mean_of_numbers(array) * math.log(2) for name, array in bits.items()}

    @property
    def mean_matched_order(self) -> float:
        """Mean matched order of the known characters predicted."""
        is_predicted = ~np.isnan(self.counting)
        return float(self.matched[is_predicted].mean()) if is_predicted.any() else 0.0


def explain_prior(engine: Engine, parameters: Parameters, h0: Array, indices: Indices) -> PriorExplanation | None:
    """Read a text, and return what the prior contributes; None for a network without one, or whose prior is off.

    Parameters
    ----------
    engine : Engine
    parameters : Parameters
    h0 : ndarray, shape (D,)
        The initial state.
    indices : ndarray of unsigned int, shape (N,)
        K or more is an unknown character, which is not read; see `elman.text.with_unknown`.

    Raises
    ------
    ElmanError
        If the network's output is not finite.
    """
    if parameters.ngrams is None or not parameters.uses_prior:
        return None
    N, K = len(indices), parameters.ngrams.K
    known = np.flatnonzero(indices < K)
    surprisal = np.full(N, unknown_nats(K) / math.log(2), np.float32)
    surprisal[known[:1]] = np.nan
    counting, network = np.full((2, N), np.nan, np.float32)
    matched = np.zeros(N, np.uint8)
    penalty = KNOWN_PENALTY_NATS if len(known) < N else 0.0
    session, h = engine.session(parameters), h0[None]
    length = max(1, MAX_SLICE_VALUES // (K + architecture(parameters).state_size))
    for start in range(0, len(known) - 1, length):
        positions = known[start : start + length + 1]
        nats, orders, h = _contributions(session, parameters["alpha"], h, indices[positions])
        here = positions[1:]
        surprisal[here], counting[here], network[here] = (nats + np.array([[penalty], [0], [0]])) / math.log(2)
        matched[here] = orders
    return PriorExplanation(parameters.ngrams.order, surprisal, counting, network, matched)


def _contributions(
    session: InferenceSession, alpha: Array, h: Array, text: Indices
) -> tuple[NDArray[np.float64], NDArray[np.intp], Array]:
    """Return -log q, (1) and (2) of every character of a text (n + 1,) but the first, (3, n), and the matched orders.

    The text is read in the state h (1, D); the third result is the state in which its last character is to be read.
    """
    x, y = text[:-1, None], text[1:]
    log_q, matched = session.prior(h, x)
    o, states = session.logits(h, x)
    check_finite(o)
    both, q, orders = o[:, 0].astype(np.float64), log_q[:, 0].astype(np.float64), matched[:, 0]
    counted = alpha.astype(np.float64)[orders, None] * q
    p, c, n = (log_softmax(logits)[at(y)] for logits in (both, counted, both - counted))
    uniform = -math.log(o.shape[-1])
    contributions = [-q[at(y)], (c - uniform + p - n) / 2, (n - uniform + p - c) / 2]  # (1), (2)
    return np.array(contributions), orders, states[-1]


def _mean_of_numbers(values: Floats) -> float:
    """Return the mean of values that are not NaN; 0 if there are none."""
    numbers = values[~np.isnan(values)]
    return float(numbers.mean(dtype=np.float64)) if len(numbers) else 0.0
