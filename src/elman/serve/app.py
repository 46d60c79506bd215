"""The server's application: the OpenAI-compatible completions API and the playground."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from elman.inference import Model
from elman.serve import completions, models, playground, responses
from elman.serve.metrics import Metrics, MetricsMiddleware
from elman.serve.middleware import restrict_access
from elman.serve.models import ServedModel, Server, get_server
from elman.serve.requests import RequestTypes, create_request_types
from elman.serve.responses import JSON, APIError, json_response
from elman.serve.routing import (
    ANY_ERRORS,
    BODY_ERRORS,
    PUBLIC_ERRORS,
    QUEUE_ERRORS,
    Operation,
    create_document,
    page_routes,
)
from elman.serve.settings import Settings


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

    routes = [*(operation.route() for operation in list_operations(types)), *page_routes("playground")]
    app = Starlette(routes=routes, exception_handlers=responses.EXCEPTION_HANDLERS, lifespan=lifespan)
    app.router.redirect_slashes = False
    app.state.server = Server(served, types, settings, metrics, describe_app(by_name, settings))
    endpoints = [route.endpoint if isinstance(route, Route) else route.app for route in routes]
    paths: dict[object, str] = dict(zip(endpoints, (route.path for route in routes), strict=True))
    return MetricsMiddleware(restrict_access(app, settings), metrics, paths)


def describe_app(by_name: dict[str, Model], settings: Settings) -> dict[str, Any]:
    """Return the OpenAPI document of a server of these models."""
    return create_document(list_operations(create_request_types(by_name, settings)), [*by_name], settings)


def list_operations(types: RequestTypes) -> list[Operation]:
    """Return the endpoints of a server."""
    no_model, get, post = (404, *ANY_ERRORS), partial(Operation, ("GET",)), partial(Operation, ("POST",))
    completion = {JSON: responses.Completion, completions.EVENTS: responses.CompletionEvent}
    tokens, text = {JSON: responses.TokenizeResponse}, {JSON: responses.DetokenizeResponse}
    return [
        Operation(("GET", "POST"), "/v1/chat/completions", reject_chat, {}, no_model),
        post("/v1/completions", completions.complete, completion, QUEUE_ERRORS, types.completion),
        get("/v1/models", models.list_models, {JSON: responses.ModelList}),
        get("/v1/models/{name}", models.describe_model, {JSON: responses.ModelCard}, no_model, model_in="path"),
        get(
            "/tokenizer_info",
            models.describe_tokenizer,
            {JSON: responses.TokenizerInfo},
            (400, *no_model),
            model_in="query",
        ),
        post("/tokenize", models.tokenize, tokens, BODY_ERRORS, types.tokenize),
        post("/detokenize", models.detokenize, text, BODY_ERRORS, types.detokenize),
        get("/health", check_health, {JSON: responses.Health}, PUBLIC_ERRORS),
        get("/metrics", get_metrics, {"text/plain": str}),
        get("/openapi.json", get_document, {JSON: dict[str, Any]}),
        get("/api/models", playground.describe_playground, {JSON: responses.PlayModels}),
        post("/api/play", playground.play, {playground.LINES: responses.Line}, QUEUE_ERRORS, types.play),
        post("/api/read", playground.read, {playground.LINES: responses.Line}, QUEUE_ERRORS, types.read),
    ]


async def check_health(_: Request) -> Response:
    """Check the server's health."""
    return json_response({"status": "ok"})


async def get_metrics(request: Request) -> Response:
    """Return Prometheus metrics."""
    return get_server(request).metrics.response()


async def get_document(request: Request) -> Response:
    """Return this document."""
    return json_response(get_server(request).document)


async def reject_chat(_: Request) -> Response:
    """Not supported: the models are no chat models."""
    message = (
        "the models of this server continue text and are no chat models: use /v1/completions, with a prompt instead of"
        " messages"
    )
    raise APIError(404, message, "not_found")
