"""What the tests of serving share: a small model, an application in a thread of its own, a client."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import httpx
from starlette.types import ASGIApp

from conftest import TEXT, T
from elman.experiment.train import train
from elman.serve.app import create_app
from elman.serve.running import in_background, listen
from elman.serve.settings import Settings
from elman.text import Corpus
from elman.use import Model

NAME = "stormy"


@cache
def tiny() -> Model:
    """Return a network that has learned a little, in float64; 26 characters."""
    return train(Corpus.from_text(TEXT), hidden_size=6, seq_length=T, epochs=20, dtype="float64").model


@contextmanager
def listening(app: ASGIApp) -> Iterator[httpx.Client]:
    """Serve an application at a free port of this machine; gives a client of it."""
    with in_background(app, listen("127.0.0.1", 0)) as address, httpx.Client(base_url=address, timeout=30) as client:
        yield client


@contextmanager
def serving(model: Model | None = None, **settings: Any) -> Iterator[httpx.Client]:
    """Serve a model, by default the small one."""
    with listening(create_app({NAME: model or tiny()}, Settings(**settings))) as client:
        yield client


def complete(client: httpx.Client, prompt: Any = "the ", **arguments: Any) -> Any:
    """Return what an answer to a request for completions holds."""
    answer = client.post("/v1/completions", json={"model": NAME, "prompt": prompt} | arguments)
    assert answer.status_code == 200, answer.text
    return answer.json()


def texts(client: httpx.Client, prompt: Any = "the ", **arguments: Any) -> list[str]:
    """Return the texts of an answer."""
    return [choice["text"] for choice in complete(client, prompt, **arguments)["choices"]]
