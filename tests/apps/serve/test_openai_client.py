"""The `openai` package as a client, over a real connection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from support.server import NAME, serving, tiny

if TYPE_CHECKING:
    import openai

PROMPT = "the rain"


@pytest.fixture(scope="module")
def client() -> Iterator[openai.OpenAI]:
    import openai  # takes a second, in every worker that collects the tests

    with (
        serving(api_key="sesame") as http,
        openai.OpenAI(base_url=f"{http.base_url}/v1", api_key="sesame", max_retries=0) as client,
    ):
        yield client


def test_a_completion_with_options_that_elman_adds(client: openai.OpenAI) -> None:
    added = {"top_k": 3, "min_p": 0.1}
    found = client.completions.create(
        model=NAME, prompt=PROMPT, max_tokens=50, seed=1, stop=[";", "\n"], logprobs=2, extra_body=added
    )
    (expected,) = tiny().samples(1, 50, prompt=PROMPT, seed=1, top_k=3, min_p=0.1, temperature=1)
    assert found.choices[0].text == min((expected.partition(stop)[0] for stop in ";\n"), key=len)
    assert found.usage is not None
    assert found.usage.completion_tokens == len(found.choices[0].text)
    logprobs = found.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.tokens == list(found.choices[0].text)


def test_a_stream(client: openai.OpenAI) -> None:
    texts, usage = ["", ""], None
    for event in client.completions.create(
        model=NAME, prompt=PROMPT, n=2, max_tokens=600, seed=3, stream=True, stream_options={"include_usage": True}
    ):
        for choice in event.choices:
            texts[choice.index] += choice.text
        usage = event.usage or usage
    assert texts == tiny().samples(2, 600, prompt=PROMPT, seed=3, temperature=1)
    assert usage is not None
    assert usage.completion_tokens == 1200
    with client.completions.create(model=NAME, prompt=PROMPT, max_tokens=10_000, stream=True) as stream:
        next(iter(stream))  # and it disconnects
    assert client.completions.create(model=NAME, prompt=PROMPT).choices[0].text


def test_models_and_errors(client: openai.OpenAI) -> None:
    import openai

    assert [model.id for model in client.models.list()] == [NAME]
    assert client.models.retrieve(NAME).owned_by == "elman"
    with pytest.raises(openai.NotFoundError, match="model 'sunny' not found") as not_found:
        client.completions.create(model="sunny", prompt=PROMPT)
    assert (not_found.value.code, not_found.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError, match=r"'Q' \(U\+0051\) is not among the model's 26 characters"):
        client.completions.create(model=NAME, prompt="Quick")
    with pytest.raises(openai.AuthenticationError, match="missing or invalid API key"):
        client.with_options(api_key="wrong").models.list()
