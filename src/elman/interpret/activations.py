"""A network's surprisal, predictions and activations at every character of a text.

N  characters in the text              K  size of the alphabet
D  numbers in the recurrent state      C  most likely characters recorded at each position, `CANDIDATES` or K

The text is read once, from its first character to its last, in slices. Of the logits and states of a slice only this is
recorded: index and probability of each of the C characters, and one byte per unit.

Unknown characters are not read; their cost is defined in `elman.text.unknown`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elman.engine import Engine, InferenceSession
from elman.engine.protocol import Indices
from elman.errors import ElmanError
from elman.inference.logprobs import top_k
from elman.inference.score import check_finite
from elman.network import Architecture, Parameters, architecture
from elman.network.cells.spec import StateVector
from elman.network.output import log_softmax
from elman.network.parameters import Array
from elman.text.corpus import Spool
from elman.text.unknown import KNOWN_PENALTY_NATS, unknown_nats

CANDIDATES = 5
MAX_CHARS = 1_000_000
"""Maximum length of a text that is explained."""
ZERO_CODE = 127
"""The quantized value of an activation of zero; values run from 0, which is -1, to 254, which is 1."""
MAX_SLICE_VALUES = 1 << 21
"""Logits and states of a slice."""

QuantizedActivations = NDArray[np.uint8]


@dataclass(frozen=True)
class Unit:
    """One number of the recurrent state.

    Parameters
    ----------
    layer, number : int
        Both count from 1.
    vector : StateVector
        The state vector of the layer that it belongs to: the hidden state h, or the cell state s of an LSTM.
    """

    layer: int
    number: int
    vector: StateVector

    @property
    def part(self) -> str:
        """The name of the state vector in JSON: ``hidden`` or ``memory``."""
        return self.vector.part


@dataclass(frozen=True, eq=False)
class Explanation:
    """A text with a network's surprisal, predictions and activations.

    Parameters
    ----------
    indices : ndarray of unsigned int, shape (N,)
        K or more is an unknown character.
    surprisal : ndarray of float32, shape (N,)
        -log2 of the probability that the network gave to the character, in bits; NaN for the first known character,
        which nothing precedes.
    candidates : ndarray of unsigned int, shape (N, C)
        The most likely characters at each position, in descending order.
    probabilities : ndarray of float32, shape (N, C)
        Their probabilities; 0 until the first known character has been read.
    quantized : ndarray of uint8, shape (N, D)
        The activation of every unit after the character has been read, or skipped if it is unknown; see `dequantize`.
    units : tuple of Unit
        The D units.
    """

    indices: Indices
    surprisal: NDArray[np.float32]
    candidates: Indices
    probabilities: NDArray[np.float32]
    quantized: QuantizedActivations
    units: tuple[Unit, ...]

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


def explain(engine: Engine, parameters: Parameters, h0: Array, indices: Indices) -> Explanation:
    """Read a text and record surprisal, predictions and activations at every character.

    Parameters
    ----------
    engine : Engine
    parameters : Parameters
    h0 : ndarray, shape (D,)
        The initial state.
    indices : ndarray of unsigned int, shape (N,)
        K or more is an unknown character; see `elman.text.with_unknown`.

    Raises
    ------
    ElmanError
        If N < 2 or N > `MAX_CHARS`, or the network's output is not finite.
    """
    N, network = len(indices), architecture(parameters)
    if N < 2:
        raise ElmanError(f"a text needs at least 2 characters to be explained (got {N})")
    if N > MAX_CHARS:
        raise ElmanError(
            f"a text may have at most {MAX_CHARS:,} characters to be explained (got {N:,}); pass a part of it"
        )
    K, C = network.K, min(CANDIDATES, network.K)
    surprisal = np.empty(N, np.float32)
    candidates = np.empty((N, C), indices.dtype)
    probabilities = np.empty((N, C), np.float32)
    session, in_cell_state, penalty = engine.session(parameters), is_cell_state(network), _known_penalty(indices, K)
    units = list_units(network)
    log_p, states = np.full((1, K), np.nan), h0[None]  # before anything is read
    length = max(1, MAX_SLICE_VALUES // (K + network.state_size))
    with Spool(np.dtype(np.uint8)) as spool:
        for start in range(0, N, length):
            positions = slice(start, start + length)
            x = indices[positions]
            is_known = x < K
            num_read = np.cumsum(is_known)  # characters of the slice read once each position is passed
            before: NDArray[np.intp] = num_read - is_known
            log_p, states = _read(session, log_p[-1:], states[-1:], x[is_known], penalty)
            top, top_log_p = top_k(log_p, C)
            candidates[positions], probabilities[positions] = top[before], np.nan_to_num(np.exp(top_log_p))[before]
            nats = np.where(is_known, -log_p[before, np.where(is_known, x, 0)], unknown_nats(K))
            surprisal[positions] = nats / math.log(2)
            spool.append(quantize_states(states[:, : len(units)], in_cell_state)[num_read])
        quantized = spool.array().reshape(N, -1)
    return Explanation(indices, surprisal, candidates, probabilities, quantized, units)


def _known_penalty(indices: Indices, K: int) -> float:
    """Return the cost in nats that unknown characters in the text add to each known one."""
    return KNOWN_PENALTY_NATS if (indices >= K).any() else 0.0


def _read(session: InferenceSession, log_p: Array, h: Array, x: Indices, penalty: float) -> tuple[Array, Array]:
    """Read x (n,) in the state h (1, D), which predicts log_p (1, K).

    Returns predictions (n + 1, K) and states (n + 1, D): before the first character, after it, after the second and so
    on.
    """
    if not len(x):
        return log_p, h
    o, states = forward_checked(session, h, x)
    log_p_read = log_softmax(o.astype(np.float64)) - penalty
    return np.concatenate([log_p, log_p_read]), np.concatenate([h, states])


def forward_checked(session: InferenceSession, h: Array, x: Indices) -> tuple[Array, Array]:
    """Read x (n,) in the state h (1, D); return the logits (n, K) and states (n, D) after each character.

    Raises
    ------
    ElmanError
        If the logits are not finite.
    """
    o, states = session.logits(h, x[:, None])
    check_finite(o)
    return o[:, 0], states[:, 0]


def list_units(network: Architecture) -> tuple[Unit, ...]:
    """Return the units in the order of the state."""
    return tuple(
        Unit(layer, number, vector)
        for layer in range(1, network.layers + 1)
        for vector in network.spec.state
        for number in range(1, network.m + 1)
    )


def quantize(activations: Array) -> QuantizedActivations:
    """Quantize activations in [-1, 1] to one byte.

    The distance from the middle is proportional to the root of the activation, so that a unit of small range still
    gets many levels: the step is 0.0005 at an activation of 0.001, and 0.016 at 1.
    """
    roots = np.sqrt(np.abs(activations).clip(0, 1)) * np.sign(activations)
    return np.asarray(np.rint(ZERO_CODE * roots + ZERO_CODE), np.uint8)


def dequantize(quantized: QuantizedActivations | NDArray[np.integer]) -> NDArray[np.float32]:
    """Return the activations that quantized values represent."""
    roots = (quantized.astype(np.float32) - ZERO_CODE) / ZERO_CODE
    return np.asarray(roots * np.abs(roots))


def quantize_states(states: Array, in_cell_state: NDArray[np.bool_]) -> QuantizedActivations:
    """Quantize states (n, u). A cell state is unbounded; its tanh is quantized, which is what h receives of it."""
    return quantize(np.where(in_cell_state, np.tanh(states), states))


def is_cell_state(network: Architecture) -> NDArray[np.bool_]:
    """Return a mask (D,) of the numbers of the state that are unbounded: the cell state of an LSTM."""
    return np.array([not unit.vector.bounded for unit in list_units(network)])
