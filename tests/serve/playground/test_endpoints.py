"""The playground's endpoints: what they report about every character, access and errors."""

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import httpx
import numpy as np
import pytest

from elman.interpret.explanation import dequantize
from elman.network import SamplingParams
from elman.serve.http.responses import STATIC
from elman.serve.playground.endpoints import PLAYGROUND_PATHS
from elman.serve.playground.inspection import (
    MAX_CHUNK,
    InspectedSequence,
    SessionPool,
    inspect_generation,
    inspect_text,
)
from support import reference_impl
from support.random_model import random_model, random_prior_model
from support.server import NAME, SlowClient, complete, get_metric, serving, tiny, wait_for_metric
from support.state import TEXT

PROMPT = "the rain"
TEXT_ALPHABET = "".join(sorted(set(TEXT)))
M = 6


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    """A client of a server with small limits."""
    with serving(max_tokens=1000, max_characters=1500) as client:
        yield client


def post(client: httpx.Client, path: str, **body: Any) -> tuple[list[Any], list[Any], Any]:
    """Return the entries of characters, the activations at each, and the end."""
    answer = client.post(path, json={"model": NAME} | body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    *parts, end = [json.loads(line) for line in answer.text.splitlines()]
    places = [place for part in parts for place in part["characters"]]
    codes = np.frombuffer(b"".join(base64.b64decode(part["units"]) for part in parts), np.uint8)
    return places, [*dequantize(codes.reshape(len(places), -1))], end["end"]


def play(client: httpx.Client, **body: Any) -> tuple[list[Any], list[Any]]:
    """Return the entries of the prompt and the generated text, and the activations."""
    places, units, end = post(client, "/api/play", **{"prompt": PROMPT, "max_tokens": 40, "seed": 3} | body)
    assert end == {"written": body.get("max_tokens", 40)}
    return places, units


def text(places: list[Any]) -> str:
    return "".join(place["character"] for place in places)


def given(place: dict[str, Any]) -> dict[str, Any]:
    """Return the entry of a character as if it had been given."""
    return place | {"chance": None, "likeliest": [[*listed[:2], None] for listed in place["likeliest"]]}


def probabilities(read: str) -> reference_impl.Array:
    """Return the naive implementation's p of every character after each of `read`."""
    return np.array(reference_impl.forward(tiny().parameters, tiny().h, tiny().alphabet.encode(read))[1][1:])


def refusal(answer: httpx.Response) -> tuple[int, str, str | None]:
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["param"]


# --- Generation ---


def test_the_text_is_the_one_that_the_model_writes(client: httpx.Client) -> None:
    places, _ = play(client, max_tokens=600, temperature=0.8, top_k=9)
    expected = tiny().sample(600, prompt=PROMPT, seed=3, temperature=0.8, top_k=9)
    assert text(places) == PROMPT + expected


def test_without_a_prompt_a_line_begins_and_the_line_feed_is_not_told(client: httpx.Client) -> None:
    places, _ = play(client, prompt="")
    assert text(places) == tiny().sample(40, seed=3)
    assert places[0]["probability"] is not None


def test_length_is_an_alias_of_max_tokens(client: httpx.Client) -> None:
    places, _, end = post(client, "/api/play", prompt=PROMPT, length=7, seed=3)
    assert (text(places), end) == (text(play(client, max_tokens=7)[0]), {"written": 7})


def test_without_a_seed_texts_differ(client: httpx.Client) -> None:
    assert text(play(client, seed=None)[0]) != text(play(client, seed=None)[0])


def test_every_place_tells_what_the_network_held_likely(client: httpx.Client) -> None:
    places, _ = play(client)
    p, characters = probabilities(text(places)), tiny().alphabet.characters
    assert places[0] == {"character": "t", "probability": None, "bits": None, "chance": None, "likeliest": []}
    for place, row in zip(places[1:], p, strict=False):
        own = row[characters.index(place["character"])]
        assert place["probability"] == pytest.approx(own, rel=1e-3)
        assert place["bits"] == pytest.approx(-np.log2(own), abs=1e-3)
        best = np.argsort(-row)[:5]
        assert [listed[0] for listed in place["likeliest"]] == [characters[k] for k in best]
        assert [listed[1] for listed in place["likeliest"]] == pytest.approx(row[best].tolist(), rel=1e-3)


def test_chances_are_those_of_the_draw_and_0_for_what_was_left_out(client: httpx.Client) -> None:
    places, _ = play(client, temperature=0.5, top_k=2)
    drawn, p = places[len(PROMPT) :], probabilities(text(places))[len(PROMPT) - 1 :]
    for place, row in zip(drawn, p, strict=False):
        two = np.sort(row)[::-1][:2] ** 2  # a temperature of a half squares them
        listed = [chance for _, _, chance in place["likeliest"]]
        assert listed == pytest.approx([*(two / two.sum()), 0, 0, 0], rel=2e-3)
        assert place["chance"] in listed[:2]
    assert {place["chance"] for place in places[: len(PROMPT)]} == {None}


def test_undisturbed_what_is_drawn_from_is_what_the_network_holds_likely(client: httpx.Client) -> None:
    places, _ = play(client)
    assert all(place["chance"] == place["probability"] for place in places[len(PROMPT) :])
    assert all(p == chance for place in places[len(PROMPT) :] for _, p, chance in place["likeliest"])


def test_the_characters_in_the_state_of_a_prior_are_no_units() -> None:
    with serving(random_model(TEXT_ALPHABET, "gru", m=M, ngram_order=3)) as client:
        _, units = play(client, units=[*range(M)])
        assert np.abs(np.array(units)).max() <= 1
        answer = client.post("/api/play", json={"model": NAME, "prompt": PROMPT, "units": [M]})
        assert answer.status_code == 400
        assert f"units must be from 0 to {M - 1} for this model (got {M})" in answer.text


def test_units_are_told_as_they_are_once_the_character_is_read(client: httpx.Client) -> None:
    places, units = play(client, units=[4, 0])
    h = np.array(reference_impl.forward(tiny().parameters, tiny().h, tiny().alphabet.encode(text(places)))[0])[1:]
    assert len(units) == len(places) == len(h)
    np.testing.assert_allclose(np.array(units), h[:, [4, 0]], atol=0.01)  # one byte each


# --- Continuation ---


def test_what_was_written_goes_on_as_it_did(client: httpx.Client) -> None:
    whole, units = play(client, max_tokens=300, units=[1])
    n = len(PROMPT) + 100
    rest, others = play(client, max_tokens=200, units=[1], written=text(whole)[len(PROMPT) : n])
    assert given(rest[0]) == given(whole[n - 1])  # the last of what was written, which may be another than was drawn
    assert rest[1:] == whole[n:]
    np.testing.assert_array_equal(np.array(others), np.array(units)[n - 1 :])


def test_another_character_leads_elsewhere_by_the_same_dice(client: httpx.Client) -> None:
    whole, _ = play(client, max_tokens=200)
    before = text(whole)[len(PROMPT) :]
    here = next(i for i in range(20, 100) if before[i] != "x")
    changed, _ = play(client, max_tokens=100, written=before[:here] + "x")
    assert changed[0]["character"] == "x"
    assert given(changed[0])["likeliest"] == given(whole[len(PROMPT) + here])["likeliest"]
    generator, sequence = np.random.default_rng(3), InspectedSequence(SessionPool(tiny()), [])
    generator.random(here + 1)
    sequence.read(tiny().alphabet.encode(PROMPT + before[:here] + "x"))
    assert text(changed[1:]) == tiny().alphabet.decode(
        sequence.generate(generator.random(100), SamplingParams()).characters
    )


def test_a_text_does_not_depend_on_how_it_is_cut() -> None:
    prompt = tiny().alphabet.encode(TEXT * 5)
    cut = [*inspect_text(InspectedSequence(SessionPool(tiny()), [0]), prompt)]
    assert len(cut) == -(-len(prompt) // MAX_CHUNK)
    sequence = InspectedSequence(SessionPool(tiny()), [0])
    single = [sequence.read(prompt[i : i + 1]) for i in range(len(prompt))]
    for name in ("characters", "activations"):
        one, other = (np.concatenate([getattr(part, name) for part in parts]) for parts in (cut, single))
        np.testing.assert_array_equal(one, other)
    logprobs = ([part.logprobs for part in parts] for parts in (cut, single))
    one, other = (np.concatenate([known.logprobs for known in each]) for each in logprobs)
    np.testing.assert_array_equal(one, other)


def test_texts_take_readers_in_turns() -> None:
    sessions = SessionPool(tiny())
    with sessions.acquire() as first, sessions.acquire() as second:
        assert first is not second
    with sessions.acquire() as again:
        assert again in (first, second)
    for sequence in [InspectedSequence(sessions, []) for _ in range(5)]:
        sequence.read(tiny().alphabet.encode(PROMPT))
    with sessions.acquire() as third, sessions.acquire() as fourth:
        assert {third, fourth} == {first, second}


def test_what_is_known_is_read_without_being_told() -> None:
    alphabet, generator = tiny().alphabet, np.random.default_rng(0)
    prompt, before = alphabet.encode(TEXT * 5), alphabet.encode(TEXT * 4)
    parts = [
        *inspect_generation(InspectedSequence(SessionPool(tiny()), []), prompt, before, 20, SamplingParams(), generator)
    ]
    assert [part is None for part in parts] == [True, True, True, True, False, False, False]
    assert [len(part.characters) for part in parts if part] == [1, 16, 4]


# --- Reading ---


def test_reading_tells_the_surprise_that_eval_tells(client: httpx.Client) -> None:
    places, units, end = post(client, "/api/read", text=TEXT * 10, units=[*range(M)])
    assert text(places) == TEXT * 10
    assert len(units) == len(places)
    assert end == {"read": len(places), "bits_per_char": pytest.approx(tiny().score(TEXT * 10).bits_per_char, rel=1e-9)}
    assert np.mean([place["bits"] for place in places[1:]]) == pytest.approx(end["bits_per_char"], abs=1e-3)
    assert {place["chance"] for place in places} == {None}


def test_a_single_character_surprises_nobody(client: httpx.Client) -> None:
    places, _, end = post(client, "/api/read", text="t")
    assert (len(places), end["bits_per_char"]) == (1, None)


# --- Kinds of models and texts ---


def test_the_memory_of_an_lstm_is_told_as_its_tanh() -> None:
    model = random_model("abc", "lstm", 2)
    prompt = model.alphabet.encode("abcabcab")
    o, states = model.engine.session(model.parameters).logits(model.h[None], prompt[:, None])
    assert o.shape == (8, 1, 3)
    (part,) = inspect_text(InspectedSequence(SessionPool(model), range(16)), prompt)
    memory = np.arange(16) // 4 % 2 == 1
    np.testing.assert_allclose(
        dequantize(part.activations), np.where(memory, np.tanh(states[:, 0]), states[:, 0]), atol=0.01
    )


def test_what_is_served_is_described() -> None:
    with serving(random_model("ab\n", "lstm", 2), max_tokens=7, max_characters=90) as client:
        answer = client.get("/api/models").json()
    names = {"hidden": "hidden state", "memory": "cell state"}
    part = [{"layer": n, "part": kind, "name": name, "count": 4} for n in (1, 2) for kind, name in names.items()]
    about = {
        "id": NAME,
        "cell": "lstm",
        "cell_title": "LSTM",
        "layers": 2,
        "hidden_size": 4,
        "characters": ["a", "b", "\n"],
    }
    assert [option["name"] for option in answer.pop("sampling")] == [each.name for each in fields(SamplingParams)]
    assert answer == {
        "models": [about | {"folds": False, "first": "\n", "units": part}],
        "limits": {"length": 7, "read": 7, "request": 90, "units": 256},
    }


def test_hostile_characters_come_whole() -> None:
    characters = "".join(dict.fromkeys("</script>\0\x1b\u202e\u2028\udc80\ud800\u0301\n😀س"))
    with serving(random_model(characters)) as client:
        body = json.dumps({"model": NAME, "text": characters})
        answer = client.post("/api/read", content=body, headers={"content-type": "application/json"})
        assert answer.content.isascii()
        (part, _) = [json.loads(line) for line in answer.text.splitlines()]
        assert [place["character"] for place in part["characters"]] == list(characters)
        assert client.get("/api/models").json()["models"][0]["characters"] == list(characters)


def test_an_alphabet_smaller_than_the_list() -> None:
    with serving(random_model("ab")) as client:
        places, _, _ = post(client, "/api/play", prompt="a", max_tokens=5)
        assert [len(place["likeliest"]) for place in places] == [0, 2, 2, 2, 2, 2]
    with serving(random_model("a")) as client:
        places, _, _ = post(client, "/api/play", prompt="", max_tokens=5)
        assert text(places) == "aaaaa"
        assert places[0]["bits"] == 0


def test_a_network_whose_numbers_fail_at_once_has_a_status() -> None:
    model = random_model("abc")
    model.parameters["c"][:] = np.nan
    with serving(model) as client:
        answer = client.post("/api/play", json={"model": NAME, "prompt": "a", "max_tokens": 5})
    assert refusal(answer) == (500, "not_finite", None)


def test_a_network_whose_numbers_fail_underway_is_told_in_the_last_line() -> None:
    parameters = tiny().parameters.map(np.zeros_like)
    parameters["V"][:] = 1e308
    parameters["U"][:, tiny().alphabet.encode("r")] = 9  # all units are 1 then, and 6e308 is more than a number
    model = replace(tiny(), parameters=parameters, h=np.zeros(M))
    with serving(model) as client:
        answer = client.post("/api/read", json={"model": NAME, "text": "t" * MAX_CHUNK + "r"})
    first, last = map(json.loads, answer.text.splitlines())
    assert answer.status_code == 200
    assert len(first["characters"]) == MAX_CHUNK
    assert last["error"]["code"] == "not_finite"


# --- Errors ---


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"stop": "a"}, "stop"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"written": 3}, "written"),
        ({"units": [M]}, "units"),
        ({"units": [-1]}, "units"),
        ({"units": "all"}, "units"),
        ({"units": ""}, "units"),
        ({"units": False}, "units"),
        ({"units": [0] * 257}, "units"),
        ({"temperature": 3}, "temperature"),
        ({"max_tokens": 1001}, "max_tokens"),
        ({"max_tokens": 900, "written": "a" * 700}, "max_tokens"),
        ({"prompt": "é"}, "prompt"),
        ({"written": "é"}, "written"),
        ({"model": 1}, "model"),
    ],
)
def test_writing_refuses(client: httpx.Client, body: dict[str, Any], param: str) -> None:
    status, _, named = refusal(client.post("/api/play", json={"model": NAME} | body))
    assert (status, named) == (400, param)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "text"),
        ({"text": ""}, "text"),
        ({"text": "a" * 1001}, "text"),
        ({"text": "aé"}, "text"),
        ({"text": "a", "seed": 1}, "seed"),
        ({"text": "a", "units": [True]}, "units"),
    ],
)
def test_reading_refuses(client: httpx.Client, body: dict[str, Any], param: str) -> None:
    status, _, named = refusal(client.post("/api/read", json={"model": NAME} | body))
    assert (status, named) == (400, param)


