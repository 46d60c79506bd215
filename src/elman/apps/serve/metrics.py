"""Prometheus metrics of the server."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from elman.apps.serve.batcher import ContinuousBatcher

_FIRST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_TOTAL_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600)


class Metrics:
    """The metrics of one application. They contain nothing of the prompts and texts.

    A metric that several endpoints share is one metric with the endpoint's path as label, so that its sum is the
    server's total.
    """

    def __init__(self, batchers: Mapping[str, ContinuousBatcher]) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        counter, gauge = partial(Counter, registry=registry), partial(Gauge, registry=registry)
        histogram, labels = partial(Histogram, registry=registry), ["model", "endpoint"]
        self.responses = counter(
            "elman_http_requests", "HTTP responses by endpoint and status.", ["endpoint", "status"]
        )
        self.read = counter("elman_prompt_characters", "Characters of prompts received.", labels)
        self.generated = counter("elman_generated_characters", "Characters generated.", labels)
        self.disconnects = counter(
            "elman_client_disconnects", "Requests whose client disconnected before the end.", labels
        )
        self.in_progress = gauge("elman_requests_in_progress", "Requests being processed or queued.", labels)
        self.first_seconds = histogram(
            "elman_first_character_seconds", "Time to the first generated text.", labels, buckets=_FIRST_BUCKETS
        )
        self.total_seconds = histogram(
            "elman_completion_seconds", "Time to the end of the request.", labels, buckets=_TOTAL_BUCKETS
        )
        running = gauge("elman_sequences_running", "Sequences being generated.", ["model"])
        waiting = gauge("elman_sequences_waiting", "Sequences waiting for a slot.", ["model"])
        for name, batcher in batchers.items():
            running.labels(name).set_function(batcher.running_count)
            waiting.labels(name).set_function(batcher.waiting_count)

    def response(self) -> Response:
        """Return the current values."""
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)


class MetricsMiddleware:
    """ASGI middleware that counts responses by the path of their endpoint; ``none`` if there is none.

    Requested paths are not used as labels: clients could create any number of them.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: Mapping[object, str]) -> None:
        self.app, self.metrics, self.paths = app, metrics, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request and count its response."""

        async def count(message: Message) -> None:
            if message["type"] == "http.response.start":
                path = self.paths.get(scope.get("endpoint"), "none")
                self.metrics.responses.labels(path, message["status"]).inc()
            await send(message)

        await self.app(scope, receive, count)
