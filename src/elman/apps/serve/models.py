"""Served models, and the endpoints of models, of their tokenizers, and of the models' data in the page.

``/tokenizer_info``, ``/tokenize`` and ``/detokenize`` are endpoints of vLLM, which lm-eval requests. A token is a
character, and its number is the index of the character. If several models are served, the request names one.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from typing_extensions import TypedDict

from elman.apps.serve.batcher import ContinuousBatcher
from elman.apps.serve.metrics import Metrics
from elman.apps.serve.requests import DetokenizeRequest, Prompt, RequestTypes, TokenizeRequest, read_body
from elman.apps.serve.responses import CHUNK_BYTES, APIError, json_response
from elman.apps.serve.settings import Settings
from elman.engine import Indices
from elman.errors import ElmanError, format_count, quote, shorten
from elman.formats import ModelInfo
from elman.formats.page import pack_model
from elman.model import BUILTIN, Model, load, load_builtin, name_model

BINARY = "application/octet-stream"


class ModelCard(TypedDict):
    """The response of ``GET /v1/models/{name}``."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(TypedDict):
    """The response of ``GET /v1/models``."""

    object: Literal["list"]
    data: list[ModelCard]


class TokenizerInfo(TypedDict):
    """The response of ``GET /tokenizer_info``."""

    tokenizer_class: str
    vocab_size: int
    bos_token: str
    eos_token: None
    pad_token: None


class TokenizeResponse(TypedDict):
    """The response of ``POST /tokenize``."""

    tokens: list[int]
    count: int
    max_model_len: int


class DetokenizeResponse(TypedDict):
    """The response of ``POST /detokenize``."""

    prompt: str


@dataclass(eq=False)
class ServedModel:
    """A model under its name in requests, with its batcher and its admission limit."""

    name: str
    model: Model
    settings: Settings
    batcher: ContinuousBatcher = field(init=False)
    in_flight: int = 0  # requests that are being processed or wait

    def __post_init__(self) -> None:
        self.batcher = ContinuousBatcher(self.model, self.settings.max_batch_size)

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Count a request as in flight for the duration of the block; an `APIError`, 429, if the queue is full."""
        limit = self.settings.max_batch_size + self.settings.max_queued_requests
        if self.in_flight >= limit:
            message = f"the queue is full ({format_count(limit, 'request')} running or waiting); retry later"
            raise APIError(429, message, "queue_full", headers={"retry-after": "1"})
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1

    @cached_property
    def packed(self) -> bytes:
        """The model's data in the page; raises `ElmanError` if a page cannot contain it."""
        # In float32, so that the page generates the texts of the API.
        return pack_model(self.model, ModelInfo(self.name, self.model.snapshot()), weights="float32")

    def encode(self, prompt: Prompt, param: str = "prompt") -> Indices:
        """Return a text, or a list of indices, as an array of indices.

        An unknown character, or an index out of range, raises an `APIError`, 400, that names the argument `param`.
        """
        alphabet = self.model.alphabet
        if isinstance(prompt, str):
            try:
                return alphabet.encode(prompt)
            except ElmanError as error:
                raise APIError(400, str(error), "unknown_character", param) from None
        if invalid := [index for index in prompt if index >= len(alphabet)]:
            message = f"{shorten(invalid[0])} is not the index of a character; the model has {len(alphabet)}"
            raise APIError(400, message, "unknown_character", param)
        return np.array(prompt, alphabet.dtype)


@dataclass(frozen=True, eq=False)
class Server:
    """The state that the endpoints share, as ``app.state.server``."""

    models: dict[str, ServedModel]
    types: RequestTypes
    settings: Settings
    metrics: Metrics
    document: dict[str, Any]  # the OpenAPI document
    created: int = field(default_factory=lambda: int(time.time()))

    def get_model(self, name: str | None) -> ServedModel:
        """Return the model of a name, or the only model without a name; otherwise raise `APIError`, 404 or 400."""
        available = f"(available: {', '.join(self.models)})"
        if name is None and len(self.models) == 1:
            return next(iter(self.models.values()))
        if name is None:
            raise APIError(400, f"missing required argument model {available}", "invalid_value", "model")
        if name not in self.models:
            raise APIError(404, f"model {quote(name)} not found {available}", "model_not_found", "model")
        return self.models[name]

    def describe(self, name: str) -> ModelCard:
        """Return the card of a model."""
        return {"id": name, "object": "model", "created": self.created, "owned_by": "elman"}


def get_server(request: Request) -> Server:
    """Return the state that the endpoints share."""
    server: Server = request.app.state.server
    return server


async def list_models(request: Request) -> Response:
    """List the models."""
    server = get_server(request)
    return json_response(ModelList(object="list", data=[*map(server.describe, server.models)]))


async def get_model_card(request: Request) -> Response:
    """Describe a model."""
    server = get_server(request)
    return json_response(server.describe(server.get_model(request.path_params["name"]).name))


async def send_packed_model(request: Request) -> Response:
    """Return a model for the page: a line of JSON that describes it, and its arrays."""
    server = get_server(request)
    served = server.get_model(request.path_params["name"])
    headers = {"etag": f'"{server.created}"'}  # models do not change while the server runs
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    try:
        data = await run_in_threadpool(lambda: served.packed)
    except ElmanError as error:
        message = f"only the API has {served.name}, because elman export cannot write its page: {error}"
        raise APIError(404, message, "not_on_page") from None

    async def chunks() -> AsyncIterator[bytes]:  # the system holds one chunk for a client that reads slowly
        for start in range(0, len(data), CHUNK_BYTES):
            yield data[start : start + CHUNK_BYTES]

    return StreamingResponse(chunks(), headers=headers, media_type=BINARY)


async def describe_tokenizer(request: Request) -> Response:
    """Describe the tokenizer of a model."""
    alphabet = get_server(request).get_model(request.query_params.get("model")).model.alphabet
    described = {"tokenizer_class": "characters", "vocab_size": len(alphabet), "bos_token": alphabet.start_char}
    return json_response(described | {"eos_token": None, "pad_token": None})


async def tokenize(request: Request) -> Response:
    """Convert text to character indices."""
    server = get_server(request)
    body = await read_body(request, TokenizeRequest)
    tokens = server.get_model(body.model).encode(body.prompt).tolist()
    limit = server.settings.max_characters
    return json_response(TokenizeResponse(tokens=tokens, count=len(tokens), max_model_len=limit))


async def detokenize(request: Request) -> Response:
    """Convert character indices to text."""
    body = await read_body(request, DetokenizeRequest)
    served = get_server(request).get_model(body.model)
    text = served.model.alphabet.decode(served.encode(body.tokens, "tokens"))
    return json_response(DetokenizeResponse(prompt=text))


def load_models(runs: Sequence[Path]) -> dict[str, Model]:
    """Load the models of run directories under their names, made unique; without a run, the built-in model."""
    if not runs:
        return {BUILTIN: load_builtin()}
    return dict(zip(make_unique(map(name_model, runs)), map(load, runs), strict=True))


def make_unique(names: Iterable[str]) -> list[str]:
    """Number repeated names: the second ``novel`` becomes ``novel-2``."""
    unique: list[str] = []
    for name in names:
        candidates = (name if n == 1 else f"{name}-{n}" for n in range(1, len(unique) + 2))
        unique.append(next(candidate for candidate in candidates if candidate not in unique))
    return unique
