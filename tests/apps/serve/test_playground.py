"""The playground's endpoints: what they report about every character, and errors."""

import base64
import json
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import httpx
import numpy as np
import pytest

from elman.apps.explain.explanation import dequantize
from elman.apps.serve.app import create_app
from elman.apps.serve.settings import Settings
from elman.network import SamplingParams
from elman.network.bptt import loss
from elman.text import Corpus
from support import reference_impl
from support.cells import COMPILED_CELLS
from support.random_model import random_model, random_prior_model
from support.server import NAME, error_of, listening, serving, tiny
from support.state import TEXT, generate
from support.training import train

PROMPT = "the rain"
M = 6


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with serving(max_tokens=1000, max_characters=1500) as client:
        yield client


def post(client: httpx.Client, path: str, **body: Any) -> tuple[list[Any], list[Any], Any]:
    """Return the entries of characters, the activations at each, and the end."""
    response = client.post(path, json={"model": NAME} | body)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/x-ndjson"
    *chunks, end = [json.loads(line) for line in response.text.splitlines()]
    entries = [entry for chunk in chunks for entry in chunk["characters"]]
    codes = np.frombuffer(b"".join(base64.b64decode(chunk["units"]) for chunk in chunks), np.uint8)
    return entries, [*dequantize(codes.reshape(len(entries), -1))], end["end"]


def play(client: httpx.Client, **body: Any) -> tuple[list[Any], list[Any]]:
    """Return the entries of the prompt and the generated text, and the activations."""
    entries, units, end = post(client, "/api/play", **{"prompt": PROMPT, "max_tokens": 40, "seed": 3} | body)
    assert end == {"generated": body.get("max_tokens", 40)}
    return entries, units


def text(entries: list[Any]) -> str:
    return "".join(entry["character"] for entry in entries)


def forward(read: str) -> Any:
    """Return what the naive implementation computes at every character."""
    return reference_impl.forward(tiny().parameters, tiny().state.recurrent, tiny().alphabet.encode(read))


