"""The documentation of the server: its examples run, and it names everything that is served."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from elman.apps.serve.app import create_app
from elman.apps.serve.requests import MAX_LOGPROBS, MAX_N, MAX_PROMPTS, MAX_STOPS
from elman.apps.serve.settings import Settings
from support.server import listening, tiny
from support.state import ROOT

PAGE = (ROOT / "docs" / "how_to" / "serve.md").read_text("utf-8")
HTTP_API, METRICS = ((ROOT / f"docs/reference/{name}.md").read_text("utf-8") for name in ("http_api", "metrics"))
EXAMPLES: list[tuple[str, str]] = re.findall(r"<!-- run -->\n```(\w+)\n(.*?)```", PAGE, re.DOTALL)
assert [language for language, _ in EXAMPLES] == ["sh", "python"]

COMMANDS = {
    "sh": ("curl", "sh", "-ec"),
    "python": (sys.executable, sys.executable, "-c"),
}
"""Language -> the program that an example needs, and the command that runs the example."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with listening(create_app({"novel": tiny()}, Settings())) as client:
        yield str(client.base_url)


@pytest.mark.parametrize(("language", "code"), EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example(address: str, language: str, code: str) -> None:
    program, *command = COMMANDS[language]
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    assert "http://127.0.0.1:8000" in code
    code = code.replace("http://127.0.0.1:8000", address)
    ended = subprocess.run([*command, code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert len(ended.stdout) > 200
    assert '"error"' not in ended.stdout


def test_endpoints_and_metrics_are_documented(address: str) -> None:
    document = httpx.get(f"{address}/openapi.json").json()
    assert not [path for path in document["paths"] if f" {path}`" not in HTTP_API]
    families = [*text_string_to_metric_families(httpx.get(f"{address}/metrics").text)]
    names = [one.name + ("_total" if one.type == "counter" else "") for one in families]
    own = [name for name in names if name.startswith("elman_") and not name.endswith("_created")]
    assert len(own) == 9
    assert not [name for name in own if f"`{name}`" not in METRICS]


def test_the_limits_in_the_docs() -> None:
    assert f"after {Settings().send_timeout:g} seconds it is disconnected" in PAGE
    for said in (
        f"list of up to {MAX_PROMPTS} strings",
        f"| `n` | integer 1 to {MAX_N} |",
        f"list of up to {MAX_STOPS} strings",
        f"| `logprobs` | integer 0 to {MAX_LOGPROBS} |",
    ):
        assert said in HTTP_API, said
