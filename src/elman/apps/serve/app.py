"""The server's application: the OpenAI-compatible completions API, the page, and their OpenAPI document."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache, partial
from inspect import cleandoc
from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp
from typing_extensions import TypedDict  # Pydantic accepts the standard library's only from Python 3.12 on

from elman._version import __version__
from elman.apps.serve import completions, models, requests
from elman.apps.serve.metrics import Metrics, count_responses
from elman.apps.serve.middleware import restrict_access
from elman.apps.serve.models import ServedModel, Server, get_server
from elman.apps.serve.requests import RequestTypes, create_request_types
from elman.apps.serve.responses import EXCEPTION_HANDLERS, JSON, APIError, ErrorResponse, json_response
from elman.apps.serve.settings import Settings
from elman.formats.page import render_page
from elman.model import Model

ERRORS = {
    400: "The body is not JSON, an argument is unknown, missing or invalid, or a character is not in the alphabet.",
    401: "The API key is missing or invalid.",
    403: "The Host header is not allowed, or the request comes from a page of another site.",
    404: "There is no such model or endpoint.",
    405: "The endpoint does not support the method.",
    408: "The request body was not received in time.",
    413: "The request body is too large.",
    415: "The Content-Type of the request body is not JSON.",
    429: "The queue is full.",
    500: "Internal server error.",
    503: "The server is shutting down.",
}
PUBLIC_ERRORS = (403, 500, 503)  # error statuses of an endpoint that requires no key
ANY_ERRORS = (401, *PUBLIC_ERRORS)
BODY_ERRORS = (400, 404, 408, 413, 415, *ANY_ERRORS)
"""Error statuses of an endpoint with a request body that may name a model."""
QUEUE_ERRORS = (429, *BODY_ERRORS)  # error statuses of an endpoint that uses the queue as well


class Health(TypedDict):
    """The answer of ``/health``."""

    status: Literal["ok"]


Schema = dict[str, Any]


@dataclass(frozen=True)
class Operation:
    """An endpoint, and its description in the OpenAPI document."""

    methods: tuple[str, ...]
    path: str
    endpoint: Any  # its docstring is the summary
    responses: Mapping[str, Any]  # the type of the response by media type; empty if it always fails
    errors: tuple[int, ...] = ANY_ERRORS
    body: type[BaseModel] | None = None
    model_in: str | None = None  # where a parameter names a model: ``path`` or ``query``


def create_app(by_name: dict[str, Model], settings: Settings) -> ASGIApp:
    """Return the application that serves models under their names."""
    served = {name: ServedModel(name, model, settings) for name, model in by_name.items()}
    metrics = Metrics({name: each.batcher for name, each in served.items()})
    types = create_request_types(by_name, settings)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        for each in served.values():
            await run_in_threadpool(each.batcher.close)

    operations = list_operations(types)
    routes = [Route("/", send_page), *(Route(each.path, each.endpoint, methods=each.methods) for each in operations)]
    app = Starlette(routes=routes, exception_handlers=EXCEPTION_HANDLERS, lifespan=lifespan)
    app.router.redirect_slashes = False
    app.state.server = Server(served, types, settings, metrics, describe_app(by_name, settings))
    paths: dict[object, str] = {route.endpoint: route.path for route in routes}
    return count_responses(restrict_access(app, settings), metrics, paths)


async def send_page(_: Request) -> Response:
    """Return the page, which contains its content security policy, except for directives that only a header can set."""
    return HTMLResponse(await run_in_threadpool(_page), headers={"content-security-policy": "frame-ancestors 'none'"})


_page = cache(partial(render_page, "Playground"))


def list_operations(types: RequestTypes) -> list[Operation]:
    """Return the endpoints of a server."""
    no_model, get, post = (404, *ANY_ERRORS), partial(Operation, ("GET",)), partial(Operation, ("POST",))
    completion = {JSON: completions.Completion, completions.EVENTS: completions.CompletionEvent}
    tokenizer, tokens, text = models.TokenizerInfo, models.TokenizeResponse, models.DetokenizeResponse
    return [
        Operation(("GET", "POST"), "/v1/chat/completions", reject_chat, {}, no_model),
        post("/v1/completions", completions.complete, completion, QUEUE_ERRORS, types[requests.CompletionRequest]),
        get("/v1/models", models.list_models, {JSON: models.ModelList}),
        get("/v1/models/{name}", models.get_model_card, {JSON: models.ModelCard}, no_model, model_in="path"),
        get("/tokenizer_info", models.describe_tokenizer, {JSON: tokenizer}, (400, *no_model), model_in="query"),
        post("/tokenize", models.tokenize, {JSON: tokens}, BODY_ERRORS, types[requests.TokenizeRequest]),
        post("/detokenize", models.detokenize, {JSON: text}, BODY_ERRORS, types[requests.DetokenizeRequest]),
        get("/health", check_health, {JSON: Health}, PUBLIC_ERRORS),
        get("/metrics", get_metrics, {"text/plain": str}),
        get("/openapi.json", get_document, {JSON: dict[str, Any]}),
        get("/models/{name}", models.send_packed_model, {models.BINARY: bytes}, no_model, model_in="path"),
    ]


async def check_health(_: Request) -> Response:
    """Check the server's health."""
    return json_response({"status": "ok"})


