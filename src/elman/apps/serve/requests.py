"""Requests: reading a JSON body within limits of size and time, and the schemas that validate it.

The OpenAPI document is generated from the schemas. Their classes have the arguments that the code reads; limits,
indices and sampling options depend on the server and its models: `create_request_types` derives the types of a server.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import Annotated, Any, Literal, NoReturn, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    create_model,
    model_validator,
)
from starlette.requests import Request

from elman.apps.serve.responses import JSON, APIError, shutdown_error
from elman.apps.serve.settings import Settings
from elman.errors import MAX_INT, quote, shorten
from elman.model import LINE_OPTIONS, LineLimits, Model
from elman.network import SamplingOption, SamplingParams, list_sampling_options
from elman.storage import safe_message

_DISCARD_FACTOR = 16
"""A body that is too large is read and discarded up to this multiple of the size limit: a client does not see the error
if its connection is closed while it is still sending."""
Body = TypeVar("Body", bound=BaseModel)
DEFAULT_MAX_TOKENS = 16
SEED = 2**63
MAX_PROMPTS, MAX_N, MAX_LOGPROBS, MAX_STOPS, MAX_STOP = 128, 16, 5, 16, 200
OPENAI_OPTIONS = ("temperature", "top_p")  # the sampling options that OpenAI's API has
NOT_OPENAI = "Elman extension."

Prompt = str | list[int]
Integral = BeforeValidator(lambda value: int(value) if isinstance(value, float) and value.is_integer() else value)
"""Accepts 3.0 as an integer, as JSON does."""
Text = Annotated[str, AfterValidator(str)]
"""Text whose length is checked in Python: Pydantic's own check rejects lone surrogates, which alphabets may contain."""
Stop = Annotated[Text, Field(min_length=1, max_length=MAX_STOP)]
Zero = Annotated[float, Field(ge=0, le=0)]
Counted = Literal["counts"]
UNSUPPORTED = "Not supported with any other value."


async def read_body(request: Request, schema: type[Body]) -> Body:
    """Read the body of a request, and validate it by the type that the server has derived from a schema."""
    server = request.app.state.server
    kind: type[Body] = server.types[schema]
    return validate(await read_json(request, server.settings), kind)


