"""The prompts of a request, and the sequences that continue each of them.

K  size of the alphabet    n  characters of a step
k  most likely characters to report at every position
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.apps.serve.responses import APIError
from elman.engine import Indices
from elman.model import LineFilter, StopSequenceFilter, top_k
from elman.network import Array, SamplingParams, State, log_softmax
from elman.text import Alphabet

Finish = Literal["stop", "length"]


class CharLogprobs(NamedTuple):
    """Log-probabilities of n characters: the model's own, independent of temperature and filters."""

    logprobs: Array  # log p of each character, shape (n,); NaN for a character that nothing precedes
    top: NDArray[np.intp]  # the k most likely characters, shape (n, k), in descending order
    top_logprobs: Array  # log p of the most likely characters, shape (n, k)

    def slice(self, start: int, stop: int) -> CharLogprobs:
        """Return the log-probabilities of a range of the characters."""
        return CharLogprobs(self.logprobs[start:stop], self.top[start:stop], self.top_logprobs[start:stop])


def compute_logprobs(o: Array, characters: NDArray[np.integer], k: int) -> CharLogprobs:
    """Return the log-probabilities of `characters` (n,) under the logits o (n, K) that predict them."""
    log_p = log_softmax(o.astype(np.float64))
    return CharLogprobs(log_p[np.arange(len(characters)), characters], *top_k(log_p, k))


def concatenate_logprobs(parts: list[CharLogprobs]) -> CharLogprobs:
    """Concatenate the log-probabilities of consecutive chunks of a text."""
    return CharLogprobs(*map(np.concatenate, zip(*parts, strict=True)))


@dataclass(frozen=True)
class SequenceDelta:
    """The text added to a sequence in one step."""

    index: int  # position of the sequence within its request
    text: str
    logprobs: CharLogprobs | None = None  # log-probabilities of the characters, if requested
    finish: Finish | None = None  # the reason why the sequence ends here
    is_prompt: bool = False  # whether the text is part of the prompt, which is echoed


@dataclass(eq=False)
class Prompt:
    """A prompt, which is read once for all sequences that continue it."""

    indices: Indices  # (P,): P >= 1 characters to read
    echo: str  # the prompt to return, P characters, or empty
    is_counted: bool = False  # whether the n-gram prior counts the prompt
    sequences: list[Sequence] = field(default_factory=list)
    """The sequences that continue the prompt. The first one reads it."""
    unread: int = field(init=False)
    """Characters still to be read, not counting the last, which the first generating step reads."""

    def __post_init__(self) -> None:
        self.unread = len(self.indices) - 1
        self.is_counted &= self.unread > 0  # the last character is read with those that are generated, which are not

    @property
    def has_ended(self) -> bool:
        """Whether all sequences of the prompt have ended."""
        return all(sequence.is_finished or sequence.is_cancelled for sequence in self.sequences)

    def release_counts(self) -> None:
        """Remove the counts from the states of its sequences, which have ended but exist until their request ends."""
        for sequence in self.sequences:
            sequence.state, sequence.origin = sequence.state.forget_history(), None

    def next_chunk(self, n: int) -> Indices:
        """Return up to n characters to read next."""
        return self.indices[-1 - self.unread : -1][:n]

    def advance(self, o: Array, states: State) -> list[SequenceDelta]:
        """Move past n characters, given the logits (n, K) and the states after each; return the deltas."""
        n, start = len(o), len(self.indices) - self.unread
        first, logprobs = self.sequences[0], None
        if self.echo and first.num_logprobs is not None:
            logprobs = compute_logprobs(o, self.indices[start : start + n], first.num_logprobs)
        self.unread -= n
        delta = SequenceDelta(0, self.echo[start : start + n], logprobs, is_prompt=True)
        state = states.select([-1]).reshape()  # a copy, so that the others are freed
        if not self.unread:  # later characters are not counted
            state = state.freeze()
        return [each for sequence in self.sequences for each in sequence.advance_prompt(delta, state)]


