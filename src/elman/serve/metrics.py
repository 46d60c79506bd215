"""What Prometheus is told: how many come, how long they wait, how much is written."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from time import perf_counter

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from elman.serve.answering import Answer
from elman.serve.served import Served
from elman.serve.texts import Piece

_FIRST = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_WHOLE = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600)


class Metrics:
    """The figures of one application; nothing in them says what was asked or written."""

    def __init__(self, served: dict[str, Served]) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        model = ["model"]
        self.requests = Counter(
            "elman_http_requests", "Answers, by endpoint and status.", ["endpoint", "status"], registry=registry
        )
        self.read = Counter("elman_prompt_characters", "Characters of prompts.", model, registry=registry)
        self.written = Counter("elman_written_characters", "Characters written.", model, registry=registry)
        self.clients_left = Counter(
            "elman_clients_left", "Requests whose client left before the end.", model, registry=registry
        )
        self.first = Histogram(
            "elman_first_character_seconds", "Until a text begins to come.", model, buckets=_FIRST, registry=registry
        )
        self.whole = Histogram(
            "elman_completion_seconds", "Until a request has ended.", model, buckets=_WHOLE, registry=registry
        )
        running = Gauge("elman_texts_running", "Texts being written.", model, registry=registry)
        waiting = Gauge("elman_texts_waiting", "Texts that wait for their turn.", model, registry=registry)
        for name, one in served.items():
            running.labels(name).set_function(one.sampler.running_count)
            waiting.labels(name).set_function(one.sampler.waiting_count)

    async def metrics(self, _: Request) -> Response:
        """``GET /metrics``."""
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)

    @contextmanager
    def watch(self, model: str, answer: Answer) -> Iterator[Watch]:
        """Measure one request for completions."""
        watch = Watch(self, model)
        try:
            yield watch
        finally:
            self.read.labels(model).inc(sum(answer.prompts))
            self.written.labels(model).inc(answer.written)
            self.whole.labels(model).observe(perf_counter() - watch.began)


class Watch:
    """The clock of one request."""

    def __init__(self, metrics: Metrics, model: str) -> None:
        self.metrics, self.model, self.began = metrics, model, perf_counter()

    async def seen(self, batches: AsyncGenerator[list[Piece]]) -> AsyncGenerator[list[Piece]]:
        """Pass pieces on, and note when the first comes."""
        first = True
        async with aclosing(batches):
            async for pieces in batches:
                if first:
                    self.metrics.first.labels(self.model).observe(perf_counter() - self.began)
                    first = False
                yield pieces

    def left(self) -> None:
        """Note that the client has gone."""
        self.metrics.clients_left.labels(self.model).inc()


class Counted:
    """ASGI middleware that counts answers. An endpoint that does not exist has no name, whatever was asked for."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request and count it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.metrics.requests.labels(_name(scope.get("endpoint")), message["status"]).inc()
            await send(message)

        await self.app(scope, receive, counting)


def _name(endpoint: object) -> str:
    return "none" if endpoint is None else getattr(endpoint, "__name__", type(endpoint).__name__).lower()
