"""Streaming responses to clients that may disconnect or stop reading."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager

from starlette.types import Message, Receive, Send

from elman.serve.http.errors import APIError, ClientDisconnected


async def stream(
    chunks: AsyncGenerator[bytes], media_type: str, send: Send, encode_error: Callable[[APIError], bytes]
) -> None:
    """Send chunks as they are produced.

    The response starts with the first chunk, so that an error before it gets an HTTP status.

    Parameters
    ----------
    chunks : async generator of bytes
    media_type : str
    send : callable
        ASGI send.
    encode_error : callable
        Encodes an error that occurs after the first chunk; the result is sent as the last one.
    """
    started = False
    try:
        async for chunk in chunks:
            if not started:
                headers = [(b"content-type", media_type.encode("ascii")), (b"cache-control", b"no-store")]
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                started = True
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    except APIError as error:
        if not started:
            raise
        last = encode_error(error)
    else:
        last = b""
    await send({"type": "http.response.body", "body": last, "more_body": False})


def with_send_timeout(send: Send, seconds: float) -> Send:
    """Wrap an ASGI send, so that it raises `ClientDisconnected` once a client has stopped reading for so long.

    Such a client would occupy its slot in the queue for ever.
    """

    async def send_in_time(message: Message) -> None:
        try:
            async with asyncio.timeout(seconds):
                await send(message)
        except TimeoutError:
            raise ClientDisconnected from None

    return send_in_time


@contextmanager
def on_disconnect(receive: Receive, callback: Callable[[], None]) -> Iterator[None]:
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