async def read_json(request: Request, settings: Settings) -> dict[str, Any]:
    """Read the JSON object in the body of a request.

    A body whose declared type is not JSON is refused, which rejects HTML forms of other sites: browsers do not send
    JSON across sites without permission.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != JSON:
        message = f"Content-Type must be {JSON} (got {quote(kind) if kind else 'none'})"
        raise APIError(415, message, "unsupported_media_type")
    try:
        async with asyncio.timeout(settings.body_timeout):
            body = await _read(request, settings.max_body)
    except TimeoutError:
        message = f"the request body was not received within {settings.body_timeout:g} seconds"
        raise APIError(408, message, "request_timeout") from None
    except asyncio.CancelledError:
        raise shutdown_error() from None
    # Pydantic's own parser would reject lone surrogates, which an alphabet may contain.
    try:
        content = json.loads(body.decode("utf-8"), parse_constant=_reject_constant)
    except (ValueError, RecursionError) as error:
        raise APIError(400, f"the request body is not valid JSON ({safe_message(error)})", "invalid_json") from None
    if not isinstance(content, dict):
        message = f"the request body must be a JSON object (got {type(content).__name__})"
        raise APIError(400, message, "invalid_json")
    return content


async def _read(request: Request, limit: int) -> bytes:
    body, size = bytearray(), 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= limit:
            body += chunk
        elif size > _DISCARD_FACTOR * limit:
            break
    if size > limit:
        message = f"the request body is larger than {limit} bytes"
        raise APIError(413, message, "request_too_large", headers={"connection": "close"})
    return bytes(body)


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not valid JSON")


def validate(body: dict[str, Any], schema: type[Body]) -> Body:
    """Validate a request body; an `APIError`, 400, names the argument that is unknown, missing or invalid."""
    try:
        return schema.model_validate(body)
    except ValidationError as error:
        errors = error.errors(include_url=False)
    first, *_ = errors
    location = first["loc"] or [*(body.keys() - schema.model_fields.keys())]  # Pydantic does not locate lone surrogates
    param = str(location[0])
    if first["type"] == "extra_forbidden" or not first["loc"]:
        message = f"unknown argument {quote(location[-1])}"
        raise APIError(400, message, "unknown_parameter", shorten(param))
    if first["type"] == "missing":
        raise APIError(400, f"missing required argument {param}", "invalid_value", param)
    if schema.model_fields[param].description == UNSUPPORTED:
        raise APIError(400, f"{param} is not supported (got {quote(body[param])})", "invalid_value", param)
    alternatives = dict.fromkeys(_rephrase(each["msg"], each["input"]) for each in errors if each["loc"][0] == param)
    message = f"{param} must {' or '.join(alternatives)} (got {quote(body[param])})"
    raise APIError(400, message, "invalid_value", param)


def _rephrase(message: str, given: object) -> str:
    """Return the requirement on an argument from a message such as ``Input should be a valid string``."""
    message = re.sub(r"^\w+ should | after validation, not .*", "", message)
    return message.replace("item", "character") if isinstance(given, str) else message


def _allow_nulls(schema: dict[str, Any]) -> None:
    """Add null, which counts as left out, to the types of optional arguments in a JSON schema."""
    properties, null = schema["properties"], {"type": "null"}
    for name in properties.keys() - {*schema.get("required", ())}:
        described = properties[name]
        about = {key: described.pop(key) for key in ("title", "description", "default") if key in described}
        options = described.get("anyOf", [described])
        properties[name] = {"anyOf": options if null in options else [*options, null]} | about


class RequestBody(BaseModel):
    """The arguments of all request bodies. Null counts as left out."""

    model_config = ConfigDict(
        extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True, json_schema_extra=_allow_nulls
    )
    model: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, body: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in body.items() if value is not None}


class StreamOptions(BaseModel):
    """Options of a stream."""

    model_config = RequestBody.model_config
    include_usage: bool | None = None


class CompletionRequest(RequestBody):
    """The body of ``POST /v1/completions``; a server's type adds the sampling options."""

    max_tokens: int
    seed: Annotated[int, Field(ge=-SEED, le=SEED - 1), Integral] | None = None
    """Random seed, for reproducible output."""
    prompt: Prompt | list[Prompt]
    adapt: Counted | None
    n: Annotated[int, Field(ge=1, le=MAX_N), Integral] = 1
    """Sequences per prompt."""
    stream: bool = False
    """Send server-sent events."""
    stream_options: StreamOptions = StreamOptions()
    """`{"include_usage": true}` adds the usage at the end of a stream."""
    echo: bool = False
    """Return the prompt before the generated text."""
    logprobs: Annotated[int, Field(ge=0, le=MAX_LOGPROBS), Integral] | None = None
    """Number of most likely characters to report at every position."""
    stop: Stop | Annotated[list[Stop], Field(max_length=MAX_STOPS)] = []
    """Stop sequences of 1 to 200 characters; not returned. One with an unknown character has no effect."""
    user: str = ""
    """Ignored."""
    best_of: Annotated[int, Field(ge=1, le=1), Integral] = Field(1, description=UNSUPPORTED)
    presence_penalty: Zero = Field(0, description=UNSUPPORTED)
    frequency_penalty: Zero = Field(0, description=UNSUPPORTED)
    logit_bias: Annotated[dict[str, Any], Field(max_length=0)] = Field({}, description=UNSUPPORTED)
    suffix: Annotated[str, Field(max_length=0)] = Field("", description=UNSUPPORTED)

    @property
    def sampling(self) -> SamplingParams:
        """The sampling parameters."""
        return SamplingParams(**{option.name: getattr(self, option.name) for option in list_sampling_options()})

    @property
    def limits(self) -> LineLimits | None:
        """Which lines are kept, None if all are."""
        return LineLimits.take({each.name: getattr(self, each.name) for each in LINE_OPTIONS})

    @property
    def prompts(self) -> list[Prompt]:
        """The prompts."""
        is_one = isinstance(self.prompt, str) or isinstance(self.prompt[0], int)
        return [self.prompt] if is_one else self.prompt  # type: ignore[list-item, return-value]

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop sequences."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)


