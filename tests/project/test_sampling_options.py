"""A field of `SamplingParams` is an option everywhere: command line, Python, HTTP, OpenAPI, playground.

`check_engine` compares the engines with each option.
"""

import math
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from elman.apps.serve.app import describe_app
from elman.apps.serve.settings import Settings
from elman.cli import app
from elman.errors import ElmanError, flag
from elman.formats import page
from elman.network import SamplingParams
from elman.network.sampling import SamplingOption, SamplingOptions, create_sampling_params, list_sampling_options
from support.cli import Command, assert_refused
from support.random_model import random_prior_model
from support.server import NAME, error_of, serving, tiny
from support.state import TEXT

each_option = pytest.mark.parametrize("option", list_sampling_options(), ids=lambda option: option.name)


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with serving(tiny()) as client:
        yield client


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("model") / "model.safetensors"
    tiny().save(out)
    return out


def test_every_field_is_an_option() -> None:
    names = [each.name for each in fields(SamplingParams)]
    assert [option.name for option in list_sampling_options()] == names
    assert [*SamplingOptions.__annotations__] == names


@each_option
def test_its_default_has_no_effect_and_its_example_has_one(option: SamplingOption) -> None:
    o = np.random.default_rng(1).normal(0, 2, 30)
    before = SamplingParams().probabilities(o)
    values: list[Any] = [option.default, option.example]
    default, example = (SamplingParams(**{option.name: value}) for value in values)
    np.testing.assert_array_equal(default.probabilities(o), before)
    # Logits are weighted before they are passed.
    assert np.array_equal(example.probabilities(o), before) == (option.name == "ngram_weight")


@each_option
def test_it_is_a_keyword_argument(option: SamplingOption) -> None:
    options: Any = {option.name: option.default if option.name == "temperature" else option.example}
    model = random_prior_model(TEXT)
    text = model.sample(200, seed=1, **options)
    assert text == "".join(model.stream(200, seed=1, **options)) == model.samples(1, 200, seed=1, **options)[0]
    assert text != model.sample(200, seed=1)


@each_option
def test_its_range_is_checked(option: SamplingOption) -> None:
    below = option.minimum if option.exclusive else option.minimum - 1
    above = option.maximum + 1 if option.maximum < math.inf else math.inf
    for value in (below, math.nan, above):
        with pytest.raises(ElmanError, match=rf"{option.name} must be .* \(got {value}\)"):
            create_sampling_params({option.name: value})
    assert getattr(create_sampling_params({option.name: option.example}), option.name) == option.example


def test_an_option_that_does_not_exist() -> None:
    options: Any = {"temprature": 0.5}
    for call in (tiny().sample, tiny().stream, lambda **options: tiny().samples(2, **options)):
        with pytest.raises(TypeError, match="temprature"):
            call(**options)


@each_option
def test_it_is_on_the_command_line(option: SamplingOption) -> None:
    page = app.generate_docs()
    kind = "INT" if option.type is int else "FLOAT"
    assert f"* `{flag(option.name)} {kind}`: {option.help} *[default: {option.start}]*" in page


@each_option
def test_the_command_line_checks_it(option: SamplingOption, run: Path, command: Command) -> None:
    name = flag(option.name)
    assert_refused(command("sample", run, name, option.minimum - 1), f"error: {name} must be ")
    assert_refused(command("sample", run, "--beam", 3, name, option.example), f"cannot combine --beam with {name}")


@each_option
def test_it_is_an_argument_of_requests(option: SamplingOption, client: httpx.Client) -> None:
    body = {"model": NAME, "prompt": "the ", "max_tokens": 50, "seed": 1, option.name: option.example}
    (choice,) = client.post("/v1/completions", json=body).json()["choices"]
    options: Any = {"temperature": 1.0, option.name: option.example}
    assert choice["text"] == tiny().sample(50, prompt="the ", seed=1, **options)


@each_option
def test_requests_have_its_bounds(option: SamplingOption, client: httpx.Client) -> None:
    maximum = option.request_maximum
    kind = f"a valid {'integer' if option.type is int else 'number'}"
    wrong = [(option.minimum - 1, f"greater than or equal to {option.minimum:g}"), ("hot", kind), (True, kind)]
    wrong.append((maximum + 1, f"less than or equal to {maximum}"))
    for value, expected in wrong:
        error = error_of(client.post("/v1/completions", json={"model": NAME, option.name: value}), 400, "invalid_value")
        assert error["param"] == option.name
        assert error["message"] == f"{option.name} must be {expected} (got {value!r})"
    for value in (option.minimum, option.default, maximum):
        body = {"model": NAME, "max_tokens": 1, option.name: value}
        assert client.post("/v1/completions", json=body).status_code == 200


@each_option
def test_openapi_and_the_playground_describe_it(option: SamplingOption) -> None:
    schemas = describe_app({NAME: tiny()}, Settings())["components"]["schemas"]
    described = schemas["CompletionRequest"]["properties"][option.name]
    assert described["description"].startswith(option.help)
    schema = described["anyOf"][0]
    assert schema["type"] == ("integer" if option.type is int else "number")
    assert (schema["minimum"], schema["maximum"]) == (option.minimum, option.request_maximum)
    (found,) = (each for each in page.list_sampling_fields() if each["name"] == option.name)
    same = {name: getattr(option, name) for name in ("name", "label", "help", "default", "start", "minimum", "step")}
    maximum = min(page.MAX_NUMBER, option.request_maximum)
    assert found == {**same, "maximum": maximum}
