"""Prometheus metrics: requests, latencies, characters read and generated."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol, TypeVar

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

from elman.serve.generation.served_model import ServedModel

_FIRST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_TOTAL_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600)

Chunk = TypeVar("Chunk")


class UsageCounts(Protocol):
    """Counts the characters of a request."""

    @property
    def read(self) -> int:
        """Characters of the prompts."""

    @property
    def written(self) -> int:
        """Characters generated so far."""


@dataclass
class Usage:
    """The simplest `UsageCounts`."""

    read: int
    written: int = 0


class Metrics:
    """The metrics of one application. They contain nothing of the prompts and texts.

    A metric that several endpoints share is one metric with the endpoint's path as label, so that its sum is the
    server's total.
    """

    def __init__(self, models: dict[str, ServedModel]) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        model, both = ["model"], ["model", "endpoint"]
        self.requests = Counter(
            "elman_http_requests", "HTTP responses by endpoint and status.", ["endpoint", "status"], registry=registry
        )
        self.read = Counter("elman_prompt_characters", "Characters of prompts received.", both, registry=registry)
        self.written = Counter("elman_written_characters", "Characters generated.", both, registry=registry)
        self.disconnects = Counter(
            "elman_clients_left", "Requests whose client disconnected before the end.", both, registry=registry
        )
        self.in_flight = Gauge(
            "elman_requests_in_progress", "Requests being processed or queued.", both, registry=registry
        )
        self.first_seconds = Histogram(
            "elman_first_character_seconds",
            "Time to the first generated text.",
            both,
            buckets=_FIRST_BUCKETS,
            registry=registry,
        )
        self.total_seconds = Histogram(
            "elman_completion_seconds",
            "Time to the end of the request.",
            both,
            buckets=_TOTAL_BUCKETS,
            registry=registry,
        )
        running = Gauge("elman_texts_running", "Completion sequences being generated.", model, registry=registry)
        waiting = Gauge("elman_texts_waiting", "Completion sequences waiting for a slot.", model, registry=registry)
        for name, served in models.items():
            running.labels(name).set_function(served.batcher.running_count)
            waiting.labels(name).set_function(served.batcher.waiting_count)

    async def metrics(self, _: Request) -> Response:
        """``GET /metrics``."""
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)

    @contextmanager
    def track_request(self, model: str, scope: Scope, counts: UsageCounts) -> Iterator[RequestTimer]:
        """Measure one request that reads or generates text, and whose path has no parameters."""
        labels = model, scope["path"]
        timer = RequestTimer(self, labels)
        try:
            with self.in_flight.labels(*labels).track_inprogress():
                yield timer
        finally:
            self.read.labels(*labels).inc(counts.read)
            self.written.labels(*labels).inc(counts.written)
            self.total_seconds.labels(*labels).observe(perf_counter() - timer.started_at)


class RequestTimer:
    """Measures one request."""

    def __init__(self, metrics: Metrics, labels: tuple[str, str]) -> None:
        self.metrics, self.labels, self.started_at = metrics, labels, perf_counter()

    async def observe_first(self, chunks: AsyncGenerator[Chunk]) -> AsyncGenerator[Chunk]:
        """Yield the chunks of a response, and measure the time to the first."""
        is_first = True
        async with aclosing(chunks):
            async for chunk in chunks:
                if is_first:
                    self.metrics.first_seconds.labels(*self.labels).observe(perf_counter() - self.started_at)
                    is_first = False
                yield chunk

    def count_disconnect(self) -> None:
        """Count a client that has disconnected."""
        self.metrics.disconnects.labels(*self.labels).inc()


class MetricsMiddleware:
    """ASGI middleware that counts responses. Paths that do not exist are counted together, as endpoint ``none``.

    Parameters
    ----------
    app : ASGI application
    metrics : Metrics
    paths : mapping
        The route of every endpoint. Requested paths are not used as labels: clients could create any number of them.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: Mapping[object, str]) -> None:
        self.app, self.metrics, self.paths = app, metrics, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request and count its response."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        def count(status: int) -> None:
            self.metrics.requests.labels(self.paths.get(scope.get("endpoint"), "none"), status).inc()

        started = False

        async def counting_send(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                count(message["status"])
            await send(message)

        try:
            await self.app(scope, receive, counting_send)
        except Exception:
            if not started:  # Starlette sends the 500 response outside of all middleware
                count(500)
            raise
