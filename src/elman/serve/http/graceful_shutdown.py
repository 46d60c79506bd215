"""Graceful shutdown: reject new requests, wait for those in flight, then stop the server."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

from starlette.types import ASGIApp, Receive, Scope, Send

from elman.serve.http.errors import APIError

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class GracefulShutdownMiddleware:
    """ASGI middleware that shuts the server down on a signal; a second signal does not wait.

    Parameters
    ----------
    app : ASGI application
    timeout : float
        Seconds that requests in flight get to finish.
    stop : callable
        Called to stop the server.
    on_shutdown : callable
        Called with the number of requests in flight when the shutdown begins.
    """

    def __init__(
        self, app: ASGIApp, timeout: float, stop: Callable[[], None], on_shutdown: Callable[[int], None]
    ) -> None:
        self.app, self.timeout, self.stop, self.on_shutdown = app, timeout, stop, on_shutdown
        self.in_flight = 0
        self.signal: int | None = None
        """The signal that started the shutdown."""
        self._idle = asyncio.Event()
        self._shutdown: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request unless the server is shutting down."""
        if scope["type"] == "lifespan":
            self._install_signal_handlers()
            await self.app(scope, receive, send)
            return
        if self.signal is not None:
            headers = {"connection": "close", "retry-after": "5"}
            error = APIError(503, "the server is shutting down; retry later", "shutting_down", headers=headers)
            await error.response()(scope, receive, send)
            return
        self.in_flight += 1
        try:
            await self.app(scope, receive, send)
        except asyncio.CancelledError:
            if self.signal is None:
                raise
            # A request that exceeds the timeout is cancelled. That is no error, whose traceback would be logged.
        finally:
            self.in_flight -= 1
            if not self.in_flight:
                self._idle.set()

    def shut_down(self, number: int) -> None:
        """Begin the shutdown, from the event loop; on a second call, stop at once."""
        if self.signal is not None:
            self.stop()
        else:
            self.signal = number
            self.on_shutdown(self.in_flight)
            self._shutdown = asyncio.get_running_loop().create_task(self._stop_when_idle())

    async def _stop_when_idle(self) -> None:
        if self.in_flight:
            self._idle.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), self.timeout)
        self.stop()

    def _install_signal_handlers(self) -> None:
        """Replace Uvicorn's handlers, which would end the process with the exit code of the signal."""
        if threading.current_thread() is not threading.main_thread():
            return
        loop = asyncio.get_running_loop()

        def handle(number: int, _: FrameType | None) -> None:
            loop.call_soon_threadsafe(self.shut_down, number)

        for number in SIGNALS:
            signal.signal(number, handle)
