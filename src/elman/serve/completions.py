"""``POST /v1/completions``: a request comes in, its texts go out, whole or as they are written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from elman.serve.answering import Answer
from elman.serve.asking import asked
from elman.serve.body import read_json
from elman.serve.job import Job, Left
from elman.serve.metrics import Metrics
from elman.serve.refusal import JSON, Refusal, dumped
from elman.serve.served import Served, find
from elman.serve.settings import Settings
from elman.serve.texts import Piece

DONE = b"data: [DONE]\n\n"
_STREAM = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]


@dataclass(frozen=True)
class Completions:
    """The endpoint, an ASGI application."""

    served: dict[str, Served]
    settings: Settings
    metrics: Metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; a client that leaves gives up its texts."""
        wanted = asked(await read_json(Request(scope, receive), self.settings), self.settings)
        served = find(self.served, wanted.model)
        prompts = served.prompts(wanted)
        characters = served.model.alphabet.characters
        answer = Answer(wanted.model, characters, [len(prompt) for prompt in prompts], wanted.n, wanted.echo)
        with served.place(), self.metrics.watch(served.name, answer) as watch:
            job = served.job(wanted, prompts)
            served.sampler.submit(job)
            leaving = asyncio.create_task(_leaves(receive, job))
            try:
                async with aclosing(watch.seen(job.pieces())) as pieces:
                    if wanted.stream:
                        taking = _while_taken(send, self.settings.stall_seconds)
                        await _stream(pieces, answer, wanted.include_usage, taking)
                    else:
                        await Response(await _whole(pieces, answer), media_type=JSON)(scope, receive, send)
            except Left:
                watch.left()
            finally:
                leaving.cancel()
                job.fail(Left())


async def _leaves(receive: Receive, job: Job) -> None:
    """Wait until the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    job.fail(Left())


def _while_taken(send: Send, seconds: float) -> Send:
    """Return what sends to a client until it has taken nothing for so long; it would hold a place for ever."""

    async def sending(message: Message) -> None:
        try:
            async with asyncio.timeout(seconds):
                await send(message)
        except TimeoutError:
            raise Left from None

    return sending


async def _whole(batches: AsyncGenerator[list[Piece]], answer: Answer) -> bytes:
    pieces = [piece async for batch in batches for piece in batch]
    if any(piece.rows for piece in pieces):  # a long list, during which others' texts are to go out
        return await run_in_threadpool(lambda: dumped(answer.whole(pieces)))
    return dumped(answer.whole(pieces))


async def _stream(batches: AsyncGenerator[list[Piece]], answer: Answer, include_usage: bool, send: Send) -> None:
    """Send server-sent events. The head waits for the first of them, so that what fails before has a status."""
    silent: dict[str, Any] = {"usage": None} if include_usage else {}
    begun = False
    try:
        async for pieces in batches:
            if not begun:
                await send({"type": "http.response.start", "status": 200, "headers": _STREAM})
                begun = True
            await _send(send, [event(part | silent) for part in answer.part(pieces)])
    except Refusal as refusal:
        if not begun:
            raise
        await _send(send, [event(refusal.body())], more=False)
    else:
        last = [event(answer.end())] if include_usage else []
        await _send(send, [*last, DONE], more=False)


async def _send(send: Send, events: list[bytes], more: bool = True) -> None:
    await send({"type": "http.response.body", "body": b"".join(events), "more_body": more})


def event(content: dict[str, Any]) -> bytes:
    """Return a server-sent event."""
    return b"data: " + dumped(content) + b"\n\n"
