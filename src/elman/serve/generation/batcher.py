"""Many texts written at a time: one thread for each model, which reads and draws for all of them together.

A text is a stream of its own, and what it becomes does not depend on those beside it. Between two steps texts join
and leave, so that nobody waits for another's end while there is room.

B  texts of a batch    T  characters read, n  characters drawn in one step    D  numbers in the state of a stream
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from enum import Enum
from functools import partial
from queue import Empty, SimpleQueue
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.inference import Model
from elman.network import SamplingParams
from elman.network.parameters import Array
from elman.serve.generation.job import Job, call, hand_over
from elman.serve.generation.sequence import Text
from elman.serve.http.errors import Refusal

SIZES = (1, 4, 16)
"""Batches are filled up to one of these, as a reader lays a network out anew for every other number of streams."""
FIRST = 8
"""Characters of a text's first step, so that it is soon seen to begin."""
MOST = 256
"""Characters of a later step at most: each costs a hop to the event loop and an event on the wire."""
STEP_SECONDS = 0.02
"""How long the steps of all batches may take together, before the next text may join."""
AHEAD = 1024
"""Characters that a client may leave untaken before its text waits for it."""
NUMBERS = 1 << 21
"""Logits that may be held at a time."""

log = logging.getLogger(__name__)


class Seat(NamedTuple):
    """A text and whose it is."""

    job: Job
    text: Text


class _Word(Enum):
    WAKE = 0
    CLOSE = 1


