"""Streamed responses to clients that may disconnect or stop reading."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from functools import partial
from time import perf_counter

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from elman.apps.serve.models import ServedModel, Server
from elman.apps.serve.responses import APIError, shutdown_error
from elman.apps.serve.sequence import GenerationJob
from elman.apps.serve.settings import ABORT


@dataclass(frozen=True, eq=False)
class StreamedResponse:
    """An ASGI application that answers one request to a model, chunk by chunk, if the queue has room for it."""

    # The response starts with the first chunk, so that an error before it gets an HTTP status. The path of the request
    # has no parameters.

    server: Server
    served: ServedModel
    job: GenerationJob
    """Submitted once the request is admitted; fails with `ClientDisconnect` if the client disconnects."""
    chunks: AsyncGenerator[bytes]  # the response, from the deltas of the job
    media_type: str
    encode_error: Callable[[APIError], bytes] | None
    """Encodes an error that occurs after the first chunk; the result is sent as the last one. Without it, the
    connection is closed."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response, and measure it."""
        metrics, labels, started_at = self.server.metrics, (self.served.name, scope["path"]), perf_counter()

        def observe_first() -> None:
            metrics.first_seconds.labels(*labels).observe(perf_counter() - started_at)

        cancel = partial(self.job.fail, ClientDisconnect())
        in_progress = metrics.in_progress.labels(*labels).track_inprogress()
        with self.served.admit(), in_progress, _on_disconnect(receive, cancel):
            self.served.batcher.submit(self.job)
            try:
                async with aclosing(self.chunks):
                    await self._send_all(_with_timeout(send, self.server.settings.send_timeout), observe_first)
            except ClientDisconnect:
                metrics.disconnects.labels(*labels).inc()
                if abort := scope.get("extensions", {}).get(ABORT):
                    abort()
            finally:
                cancel()
                metrics.read.labels(*labels).inc(self.job.read)
                metrics.generated.labels(*labels).inc(self.job.generated)
                metrics.total_seconds.labels(*labels).observe(perf_counter() - started_at)

    async def _send_all(self, send: Send, on_first: Callable[[], None]) -> None:
        started, last = False, b""
        try:
            async for chunk in self.chunks:
                if not started:
                    on_first()
                    headers = [(b"content-type", self.media_type.encode("ascii")), (b"cache-control", b"no-store")]
                    await send({"type": "http.response.start", "status": 200, "headers": headers})
                    started = True
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except (APIError, asyncio.CancelledError) as raised:
            # Uvicorn cancels the requests that are still running at the end of its graceful shutdown.
            error = raised if isinstance(raised, APIError) else shutdown_error()
            if not started:
                raise error from None
            if self.encode_error is None:
                raise
            last = self.encode_error(error)
        await send({"type": "http.response.body", "body": last, "more_body": False})


def _with_timeout(send: Send, seconds: float) -> Send:
    """Wrap an ASGI send so that it raises `ClientDisconnect` if a client has stopped reading for the given time."""

    async def send_in_time(message: Message) -> None:
        try:
            async with asyncio.timeout(seconds):
                await send(message)
        except TimeoutError:  # such a client would occupy its slot in the queue for ever
            raise ClientDisconnect from None

    return send_in_time


@contextmanager
def _on_disconnect(receive: Receive, callback: Callable[[], None]) -> Iterator[None]:
    """Call back if the client disconnects during the block."""

    async def wait() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        callback()

    waiting = asyncio.create_task(wait())
    try:
        yield
    finally:
        waiting.cancel()
