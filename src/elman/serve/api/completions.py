"""``POST /v1/completions``: a request comes in, its texts go out, whole or as they are written."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from elman.serve.api.completion_request import asked
from elman.serve.api.completion_response import Answer
from elman.serve.api.metrics import Metrics
from elman.serve.generation.sequence import Piece
from elman.serve.generation.served_model import Served, find
from elman.serve.http.errors import JSON, Left, Refusal, dumped
from elman.serve.http.request_body import read_json
from elman.serve.http.streaming import stream, when_left, while_taken
from elman.serve.settings import Settings

EVENTS = "text/event-stream"
DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, eq=False)
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
        with served.place(), self.metrics.watch(served.name, scope, answer) as watch:
            job = served.job(wanted, prompts)
            served.sampler.submit(job)
            try:
                with when_left(receive, lambda: job.fail(Left())):
                    async with aclosing(watch.seen(job.pieces())) as pieces:
                        if wanted.stream:
                            sending = while_taken(send, self.settings.stall_seconds)
                            events = _events(pieces, answer, wanted.include_usage)
                            await stream(events, f"{EVENTS}; charset=utf-8", sending, _event_of)
                        else:
                            await Response(await _whole(pieces, answer), media_type=JSON)(scope, receive, send)
            except Left:
                watch.left()
            finally:
                job.fail(Left())


async def _whole(batches: AsyncGenerator[list[Piece]], answer: Answer) -> bytes:
    pieces = [piece async for batch in batches for piece in batch]
    if any(piece.rows for piece in pieces):  # a long list, during which others' texts are to go out
        return await run_in_threadpool(lambda: dumped(answer.whole(pieces)))
    return dumped(answer.whole(pieces))


async def _events(batches: AsyncGenerator[list[Piece]], answer: Answer, include_usage: bool) -> AsyncGenerator[bytes]:
    """Yield server-sent events."""
    silent: dict[str, Any] = {"usage": None} if include_usage else {}
    async for pieces in batches:
        yield b"".join(_event(part | silent) for part in answer.part(pieces))
    yield (_event(answer.end()) if include_usage else b"") + DONE


def _event_of(refusal: Refusal) -> bytes:
    return _event(refusal.body())


def _event(content: dict[str, Any]) -> bytes:
    return b"data: " + dumped(content) + b"\n\n"