def as_given(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the entry of a character as if it had been part of the request."""
    alternatives = [[character, p, None] for character, p, _ in entry["alternatives"]]
    return entry | {"sampling_probability": None, "alternatives": alternatives}


def probabilities(read: str) -> reference_impl.Array:
    """Return the naive implementation's p of every character after each of `read`."""
    return np.array(forward(read)[1][1:])


def test_the_text_is_that_of_the_python_api(client: httpx.Client) -> None:
    entries, _ = play(client, max_tokens=600, temperature=0.8, top_k=9)
    assert text(entries) == PROMPT + tiny().sample(600, prompt=PROMPT, seed=3, temperature=0.8, top_k=9)
    entries, _ = play(client, prompt="")
    assert text(entries) == tiny().sample(40, seed=3)
    assert entries[0]["probability"] is not None  # the line feed that is read in place of a prompt is not reported


def test_every_character_has_its_probability_and_alternatives(client: httpx.Client) -> None:
    entries, _ = play(client)
    p, characters = probabilities(text(entries)), tiny().alphabet.characters
    nothing: dict[str, Any] = {"probability": None, "bits": None, "sampling_probability": None, "alternatives": []}
    assert entries[0] == {"character": "t"} | nothing
    for entry, row in zip(entries[1:], p, strict=False):
        expected = row[characters.index(entry["character"])]
        assert entry["probability"] == pytest.approx(expected, rel=1e-3)
        assert entry["bits"] == pytest.approx(-np.log2(expected), abs=1e-3)
        best = np.argsort(-row)[:5]
        assert [character for character, _, _ in entry["alternatives"]] == [characters[k] for k in best]
        assert [p for _, p, _ in entry["alternatives"]] == pytest.approx(row[best].tolist(), rel=1e-3)
    for entry in entries[len(PROMPT) :]:  # at temperature 1 and without limits
        assert entry["sampling_probability"] == entry["probability"]
        assert all(p == p_sampled for _, p, p_sampled in entry["alternatives"])


def test_sampling_probabilities_are_0_for_what_the_options_exclude(client: httpx.Client) -> None:
    entries, _ = play(client, temperature=0.5, top_k=2)
    sampled, p = entries[len(PROMPT) :], probabilities(text(entries))[len(PROMPT) - 1 :]
    for entry, row in zip(sampled, p, strict=False):
        two = np.sort(row)[::-1][:2] ** 2  # a temperature of a half squares them
        found = [p_sampled for _, _, p_sampled in entry["alternatives"]]
        assert found == pytest.approx([*(two / two.sum()), 0, 0, 0], rel=2e-3)
        assert entry["sampling_probability"] in found[:2]
    assert {entry["sampling_probability"] for entry in entries[: len(PROMPT)]} == {None}


def test_sampling_probabilities_are_unknown_with_another_weight_of_the_prior(client: httpx.Client) -> None:
    entries, _ = play(client, ngram_weight=0.5)
    assert {entry["sampling_probability"] for entry in entries} == {None}
    assert {p_sampled for entry in entries for _, _, p_sampled in entry["alternatives"]} == {None}


def test_activations_are_those_after_the_character(client: httpx.Client) -> None:
    entries, units = play(client, units=[4, 0])
    h = np.array(forward(text(entries))[0])[1:]
    assert len(units) == len(entries) == len(h)
    np.testing.assert_allclose(np.array(units), h[:, [4, 0]], atol=0.01)  # one byte each


def test_generated_text_is_continued_as_it_was(client: httpx.Client) -> None:
    whole, units = play(client, max_tokens=300, units=[1])
    n = len(PROMPT) + 100
    rest, others = play(client, max_tokens=200, units=[1], generated=text(whole)[len(PROMPT) : n])
    assert as_given(rest[0]) == as_given(whole[n - 1])  # the last one, which may have been replaced
    assert rest[1:] == whole[n:]
    np.testing.assert_array_equal(np.array(others), np.array(units)[n - 1 :])


def test_a_replaced_character_is_continued_with_the_same_random_numbers(client: httpx.Client) -> None:
    whole, _ = play(client, max_tokens=200)
    before = text(whole)[len(PROMPT) :]
    here = next(i for i in range(20, 100) if before[i] != "x")
    changed, _ = play(client, max_tokens=100, generated=before[:here] + "x")
    assert changed[0]["character"] == "x"
    assert as_given(changed[0])["alternatives"] == as_given(whole[len(PROMPT) + here])["alternatives"]
    model, read, generator = tiny(), PROMPT + before[:here] + "x", np.random.default_rng(3)
    generator.random(here + 1)
    indices = model.alphabet.encode(read)
    _, state = loss(model.parameters, model.state, indices[:-1], indices[1:])
    expected, _ = generate(model.engine, model.parameters, state, int(indices[-1]), generator.random(100))
    assert text(changed[1:]) == model.alphabet.decode(expected)
    unchanged, _ = play(client, max_tokens=3, prompt="", generated=TEXT)
    assert text(unchanged[:1]) == TEXT[-1]


def test_reading_reports_the_surprisal_of_eval(client: httpx.Client) -> None:
    entries, units, end = post(client, "/api/read", text=TEXT * 10, units=[*range(M)])
    assert text(entries) == TEXT * 10
    assert len(units) == len(entries)
    bits = pytest.approx(tiny().score(TEXT * 10).bits_per_char, rel=1e-9)
    assert end == {"read": len(entries), "bits_per_char": bits}
    assert np.mean([entry["bits"] for entry in entries[1:]]) == pytest.approx(end["bits_per_char"], abs=1e-3)
    assert {entry["sampling_probability"] for entry in entries} == {None}
    entries, _, end = post(client, "/api/read", text="t")
    assert (len(entries), end["bits_per_char"]) == (1, None)


def test_the_cell_state_of_an_lstm_is_reported_as_its_tanh() -> None:
    model = random_model("abc", "lstm", 2)
    prompt = model.alphabet.encode("abcabcab")
    _, states = model.engine.session(model.parameters).logits(model.state.reshape(1), prompt[:, None])
    h = states.recurrent[:, 0]
    with serving(model) as client:
        _, units, _ = post(client, "/api/read", text="abcabcab", units=[*range(16)])
    expected = np.where(np.arange(16) // 4 % 2 == 1, np.tanh(h), h)
    np.testing.assert_allclose(np.array(units), expected, atol=0.01)


def test_the_models_are_described() -> None:
    with serving(random_model("ab\n", "lstm", 2), max_tokens=7, max_characters=90) as client:
        response = client.get("/api/models").json()
    names = {"hidden": "hidden state", "memory": "cell state"}
    units = [{"layer": n, "part": part, "name": name, "count": 4} for n in (1, 2) for part, name in names.items()]
    model = {"id": NAME, "cell": "lstm", "cell_title": "LSTM", "layers": 2, "hidden_size": 4}
    alphabet = {"characters": ["a", "b", "\n"], "has_unknown": False, "symbols": {}, "first": "\n"}
    assert [option["name"] for option in response.pop("sampling")] == [each.name for each in fields(SamplingParams)]
    assert response == {
        "models": [model | alphabet | {"units": units}],
        "limits": {"length": 7, "read": 7, "request": 90, "units": 256},
    }


@pytest.mark.parametrize("cell", COMPILED_CELLS)
def test_the_characters_in_the_state_of_a_prior_are_no_units(cell: str) -> None:
    model = random_prior_model(TEXT, cell, layers=2, order=3)
    S = model.parameters.architecture.state_size
    with serving(model) as client:
        (described,) = client.get("/api/models").json()["models"]
        assert sum(group["count"] for group in described["units"]) == S
        response = client.post("/api/read", json={"text": PROMPT, "units": [S]})
        message = error_of(response, 400, "invalid_value")["message"]
        assert message == f"units must be less than {S} (got [{S}])"
        _, units, end = post(client, "/api/read", text=PROMPT, units=[0, S - 1])
        assert np.shape(units) == (len(PROMPT), 2)
        assert np.abs(np.array(units)).max() <= 1
        assert end["bits_per_char"] == pytest.approx(model.score(PROMPT).bits_per_char, rel=1e-5)
        assert text(play(client, units=[S - 1])[0]).startswith(PROMPT)


def test_counts_have_no_units() -> None:
    model = train(Corpus.from_text(TEXT), preset="counts", validation=0).model
    for models in ({NAME: model}, {NAME: model, "network": tiny()}):
        with listening(create_app(models, Settings())) as client:
            response = client.post("/api/read", json={"model": NAME, "text": PROMPT, "units": [0]})
        assert error_of(response, 400, "invalid_value")["message"].startswith("units must have at most 0 items ")


def test_any_character_can_be_sent_and_received() -> None:
    characters = "".join(dict.fromkeys("</script>\0\x1b\u202e\u2028\udc80\ud800\u0301\n😀س"))
    with serving(random_model(characters)) as client:
        body = json.dumps({"text": characters})
        response = client.post("/api/read", content=body, headers={"content-type": "application/json"})
        assert response.content.isascii()
        *chunks, _ = [json.loads(line) for line in response.text.splitlines()]
        assert [entry["character"] for chunk in chunks for entry in chunk["characters"]] == list(characters)
        assert client.get("/api/models").json()["models"][0]["characters"] == list(characters)


def test_an_alphabet_smaller_than_the_list_of_alternatives() -> None:
    for characters, prompt, counts in (("ab", "a", [0, 2, 2, 2, 2, 2]), ("a", "", [1] * 5)):
        with serving(random_model(characters)) as client:
            entries, _, _ = post(client, "/api/play", prompt=prompt, max_tokens=5)
            assert [len(entry["alternatives"]) for entry in entries] == counts
    assert entries[0]["bits"] == 0


def test_numbers_that_are_not_finite_are_a_status_or_the_last_line() -> None:
    model = random_model("abc")
    model.parameters["c"][:] = np.nan
    with serving(model) as client:
        error_of(client.post("/api/play", json={"prompt": "a", "max_tokens": 5}), 500, "not_finite")
    parameters = tiny().parameters.map(np.zeros_like)
    parameters["V"][:] = 1e308
    parameters["U"][:, tiny().alphabet.encode("r")] = 9  # all units are 1 then, and 6e308 is more than a number
    with serving(replace(tiny(), parameters=parameters, state=tiny().state.reset())) as client:
        response = client.post("/api/read", json={"text": "t" * 300 + "r"})
    *chunks, last = map(json.loads, response.text.splitlines())
    assert response.status_code == 200
    assert 0 < sum(len(chunk["characters"]) for chunk in chunks) <= 300
    assert last["error"]["code"] == "not_finite"


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        *(("/api/play", body, "prompt") for body in ({"prompt": [1, 2]}, {"prompt": "é"})),
        *(("/api/play", {"units": units}, "units") for units in ([M], [-1], "all", [0] * 257, [True])),
        ("/api/play", {"stop": "a"}, "stop"),
        ("/api/play", {"generated": "é"}, "generated"),
        ("/api/play", {"max_tokens": 900, "generated": "a" * 700}, "max_tokens"),
        *(("/api/read", body, "text") for body in ({}, {"text": ""}, {"text": "a" * 1001}, {"text": "aé"})),
        ("/api/read", {"text": "a", "seed": 1}, "seed"),
    ],
)
def test_an_invalid_request(client: httpx.Client, path: str, body: dict[str, Any], param: str) -> None:
    response = client.post(path, json=body)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)
