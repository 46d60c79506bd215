"""Inspecting a network while it reads and generates text: probabilities, alternatives and activations of units.

P  characters read    n  characters of a chunk    K  size of the alphabet
k  alternatives per position    u  units to report    D  numbers in the recurrent state
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elman.engine import InferenceSession
from elman.engine.protocol import Indices
from elman.inference import Model
from elman.inference.score import CharLogprobs, compute_logprobs, concatenate_logprobs, missing_logprobs
from elman.interpret import QuantizedActivations, forward_checked, is_cell_state, quantize_states
from elman.network import SamplingParams, architecture
from elman.network.parameters import Array

NUM_ALTERNATIVES = 5
"""k, the most likely characters that are reported at every position."""
MAX_THREADS = 2
"""Chunks that are computed concurrently; requests take turns."""
MAX_CHUNK = 256
"""Maximum number of characters read or generated at a time."""
FIRST_CHUNK = 16
"""Characters of the first generated chunk, so that text begins to arrive soon."""


@dataclass(frozen=True, eq=False)
class InspectedChunk:
    """A chunk of n characters and what the network computed at each.

    Parameters
    ----------
    characters : ndarray of int, shape (n,)
    logprobs : CharLogprobs
        The model's log-probabilities of the characters and of the k most likely ones at every position.
    sampling_probs : ndarray of float, shape (n, 1 + k), or None
        Probabilities with which the character and those k were sampled; None for text that was not sampled.
    activations : ndarray of uint8, shape (n, u)
        Quantized activations of the units after each character was read; `elman.interpret.dequantize`
        decodes them.
    """

    characters: NDArray[np.integer]
    logprobs: CharLogprobs
    sampling_probs: NDArray[np.float64] | None
    activations: QuantizedActivations


class SessionPool:
    """Inference sessions of one model, shared by requests.

    Every session prepares the network anew; the pool has as many as threads work at the same time, not one per request.

    Parameters
    ----------
    model : Model
    slots : Semaphore
        Held by those threads.
    """

    def __init__(self, model: Model) -> None:
        self.model, self.slots = model, asyncio.Semaphore(MAX_THREADS)
        self._idle = list[InferenceSession]()

    @contextmanager
    def acquire(self) -> Iterator[InferenceSession]:
        """Return a session that no other thread uses for the duration of the block."""
        try:
            session = self._idle.pop()
        except IndexError:
            session = self.model.engine.session(self.model.parameters)
        try:
            yield session
        finally:
            self._idle.append(session)


class InspectedSequence:
    """A text that a model reads and continues. Not thread-safe.

    Parameters
    ----------
    sessions : SessionPool
        Sessions of the model.
    units : sequence of int
        Indices into the state, each in [0, D), of the units to report.
    """

    def __init__(self, sessions: SessionPool, units: Sequence[int]) -> None:
        self.sessions, model = sessions, sessions.model
        self._units = np.array(units, np.intp)
        self._is_memory = is_cell_state(architecture(model.parameters))[self._units]
        # The state before the last character, and that character: generating begins with reading it.
        self._h, self._x = model.h[None], np.empty(0, np.intp)

    def read(self, characters: Indices) -> InspectedChunk:
        """Read characters (n,) after those before."""
        o, states = self._forward(characters)
        known = compute_logprobs(o[:-1], characters[len(characters) + 1 - len(o) :], NUM_ALTERNATIVES)
        if not len(self._x):
            known = concatenate_logprobs([missing_logprobs(1, known.top.shape[1]), known])
        if len(states) > 1:
            self._h = states[-2:-1].copy()  # a view would keep all states in memory until the next chunk
        self._x = characters[-1:].astype(np.intp)
        return InspectedChunk(characters, known, None, self._quantize(states[-len(characters) :]))

    def generate(self, uniforms: NDArray[np.float64], sampling: SamplingParams) -> InspectedChunk:
        """Sample a character for each number of `uniforms` (n,)."""
        with self.sessions.acquire() as session:
            columns, after = session.generate(self._h, self._x, uniforms[:, None], [sampling])
        characters = columns[:, 0]
        o, states = self._forward(characters)
        known = compute_logprobs(o[:-1], characters, NUM_ALTERNATIVES)
        self._h, self._x = after, characters[-1:]
        sampling_probs = _sampling_probabilities(sampling, o[:-1], characters, known)
        return InspectedChunk(characters, known, sampling_probs, self._quantize(states[1:]))

    def _forward(self, characters: NDArray[np.integer]) -> tuple[Array, Array]:
        """Return the logits and states after the character still to be read, if any, and after each of the n."""
        x = np.concatenate([self._x, characters]).astype(self.sessions.model.alphabet.dtype)
        with self.sessions.acquire() as session:
            return forward_checked(session, self._h, x)

    def _quantize(self, states: Array) -> QuantizedActivations:
        return quantize_states(states[:, self._units], self._is_memory)


def _sampling_probabilities(
    sampling: SamplingParams, o: Array, characters: NDArray[np.integer], known: CharLogprobs
) -> NDArray[np.float64]:
    """Return the probabilities with which `characters` (n,) and the k most likely ones were sampled from logits o."""
    if sampling == SamplingParams():
        return np.asarray(np.exp(np.concatenate([known.logprobs[:, None], known.top_logprobs], axis=1)))
    reported = np.concatenate([characters[:, None], known.top], axis=1)
    return np.array([sampling.probabilities(row)[indices] for row, indices in zip(o, reported, strict=True)])


def inspect_text(sequence: InspectedSequence, text: Indices) -> Iterator[InspectedChunk]:
    """Read a text (P,) and yield its chunks."""
    for start in range(0, len(text), MAX_CHUNK):
        yield sequence.read(text[start : start + MAX_CHUNK])


def inspect_generation(
    sequence: InspectedSequence,
    prompt: Indices,
    generated: Indices,
    length: int,
    sampling: SamplingParams,
    generator: np.random.Generator,
) -> Iterator[InspectedChunk | None]:
    """Generate text and yield its chunks.

    Parameters
    ----------
    sequence : InspectedSequence
        A sequence that has read nothing yet.
    prompt : ndarray of int, shape (P,)
        P >= 1 characters.
    generated : ndarray of int
        Text generated after the prompt before. One random number is skipped for each of its characters, so that the
        text continues as it did where none of them was changed.
    length : int
        Characters to generate.
    sampling : SamplingParams
    generator : Generator

    Yields
    ------
    InspectedChunk or None
        None for chunks that the client knows already: the prompt if there is `generated` text, and `generated` except
        for its last character, which may have been replaced.
    """
    for chunk in inspect_text(sequence, prompt):
        yield None if len(generated) else chunk
    yield from (None for _ in inspect_text(sequence, generated[:-1]))
    if len(generated):
        yield sequence.read(generated[-1:])
    generator.random(len(generated))
    for n in _chunk_lengths(length):
        yield sequence.generate(generator.random(n), sampling)


def _chunk_lengths(length: int) -> Iterator[int]:
    """Yield the lengths of generated chunks, `length` in all: short ones first."""
    n = FIRST_CHUNK
    while length > 0:
        yield min(n, length)
        length, n = length - n, min(2 * n, MAX_CHUNK)
