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
    """The metrics of one application. They contain no part of prompts and texts."""

    # A metric that several endpoints share is one metric with the endpoint's path as label, so that its sum is the
    # server's total.

    def __init__(self, batchers: Mapping[str, ContinuousBatcher]) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        counter, gauge = partial(Counter, registry=registry), partial(Gauge, registry=registry)
        of_response, labels = ["endpoint", "status"], ["model", "endpoint"]
        self.responses = counter("elman_http_requests", "HTTP responses by endpoint and status.", of_response)
        self.read = counter("elman_prompt_characters", "Characters of prompts received.", labels)
        self.generated = counter("elman_generated_characters", "Characters generated.", labels)
        about = "Requests whose client disconnected before the end."
        self.disconnects = counter("elman_client_disconnects", about, labels)
        self.in_progress = gauge("elman_requests_in_progress", "Requests being processed or queued.", labels)
        first, total = (
            partial(Histogram, buckets=each, registry=registry) for each in (_FIRST_BUCKETS, _TOTAL_BUCKETS)
        )
        self.first_seconds = first("elman_first_character_seconds", "Time to the first generated text.", labels)
        self.total_seconds = total("elman_completion_seconds", "Time to the end of the request.", labels)
        running = gauge("elman_sequences_running", "Sequences being generated.", ["model"])
        waiting = gauge("elman_sequences_waiting", "Sequences waiting for a slot.", ["model"])
        for name, batcher in batchers.items():
            running.labels(name).set_function(batcher.running_count)
            waiting.labels(name).set_function(batcher.waiting_count)

    def response(self) -> Response:
        """Return the current values."""
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)


def count_responses(app: ASGIApp, metrics: Metrics, paths: Mapping[object, str]) -> ASGIApp:
    """Return an application that counts responses by the path of their endpoint; ``none`` if there is none."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        async def count(message: Message) -> None:
            if message["type"] == "http.response.start":
                # Not by the requested path: clients could create any number of them.
                metrics.responses.labels(paths.get(scope.get("endpoint"), "none"), message["status"]).inc()
            await send(message)

        await app(scope, receive, count)

    return call
