"""The application: models behind the OpenAI completions protocol, and whatever routes are put beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from elman.inference import Model
from elman.serve.api.completions import Completions
from elman.serve.api.metrics import Counted, Metrics
from elman.serve.api.models import Models
from elman.serve.api.tokenizer import Tokens
from elman.serve.generation.served_model import Served
from elman.serve.http.access import Guard
from elman.serve.http.errors import as_json
from elman.serve.http.exception_handlers import HANDLERS
from elman.serve.openapi.document import document
from elman.serve.playground.endpoints import PLAY_PATHS, play_routes
from elman.serve.settings import Settings

OPEN_PATHS = frozenset({"/health"}) | PLAY_PATHS
"""Shown without a key."""


def create_app(models: dict[str, Model], settings: Settings) -> Starlette:
    """Return the application that serves models under their names; `state.served` holds them for other routes."""
    served = {name: Served(name, model, settings) for name, model in models.items()}
    metrics, tokens, about = Metrics(served), Tokens(served, settings), Models(served)
    page = as_json(document(models, settings))

    async def openapi(_: Request) -> Response:
        return page

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        for model in served.values():
            await run_in_threadpool(model.sampler.close)

    routes = [
        Route("/v1/completions", Completions(served, settings, metrics), methods=["POST"]),
        Route("/v1/models", about.models),
        Route("/v1/models/{name}", about.model),
        Route("/tokenizer_info", tokens.tokenizer_info),
        Route("/tokenize", tokens.tokenize, methods=["POST"]),
        Route("/detokenize", tokens.detokenize, methods=["POST"]),
        Route("/health", about.health),
        Route("/metrics", metrics.metrics),
        Route("/openapi.json", openapi),
        *play_routes(served, settings, metrics),
    ]
    app = Starlette(
        routes=routes,
        middleware=[
            Middleware(Counted, metrics=metrics, paths={route.endpoint: route.path for route in routes}),
            Middleware(Guard, settings=settings, is_public=OPEN_PATHS.__contains__),
        ],
        exception_handlers=HANDLERS,
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.served = served
    return app
