"""Continuous batching: one thread per model reads prompts and generates characters for all sequences together.

Every sequence has its own state and random generator, so its text does not depend on the others in the batch. Sequences
join and leave between two steps: none waits for the end of another while the batch has a free slot. The first sequence
of a prompt reads it; the others join afterwards. A sequence whose client does not read leaves its slot. An exception
fails only the request of the sequence that caused it: see `ContinuousBatcher._attempt`.

B  sequences of a batch    T  characters read, n  characters generated in one step
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from queue import Empty, SimpleQueue

import numpy as np
from numpy.typing import NDArray

from elman.apps.serve.responses import APIError, shutdown_error
from elman.apps.serve.sequence import GenerationJob, Prompt, Sequence, SequenceDelta
from elman.model import Model
from elman.network import Array, SamplingParams, State, list_sampling_options, stack_states
from elman.ngram import NgramModel

BATCH_SIZES = (1, 4, 16)
"""Batches are padded to one of these sizes, because a session prepares the network again for every new size."""
FIRST_STEP = 8  # characters of the first step of a sequence, so that its text begins to arrive soon
MAX_STEP = 256
"""Maximum number of characters of a later step. More per step save calls into the event loop and events on the wire."""
STEP_SECONDS = 0.02  # time budget for one step of all batches, after which new sequences may join
MAX_UNSENT = 1024
"""Characters that a client may leave unread before its sequence pauses. A sequence whose prompt is counted is generated
to its end, because its counts would have to be kept during a pause."""
MAX_COUNTED_PROMPTS = 4
"""Maximum number of prompts with counts of their own at a time. The counts of 100,000 characters of English use 14 MB;
the counts of random text use several times as much."""
MAX_LOGITS = 1 << 21  # maximum number of logits in memory at a time

log = logging.getLogger(__name__)


def dispatch(deltas: Iterable[tuple[GenerationJob, list[SequenceDelta]]]) -> None:
    """Deliver deltas to their jobs from another thread, with one call into each event loop."""
    by_loop = defaultdict[asyncio.AbstractEventLoop, list[Callable[[], None]]](list)
    for job, group in deltas:
        if group:
            by_loop[job.loop].append(partial(job.deliver, group))
    for loop, calls in by_loop.items():
        call_in_loop(loop, *calls)


def call_in_loop(loop: asyncio.AbstractEventLoop, *callbacks: Callable[[], None]) -> None:
    """Schedule calls in an event loop; do nothing if the loop is closed, because nothing can be waiting then."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(lambda: [callback() for callback in callbacks])


@contextmanager
def failing_alone(job: GenerationJob) -> Iterator[None]:
    """Fail one job, from another thread, if the block raises."""
    try:
        yield
    except Exception:
        log.exception("generation failed")
        for sequence in job.sequences:  # cancelled now, so that they leave their slots before the event loop runs
            sequence.is_cancelled = True
        call_in_loop(job.loop, partial(job.fail, _failure()))


def _failure() -> APIError:
    return APIError(500, "generation failed; see the server's log", "internal_error")


