"""How a server ends: it lets nobody in any more, waits for those inside, and goes."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

from starlette.types import ASGIApp, Receive, Scope, Send

from elman.serve.http.errors import Refusal

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Doors:
    """ASGI middleware around an application that signals end. The first one closes the doors, a second ends at once.

    Parameters
    ----------
    app : ASGI application
    seconds : float
        How long those inside are waited for.
    end : callable
        Ends the server.
    closing : callable
        Told how many are inside when the doors close.
    """

    def __init__(self, app: ASGIApp, seconds: float, end: Callable[[], None], closing: Callable[[int], None]) -> None:
        self.app, self.seconds, self.end, self.closing = app, seconds, end, closing
        self.inside = 0
        self.closed_by: int | None = None
        self._empty = asyncio.Event()
        self._leaving: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in while the doors are open."""
        if scope["type"] == "lifespan":
            self._mind_signals()
            await self.app(scope, receive, send)
            return
        if self.closed_by is not None:
            headers = {"connection": "close", "retry-after": "5"}
            refusal = Refusal(503, "the server is ending: ask again later", "shutting_down", headers=headers)
            await refusal.response()(scope, receive, send)
            return
        self.inside += 1
        try:
            await self.app(scope, receive, send)
        except asyncio.CancelledError:
            if self.closed_by is None:
                raise
            # Time is up for whoever is still inside: that is no fault, of which the server would log the traceback.
        finally:
            self.inside -= 1
            if not self.inside:
                self._empty.set()

    def close(self, by: int) -> None:
        """Close the doors, in the event loop; where they are closed already, end."""
        if self.closed_by is not None:
            self.end()
        else:
            self.closed_by = by
            self.closing(self.inside)
            self._leaving = asyncio.get_running_loop().create_task(self._leave())

    async def _leave(self) -> None:
        if self.inside:
            self._empty.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), self.seconds)
        self.end()

    def _mind_signals(self) -> None:
        """Take the place of the server's own handlers, which would end the process with a signal's exit code."""
        if threading.current_thread() is not threading.main_thread():
            return
        loop = asyncio.get_running_loop()

        def handle(number: int, _: FrameType | None) -> None:
            loop.call_soon_threadsafe(self.close, number)

        for number in SIGNALS:
            signal.signal(number, handle)