@dataclass(eq=False)
class LineDraws:
    """The lines that the sequences of a prompt draw. Line j has the seed `seed` + j.

    The first `count` lines that are kept, in the order of their numbers, are returned in this order: the result does
    not depend on which lines end first.
    """

    keep: LineFilter
    first: int  # index of the first sequence within its request
    count: int  # sequences
    seed: int | None
    left: int  # characters that may be drawn in vain
    begun: int = field(init=False)  # lines
    decided: int = 0  # lines; a later line waits until the earlier ones have ended
    found: int = 0  # lines that are kept
    rejected: int = 0  # lines in whose place no sequence draws another one yet
    _ended: dict[int, list[SequenceDelta]] = field(default_factory=dict)  # by number; empty if rejected

    def __post_init__(self) -> None:
        self.begun = self.count

    def generator(self, number: int) -> np.random.Generator:
        """Return the generator of a line."""
        return np.random.default_rng(None if self.seed is None else self.seed + number)

    def end(self, number: int, line: list[SequenceDelta]) -> list[SequenceDelta]:
        """End a line, and return the lines that are decided and kept because of it."""
        if not (line[-1].finish == "stop" and self.keep.fits(_join(line))):
            self.reject(line)
            line = []
        self._ended[number], kept = line, list[SequenceDelta]()
        while self.decided in self._ended:
            line = self._ended.pop(self.decided)
            self.decided += 1
            if line and self.keep.add(_join(line)):
                kept += [replace(delta, index=self.first + self.found) for delta in line]
                self.found += 1
            elif line:
                self.reject(line)
        return kept

    def reject(self, line: list[SequenceDelta]) -> None:
        """Count a rejected line."""
        self.left -= len(_join(line)) + 1  # with the line feed
        self.rejected += 1


def _join(line: list[SequenceDelta]) -> str:
    return "".join(delta.text for delta in line)


@dataclass(eq=False)
class Sequence:
    """The characters that are generated after a prompt, to whose sequences this one is added."""

    index: int  # position of the sequence within its request
    prompt: Prompt
    alphabet: Alphabet
    state: State  # the initial state; later the current one
    remaining: int  # maximum number of characters still to be generated
    sampling: SamplingParams
    generator: np.random.Generator  # of this sequence alone
    stops: StopSequenceFilter
    num_logprobs: int | None  # k; None if no log-probabilities are requested
    draws: LineDraws | None = None  # None if every text is kept
    number: int = 0  # of the line that is drawn
    job: GenerationJob = field(init=False)
    x: int = field(init=False)  # the character that the next generating step reads
    is_started: bool = False  # whether a character has been generated
    is_finished: bool = False
    is_cancelled: bool = False  # set by the request when the result is no longer needed
    emitted: int = 0  # characters delivered to the request, counted by the batcher's thread
    sent: int = 0  # characters sent to the client, counted by the request, in the thread of the event loop
    _held_logprobs: list[CharLogprobs] = field(default_factory=list)
    _held_line: list[SequenceDelta] = field(default_factory=list)  # until it ends, if it may be rejected
    origin: tuple[State, int] | None = None  # the state and what remained before the first character, to draw again

    def __post_init__(self) -> None:
        self.prompt.sequences.append(self)
        self.x = int(self.prompt.indices[-1])

    def start(self) -> list[SequenceDelta]:
        """Return the first character of an echoed prompt, which nothing precedes and so has no probability."""
        first = self.prompt.echo[:1]
        logprobs = None
        if self.num_logprobs is not None:
            n, k = len(first), min(self.num_logprobs, len(self.alphabet))
            logprobs = CharLogprobs(np.full(n, np.nan), np.zeros((n, k), np.intp), np.zeros((n, k)))
        return self._emit(SequenceDelta(self.index, first, logprobs, is_prompt=True))

    def advance_prompt(self, delta: SequenceDelta, state: State) -> list[SequenceDelta]:
        """Set the state after the characters of the prompt in `delta`."""
        self.state = state
        return self._emit(replace(delta, index=self.index))

    def append(self, characters: NDArray[np.intp], state: State, o: Array | None) -> list[SequenceDelta]:
        """Append generated characters (n,); `state` is the one before the last of them is read."""
        # Where log-probabilities are requested, `o` (n, K) has the logits that each was sampled from.
        if self.draws is not None and self.origin is None:
            self.origin = self.state, self.remaining
        characters = characters[: self.remaining]
        n = len(characters)
        self.is_started, self.x, self.state, self.remaining = True, int(characters[-1]), state, self.remaining - n
        text, is_stopped = self.stops.feed(self.alphabet.decode(characters), self.remaining == 0)
        delta = SequenceDelta(self.index, text)
        if o is not None:
            found = compute_logprobs(o[:n], characters, self.num_logprobs or 0)
            # Characters that may begin a stop sequence are held back, with their log-probabilities.
            held = concatenate_logprobs([*self._held_logprobs, found])
            self._held_logprobs = [held.slice(len(text), len(held.logprobs))]
            delta = replace(delta, logprobs=held.slice(0, len(text)))
        return self._emit(delta, is_stopped=is_stopped)

    def _emit(self, delta: SequenceDelta, *, is_stopped: bool = False) -> list[SequenceDelta]:
        """Return the delta to deliver to the request, if there is any."""
        finish: Finish | None = "stop" if is_stopped else None if self.prompt.unread or self.remaining else "length"
        self.is_finished = finish is not None
        deltas = [replace(delta, finish=finish)] if delta.text or finish else []
        if self.draws is not None and not delta.is_prompt:
            deltas = self._keep_line(self.draws, deltas)
        for each in deltas:
            self.job.sequences[each.index].emitted += len(each.text)
        return deltas

    def _keep_line(self, draws: LineDraws, deltas: list[SequenceDelta]) -> list[SequenceDelta]:
        """Return the lines that are kept now that this one has ended; in place of a rejected line, begin a new one."""
        self._held_line += deltas
        if not self.is_finished:
            return []
        assert self.origin is not None
        line, self._held_line, self._held_logprobs, (state, length) = self._held_line, [], [], self.origin
        kept = draws.end(self.number, line)
        if not draws.rejected:
            return kept
        if draws.left < 0:
            message = draws.keep.failure(draws.found, draws.count, "then reached the limit --max-characters")
            self.is_cancelled = True
            with suppress(RuntimeError):  # the event loop is closed: nobody waits
                self.job.loop.call_soon_threadsafe(self.job.fail, APIError(400, message, "lines_not_found"))
        self.number, draws.begun, draws.rejected = draws.begun, draws.begun + 1, draws.rejected - 1
        self.generator, self.is_finished = draws.generator(self.number), False
        self.state, self.remaining, self.x = state, length, int(self.prompt.indices[-1])
        self.stops = StopSequenceFilter(self.stops.stop)
        return kept


