"""The playground's endpoints: its page, and an API that reports more about every character than completions do.

Responses are streamed as lines of JSON, each with a chunk of the text; `docs/reference/http_api.md` describes them.
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
from elman.interpret.explanation import list_units
from elman.network import architecture
from elman.network.sampling import SamplingOption, list_sampling_options
from elman.serve.api.completions import create_generator, encode, encode_prompts
from elman.serve.api.metrics import Metrics, Usage
from elman.serve.generation.served_model import ServedModel, get_model
from elman.serve.http.errors import APIError, ClientDisconnected
from elman.serve.http.request_body import read_json
from elman.serve.http.responses import dump_json, json_response, page_routes
from elman.serve.http.streaming import on_disconnect, stream, with_send_timeout
from elman.serve.playground.inspection import (
    InspectedChunk,
    InspectedSequence,
    SessionPool,
    inspect_generation,
    inspect_text,
)
from elman.serve.playground.requests import MAX_UNITS, check_units, parse_read_request, parse_write_request
from elman.serve.settings import Settings

LINES = "application/x-ndjson"
MAX_THREADS = 2
"""Chunks that are computed concurrently; requests take turns."""

MAX_NUMBER = 100_000
"""Maximum in the form of a sampling option that has no maximum."""

_PAGE = page_routes("elman.serve.playground")
PLAYGROUND_PATHS = frozenset(route.path for route in _PAGE)
"""Paths served without an API key: the page, which asks for it."""


def playground_routes(models: dict[str, ServedModel], settings: Settings, metrics: Metrics) -> list[Route]:
    """Return the routes of the playground: its page at ``/``, and ``/api``."""
    sessions = {name: SessionPool(served.model) for name, served in models.items()}
    playground = Playground(models, sessions, settings, metrics)
    return [
        *_PAGE,
        Route("/api/models", playground.list_models),
        Route("/api/play", WriteEndpoint(playground), methods=["POST"]),
        Route("/api/read", ReadEndpoint(playground), methods=["POST"]),
    ]


@dataclass(frozen=True, eq=False)
class Playground:
    """What the endpoints share."""

    models: dict[str, ServedModel]
    sessions: dict[str, SessionPool]
    settings: Settings
    metrics: Metrics
    limiter: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(MAX_THREADS))

    async def list_models(self, _: Request) -> Response:
        """``GET /api/models``: the models, the limits of requests and the sampling options."""
        limits = {
            "length": self.settings.max_tokens,
            "read": self.settings.max_tokens,
            "request": self.settings.max_characters,
            "units": MAX_UNITS,
        }
        models = [_describe(served) for served in self.models.values()]
        sampling = [_describe_option(option) for option in list_sampling_options()]
        return json_response({"models": models, "limits": limits, "sampling": sampling})

    async def respond(
        self, served: ServedModel, lines: Iterator[bytes], usage: Usage, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Admit a request, and send lines as they are computed, in threads."""
        gone = asyncio.Event()
        with (
            served.admit(),
            self.metrics.track_request(served.name, scope, usage) as timer,
            on_disconnect(receive, gone.set),
        ):
            try:
                async with aclosing(timer.observe_first(self._compute(lines, gone))) as chunks:
                    await stream(chunks, LINES, with_send_timeout(send, self.settings.send_timeout), _error_line)
            except ClientDisconnected:
                timer.count_disconnect()

    async def _compute(self, lines: Iterator[bytes], gone: asyncio.Event) -> AsyncGenerator[bytes]:
        while (line := await run_sync(_next, lines, limiter=self.limiter)) is not None:
            if gone.is_set():
                raise ClientDisconnected
            if line:
                yield line


@dataclass(frozen=True, eq=False)
class WriteEndpoint:
    """``POST /api/play``, an ASGI application: generates text and reports on every character."""

    playground: Playground

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        settings = self.playground.settings
        request = parse_write_request(await read_json(Request(scope, receive), settings), settings)
        completion = request.completion
        served = get_model(self.playground.models, completion.model)
        check_units(request.units, served)
        (prompt,), written = encode_prompts(served, completion), encode(served, request.written, "written")
        usage, generator = Usage(len(prompt) + len(written)), create_generator(completion.seed)

        def lines() -> Iterator[bytes]:
            sequence = InspectedSequence(self.playground.sessions[served.name], request.units)
            start = prompt if len(prompt) else served.start_indices()
            skipped = 0 if len(prompt) or len(written) else 1  # what is read in place of an empty prompt
            chunks = inspect_generation(sequence, start, written, completion.max_tokens, completion.sampling, generator)
            for number, chunk in enumerate(chunks):
                if chunk is not None and chunk.sampling_probs is not None:  # it was generated
                    usage.written += len(chunk.characters)
                yield b"" if chunk is None or number < skipped else _chunk_line(chunk, served)
            yield _line({"end": {"written": completion.max_tokens}})

        await self.playground.respond(served, lines(), usage, scope, receive, send)


