"""Helpers of the server's tests: a small model, an application in a thread, clients."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.types import ASGIApp

from elman.apps.serve.app import create_app
from elman.apps.serve.server import listen, run_in_thread
from elman.apps.serve.settings import Settings
from elman.model import Model
from elman.text import Corpus
from support.state import TEXT, T
from support.training import train

NAME = "stormy"


@cache
def tiny() -> Model:
    return train(Corpus.from_text(TEXT), hidden_size=6, seq_length=T, epochs=20, dtype="float64").model


@contextmanager
def listening(app: ASGIApp) -> Iterator[httpx.Client]:
    with run_in_thread(app, listen("127.0.0.1", 0)) as address, httpx.Client(base_url=address, timeout=30) as client:
        yield client


@contextmanager
def serving(model: Model | None = None, **settings: Any) -> Iterator[httpx.Client]:
    with listening(create_app({NAME: model or tiny()}, Settings(**settings))) as client:
        yield client


def complete(client: httpx.Client, prompt: Any = "the ", **arguments: Any) -> Any:
    response = client.post("/v1/completions", json={"model": NAME, "prompt": prompt} | arguments)
    assert response.status_code == 200, response.text
    return response.json()


def texts(client: httpx.Client, prompt: Any = "the ", **arguments: Any) -> list[str]:
    return [choice["text"] for choice in complete(client, prompt, **arguments)["choices"]]


def error_of(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Return the error in a response, which must have this status and code, and a message of one line."""
    (error,) = response.json().values()
    assert (response.status_code, error["code"]) == (status, code), response.text
    assert list(error) == ["message", "type", "param", "code"]
    kinds = {429: "rate_limit_error", 500: "server_error", 503: "server_error"}
    assert error["type"] == kinds.get(status, "invalid_request_error")
    assert "\n" not in error["message"]
    found: dict[str, Any] = error
    return found


def get_metric(client: httpx.Client, name: str, **labels: str) -> float:
    """Return a Prometheus metric, summed over the labels that are not given."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    samples = (sample for family in families for sample in family.samples if sample.name == name)
    return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())


def wait_for_metric(client: httpx.Client, name: str, value: float) -> None:
    for _ in range(4000):
        if get_metric(client, name, model=NAME) == value:
            return
        time.sleep(0.005)
    pytest.fail(f"{name} is still not {value}")


def send(
    client: httpx.Client, body: dict[str, Any], path: str = "/v1/completions", *, missing: int = 0, buffer: int = 0
) -> socket.socket:
    """Send a request, of whose body some bytes are `missing`; return the connection, with this receive buffer."""
    content, connection = json.dumps(body).encode(), socket.socket()
    if buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    connection.connect(("127.0.0.1", client.base_url.port))
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    connection.sendall(f"{head}Content-Length: {len(content) + missing}\r\n\r\n".encode() + content)
    return connection


class SlowClient:
    """A client that requests a stream, and reads the response only on demand."""

    def __init__(self, client: httpx.Client, path: str = "/v1/completions", **arguments: Any) -> None:
        self.socket = send(client, arguments, path, buffer=4096)
        self.received = self.socket.recv(100)

    def read(self) -> bytes:
        parts = [self.received]
        while part := self.socket.recv(1 << 20):
            parts.append(part)
        self.socket.close()
        return b"".join(parts)
