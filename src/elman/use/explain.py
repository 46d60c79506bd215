"""What goes on in a network while it reads a text: how surprised it is, what it expected, what its units do.

N  characters in the text       K  size of the alphabet
D  numbers in the state         C  likeliest characters that are kept of each place, `CANDIDATES` or K

The text is read in one stream from its first character to its last, in slices whose logits and states exist at once.
What is kept of a slice is small: two numbers of a kind for each likeliest character, and one byte for each unit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elman.engine import Engine
from elman.engine.protocol import Indices
from elman.errors import ElmanError
from elman.network import Architecture, Parameters, architecture
from elman.network.output import log_softmax
from elman.network.parameters import Array
from elman.text.spool import Spool
from elman.use.likeliest import likeliest

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
    surprise : ndarray of float32, shape (N,)
        -log2 of the probability that the character had before it was read, in bits. Nothing comes before the first,
        whose surprise is not a number.
    likeliest : ndarray of unsigned int, shape (N, C)
        What was expected in place of each character, the likeliest first.
    probabilities : ndarray of float32, shape (N, C)
        Of those. Those of the first place are 0.
    codes : ndarray of uint8, shape (N, D)
        The activation of every unit after the character was read; `activation` tells what a code stands for.
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
    def bits_per_char(self) -> float:
        """Mean surprise from the second character on."""
        return float(np.mean(self.surprise[1:], dtype=np.float64))

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
    C = min(CANDIDATES, network.K)
    surprise = np.full(N, np.nan, np.float32)
    expected = np.zeros((N, C), indices.dtype)
    probabilities = np.zeros((N, C), np.float32)
    reader, h, memory = engine.reader(parameters), h0[None], _is_memory(network)
    length = max(1, NUMBERS // (network.K + network.state_size))
    with Spool(np.dtype(np.uint8)) as spool:
        for start in range(0, N, length):
            x = indices[start : start + length]
            o, states = reader.logits(h, x[:, None])
            h = states[-1]
            spool.append(encoded(np.where(memory, np.tanh(states[:, 0]), states[:, 0])))
            after = slice(start + 1, start + 1 + len(x))  # what is expected now is seen at the next character
            log_p = log_softmax(o[: len(indices[after]), 0].astype(np.float64))
            expected[after], log_expected = likeliest(log_p, C)
            probabilities[after] = np.exp(log_expected)
            surprise[after] = -np.take_along_axis(log_p, indices[after, None].astype(np.intp), 1)[:, 0] / math.log(2)
        codes = spool.array().reshape(N, -1)
    if not np.isfinite(surprise[1:]).all():
        raise ElmanError("this network computes what is not a finite number: train again with a lower learning rate")
    return Explanation(indices, surprise, expected, probabilities, codes, units(network))


def units(network: Architecture) -> tuple[Unit, ...]:
    """Return which unit each number of the state is."""
    parts = ("hidden", "memory")[: network.parts]
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


def _is_memory(network: Architecture) -> NDArray[np.bool_]:
    """Return which numbers of the state are a memory. That has no bounds, and what h reads of it is its tanh."""
    return np.array([unit.part == "memory" for unit in units(network)])
