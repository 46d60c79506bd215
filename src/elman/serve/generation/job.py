"""A request in the making, as the event loop sees it: it waits for the pieces of its texts."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from functools import partial

from elman.serve.generation.sequence import Piece, Text


class Job:
    """The texts of one request. All but `texts` and `loop` is the event loop's that it was made in.

    Parameters
    ----------
    texts : sequence of Text
    wake : callable
        Tells the sampler that there may be something to do: pieces were taken, or the client has left.
    """

    def __init__(self, texts: Sequence[Text], wake: Callable[[], None]) -> None:
        self.texts, self._wake = texts, wake
        self.loop = asyncio.get_running_loop()
        self._news, self._arrived = asyncio.Event(), list[Piece]()
        self._failure: Exception | None = None

    def deliver(self, piece: Piece) -> None:
        """Take a piece from the sampler."""
        self._arrived.append(piece)
        self._news.set()

    def fail(self, failure: Exception) -> None:
        """End all its texts; whoever waits for pieces gets the failure instead."""
        self._failure = self._failure or failure
        for text in self.texts:
            text.given_up = True
        self._wake()
        self._news.set()

    async def pieces(self) -> AsyncGenerator[list[Piece]]:
        """Yield what has come since the last time, until every text has ended.

        Pieces count as taken when the next are asked for. A client that takes none stops its texts, not the others'.

        Raises
        ------
        Exception
            What it failed with.
        """
        open_texts = len(self.texts)
        while open_texts:
            await self._news.wait()
            self._news.clear()
            if self._failure:
                raise self._failure
            pieces, self._arrived = self._arrived, []
            open_texts -= sum(piece.finish is not None for piece in pieces)
            yield pieces
            for piece in pieces:
                self.texts[piece.index].taken += len(piece.text)
            self._wake()


def hand_over(grown: Sequence[tuple[Job, Piece | None]]) -> None:
    """Give pieces to the event loops of their jobs, from another thread, in one hop to each."""
    loops = defaultdict[asyncio.AbstractEventLoop, list[tuple[Job, Piece]]](list)
    for job, piece in grown:
        if piece:
            loops[job.loop].append((job, piece))
    for loop, pieces in loops.items():
        call(loop, partial(_deliver, pieces))


def _deliver(pieces: list[tuple[Job, Piece]]) -> None:
    for job, piece in pieces:
        job.deliver(piece)


def call(loop: asyncio.AbstractEventLoop, what: Callable[[], None]) -> None:
    """Have a loop do something, unless it was closed and with it all who could wait."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(what)