class ContinuousBatcher:
    """Generates the sequences of one model in a thread of its own. The kernels release the interpreter's lock."""

    # At most `max_batch_size` sequences are generated concurrently; others wait in order of arrival.

    def __init__(self, model: Model, max_batch_size: int) -> None:
        self.model, self.max_batch_size = model, max_batch_size
        # One session for each kind of step, because a session caches few layouts.
        self._prompt_session, self._session = (model.engine.session(model.parameters) for _ in range(2))
        self._waiting = deque[Sequence]()  # if no sequence has read the prompt, only its first one
        self._running, self._paused = list[Sequence](), list[Sequence]()
        self._counted = list[Prompt]()
        self._inbox: SimpleQueue[GenerationJob | None] = SimpleQueue()  # None wakes the thread
        self._is_closed = False
        self._seconds_per_char = 1e-5
        self._warm_up()
        self._thread = threading.Thread(target=self._run, name="elman-batcher", daemon=True)
        self._thread.start()

    def submit(self, job: GenerationJob) -> None:
        """Queue the sequences of a job."""
        self._inbox.put(job)

    def wake(self) -> None:
        """Check again whether there is work."""
        self._inbox.put(None)

    def close(self) -> None:
        """Stop the thread; unfinished jobs fail."""
        self._is_closed = True
        self.wake()
        self._thread.join()

    def running_count(self) -> int:
        """Return the number of sequences being generated."""
        return len(self._running)

    def waiting_count(self) -> int:
        """Return the number of sequences that wait for a slot."""
        waiting = tuple(self._waiting)
        return sum(len(each.prompt.sequences) if each.prompt.unread else 1 for each in waiting)

    def _warm_up(self) -> None:
        """Compile every kernel, also of the filters, and prepare every layout before the first request."""
        filtered = SamplingParams(**{each.name: each.example for each in list_sampling_options()})  # type: ignore[arg-type]
        for size in BATCH_SIZES:
            states, x = self.model.start(size), np.zeros((1, size), np.intp)
            self._prompt_session.logits(states, x.astype(self.model.alphabet.dtype))
            for sampling in (SamplingParams(), filtered):
                self._session.generate(states, x[0], np.zeros((1, size)), [sampling] * size)

    def _run(self) -> None:
        while not self._is_closed:
            self._receive(wait=not self._has_work())
            try:
                with np.errstate(all="ignore"):  # whether numbers are finite is for the request to check
                    self._step()
            except Exception:  # an error of the batcher itself, and not of a sequence
                log.exception("generation failed")
                self._fail_all(_failure())
        self._receive(wait=False)
        self._fail_all(shutdown_error())

    def _receive(self, wait: bool) -> None:
        """Process the inbox, waiting for the first message if there is no work."""
        with suppress(Empty):
            while True:
                job = self._inbox.get(wait)
                wait = False
                for prompt in job.prompts if job else ():
                    self._waiting.extend(prompt.sequences[:1] if prompt.unread else prompt.sequences)

    def _has_work(self) -> bool:
        is_due = any(sequence.is_cancelled or not _is_paused(sequence) for sequence in self._paused)
        return bool(is_due or self._running or self._next_waiting())

    def _next_waiting(self) -> Sequence | None:
        """Return the first sequence that waits and may join."""
        may_count = len(self._counted) < MAX_COUNTED_PROMPTS
        prompts = ((each, each.prompt) for each in self._waiting)
        return next((each for each, of in prompts if may_count or of in self._counted or not of.is_counted), None)

    def _step(self) -> None:
        """Let sequences leave and join, read a chunk of every prompt, and generate characters for every sequence."""
        self._free_slots()
        self._fill_slots()
        reading = [sequence for sequence in self._running if sequence.prompt.unread]
        reading.sort(key=lambda sequence: -sequence.prompt.unread)
        for batch in _split_batches(reading):
            self._attempt(self._read, batch, self._step_length(len(reading)))
        writing = [sequence for sequence in self._running if not (sequence.is_finished or sequence.prompt.unread)]
        writing.sort(key=lambda sequence: sequence.is_started)  # new sequences share a batch with short steps
        for batch in _split_batches(writing):
            self._attempt(self._generate, batch, self._step_length(len(writing)))
        self._free_slots()

    def _attempt(self, step: Callable[[list[Sequence], int], None], batch: list[Sequence], n: int) -> None:
        """Do a step of a batch. A step that raises has changed no sequence, and is repeated for each sequence alone."""
        try:
            step(batch, n)
        except Exception:
            if len(batch) == 1:
                with failing_alone(batch[0].job):
                    raise
            else:
                for sequence in batch:
                    self._attempt(step, [sequence], n)

    def _free_slots(self) -> None:
        """Remove sequences that have ended, with their counts, and sequences whose client does not read."""
        slow, resumed = _split_paused(self._paused)
        stalled, self._running = _split_paused(self._running)
        unread, waiting = _split_paused(self._waiting)
        self._paused, self._waiting = [*slow, *stalled, *unread], deque([*waiting, *resumed])
        for prompt in [each for each in self._counted if each.has_ended]:
            prompt.release_counts()
            self._counted.remove(prompt)

    def _fill_slots(self) -> None:
        """Let sequences join in the order in which they began to wait."""
        while len(self._running) < self.max_batch_size and (sequence := self._next_waiting()):
            self._waiting.remove(sequence)
            prompt = sequence.prompt
            with failing_alone(sequence.job):
                if prompt.is_counted and prompt not in self._counted:
                    sequence.state = sequence.state.count(self.model.parameters.ngrams)
                    self._counted.append(prompt)
                self._running.append(sequence)

    def _step_length(self, count: int) -> int:
        """Return the number of characters by which `count` sequences advance within the time budget of a step."""
        return max(1, min(MAX_STEP, int(STEP_SECONDS / (self._seconds_per_char * count))))

    def _read(self, sequences: list[Sequence], T: int) -> None:
        size = _padded_size(len(sequences))
        T = min(T, sequences[0].prompt.unread, self._max_length(size))
        x = np.zeros((T, size), self.model.alphabet.dtype)
        chunks = [sequence.prompt.next_chunk(T) for sequence in sequences]
        for b, chunk in enumerate(chunks):
            x[: len(chunk), b] = chunk
        o, states = self._prompt_session.logits(_stack_states(sequences, size), x)
        ends = [np.s_[: len(chunk), b] for b, chunk in enumerate(chunks)]
        _advance(sequences, lambda b, each: each.prompt.advance(o[ends[b]], states.select(ends[b])))
        for sequence in sequences:
            if not sequence.prompt.unread:
                self._waiting.extendleft(reversed(sequence.prompt.sequences[1:]))

    def _generate(self, sequences: list[Sequence], n: int) -> None:
        size = _padded_size(len(sequences))
        n = n if sequences[0].is_started else min(n, FIRST_STEP)
        n = min(n, max(sequence.remaining for sequence in sequences), self._max_length(size))
        uniforms, x, states = np.zeros((n, size)), np.zeros(size, np.intp), _stack_states(sequences, size)
        for b, sequence in enumerate(sequences):
            uniforms[:, b], x[b] = sequence.generator.random(n), sequence.x
        sampling = [sequence.sampling for sequence in sequences] + [SamplingParams()] * (size - len(sequences))
        started = time.perf_counter()
        try:
            characters, after = self._session.generate(states, x, uniforms, sampling)
            seconds = (time.perf_counter() - started) / (n * size)
            logits = self._read_again(sequences, states, np.concatenate([x[None], characters[:-1]]))
        except Exception:
            for sequence in sequences:  # the same numbers are drawn again
                sequence.generator.bit_generator.advance(-n)  # type: ignore[attr-defined]  # of PCG64
            raise
        self._seconds_per_char += (seconds - self._seconds_per_char) / 8
        _advance(sequences, lambda b, each: each.append(characters[:, b], after.select(b), logits.get(b)))

    def _read_again(self, sequences: list[Sequence], states: State, x: NDArray[np.intp]) -> dict[int, Array]:
        """Return the logits after each of x (n, B), by column, where log-probabilities are requested."""
        selected = [b for b, sequence in enumerate(sequences) if sequence.num_logprobs is not None]
        if not selected:
            return {}
        padded = selected + selected[:1] * (_padded_size(len(selected)) - len(selected))
        indices = x[:, padded].astype(self.model.alphabet.dtype)
        o, _ = self._prompt_session.logits(states.select(padded), indices)
        return {b: o[:, column] for column, b in enumerate(selected)}

    def _max_length(self, size: int) -> int:
        """Return the number of characters whose logits fit into memory for a batch of this size."""
        return max(1, MAX_LOGITS // (size * len(self.model.alphabet)))

    def _fail_all(self, error: APIError) -> None:
        """Fail all running and waiting jobs."""
        jobs = {sequence.job for sequence in (*self._running, *self._paused, *self._waiting)}
        for group in (self._waiting, self._running, self._paused, self._counted):
            group.clear()
        for job in jobs:
            call_in_loop(job.loop, partial(job.fail, error))


def _advance(sequences: list[Sequence], advance: Callable[[int, Sequence], list[SequenceDelta]]) -> None:
    """Advance each sequence of a batch, and deliver its deltas."""
    deltas = list[tuple[GenerationJob, list[SequenceDelta]]]()
    for b, sequence in enumerate(sequences):
        with failing_alone(sequence.job):
            deltas.append((sequence.job, advance(b, sequence)))
    dispatch(deltas)


def _is_paused(sequence: Sequence) -> bool:
    """Return whether a sequence waits for its client."""
    return sequence.emitted - sequence.sent >= MAX_UNSENT and not sequence.prompt.is_counted


def _split_paused(sequences: Iterable[Sequence]) -> tuple[list[Sequence], list[Sequence]]:
    """Return the paused sequences and the running ones, without the ended ones."""
    paused, others = list[Sequence](), list[Sequence]()
    for sequence in sequences:
        if not (sequence.is_finished or sequence.is_cancelled):
            (paused if _is_paused(sequence) else others).append(sequence)
    return paused, others


def _split_batches(sequences: list[Sequence]) -> Iterator[list[Sequence]]:
    """Yield the batches: sequences whose prompts have no counts of their own, or the sequences of one prompt."""
    groups = defaultdict[NgramModel | None, list[Sequence]](list)
    for sequence in sequences:
        groups[sequence.state.counts].append(sequence)
    for group in groups.values():
        yield from (group[first : first + BATCH_SIZES[-1]] for first in range(0, len(group), BATCH_SIZES[-1]))


def _stack_states(sequences: list[Sequence], size: int) -> State:
    """Return the states of sequences, padded with the state of the first."""
    padding = [sequences[0]] * (size - len(sequences))
    return stack_states([sequence.state for sequence in sequences + padding])


def _padded_size(count: int) -> int:
    """Return the smallest batch size that holds `count` sequences."""
    return next(size for size in BATCH_SIZES if size >= count)
