"""Responses: JSON, errors in the format of the OpenAI API, and the types of the bodies.

The OpenAPI document is generated from the types; their names are those of OpenAI and vLLM.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field, Json
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from typing_extensions import TypedDict  # Pydantic does not accept that of the standard library before Python 3.12

from elman.errors import shorten

JSON = "application/json"


class ErrorInfo(TypedDict):
    """What is wrong with a request."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorResponse(TypedDict):
    """The body of an error, and the last line or event of a stream that fails."""

    error: ErrorInfo


class APIError(Exception):
    """An error response.

    Parameters
    ----------
    status : int
        HTTP status code.
    message : str
        One line: what is wrong, and what to do where that is not obvious.
    code : str
        Machine-readable identifier of the error.
    param : str, optional
        Name of the invalid argument.
    headers : mapping, optional
        Additional response headers.
    """

    def __init__(
        self,
        status: int,
        message: str,
        code: str,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param, self.headers = status, message, code, param, headers

    def body(self) -> ErrorResponse:
        """Return the response body."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        kind = "rate_limit_error" if self.status == 429 else kind
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> Response:
        """Return the error as a response."""
        return json_response(self.body(), self.status, self.headers)


def json_response(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON response, encoded by `dump_json`."""
    return Response(dump_json(content), status, headers, JSON)


def dump_json(content: Any) -> bytes:
    """Serialize content as JSON in ASCII, since text may contain lone surrogates, which UTF-8 cannot encode."""
    return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


def _handle_api_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, APIError)
    return error.response()


def _handle_http_exception(request: Request, error: Exception) -> Response:
    """Convert Starlette's own errors, such as 404 and 405, to the format of the API."""
    assert isinstance(error, HTTPException)
    message = f"{request.method} {shorten(request.url.path)}: {error.detail}"
    code = error.detail.lower().replace(" ", "_")
    return APIError(error.status_code, message, code, headers=error.headers).response()


def _handle_disconnect(_: Request, __: Exception) -> Response:
    """Answer a client that disconnected while sending its body; nobody reads the response."""
    return APIError(400, "the request body is incomplete: the client disconnected", "client_disconnected").response()


def _handle_exception(_: Request, __: Exception) -> Response:
    """Answer after an unexpected exception, which is in the server's log.

    Uvicorn closes the connection afterwards, which the response must announce.
    """
    headers = {"connection": "close"}
    return APIError(500, "internal server error; see the server's log", "internal_error", headers=headers).response()


EXCEPTION_HANDLERS: dict[Any, Callable[[Request, Exception], Response]] = {
    APIError: _handle_api_error,
    HTTPException: _handle_http_exception,
    ClientDisconnect: _handle_disconnect,
    Exception: _handle_exception,
}
"""Exception handlers of the applications, by exception type."""


class Health(TypedDict):
    """The response of ``GET /health``."""

    status: Literal["ok"]


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


class Logprobs(TypedDict):
    """Log-probabilities of the characters of a text."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class Choice(TypedDict):
    """A sequence, or the part of it that a chunk of a stream has."""

    index: int
    text: str
    logprobs: Logprobs | None
    finish_reason: Annotated[
        Literal["stop", "length"] | None, Field(description="Null until the last chunk of a stream.")
    ]


class Usage(TypedDict):
    """Characters of prompts and generated text."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Completion(TypedDict):
    """The response of ``POST /v1/completions``, or a chunk of its stream."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: NotRequired[Usage | None]


class CompletionEvent(TypedDict):
    """A server-sent event of a stream; the last one is not JSON."""

    data: Json[Completion | ErrorResponse] | Literal["[DONE]"]


class UnitGroup(TypedDict):
    """Consecutive units of the state: a state vector of a layer."""

    layer: int
    part: str
    name: str
    count: int


class PlayModel(TypedDict):
    """A model of the playground."""

    id: str
    cell: str
    cell_title: str
    layers: int
    hidden_size: int
    characters: list[str]
    has_unknown: Annotated[bool, Field(description="Whether unknown characters are read as the last character.")]
    first: Annotated[str, Field(description="The character that is read in place of an empty prompt.")]
    units: list[UnitGroup]


class Limits(TypedDict):
    """Limits of the playground's requests: the most characters to generate, to read, and in total; the most units."""

    length: int
    read: int
    request: int
    units: int


class SamplingField(TypedDict):
    """A sampling option, as an input of a form."""

    name: str
    label: str
    help: str
    default: float
    minimum: float
    maximum: float
    step: float


class PlayModels(TypedDict):
    """The response of ``GET /api/models``."""

    models: list[PlayModel]
    limits: Limits
    sampling: list[SamplingField]


Probability = Annotated[float, Field(ge=0, le=1)]


class Character(TypedDict):
    """What the network computed at a character."""

    character: str
    probability: Annotated[
        Probability | None, Field(description="The model's probability; null for the first character of a text.")
    ]
    bits: Annotated[float | None, Field(description="Surprisal in bits.")]
    sampling_probability: Annotated[Probability | None, Field(description="Null if the character was not sampled.")]
    alternatives: Annotated[
        list[tuple[str, Probability, Probability | None]],
        Field(description="The most likely characters: character, probability, sampling probability."),
    ]


class InspectedText(TypedDict):
    """A line of a stream: a chunk of the text."""

    characters: list[Character]
    units: Annotated[
        str,
        Field(
            description="One byte per character and unit, in base64: a byte c is the activation d·|d| with"
            " d = (c − 127)/127."
        ),
    ]


class End(TypedDict):
    """What a stream has generated, or what it has read and its mean surprisal: null for a single character."""

    generated: NotRequired[int]
    read: NotRequired[int]
    bits_per_char: NotRequired[float | None]


class StreamEnd(TypedDict):
    """The last line of a stream."""

    end: End


Line = InspectedText | StreamEnd | ErrorResponse
"""A line of the playground's streams."""