async def get_metrics(request: Request) -> Response:
    """Return Prometheus metrics."""
    return get_server(request).metrics.response()


async def get_document(request: Request) -> Response:
    """Return the OpenAPI document."""
    return json_response(get_server(request).document)


async def reject_chat(_: Request) -> Response:
    """Not supported: these are not chat models."""
    message = "the models of this server continue text and are not chat models"
    raise APIError(404, f"{message}: use /v1/completions, with a prompt instead of messages", "not_found")


def describe_app(by_name: dict[str, Model], settings: Settings) -> Schema:
    """Return the OpenAPI document of a server of these models."""
    operations = list_operations(create_request_types(by_name, settings))
    bodies = (each.body for each in operations if each.body)
    types = dict.fromkeys([ErrorResponse, *bodies, *(each for one in operations for each in one.responses.values())])
    inputs: Any = [(each, "validation", TypeAdapter(each)) for each in types]
    schemas, definitions = TypeAdapter.json_schemas(inputs, ref_template="#/components/schemas/{model}")
    schema_of = {each: schemas[each, "validation"] for each in types}
    paths: dict[str, Schema] = {}
    for operation in operations:
        described = _describe(operation, schema_of, [*by_name])
        paths[operation.path] = {method.lower(): described for method in operation.methods}
    error = _content({JSON: schema_of[ErrorResponse]})
    about = "Character-level language models behind the OpenAI completions API. A token is a character."
    components = {
        "schemas": definitions["$defs"],
        "responses": {f"Error{status}": {"description": text} | error for status, text in ERRORS.items()},
        "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Elman", "version": __version__, "description": about},
        "paths": paths,
        "components": components,
        "security": [{"key": []}] if settings.api_key else [],
    }


def _describe(operation: Operation, schema_of: Mapping[Any, Schema], models: Sequence[str]) -> Schema:
    described: Schema = {"summary": cleandoc(operation.endpoint.__doc__)}
    if operation.model_in:
        name = "name" if operation.model_in == "path" else "model"
        parameter = {"name": name, "in": operation.model_in, "required": operation.model_in == "path"}
        described["parameters"] = [parameter | {"schema": {"type": "string", "enum": [*models]}}]
    if operation.body:
        described["requestBody"] = {"required": True} | _content({JSON: schema_of[operation.body]})
    if operation.errors == PUBLIC_ERRORS:
        described["security"] = []
    content = {media_type: schema_of[each] for media_type, each in operation.responses.items()}
    responses: Schema = {"200": {"description": described["summary"]} | _content(content)} if content else {}
    errors = {str(status): {"$ref": f"#/components/responses/Error{status}"} for status in operation.errors}
    return described | {"responses": responses | errors}


def _content(schemas: Mapping[str, Schema]) -> Schema:
    return {"content": {media_type: {"schema": schema} for media_type, schema in schemas.items()}}
