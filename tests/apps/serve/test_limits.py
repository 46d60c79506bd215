"""Any value of any argument of a request is used or rejected with 400, and no request has an effect on another.

The arguments follow from the OpenAPI document, so a new one is covered.
"""

import asyncio
import itertools
import json
import math
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from threading import Event
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from apps.serve.test_batcher import batching, begin, finished, prepare
from elman.apps.serve.app import describe_app
from elman.apps.serve.requests import CompletionRequest, create_request_types
from elman.apps.serve.responses import APIError
from elman.apps.serve.sequence import GenerationJob
from elman.apps.serve.settings import Settings
from elman.model import Model
from elman.text import Corpus
from support.server import NAME, error_of, serving
from support.state import TEXT, T
from support.training import train
from support.wrong_values import NUMBERS

LIMITS: dict[str, Any] = {"max_tokens": 400, "max_characters": 1600}
OTHERS = ["true", "null", '""', '"x"', r'"\ud800"', r'"\u0000"', "[]", "{}", "[[]]", "[null]", '{"a":1}', "[1e400]"]
VICTIM = {"model": NAME, "prompt": TEXT[:20], "max_tokens": 400, "seed": 5, "temperature": 1.0, "logprobs": 1}


@cache
def model() -> Model:
    """Return a model whose results do not depend on the batch, bit for bit: one of the compiled engine."""
    return train(Corpus.from_text(TEXT), hidden_size=6, seq_length=T, ngram_order=3, max_updates=20).model


