"""Writing text, character by character."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from elman.engine import Engine
from elman.network import Draw, Parameters
from elman.network.parameters import Array
from elman.text import Alphabet

_CHUNK = 256
"""Characters drawn in one call of the engine: enough to hide the call, few enough to seem at once."""


def written(
    engine: Engine,
    parameters: Parameters,
    alphabet: Alphabet,
    h: Array,
    x: int,
    length: int,
    draw: Draw,
    generator: np.random.Generator,
) -> Iterator[str]:
    """Yield `length` characters, a few at a time, beginning with what follows x in state h (D,).

    One number is taken from `generator` for each character, so the text does not depend on how it is cut.
    """
    while length > 0:
        uniforms = generator.random(min(length, _CHUNK))
        characters, h = engine.generate(parameters, h, x, uniforms, draw)
        x = int(characters[-1])
        length -= len(characters)
        yield alphabet.decode(characters)


def until(stop: str, pieces: Iterator[str]) -> Iterator[str]:
    """Pass text on until `stop` begins, which is left out. What may be its beginning is held back."""
    held = ""
    for piece in pieces:
        held += piece
        before, found, _ = held.partition(stop)
        if found:
            yield before
            return
        kept = _overlap(held, stop)
        yield held[: len(held) - kept]
        held = held[len(held) - kept :]
    yield held


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of `text` that `stop` begins with."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
