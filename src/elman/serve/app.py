"""The server's application: the OpenAI-compatible completions API and the playground."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from elman.inference import Model
from elman.serve.api.completions import Completions
from elman.serve.api.metrics import Metrics, MetricsMiddleware
from elman.serve.api.models import Models, Tokenizer
from elman.serve.generation.served_model import ServedModel
from elman.serve.http.access import AccessMiddleware, KeyMiddleware
from elman.serve.http.errors import EXCEPTION_HANDLERS, APIError
from elman.serve.http.responses import json_response
from elman.serve.openapi.document import create_document
from elman.serve.playground.endpoints import PLAYGROUND_PATHS, playground_routes
from elman.serve.settings import Settings

PUBLIC_PATHS = frozenset({"/health"}) | PLAYGROUND_PATHS
"""Paths served without an API key."""


def create_app(models: dict[str, Model], settings: Settings) -> Starlette:
    """Return the application that serves models under their names; its `state.models` are the served models."""
    served = {name: ServedModel(name, model, settings) for name, model in models.items()}
    metrics, tokenizer, info = Metrics(served), Tokenizer(served, settings), Models(served)
    document = json_response(create_document(models, settings))

    async def openapi(_: Request) -> Response:
        return document

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        for each in served.values():
            await run_in_threadpool(each.batcher.close)

    routes = [
        Route("/v1/completions", Completions(served, settings, metrics), methods=["POST"]),
        Route("/v1/chat/completions", _reject_chat, methods=["GET", "POST"]),
        Route("/v1/models", info.models),
        Route("/v1/models/{name}", info.model),
        Route("/tokenizer_info", tokenizer.tokenizer_info),
        Route("/tokenize", tokenizer.tokenize, methods=["POST"]),
        Route("/detokenize", tokenizer.detokenize, methods=["POST"]),
        Route("/health", info.health),
        Route("/metrics", metrics.metrics),
        Route("/openapi.json", openapi),
        *playground_routes(served, settings, metrics),
    ]
    app = Starlette(
        routes=routes,
        middleware=[
            Middleware(MetricsMiddleware, metrics=metrics, paths={route.endpoint: route.path for route in routes}),
            Middleware(AccessMiddleware, settings=settings),
            *_cors(settings),
            Middleware(KeyMiddleware, settings=settings, is_public=PUBLIC_PATHS.__contains__),
        ],
        exception_handlers=EXCEPTION_HANDLERS,
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.models = served
    return app


def _cors(settings: Settings) -> list[Middleware]:
    """Return the middleware that lets pages of the allowed origins read responses; none without such origins.

    Every header may be sent, as OpenAI's client for browsers adds many of its own. Cookies are not involved.
    """
    if not settings.origins:
        return []
    methods, headers = ("GET", "POST"), ("*",)
    return [Middleware(CORSMiddleware, allow_origins=settings.origins, allow_methods=methods, allow_headers=headers)]


async def _reject_chat(_: Request) -> Response:
    """Answer clients that look for a chat model."""
    message = (
        "the models of this server continue text and are no chat models: use /v1/completions, with a prompt instead of"
        " messages"
    )
    raise APIError(404, message, "not_found")