def test_an_unknown_model_is_not_found(client: httpx.Client) -> None:
    assert refusal(client.post("/api/read", json={"model": "none", "text": "a"})) == (404, "model_not_found", "model")


def test_a_full_queue_refuses() -> None:
    with serving(max_batch_size=1, max_queued_requests=-1) as client:
        assert refusal(client.post("/api/play", json={"model": NAME}))[:2] == (429, "queue_full")
        assert refusal(client.post("/api/read", json={"model": NAME, "text": "a"}))[:2] == (429, "queue_full")


def test_places_are_given_back() -> None:
    with serving(max_batch_size=1, max_queued_requests=0) as client:
        for _ in range(3):
            assert len(play(client)[0]) == len(PROMPT) + 40


def test_a_client_that_leaves_frees_its_place() -> None:
    with serving(max_batch_size=1, max_queued_requests=0, max_tokens=10**6, max_characters=10**6) as client:
        with client.stream("POST", "/api/play", json={"model": NAME, "max_tokens": 10**6}) as answer:
            assert next(answer.iter_lines())
        tries = (client.post("/api/play", json={"model": NAME, "max_tokens": 1}).status_code for _ in range(1000))
        assert 200 in tries


@pytest.mark.parametrize("path", ["/api/play", "/api/read"])
def test_a_client_that_takes_nothing_frees_its_place(path: str) -> None:
    with serving(
        max_batch_size=1, max_queued_requests=0, max_tokens=10**5, max_characters=10**6, send_timeout=0.2
    ) as client:
        body = {"prompt": "a", "max_tokens": 10**5} if path == "/api/play" else {"text": (TEXT * 2000)[: 10**5]}
        slow = SlowClient(client, path, **body)
        wait_for_metric(client, "elman_clients_left_total", 1)
        assert len(play(client)[0]) == len(PROMPT) + 40
        assert b'"end"' not in slow.read()


