"""The OpenAPI document, and that the server does what it says: schemathesis makes requests up from it."""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from elman.serve.asking import ARGUMENTS
from elman.serve.openapi import document
from elman.serve.settings import Settings
from served import NAME, serving, tiny

KEY = "sesame"
LIMITS = Settings(max_tokens=20, max_characters=10**6, api_key=KEY)


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    """A client of a server whose model takes every character: that another is refused no document can say."""
    model = replace(tiny(), alphabet=replace(tiny().alphabet, folds=True))
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


def test_every_argument_is_described() -> None:
    request = document({NAME: 26}, Settings())["components"]["schemas"]["CompletionRequest"]
    assert set(request["properties"]) == set(ARGUMENTS)
    assert request["required"] == ["model"]


def test_the_document_is_of_what_is_served(client: httpx.Client) -> None:
    found = client.get("/openapi.json").json()
    assert found == document({NAME: 26}, LIMITS)
    assert found["security"] == [{"key": []}]
    assert found["components"]["schemas"]["ModelName"]["enum"] == [NAME]


def test_every_path_that_is_described_is_there(client: httpx.Client) -> None:
    for path, operations in document({NAME: 26}, LIMITS)["paths"].items():
        for method in operations.keys() & {"get", "post"}:
            answer = client.request(method, path.replace("{name}", NAME), json={} if method == "post" else None)
            assert answer.status_code in (200, 400)