class GenerationJob:
    """The sequences of one request. Except for `sequences` and `loop`, it belongs to the event loop that created it."""

    # `wake` tells the batcher that there may be work: text was sent, or the client has disconnected. `read` characters
    # of prompts are counted in the metrics, and the `generated` ones, which the response counts.

    def __init__(self, sequences: list[Sequence], wake: Callable[[], None], read: int) -> None:
        self.sequences, self._wake, self.read, self.generated = sequences, wake, read, 0
        for sequence in sequences:
            sequence.job = self
        self.loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._arrived = [delta for sequence in sequences for delta in sequence.start()]
        if self._arrived:
            self._changed.set()
        self._error: Exception | None = None

    @property
    def prompts(self) -> list[Prompt]:
        """The prompts of the sequences, in their order."""
        return [*dict.fromkeys(sequence.prompt for sequence in self.sequences)]

    def deliver(self, deltas: list[SequenceDelta]) -> None:
        """Accept deltas from the batcher."""
        self._arrived += deltas
        self._changed.set()

    def fail(self, error: Exception) -> None:
        """Cancel all sequences; `deltas` raises the error instead of yielding more."""
        self._error = self._error or error
        for sequence in self.sequences:
            sequence.is_cancelled = True
        self._wake()
        self._changed.set()

    async def deltas(self) -> AsyncGenerator[list[SequenceDelta]]:
        """Yield the deltas that have arrived since the last time, until every sequence has finished."""
        # Deltas count as sent when the next ones are requested. A client that stops reading thus pauses its own
        # sequences and no others.
        unfinished = len(self.sequences)
        while unfinished:
            await self._changed.wait()
            self._changed.clear()
            if self._error:
                raise self._error
            deltas, self._arrived = self._arrived, []
            unfinished -= sum(delta.finish is not None for delta in deltas)
            yield deltas
            for delta in deltas:
                self.sequences[delta.index].sent += len(delta.text)
            self._wake()
