"""Writing text, character by character."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from elman.engine import Engine, InferenceSession
from elman.network import Parameters, SamplingParams
from elman.network.parameters import Array
from elman.text import Alphabet

_FIRST, _LARGEST = 64, 1024
"""Characters drawn in one call of the engine: few at first, to seem at once, then more, to hide the call."""


def written(
    engine: Engine,
    parameters: Parameters,
    alphabet: Alphabet,
    h: Array,
    x: int,
    length: int,
    sampling: SamplingParams,
    generator: np.random.Generator,
) -> Iterator[str]:
    """Yield `length` characters, a few at a time, beginning with what follows x in state h (D,).

    One number is taken from `generator` for each character, so the text does not depend on how it is cut.
    """
    for n in _chunks(length):
        characters, h = engine.generate(parameters, h, x, generator.random(n), sampling)
        x = int(characters[-1])
        yield alphabet.decode(characters)


def side_by_side(
    session: InferenceSession,
    alphabet: Alphabet,
    h: Array,
    x: int,
    length: int,
    sampling: SamplingParams,
    generators: Sequence[np.random.Generator],
) -> list[str]:
    """Return one text of `length` characters for each of `generators`, all going on from x in state h (D,)."""
    B = len(generators)
    states, last, pieces = np.tile(h, (B, 1)), np.full(B, x), []
    for n in _chunks(length):
        uniforms = np.stack([generator.random(n) for generator in generators], axis=1)
        characters, states = session.generate(states, last, uniforms, [sampling] * B)
        last = characters[-1]
        pieces.append(characters.astype(alphabet.dtype))
    written = np.concatenate(pieces) if pieces else np.empty((0, B), alphabet.dtype)
    return [alphabet.decode(column) for column in written.T]


def _chunks(length: int) -> Iterator[int]:
    """How many characters each call of the engine draws, `length` in all."""
    n = _FIRST
    while length > 0:
        yield min(n, length)
        length -= n
        n = min(2 * n, _LARGEST)