class Sampler:
    """Writes the texts of one model in a thread of its own. Kernels let go of the interpreter's lock.

    Parameters
    ----------
    model : Model
    streams : int
        Texts that are written at a time; others wait in the order in which they came.
    """

    def __init__(self, model: Model, streams: int) -> None:
        self.model, self.streams = model, streams
        # One reader for each kind of step, as it keeps few layouts.
        self._prompts, self._texts = (model.engine.session(model.parameters) for _ in range(2))
        self._seats, self._waiting = list[Seat](), deque[Seat]()
        self._mail: SimpleQueue[Job | _Word] = SimpleQueue()
        self._pace = 1e-5
        self._warm_up()
        self._thread = threading.Thread(target=self._run, name="elman-sampler", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Write the texts of a job, when there is room."""
        self._mail.put(job)

    def wake(self) -> None:
        """Look again whether there is something to do."""
        self._mail.put(_Word.WAKE)

    def close(self) -> None:
        """End the thread; what is still being written fails."""
        self._mail.put(_Word.CLOSE)
        self._thread.join()

    def running_count(self) -> int:
        """Return how many texts are being written."""
        return len(self._seats)

    def waiting_count(self) -> int:
        """Return how many texts wait for their turn."""
        return len(self._waiting)

    def _warm_up(self) -> None:
        """Have every kernel compiled and every layout made before somebody waits for it."""
        for size in SIZES:
            h, x = np.tile(self.model.h, (size, 1)), np.zeros((1, size), np.intp)
            self._prompts.logits(h, x.astype(self.model.alphabet.dtype))
            self._texts.generate(h, x[0], np.zeros((1, size)), [SamplingParams()] * size)

    def _run(self) -> None:
        while self._gather():
            try:
                self._step()
            except Exception:
                log.exception("writing has failed")
                self._fail(Refusal(500, "writing has failed: see the server's log", "internal_error"))
        while not self._mail.empty():
            self._enter(self._mail.get())
        self._fail(Refusal(503, "the server is ending: ask again later", "shutting_down"))

    def _gather(self) -> bool:
        """Take what has come, and wait where there is nothing to do. Return whether to go on."""
        wait = not self._busy()
        while True:
            try:
                mail = self._mail.get(wait)
            except Empty:
                return True
            wait = False
            if mail is _Word.CLOSE:
                return False
            self._enter(mail)

    def _enter(self, mail: Job | _Word) -> None:
        if isinstance(mail, Job):
            self._waiting.extend(Seat(mail, text) for text in mail.texts)

    def _busy(self) -> bool:
        free = len(self._seats) < self.streams
        return bool(self._waiting and free) or any(_can_go_on(seat.text) or seat.text.given_up for seat in self._seats)

    def _step(self) -> None:
        """Let texts leave and join; read a part of every prompt; write a part of every text."""
        self._seats = [seat for seat in self._seats if not seat.text.given_up]
        self._waiting = deque(seat for seat in self._waiting if not seat.text.given_up)
        while self._waiting and len(self._seats) < self.streams:
            seat = self._waiting.popleft()
            self._seats.append(seat)
            hand_over([(seat.job, seat.text.begin())])
        reading = sorted((seat for seat in self._seats if seat.text.to_read), key=lambda seat: -seat.text.to_read)
        for batch in _batches(reading):
            self._read(batch, self._steps(len(reading)))
        writing = [seat for seat in self._seats if _can_go_on(seat.text) and not seat.text.to_read]
        writing.sort(key=lambda seat: seat.text.begun)  # those that begin together, in short steps
        for batch in _batches(writing):
            self._write(batch, self._steps(len(writing)))
        self._seats = [seat for seat in self._seats if not seat.text.ended]

    def _steps(self, count: int) -> int:
        """How many characters `count` texts may go on by."""
        return max(1, min(MOST, int(STEP_SECONDS / (self._pace * count))))

    def _read(self, batch: Sequence[Seat], T: int) -> None:
        size, texts = _size(len(batch)), [seat.text for seat in batch]
        T = min(T, texts[0].to_read, self._holds(size))
        x = np.zeros((T, size), self.model.alphabet.dtype)
        counts = []
        for b, text in enumerate(texts):
            part = text.next_read(T)
            x[: len(part), b] = part
            counts.append(len(part))
        o, states = self._prompts.logits(self._states(texts, size), x)
        ends = [(text, b, n) for b, (text, n) in enumerate(zip(texts, counts, strict=True))]
        pieces = [text.has_read(o[:n, b], states[n - 1, b].copy()) for text, b, n in ends]
        hand_over([(seat.job, piece) for seat, piece in zip(batch, pieces, strict=True)])

    def _write(self, batch: Sequence[Seat], n: int) -> None:
        size, texts = _size(len(batch)), [seat.text for seat in batch]
        n = n if texts[0].begun else min(n, FIRST)
        n = min(n, max(text.to_write for text in texts), self._holds(size))
        uniforms, x, h = np.zeros((n, size)), np.zeros(size, np.intp), self._states(texts, size)
        for b, text in enumerate(texts):
            uniforms[:, b], x[b] = text.generator.random(n), text.x
        sampling = [text.sampling for text in texts]
        began = time.perf_counter()
        characters, after = self._texts.generate(h, x, uniforms, sampling + [SamplingParams()] * (size - len(texts)))
        self._pace += ((time.perf_counter() - began) / (n * size) - self._pace) / 8
        logits = self._logits(texts, h, np.concatenate([x[None], characters[:-1]]))
        grown = enumerate(zip(texts, logits, strict=True))
        pieces = [text.has_written(characters[:, b], after[b].copy(), o) for b, (text, o) in grown]
        hand_over([(seat.job, piece) for seat, piece in zip(batch, pieces, strict=True)])

    def _logits(self, texts: list[Text], h: Array, x: NDArray[np.intp]) -> list[Array | None]:
        """Return, of those texts that ask for log-probabilities, what their characters were drawn from."""
        told = [b for b, text in enumerate(texts) if text.listed is not None]
        found: list[Array | None] = [None] * len(texts)
        if told:
            rows = told + told[:1] * (_size(len(told)) - len(told))
            o, _ = self._prompts.logits(h[rows], x[:, rows].astype(self.model.alphabet.dtype))
            for column, b in enumerate(told):
                found[b] = o[:, column]
        return found

    def _states(self, texts: list[Text], size: int) -> Array:
        """Return the states (size, D) of texts; rows beyond them hold zeros."""
        h = np.zeros((size, len(self.model.h)), self.model.h.dtype)
        h[: len(texts)] = [text.h for text in texts]
        return h

    def _holds(self, size: int) -> int:
        """How many characters of `size` texts may be read at a time."""
        return max(1, NUMBERS // (size * len(self.model.alphabet)))

    def _fail(self, failure: Refusal) -> None:
        """End everything that is being written, and everything that waits."""
        jobs = {seat.job for seat in (*self._seats, *self._waiting)}
        self._seats, self._waiting = [], deque()
        for job in jobs:
            call(job.loop, partial(job.fail, failure))


def _can_go_on(text: Text) -> bool:
    return not text.ended and (text.to_read > 0 or text.ahead < AHEAD)


def _batches(seats: Sequence[Seat]) -> Iterator[Sequence[Seat]]:
    return (seats[first : first + SIZES[-1]] for first in range(0, len(seats), SIZES[-1]))


def _size(count: int) -> int:
    """The size of a batch that holds so many texts."""
    return next(size for size in SIZES if size >= count)