# --- Metrics ---


def test_what_is_written_and_read_is_counted_as_that_of_completions_is() -> None:
    with serving() as client:
        complete(client, PROMPT, max_tokens=30)
        play(client, max_tokens=100)
        play(client, max_tokens=50, written="storm")
        post(client, "/api/read", text=PROMPT * 2)
        client.post("/api/read", json={"model": NAME, "text": ""})
        expected = {"/v1/completions": (8, 30, 1, 0), "/api/play": (8 + 8 + 5, 150, 2, 0), "/api/read": (16, 0, 1, 1)}
        for endpoint, (read, written, answered, refused) in expected.items():
            about = {"model": NAME, "endpoint": endpoint}
            assert get_metric(client, "elman_prompt_characters_total", **about) == read
            assert get_metric(client, "elman_written_characters_total", **about) == written
            assert get_metric(client, "elman_first_character_seconds_count", **about) == answered
            assert get_metric(client, "elman_completion_seconds_count", **about) == answered
            assert get_metric(client, "elman_requests_in_progress", **about) == 0
            assert get_metric(client, "elman_clients_left_total", **about) == 0
            assert get_metric(client, "elman_http_requests_total", endpoint=endpoint, status="200") == answered
            assert get_metric(client, "elman_http_requests_total", endpoint=endpoint, status="400") == refused
        assert get_metric(client, "elman_written_characters_total", model=NAME) == 180


