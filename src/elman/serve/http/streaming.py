"""An answer that goes out in parts as they are made, to a client that may leave, or take nothing any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager

from starlette.types import Message, Receive, Send

from elman.serve.http.errors import Left, Refusal


async def stream(parts: AsyncGenerator[bytes], kind: str, send: Send, told: Callable[[Refusal], bytes]) -> None:
    """Send parts as they come. The head waits for the first of them, so that what fails before has a status.

    Parameters
    ----------
    parts : async generator of bytes
    kind : str
        The media type.
    send : callable
        Of ASGI.
    told : callable
        Returns the part that tells a refusal, where one comes behind others; it is the last.
    """
    begun = False
    try:
        async for part in parts:
            if not begun:
                headers = [(b"content-type", kind.encode("ascii")), (b"cache-control", b"no-store")]
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                begun = True
            await send({"type": "http.response.body", "body": part, "more_body": True})
    except Refusal as refusal:
        if not begun:
            raise
        last = told(refusal)
    else:
        last = b""
    await send({"type": "http.response.body", "body": last, "more_body": False})


def while_taken(send: Send, seconds: float) -> Send:
    """Return what sends to a client until it has taken nothing for so long; it would hold a place for ever."""

    async def sending(message: Message) -> None:
        try:
            async with asyncio.timeout(seconds):
                await send(message)
        except TimeoutError:
            raise Left from None

    return sending


@contextmanager
def when_left(receive: Receive, do: Callable[[], None]) -> Iterator[None]:
    """Do something when the client leaves while the block lasts."""

    async def wait() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        do()

    waiting = asyncio.create_task(wait())
    try:
        yield
    finally:
        waiting.cancel()
