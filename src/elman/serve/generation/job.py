"""A generation job: the sequences of one request, as the event loop sees them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import suppress
from functools import partial

from elman.serve.generation.sequence import Sequence, SequenceDelta


class GenerationJob:
    """The sequences of one request. All but `sequences` and `loop` belongs to the event loop that created the job.

    Parameters
    ----------
    sequences : list of Sequence
    wake : callable
        Tells the batcher that there may be work: text was sent, or the client has disconnected.
    """

    def __init__(self, sequences: list[Sequence], wake: Callable[[], None]) -> None:
        self.sequences, self._wake = sequences, wake
        self.loop = asyncio.get_running_loop()
        self._changed, self._arrived = asyncio.Event(), list[SequenceDelta]()
        self._error: Exception | None = None

    def deliver(self, delta: SequenceDelta) -> None:
        """Accept a delta from the batcher."""
        self._arrived.append(delta)
        self._changed.set()

    def fail(self, error: Exception) -> None:
        """Cancel all sequences; `deltas` raises the error instead of yielding more."""
        self._error = self._error or error
        for sequence in self.sequences:
            sequence.is_cancelled = True
        self._wake()
        self._changed.set()

    async def deltas(self) -> AsyncGenerator[list[SequenceDelta]]:
        """Yield what has arrived since the last time, until every sequence has finished.

        Deltas count as sent when the next ones are requested. A client that stops reading thus pauses its own sequences
        and no others.

        Raises
        ------
        Exception
            The error passed to `fail`.
        """
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


def dispatch(deltas: Iterable[tuple[GenerationJob, SequenceDelta | None]]) -> None:
    """Deliver deltas to their jobs from another thread, with one call into each event loop."""
    by_loop = defaultdict[asyncio.AbstractEventLoop, list[tuple[GenerationJob, SequenceDelta]]](list)
    for job, delta in deltas:
        if delta:
            by_loop[job.loop].append((job, delta))
    for loop, group in by_loop.items():
        call_in_loop(loop, partial(_deliver_all, group))


def _deliver_all(deltas: list[tuple[GenerationJob, SequenceDelta]]) -> None:
    for job, delta in deltas:
        job.deliver(delta)


def call_in_loop(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    """Schedule a call in an event loop; do nothing if the loop is closed, as nobody can be waiting then."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(callback)
