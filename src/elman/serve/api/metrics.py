"""What Prometheus is told: how many come, how long they wait, how much is read and written."""

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

from elman.serve.generation.served_model import Served

_FIRST = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_WHOLE = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600)

Part = TypeVar("Part")


class Counts(Protocol):
    """Who counts what becomes of a request."""

    @property
    def read(self) -> int:
        """Characters that it brought to be read."""

    @property
    def written(self) -> int:
        """Characters that were written for it so far."""


@dataclass
class Tally:
    """The simplest `Counts`."""

    read: int
    written: int = 0


class Metrics:
    """The figures of one application; nothing in them says what was asked or written.

    An endpoint is called by its path, and one figure of several endpoints is one figure with that label, so that a
    sum over it is the server's.
    """

    def __init__(self, served: dict[str, Served]) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        model, both = ["model"], ["model", "endpoint"]
        self.requests = Counter(
            "elman_http_requests", "Answers, by endpoint and status.", ["endpoint", "status"], registry=registry
        )
        self.read = Counter(
            "elman_prompt_characters", "Characters that requests brought to be read.", both, registry=registry
        )
        self.written = Counter("elman_written_characters", "Characters written.", both, registry=registry)
        self.clients_left = Counter(
            "elman_clients_left", "Requests whose client left before the end.", both, registry=registry
        )
        self.inside = Gauge(
            "elman_requests_in_progress", "Requests that hold a place in the queue.", both, registry=registry
        )
        self.first = Histogram(
            "elman_first_character_seconds", "Until a text begins to come.", both, buckets=_FIRST, registry=registry
        )
        self.whole = Histogram(
            "elman_completion_seconds", "Until a request has ended.", both, buckets=_WHOLE, registry=registry
        )
        running = Gauge("elman_texts_running", "Texts of completions being written.", model, registry=registry)
        waiting = Gauge(
            "elman_texts_waiting", "Texts of completions that wait for their turn.", model, registry=registry
        )
        for name, one in served.items():
            running.labels(name).set_function(one.sampler.running_count)
            waiting.labels(name).set_function(one.sampler.waiting_count)

    async def metrics(self, _: Request) -> Response:
        """``GET /metrics``."""
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)

    @contextmanager
    def watch(self, model: str, scope: Scope, counts: Counts) -> Iterator[Watch]:
        """Measure one request that reads or writes, whose path has no parameters."""
        labels = model, scope["path"]
        watch = Watch(self, labels)
        try:
            with self.inside.labels(*labels).track_inprogress():
                yield watch
        finally:
            self.read.labels(*labels).inc(counts.read)
            self.written.labels(*labels).inc(counts.written)
            self.whole.labels(*labels).observe(perf_counter() - watch.began)


class Watch:
    """The clock of one request."""

    def __init__(self, metrics: Metrics, labels: tuple[str, str]) -> None:
        self.metrics, self.labels, self.began = metrics, labels, perf_counter()

    async def seen(self, parts: AsyncGenerator[Part]) -> AsyncGenerator[Part]:
        """Pass parts of an answer on, and note when the first comes."""
        first = True
        async with aclosing(parts):
            async for part in parts:
                if first:
                    self.metrics.first.labels(*self.labels).observe(perf_counter() - self.began)
                    first = False
                yield part

    def left(self) -> None:
        """Note that the client has gone."""
        self.metrics.clients_left.labels(*self.labels).inc()


class Counted:
    """ASGI middleware that counts answers. An endpoint that does not exist has no name, whatever was asked for.

    Parameters
    ----------
    app : ASGI application
    metrics : Metrics
    paths : mapping
        The path of every endpoint. What a client asked for would let it make up as many labels as it likes.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: Mapping[object, str]) -> None:
        self.app, self.metrics, self.paths = app, metrics, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request and count it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        def count(status: int) -> None:
            self.metrics.requests.labels(self.paths.get(scope.get("endpoint"), "none"), status).inc()

        begun = False

        async def counting(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                count(message["status"])
            await send(message)

        try:
            await self.app(scope, receive, counting)
        except Exception:
            if not begun:  # Starlette answers with 500, outside of all middleware
                count(500)
            raise