def list_arguments(document: dict[str, Any]) -> Iterator[tuple[str, str, set[float]]]:
    """Yield the path, the name and the limits of every argument of a request body."""
    for path, methods in document["paths"].items():
        if "requestBody" in methods.get("post", {}):
            (content,) = methods["post"]["requestBody"]["content"].values()
            schema = document["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
            for name, described in schema["properties"].items():
                yield path, name, set(find_limits(described))


def find_limits(schema: Any) -> Iterator[float]:
    if isinstance(schema, dict):
        for key, each in schema.items():
            if key in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "maxLength", "maxItems"):
                yield each
            yield from find_limits(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from find_limits(each)


def list_values(limits: set[float]) -> Iterator[str]:
    """Yield JSON texts: numbers at and beyond the limits, extreme ones, each also in lists, and other types."""
    near = [each + step for each in limits for step in (-1, 0, 1)]
    near += [math.nextafter(each, sign) for each in limits for sign in (-math.inf, math.inf)]
    for number in dict.fromkeys([*near, *NUMBERS]):
        is_long = isinstance(number, int) and number > 10**4000  # Python converts fewer digits
        text = 5001 * "9" if is_long else json.dumps(number)
        yield from (text, f"[{text}]", f"[[{text}]]")
    yield from ("1e400", "-1e400", "1E-400", "0x1", *OTHERS)


def list_numbers(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield the schemas of numbers, but not of those in a dictionary that must be empty."""
    if isinstance(schema, dict) and schema.get("maxProperties") != 0:
        if schema.get("type") in ("integer", "number"):
            yield schema
        for each in schema.values():
            yield from list_numbers(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from list_numbers(each)


def test_every_number_has_limits() -> None:
    schemas = describe_app({NAME: model()}, Settings(**LIMITS))["components"]["schemas"]
    numbers = [*list_numbers({name: schema for name, schema in schemas.items() if name.endswith("Request")})]
    assert len(numbers) > 15
    for number in numbers:
        assert {"minimum", "exclusiveMinimum"} & number.keys(), number
        assert {"maximum", "exclusiveMaximum"} & number.keys(), number


@pytest.mark.parametrize(
    "value", [[-1] * 300_000, [["a", -1]] * 100, [[-1] * 1000] * 100], ids=["one", "texts", "many"]
)
def test_a_list_of_wrong_numbers_has_few_errors(value: list[Any]) -> None:
    """Each error has a message and its input: a megabyte of wrong numbers would stop the server for seconds."""
    kind = create_request_types({NAME: model()}, Settings())[CompletionRequest]
    with pytest.raises(ValidationError) as caught:
        kind.model_validate({"prompt": value})
    assert caught.value.error_count() < 10


def test_rogue_requests_are_answered_and_have_no_effect_on_others() -> None:
    document, done = describe_app({NAME: model()}, Settings(**LIMITS)), Event()
    bodies = [
        (path, f'{{"model": "{NAME}", "max_tokens": 3, "prompt": "the", "{name}": {value}}}')
        if path == "/v1/completions"
        else (path, f'{{"model": "{NAME}", "{name}": {value}}}')
        for path, name, limits in list_arguments(document)
        for value in list_values(limits)
    ]
    random.Random(1).shuffle(bodies)
    assert len(bodies) > 2000
    with serving(model(), **LIMITS) as client:
        expected = client.post("/v1/completions", json=VICTIM).json()["choices"]

        def be_served() -> int:
            for count in itertools.count(1):
                assert client.post("/v1/completions", json=VICTIM).json()["choices"] == expected
                if done.is_set():
                    return count
            raise AssertionError

        def be_answered(path: str, body: str) -> None:
            response = client.post(path, content=body, headers={"content-type": "application/json"})
            is_model = response.status_code == 404 and response.json()["error"]["param"] == "model"
            assert response.status_code in (200, 400) or is_model, (path, body[:200], response.text)
            if response.status_code != 200:
                error_of(response, response.status_code, response.json()["error"]["code"])

        with ThreadPoolExecutor(6) as pool:
            victims = [pool.submit(be_served) for _ in range(2)]
            try:
                for _ in pool.map(lambda each: be_answered(*each), bodies):
                    pass
            finally:
                done.set()
            assert min(victim.result() for victim in victims) > 10


def test_paths_and_queries_are_answered() -> None:
    with serving(model(), **LIMITS) as client:
        for text in ("9" * 5000, "-1", "nan", "%00", "%ED%A0%80", "a/b", "..%2f"):
            for path in (f"/v1/models/{text}", f"/models/{text}", f"/tokenizer_info?model={text}"):
                with suppress(httpx.InvalidURL):
                    assert client.get(path).status_code in (400, 404), path


# --- The engine raises for one sequence ---

ROGUE = {"prompt": ";;;;;;;;;", "top_k": 77, "seed": 3, "max_tokens": 40}


def raise_in_engine(served: Any, error: Exception) -> None:
    """Raise in every call of the engine to generate for the rogue."""
    generate_text = served.batcher._session.generate

    def generate(states: Any, x: Any, uniforms: Any, sampling: Any) -> Any:
        if any(each.top_k == 77 for each in sampling):
            raise error
        return generate_text(states, x, uniforms, sampling)

    served.batcher._session = SimpleNamespace(generate=generate)


def raise_in_prompts(served: Any, error: Exception) -> None:
    """Raise in every call of the engine that reads the rogue's prompt."""
    read, semicolon = served.batcher._prompt_session.logits, served.model.alphabet.encode(";")[0]

    def logits(states: Any, x: Any) -> Any:
        if (x == semicolon).any():
            raise error
        return read(states, x)

    served.batcher._prompt_session = SimpleNamespace(logits=logits)


def raise_in(part: str, method: str) -> Callable[[GenerationJob, Exception], None]:
    def patch(job: GenerationJob, error: Exception) -> None:
        def fail(*_: Any) -> Any:
            raise error

        setattr(job.sequences[-1].prompt if part == "prompt" else job.sequences[-1], method, fail)

    return patch


def raise_in_counts(job: GenerationJob, error: Exception) -> None:
    """Raise where the prompt gets counts of its own."""
    for sequence in job.sequences:
        sequence.prompt.is_counted = True
        sequence.state = None  # type: ignore[assignment]  # which has no method `count`


IN_ENGINE = (raise_in_engine, raise_in_prompts)
METHODS = (("prompt", "advance"), ("prompt", "next_chunk"), ("", "append"), ("", "advance_prompt"))
IN_SEQUENCE = (raise_in_counts, *(raise_in(*each) for each in METHODS))
ERRORS: list[type[Exception]] = [ValueError, OverflowError, MemoryError, KeyError]


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_exception_of_a_sequence_fails_its_request_alone(caplog: pytest.LogCaptureFixture) -> None:
    asks = [{"prompt": TEXT[:n], "seed": n, "max_tokens": 50 + n, "temperature": 0.9} for n in range(1, 8)]
    async with batching(model()) as served:
        expected = [await finished(begin(served, **ask)) for ask in asks]
    for kind, (place, error) in enumerate(itertools.product((*IN_ENGINE, *IN_SEQUENCE), ERRORS)):
        async with batching(model(), max_batch_size=3 + kind % 20) as served:
            if place in IN_ENGINE:
                place(served, error("rogue"))
            jobs, rogues = list[GenerationJob](), list[GenerationJob]()
            for n, ask in enumerate(asks):
                jobs.append(begin(served, **ask))
                if n % 3 == kind % 3:
                    rogues.append(prepare(served, **ROGUE, n=1 + kind % 4))
                    if place in IN_SEQUENCE:
                        place(rogues[-1], error("rogue"))
                    served.batcher.submit(rogues[-1])
                if n % 2:
                    await asyncio.sleep(0.002)
            assert await asyncio.gather(*map(finished, jobs)) == expected
            for rogue in rogues:
                with pytest.raises(APIError, match="generation failed"):
                    await finished(rogue)
            assert len((await finished(begin(served)))[0]) == 16
    assert "rogue" in caplog.text
