"""The end of a training, told to every page that is open, also to one that is hidden and so asks for nothing.

A page holds a request that is answered at the end: browsers slow the clock of a hidden page down, but not its
connections. It gives the request up once it has fetched the rest, and so the server knows when it may go.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator

TICK = 0.5
"""Seconds between two looks at whether there is something to tell, or somebody left; each wakes the training up."""
MOST = 4
"""Requests that are held at once. A browser makes six connections to a server, for all its pages together."""


class Farewell:
    """The requests that pages hold. Only the server's thread changes which; another tells the end."""

    def __init__(self) -> None:
        self._held: list[int] = []  # by their numbers, the latest last
        self._number = 0
        self._over = self._closed = False

    @property
    def is_awaited(self) -> bool:
        """Whether a page holds a request."""
        return bool(self._held)

    async def hold(self) -> AsyncGenerator[bytes]:
        """Hold a request: gives an event at the end, and then nothing until the page leaves or is left.

        A request is let go before the end where `MOST` later ones are held.
        """
        self._number += 1
        number = self._number
        self._held.append(number)
        try:
            yield b":\n\n"  # a remark, which says that the request is held
            while not self._over:
                if number not in self._held[-MOST:]:
                    return
                await asyncio.sleep(TICK)
            yield b"data: over\n\n"
            while not self._closed:
                await asyncio.sleep(TICK)
        finally:
            self._held.remove(number)

    def say(self, seconds: float) -> None:
        """Tell the end, wait at most so long until nobody holds a request any more, and let go of who still does."""
        self._over, last = True, time.monotonic() + seconds
        try:
            while self.is_awaited and time.monotonic() < last:
                time.sleep(TICK)
        finally:
            self._closed = True
