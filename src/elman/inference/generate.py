"""Text generation by sampling, one character at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from elman.engine import Engine, InferenceSession
from elman.network import Parameters, SamplingParams
from elman.network.parameters import Array
from elman.text import Alphabet

_FIRST_CHUNK, _MAX_CHUNK = 64, 1024
"""Characters per call of the engine: few at first, so that output begins at once, then more, to amortise the call."""


def stream_text(
    engine: Engine,
    parameters: Parameters,
    alphabet: Alphabet,
    h: Array,
    x: int,
    length: int,
    sampling: SamplingParams,
    generator: np.random.Generator,
) -> Iterator[str]:
    """Yield `length` sampled characters in chunks; the first follows x, which is read in the state h (D,).

    One number is taken from `generator` for each character, so the text does not depend on the size of the chunks.
    """
    for n in _chunk_lengths(length):
        characters, h = engine.generate(parameters, h, x, generator.random(n), sampling)
        x = int(characters[-1])
        yield alphabet.decode(characters)


def generate_batch(
    session: InferenceSession,
    alphabet: Alphabet,
    h: Array,
    x: int,
    length: int,
    sampling: SamplingParams,
    generators: Sequence[np.random.Generator],
) -> list[str]:
    """Return one text of `length` characters for each of `generators`, sampled as one batch.

    Each follows x, which is read in the state h (D,).
    """
    B = len(generators)
    states, last, chunks = np.tile(h, (B, 1)), np.full(B, x), []
    for n in _chunk_lengths(length):
        uniforms = np.stack([generator.random(n) for generator in generators], axis=1)
        characters, states = session.generate(states, last, uniforms, [sampling] * B)
        last = characters[-1]
        chunks.append(characters.astype(alphabet.dtype))
    characters_TB = np.concatenate(chunks) if chunks else np.empty((0, B), alphabet.dtype)
    return [alphabet.decode(column) for column in characters_TB.T]


def _chunk_lengths(length: int) -> Iterator[int]:
    """Yield the number of characters to sample in each call of the engine, `length` in total."""
    n = _FIRST_CHUNK
    while length > 0:
        yield min(n, length)
        length -= n
        n = min(2 * n, _MAX_CHUNK)