def test_what_was_written_for_a_client_that_left_is_counted() -> None:
    with serving(max_tokens=10**6, max_characters=10**6) as client:
        with client.stream("POST", "/api/play", json={"model": NAME, "max_tokens": 10**6}) as answer:
            lines = answer.iter_lines()  # it closes the answer when it is forgotten
            assert next(lines)
            assert get_metric(client, "elman_requests_in_progress", endpoint="/api/play") == 1
        wait_for_metric(client, "elman_clients_left_total", 1)
        assert get_metric(client, "elman_requests_in_progress") == 0
        assert 0 < get_metric(client, "elman_written_characters_total", endpoint="/api/play") < 10**6


# --- Page and access ---


def test_the_page_and_what_it_is_made_of(client: httpx.Client) -> None:
    kinds = {"/": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
    for path in PLAYGROUND_PATHS:
        answer = client.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(kinds[path.rpartition(".")[2]])
        assert "default-src 'self'" in answer.headers["content-security-policy"]


def test_all_that_the_page_names_is_there(client: httpx.Client) -> None:
    page = client.get("/").text
    named = set(re.findall(rf'="({STATIC}/[^"]+)"', page))
    scripts = [client.get(path).text for path in PLAYGROUND_PATHS if path.endswith(".js")]
    imported = {
        name for script in scripts for name in re.findall(r'^import .* from "\./([^"]+)";$', script, re.MULTILINE)
    }
    assert named | {f"{STATIC}/{name}" for name in imported} | {"/"} == PLAYGROUND_PATHS
    assert "<style" not in page
    assert " style=" not in page
    assert "<script>" not in page


@pytest.mark.parametrize(
    "path", ["/static/", "/static/../play.py", "/static/%2e%2e/play.py", "/static/play.html", "/play"]
)
def test_no_path_is_taken_from_a_request(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 404


def test_the_page_opens_without_the_key_and_tells_nothing() -> None:
    with serving(api_key="secret") as client:
        assert client.get("/").status_code == 200
        assert client.get(f"{STATIC}/play.js").status_code == 200
        for answer in (
            client.get("/api/models"),
            client.post("/api/play", json={"model": NAME}),
            client.post("/api/read", json={"model": NAME, "text": "a"}),
        ):
            assert refusal(answer)[:2] == (401, "invalid_api_key")
        key = {"authorization": "Bearer secret"}
        assert client.get("/api/models", headers=key).status_code == 200


def test_pages_of_other_sites_are_kept_out(client: httpx.Client) -> None:
    for headers in ({"origin": "http://evil.example"}, {"host": "evil.example"}, {"sec-fetch-site": "cross-site"}):
        assert client.get("/api/models", headers=headers).status_code == 403
        assert client.post("/api/read", json={"model": NAME, "text": "a"}, headers=headers).status_code == 403
    assert client.post("/api/read", content="{}", headers={"content-type": "text/plain"}).status_code == 415


# --- An n-gram prior ---


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_the_characters_of_a_prior_are_no_units(cell: str) -> None:
    model = random_prior_model(TEXT, cell, layers=2, order=3)
    recurrent = len(model.h) - 3
    with serving(model) as client:
        (about,) = client.get("/api/models").json()["models"]
        assert sum(group["count"] for group in about["units"]) == recurrent
        schema = client.get("/openapi.json").json()["components"]["schemas"]["ReadRequest"]
        assert json.dumps(schema).count(f'"maximum": {recurrent - 1}') == 1
        answer = client.post("/api/read", json={"model": NAME, "text": PROMPT, "units": [recurrent]})
        assert refusal(answer) == (400, "invalid_value", "units")
        places, units, end = post(client, "/api/read", text=PROMPT, units=[0, recurrent - 1])
        assert np.shape(units) == (len(PROMPT), 2)
        assert end["bits_per_char"] == pytest.approx(model.score(PROMPT).bits_per_char, rel=1e-5)
        places, _ = play(client, units=[recurrent - 1])
        assert text(places).startswith(PROMPT)
