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
import pytest
from jsonschema_rs import Draft202012Validator

from elman.apps.serve.app import Schema, describe_app
from elman.apps.serve.settings import Settings
from elman.model import Model
from elman.model.lines import LINE_OPTIONS
from elman.network.sampling import list_sampling_options
from support.random_model import random_prior_model
from support.server import NAME, serving, tiny

KEY = "sesame"
LIMITS = Settings(max_tokens=20, max_characters=10**6, api_key=KEY)


@cache
def described() -> Schema:
    return describe_app({NAME: tiny()}, LIMITS)


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    """A client of a server whose model accepts every character, as a schema cannot express the alphabet."""
    model = replace(tiny(), alphabet=replace(tiny().alphabet, has_unknown=True))
    limits = {"max_tokens": LIMITS.max_tokens, "max_characters": LIMITS.max_characters}
    with serving(model, api_key=KEY, **limits) as client:
        client.headers["authorization"] = f"Bearer {KEY}"
        yield client


@pytest.mark.parametrize("phases", ["coverage", pytest.param("coverage,fuzzing", marks=pytest.mark.slow)])
def test_the_server_does_what_its_document_says(client: httpx.Client, phases: str, tmp_path: Path) -> None:
    command = [Path(sys.executable).parent / "schemathesis", "run", f"{client.base_url}/openapi.json"]
    options = ["--seed", 1, "--max-examples", 200, "--checks", "all", "--phases", phases, "--no-color"]
    head = ["--header", f"Authorization: Bearer {KEY}"]
    ended = subprocess.run(
        [*map(str, [*command, *options, *head])], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert re.search(r"Selected: (\d+)/\1\s+Tested: \1\s", ended.stdout), ended.stdout


def test_every_argument_is_described() -> None:
    sampling = {option.name for option in list_sampling_options()}
    arguments = {"model", "prompt", "max_tokens", "seed", "n", "stream", "stream_options", "echo", "logprobs", "stop"}
    arguments |= {"adapt", "user", "best_of", "suffix", "presence_penalty", "frequency_penalty", "logit_bias"}
    several = describe_app({NAME: tiny(), "other": tiny()}, LIMITS)["components"]["schemas"]["CompletionRequest"]
    request = described()["components"]["schemas"]["CompletionRequest"]
    lines = {each.name for each in LINE_OPTIONS}
    assert set(request["properties"]) == set(several["properties"]) == arguments | sampling | lines
    assert (request.get("required", []), several["required"]) == ([], ["model"])
    assert request["properties"]["model"]["anyOf"][0]["enum"] == [NAME]


def test_adapt_has_a_value_where_a_model_has_a_prior() -> None:
    served: dict[str, Model]
    for served, values in ({}, [None]), ({"prior": random_prior_model("the rain")}, ["counts", None]):
        requests = describe_app({NAME: tiny()} | served, LIMITS)["components"]["schemas"]
        schemas = requests["CompletionRequest"]["properties"]["adapt"]["anyOf"]
        assert [schema.get("const") for schema in schemas] == values


WRONG: tuple[Any, ...] = ({}, {"characters": [{"character": "a"}], "units": ""}, {"end": 1}, {"error": {}}, {"id": 1})
"""Contents that conform to no schema of a response."""


def validator(schema: Schema) -> Draft202012Validator:
    return Draft202012Validator(described() | schema)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"prompt": "a", "n": 2, "stream": True}),
        ("/v1/completions", {"stream": True, "logprobs": 2, "stream_options": {"include_usage": True}}),
        ("/v1/completions", {"prompt": "a", "logprobs": 2, "echo": True}),
    ],
)
def test_a_response_conforms_to_its_schema(client: httpx.Client, path: str, body: dict[str, Any]) -> None:
    response = client.post(path, json=body)
    media_type = response.headers["content-type"].partition(";")[0]
    schema = described()["paths"][path]["post"]["responses"]["200"]["content"][media_type]["schema"]
    if media_type == "text/event-stream":
        schema = {"$ref": "#/components/schemas/Completion"}
    lines = [line.removeprefix("data: ") for line in response.text.splitlines() if line not in ("", "data: [DONE]")]
    for line in lines:
        validator(schema).validate(json.loads(line))
    for wrong in WRONG:
        assert not validator(schema).is_valid(wrong)
