"""What goes on in a network while it reads a text: how surprised it is, what it expected, what its units do.

N  characters in the text       K  size of the alphabet
D  numbers in the state         C  likeliest characters that are kept of each place, `CANDIDATES` or K

The text is read in one stream from its first character to its last, in slices whose logits and states exist at once.
What is kept of a slice is small: two numbers of a kind for each likeliest character, and one byte for each unit.

Characters that the model does not know are not read, and cost what `elman.inference.strangers` says.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elman.engine import Engine, InferenceSession
from elman.engine.protocol import Indices
from elman.errors import ElmanError
from elman.inference.checks import check_finite
from elman.inference.logprobs import likeliest
from elman.inference.strangers import KNOWN_NATS, stranger_nats
from elman.network import Architecture, Parameters, architecture
from elman.network.output import log_softmax
from elman.network.parameters import Array
from elman.text.spool import Spool

CANDIDATES = 5
LONGEST = 1_000_000
"""Characters of a text that is explained at most."""
MIDDLE = 127
"""The code of an activation of zero; codes run from 0, which is -1, to 254, which is 1."""
NUMBERS = 1 << 21
"""Logits and states of a slice."""

Codes = NDArray[np.uint8]


@dataclass(frozen=True)
class Unit:
    """One number of the state.

    Parameters
    ----------
    layer, number : int
        Both count from 1.
    part : str
        ``hidden`` or, for an lstm's s, ``memory``.
    """

    layer: int
    number: int
    part: str


@dataclass(frozen=True, eq=False)
class Explanation:
    """A text, and what went on while it was read.

    Parameters
    ----------
    indices : ndarray of unsigned int, shape (N,)
        K or more is a character that is not known.
    surprise : ndarray of float32, shape (N,)
        -log2 of the probability that the character had before it was read, in bits. Nothing comes before the first
        that is known, whose surprise is not a number.
    likeliest : ndarray of unsigned int, shape (N, C)
        What was expected in place of each character, the likeliest first.
    probabilities : ndarray of float32, shape (N, C)
        Of those. They are 0 as long as nothing was read.
    codes : ndarray of uint8, shape (N, D)
        The activation of every unit after the character was read, or was passed over as it is not known; `activation`
        tells what a code stands for.
    units : tuple of Unit
        Which they are, D of them.
    """

    indices: Indices
    surprise: NDArray[np.float32]
    likeliest: Indices
    probabilities: NDArray[np.float32]
    codes: Codes
    units: tuple[Unit, ...]

    @property
    def chars(self) -> int:
        """Characters predicted: all but the first that is known."""
        return int(np.sum(~np.isnan(self.surprise)))

    @property
    def bits_per_char(self) -> float:
        """Mean surprise of the characters predicted."""
        return float(np.nanmean(self.surprise, dtype=np.float64))

    @property
    def nats_per_char(self) -> float:
        """The same in nats."""
        return self.bits_per_char * math.log(2)


def explain(engine: Engine, parameters: Parameters, h0: Array, indices: Indices) -> Explanation:
    """Read a text and keep what went on.

    Parameters
    ----------
    engine : Engine
    parameters : Parameters
    h0 : ndarray, shape (D,)
        The state to begin with.
    indices : ndarray of unsigned int, shape (N,)
        K or more is a character that is not known; see `elman.text.opened`.

    Raises
    ------
    ElmanError
        If N < 2 or N > `LONGEST`, or the network's numbers are not finite.
    """
    N, network = len(indices), architecture(parameters)
    if N < 2:
        raise ElmanError(f"a text of {N} characters holds nothing to predict: give one of at least two")
    if N > LONGEST:
        raise ElmanError(
            f"a text of at most {LONGEST:,} characters can be explained, and {N:,} came: give a part of it"
        )
    K, C = network.K, min(CANDIDATES, network.K)
    surprise = np.empty(N, np.float32)
    expected = np.empty((N, C), indices.dtype)
    probabilities = np.empty((N, C), np.float32)
    session, memory, known_nats = engine.session(parameters), is_memory(network), _known_nats(indices, K)
    log_p, states = np.full((1, K), np.nan), h0[None]  # before anything was read
    length = max(1, NUMBERS // (K + network.state_size))
    with Spool(np.dtype(np.uint8)) as spool:
        for start in range(0, N, length):
            here = slice(start, start + length)
            x = indices[here]
            known = x < K
            after = np.cumsum(known)  # how many of the slice were read when a place was passed
            before: NDArray[np.intp] = after - known
            log_p, states = _read(session, log_p[-1:], states[-1:], x[known], known_nats)
            best, log_best = likeliest(log_p, C)
            expected[here], probabilities[here] = best[before], np.nan_to_num(np.exp(log_best))[before]
            nats = np.where(known, -log_p[before, np.where(known, x, 0)], stranger_nats(K))
            surprise[here] = nats / math.log(2)
            spool.append(codes_of(states, memory)[after])
        codes = spool.array().reshape(N, -1)
    return Explanation(indices, surprise, expected, probabilities, codes, units(network))


def _known_nats(indices: Indices, K: int) -> float:
    """Return what a character of this text costs that is known, besides what it costs the network."""
    return KNOWN_NATS if (indices >= K).any() else 0.0


def _read(session: InferenceSession, log_p: Array, h: Array, x: Indices, known_nats: float) -> tuple[Array, Array]:
    """Read x (n,) in the state h (1, D), in which log_p (1, K) is expected.

    Returns what is expected, (n + 1, K), and the states, (n + 1, D), behind none of the characters, the first of them,
    and so on.
    """
    if not len(x):
        return log_p, h
    o, states = looked_at(session, h, x)
    log_p_read = log_softmax(o.astype(np.float64)) - known_nats
    return np.concatenate([log_p, log_p_read]), np.concatenate([h, states])


def looked_at(session: InferenceSession, h: Array, x: Indices) -> tuple[Array, Array]:
    """Read x (n,) in the state h (1, D); return the logits (n, K) and the states (n, D) behind each character.

    Raises
    ------
    ElmanError
        If they are not finite.
    """
    o, states = session.logits(h, x[:, None])
    check_finite(o)
    return o[:, 0], states[:, 0]


def units(network: Architecture) -> tuple[Unit, ...]:
    """Return which unit each number of the state is."""
    parts = ("hidden", "memory")[: network.state_vectors]
    return tuple(
        Unit(layer, number, part)
        for layer in range(1, network.layers + 1)
        for part in parts
        for number in range(1, network.m + 1)
    )


def encoded(activations: Array) -> Codes:
    """Return activations in [-1, 1] as codes.

    The distance of a code from the middle grows with the root of the activation, so that a unit that moves little still
    has many codes: steps are 0.0005 at an activation of 0.001, and 0.016 at 1.
    """
    distances = np.sqrt(np.abs(activations).clip(0, 1)) * np.sign(activations)
    return np.asarray(np.rint(MIDDLE * distances + MIDDLE), np.uint8)


def activation(codes: Codes | NDArray[np.integer]) -> NDArray[np.float32]:
    """Return the activations that codes stand for."""
    distances = (codes.astype(np.float32) - MIDDLE) / MIDDLE
    return np.asarray(distances * np.abs(distances))


def codes_of(states: Array, memory: NDArray[np.bool_]) -> Codes:
    """Return the codes of numbers of states (n, u). A memory has no bounds, and what h reads of it is its tanh."""
    return encoded(np.where(memory, np.tanh(states), states))


def is_memory(network: Architecture) -> NDArray[np.bool_]:
    """Return which numbers of the state are a memory, (D,)."""
    return np.array([unit.part == "memory" for unit in units(network)])