class TokenizeRequest(RequestBody):
    """The body of ``POST /tokenize``."""

    prompt: str
    add_special_tokens: bool = True
    """Ignored: there are no special tokens."""


class DetokenizeRequest(RequestBody):
    """The body of ``POST /detokenize``."""

    tokens: list[int]


RequestTypes = dict[type[RequestBody], type[Any]]
"""The types of the request bodies of a server by their schemas, which they extend."""


def create_request_types(models: dict[str, Model], settings: Settings) -> RequestTypes:
    """Return the types of the request bodies of a server of these models."""
    K = max(model.parameters.architecture.K for model in models.values())
    index = Annotated[int, Field(ge=0, lt=K), Integral]
    prompt: Any = str | _list_of(index, 1)
    together = f"at most {settings.max_characters:,} characters, including the ones to generate"
    several = f"Text, a list of character indices, or a list of these; {together}. With echo, a prompt counts n times."
    is_counted = any(model.parameters.ngrams for model in models.values())
    name = Annotated[str, Field(json_schema_extra={"enum": [*models]})]
    model = _field(name, ... if len(models) > 1 else None, "Optional if the server has one model.")
    length = Annotated[int, Field(ge=0, le=settings.max_tokens), Integral]
    default = min(DEFAULT_MAX_TOKENS, settings.max_tokens)
    generation = {option.name: _sampling_field(option) for option in list_sampling_options()}
    has_lines = any(model.is_of_lines for model in models.values())
    for each in LINE_OPTIONS:
        kind: Any = (
            bool if each.hint is bool else Annotated[int, Field(ge=int(each.default is None), le=MAX_INT), Integral]
        )
        no_effect = WithJsonSchema({"type": "null"} if each.default is None else {"const": each.default})
        kind = kind if has_lines else Annotated[kind, no_effect]
        generation[each.name] = _field(kind, each.default, f"{each.help} {NOT_OPENAI}")
    generation["max_tokens"] = _field(length, default, "Maximum number of characters to generate.")
    counted = Counted if is_counted else Annotated[Counted, WithJsonSchema({"type": "null"})]
    about = f"The n-gram prior, which the model must have, also counts the prompt. {NOT_OPENAI}"
    prompts = _field(prompt | _list_of(prompt, 1, MAX_PROMPTS), "", several)
    tokens = _field(_list_of(index), ..., "Indices of characters.")
    arguments: dict[type[RequestBody], dict[str, Any]] = {TokenizeRequest: {}, DetokenizeRequest: {"tokens": tokens}}
    arguments[CompletionRequest] = {"prompt": prompts, "adapt": _field(counted, None, about)} | generation
    options: dict[str, Any] = {"__cls_kwargs__": {"use_attribute_docstrings": False}, "model": model}  # with help
    return {base: create_model(base.__name__, __base__=base, **options, **own) for base, own in arguments.items()}


def _field(kind: Any, default: Any, description: str) -> Any:
    """Return the type and the default of an argument, for `create_model`."""
    return kind, Field(default, description=description)


def _list_of(item: Any, minimum: int = 0, maximum: int | None = None) -> Any:
    # Without `fail_fast`, a body of a megabyte may have an error, with its message, for each of its numbers.
    return Annotated[list[item], Field(min_length=minimum, max_length=maximum, fail_fast=True)]


def _sampling_field(option: SamplingOption) -> Any:
    about = option.help if option.name in OPENAI_OPTIONS else f"{option.help} {NOT_OPENAI}"
    limits = Field(ge=option.minimum, le=option.request_maximum)
    kind = Annotated[int, limits, Integral] if option.type is int else Annotated[float, limits]
    return _field(kind, option.default, about)
