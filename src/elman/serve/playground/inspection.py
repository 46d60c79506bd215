"""A network watched while it reads and writes: how likely each character was, what else might have come, its units.

P  characters read    n  characters of a part    K  size of the alphabet
k  likeliest characters that are told of each place    u  units that are watched    D  numbers in the state
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elman.engine import InferenceSession
from elman.engine.protocol import Indices
from elman.inference import Model
from elman.inference.logprobs import CharLogprobs, compute_logprobs, concatenate_logprobs, missing_logprobs
from elman.interpret.activations import QuantizedActivations, forward_checked, is_cell_state, quantize_states
from elman.network import SamplingParams, architecture
from elman.network.parameters import Array

LIKELIEST = 5
"""k, alternatives that are told of each place."""
PART = 256
"""Characters that are read, or written, at a time at most."""
FIRST = 16
"""Characters that are written first, so that a text is soon seen to begin."""


@dataclass(frozen=True, eq=False)
class Seen:
    """What went on at n characters.

    Parameters
    ----------
    characters : ndarray of int, shape (n,)
    known : CharLogprobs
        How likely the network itself held them, and the k likeliest in the place of each.
    chances : ndarray of float, shape (n, 1 + k), or None
        With what probability the character, and those k, were drawn; None where it was given and not drawn.
    codes : ndarray of uint8, shape (n, u)
        What the watched units did when the character was read, as `elman.interpret.activations.dequantize` reads it.
    """

    characters: NDArray[np.integer]
    known: CharLogprobs
    chances: NDArray[np.float64] | None
    codes: QuantizedActivations


class Readers:
    """Readers of one model that texts take in turns.

    Each lays the network out anew, so that there are as many as threads are at work at a time, and not one a text.

    Parameters
    ----------
    model : Model
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self._idle = list[InferenceSession]()

    @contextmanager
    def one(self) -> Iterator[InferenceSession]:
        """Lend a reader to a thread."""
        try:
            session = self._idle.pop()
        except IndexError:
            session = self.model.engine.session(self.model.parameters)
        try:
            yield session
        finally:
            self._idle.append(session)


class Watched:
    """One text that a model reads and writes. Not for two threads at a time.

    Parameters
    ----------
    readers : Readers
        Of the model.
    watch : sequence of int
        Numbers of the state, each in [0, D), that are told of.
    """

    def __init__(self, readers: Readers, watch: Sequence[int]) -> None:
        self.readers, model = readers, readers.model
        self._watch = np.array(watch, np.intp)
        self._memory = is_cell_state(architecture(model.parameters))[self._watch]
        # All but the last character is read: drawing begins with that.
        self._h, self._x = model.h[None], np.empty(0, np.intp)

    def read(self, characters: Indices) -> Seen:
        """Read characters (n,) behind those before."""
        o, states = self._look(characters)
        known = compute_logprobs(o[:-1], characters[len(characters) + 1 - len(o) :], LIKELIEST)
        if not len(self._x):
            known = concatenate_logprobs([missing_logprobs(1, known.top.shape[1]), known])
        if len(states) > 1:
            self._h = states[-2:-1].copy()  # the others are not kept while the text waits for its turn
        self._x = characters[-1:].astype(np.intp)
        return Seen(characters, known, None, self._codes(states[-len(characters) :]))

    def write(self, uniforms: NDArray[np.float64], sampling: SamplingParams) -> Seen:
        """Draw a character for each number of `uniforms` (n,)."""
        with self.readers.one() as session:
            found, after = session.generate(self._h, self._x, uniforms[:, None], [sampling])
        characters = found[:, 0]
        o, states = self._look(characters)
        known = compute_logprobs(o[:-1], characters, LIKELIEST)
        self._h, self._x = after, characters[-1:]
        return Seen(characters, known, _chances(sampling, o[:-1], characters, known), self._codes(states[1:]))

    def _look(self, characters: NDArray[np.integer]) -> tuple[Array, Array]:
        """Return the logits and states after the character that is still to be read, if any, and after each of n."""
        x = np.concatenate([self._x, characters]).astype(self.readers.model.alphabet.dtype)
        with self.readers.one() as session:
            return forward_checked(session, self._h, x)

    def _codes(self, states: Array) -> QuantizedActivations:
        return quantize_states(states[:, self._watch], self._memory)


def _chances(
    sampling: SamplingParams, o: Array, characters: NDArray[np.integer], known: CharLogprobs
) -> NDArray[np.float64]:
    """Return with what probability each of `characters` (n,), and those likeliest in its place, were drawn."""
    if sampling == SamplingParams():
        return np.asarray(np.exp(np.concatenate([known.logprobs[:, None], known.top_logprobs], axis=1)))
    told = np.concatenate([characters[:, None], known.top], axis=1)
    return np.array([sampling.probabilities(row)[few] for row, few in zip(o, told, strict=True)])


def reading(watched: Watched, text: Indices) -> Iterator[Seen]:
    """Yield what goes on while a text (P,) is read."""
    for start in range(0, len(text), PART):
        yield watched.read(text[start : start + PART])


def writing(
    watched: Watched,
    prompt: Indices,
    before: Indices,
    length: int,
    sampling: SamplingParams,
    generator: np.random.Generator,
) -> Iterator[Seen | None]:
    """Yield what goes on while a text is written.

    Parameters
    ----------
    watched : Watched
        A model that has read nothing yet.
    prompt : ndarray of int, shape (P,)
        P >= 1 characters to begin with.
    before : ndarray of int
        What was written behind them before. For every character of it one number is taken from `generator`, so
        that a text goes on as it did where nothing in it was changed.
    length : int
        Characters to write.
    draw : Draw
    generator : Generator

    Yields
    ------
    Seen or None
        What goes on; None where it is known from before: at the prompt, and at what was written but for its last
        character, which may be another than the one that was drawn there.
    """
    for seen in reading(watched, prompt):
        yield None if len(before) else seen
    yield from (None for _ in reading(watched, before[:-1]))
    if len(before):
        yield watched.read(before[-1:])
    generator.random(len(before))
    for n in _parts(length):
        yield watched.write(generator.random(n), sampling)


def _parts(length: int) -> Iterator[int]:
    """How many characters are written at a time, `length` in all."""
    n = FIRST
    while length > 0:
        yield min(n, length)
        length, n = length - n, min(2 * n, PART)
