"""The playground: its page, and the interface of its own that tells of every character what a completion does not.

What goes on is streamed as lines of JSON, a part of the text in each; `docs/play.md` says what they hold.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from elman.errors import ElmanError
from elman.interpret.activations import list_units
from elman.network import architecture
from elman.serve.api.completion_request import derive_seed
from elman.serve.api.metrics import Metrics, Tally
from elman.serve.generation.served_model import Served, find
from elman.serve.http.assets import page_routes
from elman.serve.http.errors import Left, Refusal, as_json, dumped
from elman.serve.http.request_body import read_json
from elman.serve.http.streaming import stream, when_left, while_taken
from elman.serve.playground.inspection import Readers, Seen, Watched, reading, writing
from elman.serve.playground.requests import MAX_UNITS, check_units, to_read, wanted
from elman.serve.settings import Settings

LINES = "application/x-ndjson"
THREADS = 2
"""Parts of texts that are read or written at a time; the texts of other requests take turns."""

_PAGE = page_routes("elman.serve.playground")
PLAY_PATHS = frozenset(route.path for route in _PAGE)
"""Shown without a key: the page, which asks for it."""


def play_routes(served: dict[str, Served], settings: Settings, metrics: Metrics) -> list[Route]:
    """Return the routes of the playground: its page at ``/``, and ``/api``."""
    play = Play(served, {name: Readers(one.model) for name, one in served.items()}, settings, metrics)
    return [
        *_PAGE,
        Route("/api/models", play.models),
        Route("/api/play", Writing(play), methods=["POST"]),
        Route("/api/read", Reading(play), methods=["POST"]),
    ]


@dataclass(frozen=True, eq=False)
class Play:
    """What the endpoints share."""

    served: dict[str, Served]
    readers: dict[str, Readers]
    settings: Settings
    metrics: Metrics
    limiter: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(THREADS))

    async def models(self, _: Request) -> Response:
        """``GET /api/models``: what is served, and the limits of what may be asked for."""
        limits = {
            "length": self.settings.max_tokens,
            "read": self.settings.max_tokens,
            "request": self.settings.max_characters,
            "units": MAX_UNITS,
        }
        return as_json({"models": [_about(served) for served in self.served.values()], "limits": limits})

    async def respond(
        self, served: Served, lines: Iterator[bytes], tally: Tally, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Send lines as they are made, off the event loop, while holding a place in the queue."""
        gone = asyncio.Event()
        with served.place(), self.metrics.watch(served.name, scope, tally) as watch, when_left(receive, gone.set):
            try:
                async with aclosing(watch.seen(self._in_turn(lines, gone))) as parts:
                    await stream(parts, LINES, while_taken(send, self.settings.stall_seconds), _line_of)
            except Left:
                watch.left()

    async def _in_turn(self, lines: Iterator[bytes], gone: asyncio.Event) -> AsyncGenerator[bytes]:
        while (line := await run_sync(_next, lines, limiter=self.limiter)) is not None:
            if gone.is_set():
                raise Left
            if line:
                yield line


@dataclass(frozen=True, eq=False)
class Writing:
    """``POST /api/play``, an ASGI application: text is written, and every character told of."""

    play: Play

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        asks = wanted(await read_json(Request(scope, receive), self.play.settings), self.play.settings)
        served = find(self.play.served, asks.asked.model)
        check_units(asks.units, served)
        (prompt,), before = served.prompts(asks.asked), served.encoded(asks.written, "written")
        tally, generator = Tally(len(prompt) + len(before)), np.random.default_rng(derive_seed(asks.asked.seed))

        def lines() -> Iterator[bytes]:
            watched = Watched(self.play.readers[served.name], asks.units)
            start = prompt if len(prompt) else served.first()
            seen = writing(watched, start, before, asks.asked.max_tokens, asks.asked.sampling, generator)
            hidden = 0 if len(prompt) or len(before) else 1  # the character that is read in the place of a prompt
            for number, part in enumerate(seen):
                if part is not None and part.chances is not None:  # it was drawn
                    tally.written += len(part.characters)
                yield b"" if part is None or number < hidden else _told(part, served)
            yield _line({"end": {"written": asks.asked.max_tokens}})

        await self.play.respond(served, lines(), tally, scope, receive, send)


@dataclass(frozen=True, eq=False)
class Reading:
    """``POST /api/read``, an ASGI application: a text is read, and every character told of."""

    play: Play

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        model, text, watch = to_read(await read_json(Request(scope, receive), self.play.settings), self.play.settings)
        served = find(self.play.served, model)
        check_units(watch, served)
        characters = served.encoded(text, "text")

        def lines() -> Iterator[bytes]:
            nats = 0.0
            for part in reading(Watched(self.play.readers[model], watch), characters):
                nats -= float(np.nansum(part.known.logprobs))
                yield _told(part, served)
            predicted = len(characters) - 1
            bits = nats / predicted / np.log(2) if predicted else None
            yield _line({"end": {"read": len(characters), "bits_per_char": bits}})

        await self.play.respond(served, lines(), Tally(len(characters)), scope, receive, send)


def _next(lines: Iterator[bytes]) -> bytes | None:
    """Return the next line, or None behind the last.

    Raises
    ------
    Refusal
        500 if the network's numbers fail.
    """
    try:
        return next(lines, None)
    except ElmanError as error:
        raise Refusal(500, str(error), "not_finite") from None


def _told(seen: Seen, served: Served) -> bytes:
    """Return what is told of a part of a text."""
    characters = served.model.alphabet.characters
    places = [_place(seen, i, characters) for i in range(len(seen.characters))]
    return _line({"characters": places, "units": base64.b64encode(seen.codes.tobytes()).decode("ascii")})


def _place(seen: Seen, i: int, characters: str) -> dict[str, Any]:
    logprobs, top, values = seen.known.logprobs[i], seen.known.top[i].tolist(), seen.known.top_logprobs[i]
    drawn = None if seen.chances is None else seen.chances[i].tolist()
    place: dict[str, Any] = {"character": characters[int(seen.characters[i])]}
    if np.isnan(logprobs):
        return place | {"probability": None, "bits": None, "chance": None, "likeliest": []}
    chances: Iterable[float | None] = [None] * len(top) if drawn is None else map(_short, drawn[1:])
    return place | {
        "probability": _short(np.exp(logprobs)),
        "bits": round(-float(logprobs) / np.log(2), 3),
        "chance": None if drawn is None else _short(drawn[0]),
        "likeliest": [
            [characters[k], _short(p), chance]
            for k, p, chance in zip(top, np.exp(values).tolist(), chances, strict=True)
        ],
    }


def _short(probability: float) -> float:
    """Four digits, which is more than is shown."""
    return float(f"{probability:.4g}")


def _line_of(refusal: Refusal) -> bytes:
    return _line(refusal.body())


def _line(content: dict[str, Any]) -> bytes:
    return dumped(content) + b"\n"


def _about(served: Served) -> dict[str, Any]:
    network = architecture(served.model.parameters)
    groups: list[dict[str, Any]] = []
    for unit in list_units(network):
        if not groups or (groups[-1]["layer"], groups[-1]["part"]) != (unit.layer, unit.part):
            groups.append({"layer": unit.layer, "part": unit.part, "count": 0})
        groups[-1]["count"] += 1
    return {
        "id": served.name,
        "cell": network.cell,
        "layers": network.layers,
        "hidden_size": network.m,
        "characters": list(served.model.alphabet.characters),
        "folds": served.model.alphabet.has_unknown,
        "first": served.model.alphabet.decode(served.first()),
        "units": groups,
    }
