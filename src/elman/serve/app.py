"""The server's application: the OpenAI-compatible completions API and the playground."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
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
from elman.serve.completions import EVENTS, Completions
from elman.serve.metrics import Metrics, MetricsMiddleware
from elman.serve.middleware import restrict_access
from elman.serve.models import Models, ServedModel
from elman.serve.playground import LINES, Playground
from elman.serve.requests import RequestTypes, create_request_types
from elman.serve.responses import (
    EXCEPTION_HANDLERS,
    JSON,
    APIError,
    Completion,
    CompletionEvent,
    DetokenizeResponse,
    Health,
    ModelCard,
    ModelList,
    PlayLine,
    PlayModels,
    ReadLine,
    TokenizeResponse,
    TokenizerInfo,
    json_response,
)
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


def create_app(models: dict[str, Model], settings: Settings) -> ASGIApp:
    """Return the application that serves models under their names."""
    served = {name: ServedModel(name, model, settings) for name, model in models.items()}
    metrics, types = Metrics(served), create_request_types(models, settings)
    operations = list_operations(served, types, settings, metrics)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        for each in served.values():
            await run_in_threadpool(each.batcher.close)

    routes = [*(operation.route() for operation in operations), *page_routes("playground")]
    app = Starlette(routes=routes, exception_handlers=EXCEPTION_HANDLERS, lifespan=lifespan)
    app.router.redirect_slashes = False
    app.state.document = create_document(operations, [*models], settings)
    paths: dict[object, str] = {
        route.endpoint if isinstance(route, Route) else route.app: route.path for route in routes
    }
    return MetricsMiddleware(restrict_access(app, settings), metrics, paths)


def describe_app(models: dict[str, Model], settings: Settings) -> dict[str, Any]:
    """Return the OpenAPI document of a server of these models, without starting one."""
    operations = list_operations({}, create_request_types(models, settings), settings, Metrics({}))
    return create_document(operations, [*models], settings)


def list_operations(
    served: Mapping[str, ServedModel], types: RequestTypes, settings: Settings, metrics: Metrics
) -> list[Operation]:
    """Return the endpoints of a server."""
    models = Models(served, types, settings)
    completions = Completions(served, types, settings, metrics)
    playground = Playground(served, types, settings, metrics)
    no_model, get, post = (404, *ANY_ERRORS), partial(Operation, ("GET",)), partial(Operation, ("POST",))
    return [
        Operation(("GET", "POST"), "/v1/chat/completions", _reject_chat, {}, no_model),
        post(
            "/v1/completions",
            completions.complete,
            {JSON: Completion, EVENTS: CompletionEvent},
            QUEUE_ERRORS,
            types.completion,
        ),
        get("/v1/models", models.list_models, {JSON: ModelList}),
        get("/v1/models/{name}", models.get_model, {JSON: ModelCard}, no_model, model_in="path"),
        get("/tokenizer_info", models.tokenizer_info, {JSON: TokenizerInfo}, (400, *no_model), model_in="query"),
        post("/tokenize", models.tokenize, {JSON: TokenizeResponse}, BODY_ERRORS, types.tokenize),
        post("/detokenize", models.detokenize, {JSON: DetokenizeResponse}, BODY_ERRORS, types.detokenize),
        get("/health", models.health, {JSON: Health}, PUBLIC_ERRORS),
        get("/metrics", metrics.metrics, {"text/plain": str}),
        get("/openapi.json", _get_document, {JSON: dict[str, Any]}),
        get("/api/models", playground.list_models, {JSON: PlayModels}),
        post("/api/play", playground.play, {LINES: PlayLine}, QUEUE_ERRORS, types.play),
        post("/api/read", playground.read, {LINES: ReadLine}, QUEUE_ERRORS, types.read),
    ]


async def _get_document(request: Request) -> Response:
    """Return this document."""
    return json_response(request.app.state.document)


async def _reject_chat(_: Request) -> Response:
    """Not supported: the models are no chat models."""
    message = (
        "the models of this server continue text and are no chat models: use /v1/completions, with a prompt instead of"
        " messages"
    )
    raise APIError(404, message, "not_found")
