"""The playground's endpoints: an API that reports more about every character than completions do.

Responses are streamed as lines of JSON, each with a chunk of the text; `docs/reference/http_api.md` describes them.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, Iterator

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp

from elman.errors import ElmanError, shorten
from elman.interpret import list_units
from elman.network import architecture
from elman.network.sampling import SamplingOption, list_sampling_options
from elman.serve.completions import create_generator
from elman.serve.inspection import InspectedChunk, InspectedSequence, inspect_generation, inspect_text
from elman.serve.models import ServedModel, Server, get_server
from elman.serve.requests import MAX_UNITS, read_body
from elman.serve.responses import (
    APIError,
    Character,
    PlayModel,
    PlayModels,
    SamplingField,
    UnitGroup,
    dump_json,
    json_response,
)
from elman.serve.streaming import StreamedResponse, Usage

LINES = "application/x-ndjson"
MAX_NUMBER = 100_000
"""Maximum in the form of a sampling option that has no maximum."""


async def describe_playground(request: Request) -> Response:
    """Describe the models of the playground, the limits of requests and the sampling options."""
    server = get_server(request)
    settings = server.settings
    described: PlayModels = {
        "models": [_describe(served) for served in server.models.values()],
        "limits": {
            "length": settings.max_tokens,
            "read": settings.max_tokens,
            "request": settings.max_characters,
            "units": MAX_UNITS,
        },
        "sampling": [_describe_option(option) for option in list_sampling_options()],
    }
    return json_response(described)


async def play(request: Request) -> ASGIApp:
    """Generate text and inspect every character."""
    server = get_server(request)
    body = await read_body(request, server.types.play, server.settings)
    characters = len(body.prompt) + len(body.generated) + body.max_tokens
    if characters > (limit := server.settings.max_characters):
        message = f"the text would have {characters} characters (limit: {limit})"
        raise APIError(400, message, "request_too_large", "max_tokens")
    served = server.get_model(body.model)
    sequence, generator = _create_sequence(served, body.units), create_generator(body.seed)
    prompt, generated = served.encode(body.prompt), served.encode(body.generated, "generated")
    usage = Usage(len(prompt) + len(generated))

    def lines() -> Iterator[bytes]:
        start = prompt if len(prompt) else served.start_indices()
        skipped = 0 if len(prompt) or len(generated) else 1  # what is read in place of an empty prompt
        chunks = inspect_generation(sequence, start, generated, body.max_tokens, body.sampling, generator)
        for number, chunk in enumerate(chunks):
            if chunk is not None and chunk.sampling_probs is not None:  # it was generated
                usage.generated += len(chunk.characters)
            yield b"" if chunk is None or number < skipped else _chunk_line(chunk, served)
        yield _line({"end": {"generated": body.max_tokens}})

    return _stream(server, served, lines(), usage)


async def read(request: Request) -> ASGIApp:
    """Read a text and inspect every character."""
    server = get_server(request)
    body = await read_body(request, server.types.read, server.settings)
    served = server.get_model(body.model)
    sequence, characters = _create_sequence(served, body.units), served.encode(body.text, "text")

    def lines() -> Iterator[bytes]:
        nats = 0.0
        for chunk in inspect_text(sequence, characters):
            nats -= float(np.nansum(chunk.logprobs.logprobs))
            yield _chunk_line(chunk, served)
        predicted = len(characters) - 1
        bits = nats / predicted / np.log(2) if predicted else None
        yield _line({"end": {"read": len(characters), "bits_per_char": bits}})

    return _stream(server, served, lines(), Usage(len(characters)))


def _create_sequence(served: ServedModel, units: list[int]) -> InspectedSequence:
    """Return a sequence that reports units, all of which the model must have."""
    D = architecture(served.model.parameters).recurrent_size
    if invalid := [unit for unit in units if unit >= D]:
        message = f"units must be less than {D} for {served.name} (got {shorten(invalid[0])})"
        raise APIError(400, message, "invalid_value", "units")
    return InspectedSequence(served.sessions, units)


def _stream(server: Server, served: ServedModel, lines: Iterator[bytes], usage: Usage) -> ASGIApp:
    """Return a response of lines that are computed in threads, as they are sent."""
    cancelled = asyncio.Event()

    async def compute() -> AsyncGenerator[bytes]:
        line: bytes | None = b""
        while line is not None:
            if line:
                yield line
            async with served.sessions.slots:
                line = await run_in_threadpool(_next, lines)
            if cancelled.is_set():
                raise ClientDisconnect

    return StreamedResponse(server, served, usage, compute(), LINES, lambda error: _line(error.body()), cancelled.set)


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


def _describe_character(chunk: InspectedChunk, i: int, alphabet: str) -> Character:
    known, character = chunk.logprobs, alphabet[int(chunk.characters[i])]
    log_p, indices, values = known.logprobs[i], known.top[i].tolist(), known.top_logprobs[i]
    if np.isnan(log_p):  # the first of a text
        return {
            "character": character,
            "probability": None,
            "bits": None,
            "sampling_probability": None,
            "alternatives": [],
        }
    sampling: list[float | None] = [None] * (1 + len(indices))
    if chunk.sampling_probs is not None:
        sampling = [_round(p) for p in chunk.sampling_probs[i].tolist()]
    return {
        "character": character,
        "probability": _round(np.exp(log_p)),
        "bits": round(-float(log_p) / np.log(2), 3),
        "sampling_probability": sampling[0],
        "alternatives": [
            (alphabet[k], _round(p), p_sampled)
            for k, p, p_sampled in zip(indices, np.exp(values).tolist(), sampling[1:], strict=True)
        ],
    }


def _round(probability: float) -> float:
    """Round to four significant digits, more than the page shows."""
    return float(f"{probability:.4g}")


def _line(content: object) -> bytes:
    return dump_json(content) + b"\n"


def _describe(served: ServedModel) -> PlayModel:
    network = architecture(served.model.parameters)
    groups: list[UnitGroup] = []
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
        "has_unknown": served.model.alphabet.has_unknown,
        "first": served.model.alphabet.decode(served.start_indices()),
        "units": groups,
    }


def _describe_option(option: SamplingOption) -> SamplingField:
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