@dataclass(frozen=True, eq=False)
class ReadEndpoint:
    """``POST /api/read``, an ASGI application: reads a text and reports on every character."""

    playground: Playground

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        settings = self.playground.settings
        request = parse_read_request(await read_json(Request(scope, receive), settings), settings)
        served = get_model(self.playground.models, request.model)
        check_units(request.units, served)
        characters = encode(served, request.text, "text")

        def lines() -> Iterator[bytes]:
            nats = 0.0
            for chunk in inspect_text(
                InspectedSequence(self.playground.sessions[served.name], request.units), characters
            ):
                nats -= float(np.nansum(chunk.logprobs.logprobs))
                yield _chunk_line(chunk, served)
            predicted = len(characters) - 1
            bits = nats / predicted / np.log(2) if predicted else None
            yield _line({"end": {"read": len(characters), "bits_per_char": bits}})

        await self.playground.respond(served, lines(), Usage(len(characters)), scope, receive, send)


def _next(lines: Iterator[bytes]) -> bytes | None:
    """Return the next line, or None after the last.

    Raises
    ------
    APIError
        500 if the network computes numbers that are not finite.
    """
    try:
        return next(lines, None)
    except ElmanError as error:
        raise APIError(500, str(error), "not_finite") from None


def _chunk_line(chunk: InspectedChunk, served: ServedModel) -> bytes:
    """Return the line that reports a chunk."""
    alphabet = served.model.alphabet.characters
    characters = [_describe_character(chunk, i, alphabet) for i in range(len(chunk.characters))]
    activations = base64.b64encode(chunk.activations.tobytes()).decode("ascii")
    return _line({"characters": characters, "units": activations})


def _describe_character(chunk: InspectedChunk, i: int, alphabet: str) -> dict[str, Any]:
    known = chunk.logprobs
    log_p, indices, values = known.logprobs[i], known.top[i].tolist(), known.top_logprobs[i]
    sampled = None if chunk.sampling_probs is None else chunk.sampling_probs[i].tolist()
    character: dict[str, Any] = {"character": alphabet[int(chunk.characters[i])]}
    if np.isnan(log_p):  # the first of a text
        return character | {"probability": None, "bits": None, "chance": None, "likeliest": []}
    chances: Iterable[float | None] = [None] * len(indices) if sampled is None else map(_round, sampled[1:])
    return character | {
        "probability": _round(np.exp(log_p)),
        "bits": round(-float(log_p) / np.log(2), 3),
        "chance": None if sampled is None else _round(sampled[0]),
        "likeliest": [
            [alphabet[k], _round(p), chance]
            for k, p, chance in zip(indices, np.exp(values).tolist(), chances, strict=True)
        ],
    }


def _round(probability: float) -> float:
    """Round to four significant digits, more than the page shows."""
    return float(f"{probability:.4g}")


def _error_line(error: APIError) -> bytes:
    return _line(error.body())


def _line(content: dict[str, Any]) -> bytes:
    return dump_json(content) + b"\n"


def _describe(served: ServedModel) -> dict[str, Any]:
    network = architecture(served.model.parameters)
    groups: list[dict[str, Any]] = []
    for unit in list_units(network):
        if not groups or (groups[-1]["layer"], groups[-1]["part"]) != (unit.layer, unit.part):
            groups.append({"layer": unit.layer, "part": unit.part, "name": unit.vector.name, "count": 0})
        groups[-1]["count"] += 1
    return {
        "id": served.name,
        "cell": network.cell,
        "cell_title": network.spec.title,
        "layers": network.layers,
        "hidden_size": network.m,
        "characters": list(served.model.alphabet.characters),
        "folds": served.model.alphabet.has_unknown,
        "first": served.model.alphabet.decode(served.start_indices()),
        "units": groups,
    }


def _describe_option(option: SamplingOption) -> dict[str, Any]:
    maximum = option.request_maximum
    return {
        "name": option.name,
        "label": option.label,
        "help": option.help,
        "default": option.default,
        "minimum": option.minimum,
        "maximum": MAX_NUMBER if maximum is None else maximum,
        "step": option.step,
    }
