"""The OpenAPI document, and that the server conforms to it: schemathesis generates requests from it."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from jsonschema_rs import Draft202012Validator
from starlette.routing import Route

from elman.network.ngram import count_training_text
from elman.serve.api.completion_request import ARGUMENTS
from elman.serve.app import create_app
from elman.serve.openapi.document import create_document
from elman.serve.openapi.schema import Schema
from elman.serve.playground.endpoints import PLAYGROUND_PATHS
from elman.serve.playground.requests import MAX_UNITS, SHARED_ARGUMENTS
from elman.serve.settings import Settings
from support.random_model import random_model
from support.server import NAME, serving, tiny

KEY = "sesame"
LIMITS = Settings(max_tokens=20, max_characters=10**6, api_key=KEY)


@cache
def described() -> Schema:
    """Return the expected document."""
    return create_document({NAME: tiny()}, LIMITS)


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    """A client of a server whose model accepts every character, as a schema cannot express the alphabet."""
    model = replace(tiny(), alphabet=replace(tiny().alphabet, has_unknown=True))
    limits = {"max_tokens": LIMITS.max_tokens, "max_characters": LIMITS.max_characters}
    with serving(model, api_key=KEY, **limits) as client:
        client.headers["authorization"] = f"Bearer {KEY}"
        yield client


@pytest.mark.parametrize("examples", [8, pytest.param(200, marks=pytest.mark.slow)])
def test_the_server_does_what_its_document_says(client: httpx.Client, examples: int, tmp_path: Path) -> None:
    command = [Path(sys.executable).parent / "schemathesis", "run", f"{client.base_url}/openapi.json"]
    options = ["--seed", 1, "--max-examples", examples, "--checks", "all", "--phases", "coverage,fuzzing", "--no-color"]
    head = ["--header", f"Authorization: Bearer {KEY}"]
    ended = subprocess.run(
        [*map(str, [*command, *options, *head])], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert re.search(r"Selected: (\d+)/\1\s+Tested: \1\s", ended.stdout), ended.stdout


@pytest.mark.parametrize(
    ("schema", "arguments"),
    [("CompletionRequest", {*ARGUMENTS}), ("PlayRequest", {*SHARED_ARGUMENTS, "written", "units"})],
)
def test_every_argument_is_described(schema: str, arguments: set[str]) -> None:
    request = described()["components"]["schemas"][schema]
    assert set(request["properties"]) == arguments
    assert request["required"] == []
    several = create_document({NAME: tiny(), "other": tiny()}, LIMITS)["components"]["schemas"][schema]
    assert (several["required"], {*several["properties"]}) == (["model"], arguments)


def test_adapt_has_a_value_where_a_model_has_a_prior() -> None:
    model = tiny()
    parameters = model.parameters
    prior = parameters.with_arrays({**parameters, "alpha": np.zeros(3)}).with_ngrams(
        count_training_text(model.alphabet.encode("the rain"), len(model.alphabet), 2, 0.7, 0)
    )
    for served, values in ({}, [None]), ({"prior": replace(model, parameters=prior)}, ["counts", None]):
        requests = create_document({NAME: model} | served, LIMITS)["components"]["schemas"]
        assert requests["CompletionRequest"]["properties"]["adapt"]["enum"] == values


def test_the_document_is_of_what_is_served(client: httpx.Client) -> None:
    found = client.get("/openapi.json").json()
    assert found == described()
    assert found["security"] == [{"key": []}]
    assert found["components"]["schemas"]["ModelName"]["enum"] == [NAME]


def test_all_that_is_served_is_described_and_nothing_else() -> None:
    routes = [route for route in create_app({NAME: tiny()}, LIMITS).routes if isinstance(route, Route)]
    served = {(route.path, method.lower()) for route in routes for method in route.methods or () if method != "HEAD"}
    page = {(path, "get") for path in PLAYGROUND_PATHS}
    told = {(path, method) for path, operations in described()["paths"].items() for method in operations}
    assert served == told | page
    assert not told & page


@pytest.mark.parametrize("settings", [LIMITS, Settings(max_tokens=7, max_characters=90)], ids=["small", "smaller"])
def test_limits_are_those_of_the_server(settings: Settings) -> None:
    two = {"one": tiny(), "two": random_model("abc", m=9, ngram_order=4)}  # characters in its state are no units
    schemas = create_document(two, settings)["components"]["schemas"]
    asked, read = schemas["PlayRequest"]["properties"], schemas["ReadRequest"]["properties"]
    assert asked["max_tokens"]["anyOf"][0]["maximum"] == read["text"]["maxLength"] == settings.max_tokens
    assert f"at most {settings.max_characters} characters" in asked["prompt"]["description"]
    assert asked["units"] == read["units"]
    assert (asked["units"]["anyOf"][0]["maxItems"], asked["units"]["anyOf"][0]["items"]["maximum"]) == (MAX_UNITS, 8)
    assert schemas["DetokenizeRequest"]["properties"]["tokens"]["items"]["maximum"] == 25


# --- Streams, each line and event of which has a schema ---


def fits(schema: str) -> Draft202012Validator:
    """Return the validator of a schema of the document."""
    return Draft202012Validator(described() | {"$ref": f"#/components/schemas/{schema}"})


@pytest.mark.parametrize(
    ("path", "body", "schema"),
    [
        ("/api/play", {"prompt": "a", "max_tokens": 20, "units": [0, 5], "top_k": 2}, "WritingLine"),
        ("/api/play", {"written": "ab", "max_tokens": 0}, "WritingLine"),
        ("/api/read", {"text": "the rain"}, "ReadingLine"),
        ("/api/read", {"text": "t"}, "ReadingLine"),
    ],
)
def test_every_line_is_as_described(client: httpx.Client, path: str, body: dict[str, Any], schema: str) -> None:
    answer = client.post(path, json={"model": NAME} | body)
    assert [*described()["paths"][path]["post"]["responses"]["200"]["content"]] == [answer.headers["content-type"]]
    for line in answer.text.splitlines():
        fits(schema).validate(json.loads(line))


@pytest.mark.parametrize("schema", ["WritingLine", "ReadingLine"])
@pytest.mark.parametrize(
    "line",
    [
        {"characters": [{"character": "a"}], "units": ""},
        {"characters": [], "units": "", "more": 1},
        {"end": {}},
        {"error": {}},
    ],
    ids=str,
)
def test_a_line_that_is_not_as_described(schema: str, line: Any) -> None:
    assert not fits(schema).is_valid(line)


@pytest.mark.parametrize("asked", [{}, {"logprobs": 2, "stream_options": {"include_usage": True}}], ids=str)
def test_every_event_is_as_described(client: httpx.Client, asked: dict[str, Any]) -> None:
    body = {"model": NAME, "prompt": "a", "n": 2, "stream": True} | asked
    *events, done, _ = client.post("/v1/completions", json=body).text.split("\n\n")
    assert done == "data: [DONE]"
    for event in events:
        fits("CompletionPart").validate(json.loads(event.removeprefix("data: ")))
