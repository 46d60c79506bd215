"""The API over a real connection: every argument, the format of every response and error."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from elman.serve.app import create_app
from elman.serve.settings import Settings
from elman.text import Corpus
from support import reference_impl
from support import tolerances as tolerances
from support.server import NAME, complete, get_metric, listening, serving, texts, tiny
from support.training import train

PROMPT = "the rain"
ENDPOINTS = {"/v1/models": 1, "/v1/models/{name}": 2, "/api/models": 2, "/": 1}
"""Requests of each endpoint below."""


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    """A client of a server with small limits."""
    with serving(max_tokens=300, max_characters=2000, max_body=5000) as client:
        yield client


def events(client: httpx.Client, prompt: Any = PROMPT, **arguments: Any) -> list[Any]:
    """Return the contents of the events of a stream, which must be complete."""
    body = {"model": NAME, "prompt": prompt, "stream": True} | arguments
    answer = client.post("/v1/completions", json=body)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    *found, done, rest = answer.text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    assert all(event.startswith("data: ") for event in found)
    return [json.loads(event.removeprefix("data: ")) for event in found]


def log_p(text: str) -> reference_impl.Array:
    """Return the naive implementation's log p of every character after each of `text`."""
    _, p = reference_impl.forward(tiny().parameters, tiny().h, tiny().alphabet.encode(text))[:2]
    return np.asarray(np.log(p[1:]))


# --- Generation ---


def test_the_text_is_the_one_that_the_model_writes(client: httpx.Client) -> None:
    expected = tiny().samples(1, 100, prompt=PROMPT, seed=7)
    assert texts(client, PROMPT, max_tokens=100, seed=7) == expected


def test_an_answer(client: httpx.Client) -> None:
    answer = complete(client, PROMPT, max_tokens=5, seed=1)
    (text,) = tiny().samples(1, 5, prompt=PROMPT, seed=1)
    assert answer.pop("id").startswith("cmpl-")
    assert answer.pop("created") > 1.7e9
    assert answer == {
        "object": "text_completion",
        "model": NAME,
        "choices": [{"index": 0, "text": text, "logprobs": None, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 8, "completion_tokens": 5, "total_tokens": 13},
    }


def test_a_model_of_lines_completes_a_line() -> None:
    options: dict[str, Any] = {"lines": True, "engine": "numpy", "seq_length": 5, "max_updates": 20}
    model = train(Corpus.from_text("anna\nbell\ncarl\n"), **options).model
    with serving(model) as client:
        for prompt in ("", "ca"):
            expected = model.samples(3, 16, prompt=prompt, seed=7)
            assert texts(client, prompt, seed=7, n=3) == expected
            assert not any("\n" in text for text in expected)
        choices = complete(client, "", seed=7, n=3, max_tokens=100)["choices"]
        assert [choice["finish_reason"] for choice in choices] == ["stop"] * 3


def test_sixteen_characters_where_nothing_is_said(client: httpx.Client) -> None:
    assert [len(text) for text in texts(client)] == [16]
    with serving(max_tokens=5) as small:
        assert [len(text) for text in texts(small)] == [5]


@pytest.mark.parametrize("prompt", ["", None])
def test_without_a_prompt_a_line_begins(client: httpx.Client, prompt: str | None) -> None:
    answer = complete(client, prompt, seed=3, max_tokens=50, echo=True)
    assert answer["choices"][0]["text"] == tiny().samples(1, 50, prompt="\n", seed=3)[0]
    assert answer["usage"]["prompt_tokens"] == 0


def test_several_texts_for_each_of_several_prompts(client: httpx.Client) -> None:
    prompts = ["the ", "rain"]
    answer = complete(client, prompts, n=3, seed=5, max_tokens=20)
    assert [choice["index"] for choice in answer["choices"]] == list(range(6))
    found = [choice["text"] for choice in answer["choices"]]
    assert found[:3] == tiny().samples(3, 20, prompt="the ", seed=5)
    assert found[3:] == tiny().samples(3, 20, prompt="rain", seed=8)
    assert answer["usage"] == {"prompt_tokens": 8, "completion_tokens": 120, "total_tokens": 128}


@pytest.mark.parametrize(
    "arguments",
    [{"temperature": 0.5}, {"temperature": 0}, {"top_p": 0.6}, {"top_k": 2}, {"min_p": 0.4}, {"temperature": 1.5}],
    ids=str,
)
def test_how_it_is_drawn(client: httpx.Client, arguments: dict[str, Any]) -> None:
    expected = tiny().samples(1, 60, prompt=PROMPT, seed=2, **arguments)
    assert texts(client, PROMPT, max_tokens=60, seed=2, **arguments) == expected


def test_a_top_p_of_nothing_leaves_the_likeliest(client: httpx.Client) -> None:
    assert texts(client, top_p=0, max_tokens=50) == texts(client, temperature=0, max_tokens=50)


@pytest.mark.parametrize("seed", [-1, -(2**63), 2**63 - 1])
def test_any_seed_gives_its_text_again(client: httpx.Client, seed: int) -> None:
    assert texts(client, seed=seed, max_tokens=50) == texts(client, seed=seed, max_tokens=50)


def test_without_a_seed_every_text_is_another(client: httpx.Client) -> None:
    first, second = texts(client, n=2, max_tokens=50)
    assert first != second


def test_a_prompt_of_indices(client: httpx.Client) -> None:
    indices = tiny().alphabet.encode(PROMPT).tolist()
    asked = {"seed": 4, "max_tokens": 30, "echo": True}
    assert texts(client, indices, **asked) == texts(client, PROMPT, **asked)
    assert texts(client, [indices, PROMPT], **asked)[0] == texts(client, [PROMPT, indices], **asked)[0]


@pytest.mark.parametrize("stop", [" ", ["zzz", " "], ["e"], "ai"])
def test_it_ends_before_a_stop(client: httpx.Client, stop: str | list[str]) -> None:
    whole = texts(client, seed=6, max_tokens=200)[0]
    ends = [whole.find(one) for one in ([stop] if isinstance(stop, str) else stop) if one in whole]
    (choice,) = complete(client, seed=6, max_tokens=200, stop=stop)["choices"]
    assert ends
    assert (choice["text"], choice["finish_reason"]) == (whole[: min(ends)], "stop")


def test_a_character_cut_out_of_a_stop_counts_no_more(client: httpx.Client) -> None:
    answer = complete(client, seed=6, max_tokens=200, stop=" ")
    assert answer["usage"]["completion_tokens"] == len(answer["choices"][0]["text"])


def test_arguments_that_ask_for_nothing(client: httpx.Client) -> None:
    nothing = {"best_of": 1, "presence_penalty": 0, "frequency_penalty": 0.0, "logit_bias": {}, "suffix": None}
    expected = texts(client, seed=1)
    assert texts(client, seed=1, user="somebody", stop=None, max_tokens=16.0, **nothing) == expected
    assert texts(client, seed=1, suffix="") == expected


# --- Streams ---


@pytest.mark.parametrize("arguments", [{}, {"n": 3}, {"stop": " "}, {"echo": True}, {"max_tokens": 1}], ids=str)
def test_a_stream_holds_the_same_texts(client: httpx.Client, arguments: dict[str, Any]) -> None:
    asked = {"seed": 9, "max_tokens": 200} | arguments
    found, finishes = dict[int, str](), dict[int, str]()
    for event in events(client, **asked):
        assert "usage" not in event
        (choice,) = event["choices"]
        found[choice["index"]] = found.get(choice["index"], "") + choice["text"]
        assert choice["index"] not in finishes
        if choice["finish_reason"]:
            finishes[choice["index"]] = choice["finish_reason"]
    whole = complete(client, PROMPT, **asked)["choices"]
    assert [found[index] for index in sorted(found)] == [choice["text"] for choice in whole]
    assert [finishes[index] for index in sorted(finishes)] == [choice["finish_reason"] for choice in whole]


def test_a_stream_tells_its_counts_where_they_are_asked_for(client: httpx.Client) -> None:
    *parts, last = events(client, max_tokens=200, stream_options={"include_usage": True})
    assert all(part["usage"] is None for part in parts)
    assert last["choices"] == []
    assert last["usage"] == {"prompt_tokens": 8, "completion_tokens": 200, "total_tokens": 208}


def test_log_probabilities_come_with_a_stream(client: httpx.Client) -> None:
    asked = {"seed": 3, "max_tokens": 100, "logprobs": 2, "stop": ["torr"]}
    whole = complete(client, PROMPT, **asked)["choices"][0]["logprobs"]
    parts = [event["choices"][0]["logprobs"] for event in events(client, **asked)]
    assert {name: [one for part in parts for one in part[name]] for name in whole} == whole


# --- Log-probabilities ---


@pytest.mark.parametrize("prompt", [PROMPT, "t"])
def test_a_prompt_is_scored_without_writing(client: httpx.Client, prompt: str) -> None:
    answer = complete(client, prompt, max_tokens=0, echo=True, logprobs=1)
    (choice,) = answer["choices"]
    own = choice["logprobs"]["token_logprobs"]
    assert (choice["text"], choice["finish_reason"], own[0]) == (prompt, "length", None)
    expected = [row[k] for row, k in zip(log_p(prompt[:-1]), tiny().alphabet.encode(prompt[1:]), strict=True)]
    assert own[1:] == pytest.approx(expected, rel=tolerances.COMPILED)
    if len(prompt) > 1:
        assert -sum(own[1:]) == pytest.approx(tiny().score(prompt).nats, rel=tolerances.COMPILED)


def test_the_log_probabilities_of_prompt_and_text(client: httpx.Client) -> None:
    answer = complete(client, PROMPT, max_tokens=20, echo=True, logprobs=3, seed=1, temperature=0.7)
    (choice,) = answer["choices"]
    text, logprobs = choice["text"], choice["logprobs"]
    assert logprobs["tokens"] == list(text)
    assert logprobs["text_offset"] == list(range(28))
    assert logprobs["top_logprobs"][0] is logprobs["token_logprobs"][0] is None
    rows = zip(text[1:], logprobs["token_logprobs"][1:], logprobs["top_logprobs"][1:], log_p(text[:-1]), strict=True)
    for character, own, listed, row in rows:
        likeliest = [tiny().alphabet.characters[k] for k in np.argsort(-row)[:3]]
        assert set(listed) == {*likeliest, character}
        known = {one: row[tiny().alphabet.encode(one)[0]] for one in listed}
        assert listed == pytest.approx(known, rel=tolerances.COMPILED)
        assert own == listed[character]


def test_without_echo_offsets_go_on_behind_the_prompt(client: httpx.Client) -> None:
    asked = {"seed": 1, "max_tokens": 20}
    alone = complete(client, PROMPT, logprobs=0, **asked)["choices"][0]["logprobs"]
    behind = complete(client, PROMPT, logprobs=0, echo=True, **asked)["choices"][0]["logprobs"]
    assert {name: values[8:] for name, values in behind.items()} == alone
    assert [[*listed] for listed in alone["top_logprobs"]] == [[token] for token in alone["tokens"]]


def test_log_probabilities_end_with_the_text(client: httpx.Client) -> None:
    (choice,) = complete(client, seed=6, max_tokens=200, stop="ai", logprobs=1)["choices"]
    assert "".join(choice["logprobs"]["tokens"]) == choice["text"]


# --- Errors ---


def refused(answer: httpx.Response) -> tuple[int, str, str | None]:
    """Return the status, the code and the argument of an error."""
    (error,) = answer.json().values()
    assert list(error) == ["message", "type", "param", "code"]
    assert error["type"] == ("server_error" if answer.status_code >= 500 else "invalid_request_error")
    assert "\n" not in error["message"]
    return answer.status_code, error["code"], error["param"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_tokens": 301}, "max_tokens must be an integer from 0 to 300 (got 301)"),
        ({"max_tokens": -1}, "max_tokens must be an integer from 0 to 300 (got -1)"),
        ({"max_tokens": 1.5}, "max_tokens must be an integer from 0 to 300 (got 1.5)"),
        ({"max_tokens": True}, "max_tokens must be an integer from 0 to 300 (got True)"),
        ({"n": 0}, "n must be an integer from 1 to 16 (got 0)"),
        ({"n": 17}, "n must be an integer from 1 to 16 (got 17)"),
        ({"logprobs": 6}, "logprobs must be an integer from 0 to 5 (got 6)"),
        ({"top_k": -1}, "top_k must be an integer of at least 0 (got -1)"),
        ({"temperature": 2.1}, "temperature must be a number from 0 to 2 (got 2.1)"),
        ({"temperature": "hot"}, "temperature must be a number from 0 to 2 (got 'hot')"),
        ({"top_p": -0.1}, "top_p must be a number from 0 to 1 (got -0.1)"),
        ({"min_p": False}, "min_p must be a number from 0 to 1 (got False)"),
        ({"echo": 1}, "echo must be true or false (got 1)"),
        ({"stream": "yes"}, "stream must be true or false (got 'yes')"),
        ({"user": 1}, "user must be a string (got 1)"),
        ({"best_of": 2}, "best_of is not supported"),
        ({"best_of": True}, "best_of is not supported"),
        ({"suffix": "x"}, "suffix is not supported"),
        ({"seed": 2**63}, f"seed must be an integer from -{2**63} to {2**63 - 1} (got {2**63})"),
    ],
    ids=str,
)
def test_an_argument_out_of_its_range(client: httpx.Client, arguments: dict[str, Any], message: str) -> None:
    answer = client.post("/v1/completions", json={"model": NAME, "prompt": PROMPT} | arguments)
    assert refused(answer) == (400, "invalid_value", next(iter(arguments)))
    assert answer.json()["error"]["message"] == message


@pytest.mark.parametrize("stop", ["", [""], ["a"] * 17, "a" * 201, 1, [1], {}], ids=str)
def test_a_stop_that_is_none(client: httpx.Client, stop: Any) -> None:
    answer = client.post("/v1/completions", json={"model": NAME, "stop": stop})
    assert refused(answer) == (400, "invalid_value", "stop")


@pytest.mark.parametrize(
    "prompt", [[], [[]], 1, True, {}, [True], [-1], [1.5], ["a", 1], [["a"]], ["a"] * 129], ids=str
)
def test_a_prompt_that_is_none(client: httpx.Client, prompt: Any) -> None:
    answer = client.post("/v1/completions", json={"model": NAME, "prompt": prompt})
    assert refused(answer) == (400, "invalid_value", "prompt")


def test_length_is_an_alias_of_max_tokens(client: httpx.Client) -> None:
    assert texts(client, seed=1, length=30) == texts(client, seed=1, max_tokens=30)
    answer = client.post("/v1/completions", json={"model": NAME, "length": 301})
    assert refused(answer) == (400, "invalid_value", "length")
    answer = client.post("/v1/completions", json={"model": NAME, "length": 5, "max_tokens": 5})
    assert refused(answer) == (400, "invalid_value", "length")


@pytest.mark.parametrize("options", [1, {"usage": True}, {"include_usage": 1}], ids=str)
def test_options_of_a_stream_that_are_none(client: httpx.Client, options: Any) -> None:
    answer = client.post("/v1/completions", json={"model": NAME, "stream_options": options})
    assert refused(answer) == (400, "invalid_value", "stream_options")


def test_an_argument_that_nobody_knows(client: httpx.Client) -> None:
    answer = client.post("/v1/completions", json={"model": NAME, "temprature": 1})
    assert refused(answer) == (400, "unknown_parameter", "temprature")


def test_a_long_value_is_not_said_whole(client: httpx.Client) -> None:
    answer = client.post("/v1/completions", json={"model": NAME, "temperature": "x" * 1000})
    assert len(answer.json()["error"]["message"]) < 150


@pytest.mark.parametrize("stream", [False, True])
def test_a_character_that_the_model_does_not_know(client: httpx.Client, stream: bool) -> None:
    answer = client.post("/v1/completions", json={"model": NAME, "prompt": "the Quick", "stream": stream})
    assert refused(answer) == (400, "unknown_character", "prompt")
    expected = "'Q' (U+0051) is not among the model's 26 characters: remove it"
    assert answer.json()["error"]["message"].startswith(expected)


def test_half_a_character(client: httpx.Client) -> None:
    body = b'{"model": "stormy", "prompt": "\\ud83d"}'
    answer = client.post("/v1/completions", content=body, headers={"content-type": "application/json"})
    assert refused(answer) == (400, "unknown_character", "prompt")


@pytest.mark.parametrize("index", [26, 2**70])
def test_an_index_of_no_character(client: httpx.Client, index: int) -> None:
    answer = client.post("/v1/completions", json={"model": NAME, "prompt": [1, index]})
    assert refused(answer) == (400, "unknown_character", "prompt")


def test_more_than_a_request_may_take(client: httpx.Client) -> None:
    answer = client.post("/v1/completions", json={"model": NAME, "prompt": "the ", "n": 8, "max_tokens": 250})
    assert refused(answer) == (400, "request_too_large", "max_tokens")
    assert "limit: 2000" in answer.json()["error"]["message"]
    assert len(texts(client, n=8, max_tokens=249)) == 8


def test_a_model_that_is_not_served(client: httpx.Client) -> None:
    answer = client.post("/v1/completions", json={"model": "sunny", "prompt": "the "})
    assert refused(answer) == (404, "model_not_found", "model")
    assert answer.json()["error"]["message"] == "model 'sunny' not found (available: stormy)"


@pytest.mark.parametrize("model", [1, ["stormy"]], ids=str)
def test_the_name_of_a_model_must_be_a_string(client: httpx.Client, model: Any) -> None:
    assert refused(client.post("/v1/completions", json={"model": model})) == (400, "invalid_value", "model")


def test_a_model_must_be_named_only_where_there_are_several(client: httpx.Client) -> None:
    named, unnamed = (client.post("/v1/completions", json=body | {"prompt": "the ", "seed": 1}).json()
                      for body in ({"model": NAME}, {}))  # fmt: skip
    assert (unnamed["model"], unnamed["choices"]) == (NAME, named["choices"])
    for path, argument in ("/api/play", "prompt"), ("/api/read", "text"):
        assert client.post(path, json={argument: "the "}).status_code == 200
    with listening(create_app({NAME: tiny(), "other": tiny()}, Settings())) as several:
        for path, body in {
            "/v1/completions": {"prompt": "the "},
            "/api/play": {"prompt": "the "},
            "/api/read": {"text": "the "},
            "/tokenize": {"prompt": "the "},
        }.items():
            answer = several.post(path, json=body)
            assert refused(answer) == (400, "invalid_value", "model")
            assert answer.json()["error"]["message"] == "model must be the name of one of the models: stormy, other"


def test_a_stop_sequence_that_cannot_occur_is_ignored(client: httpx.Client) -> None:
    assert texts(client, seed=1, stop=["<|endoftext|>", "\n\n漢"]) == texts(client, seed=1)


def test_there_are_no_chat_models(client: httpx.Client) -> None:
    for method, body in {"POST": {"model": NAME, "messages": []}, "GET": None}.items():
        answer = client.request(method, "/v1/chat/completions", json=body)
        assert refused(answer) == (404, "not_found", None)
        assert "use /v1/completions" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"text"', b"\xff", b'{"temperature": NaN}', b"[" * 4000, b'{"n": ' + b"1" * 4990 + b"}"],
    ids=lambda body: body[:20],
)
def test_a_body_that_is_no_object(client: httpx.Client, body: bytes) -> None:
    answer = client.post("/v1/completions", content=body, headers={"content-type": "application/json"})
    assert refused(answer) == (400, "invalid_json", None)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "json"])
def test_what_is_not_called_json_is_not_read(client: httpx.Client, kind: str) -> None:
    answer = client.post("/v1/completions", content=b'{"model": "stormy"}', headers={"content-type": kind})
    assert refused(answer) == (415, "unsupported_media_type", None)


def test_json_with_a_character_set(client: httpx.Client) -> None:
    headers = {"content-type": "Application/JSON; charset=utf-8"}
    assert client.post("/v1/completions", content=b'{"model": "stormy"}', headers=headers).status_code == 200


def pieces(size: int) -> Iterator[bytes]:
    """Yield a body of undeclared length."""
    yield from (b" " * 1000 for _ in range(size // 1000))


@pytest.mark.parametrize("body", [b" " * 5001, b" " * 70_000, pieces(6000)], ids=["longer", "long", "in pieces"])
def test_a_body_that_is_too_long(client: httpx.Client, body: Any) -> None:
    answer = client.post("/v1/completions", content=body, headers={"content-type": "application/json"})
    assert refused(answer) == (413, "request_too_large", None)


def test_a_place_where_nothing_is(client: httpx.Client) -> None:
    for path in ("/v1/complete", "/v1/completions/", "/..%2f..%2fetc/passwd", "/v1/models/../../etc/passwd"):
        assert refused(client.get(path))[:2] == (404, "not_found")


def test_another_method(client: httpx.Client) -> None:
    answer = client.get("/v1/completions")
    assert refused(answer) == (405, "method_not_allowed", None)
    assert answer.headers["allow"] == "POST"
    assert client.delete("/v1/models").headers["allow"] in ("GET, HEAD", "HEAD, GET")


def test_a_fault_of_the_server_is_told_without_details(caplog: pytest.LogCaptureFixture) -> None:
    app = create_app({NAME: tiny()}, Settings())
    with listening(app) as client:
        app.state.models[NAME].model = "nothing"
        answer = client.get("/tokenizer_info")
        assert get_metric(client, "elman_http_requests_total", endpoint="/tokenizer_info", status="500") == 1
    assert refused(answer) == (500, "internal_error", None)
    assert answer.json()["error"]["message"] == "internal server error; see the server's log"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "AttributeError" in caplog.text


# --- Models, tokenizer, metrics ---


def test_the_models(client: httpx.Client) -> None:
    listed = client.get("/v1/models").json()
    (model,) = listed["data"]
    assert listed["object"] == "list"
    assert (model["id"], model["object"], model["owned_by"]) == (NAME, "model", "elman")
    assert client.get(f"/v1/models/{NAME}").json() == model
    assert refused(client.get("/v1/models/sunny")) == (404, "model_not_found", "model")


def test_it_is_well(client: httpx.Client) -> None:
    assert client.get("/health").json() == {"status": "ok"}


def test_the_indices_of_characters(client: httpx.Client) -> None:
    expected = tiny().alphabet.encode(PROMPT).tolist()
    found = client.post("/tokenize", json={"prompt": PROMPT, "add_special_tokens": False}).json()
    assert found == {"tokens": expected, "count": 8, "max_model_len": 2000}
    assert client.post("/detokenize", json={"tokens": expected}).json() == {"prompt": PROMPT}
    assert client.post("/detokenize", json={"tokens": []}).json() == {"prompt": ""}
    assert client.get("/tokenizer_info").json() == {
        "tokenizer_class": "characters",
        "vocab_size": 26,
        "bos_token": "\n",
        "eos_token": None,
        "pad_token": None,
    }


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/tokenize", {}, (400, "invalid_value", "prompt")),
        ("/tokenize", {"prompt": "Q"}, (400, "unknown_character", "prompt")),
        ("/tokenize", {"prompt": "a", "more": 1}, (400, "unknown_parameter", "more")),
        ("/tokenize", {"prompt": "a", "model": "sunny"}, (404, "model_not_found", "model")),
        ("/tokenize", {"prompt": "a", "add_special_tokens": 1}, (400, "invalid_value", "add_special_tokens")),
        ("/detokenize", {"tokens": "a"}, (400, "invalid_value", "tokens")),
        ("/detokenize", {"tokens": [99]}, (400, "unknown_character", "tokens")),
    ],
    ids=str,
)
def test_indices_that_are_none(client: httpx.Client, path: str, body: Any, expected: tuple[int, str, str]) -> None:
    assert refused(client.post(path, json=body)) == expected


def test_several_models() -> None:
    with listening(create_app({NAME: tiny(), "other": tiny()}, Settings())) as client:
        assert [model["id"] for model in client.get("/v1/models").json()["data"]] == [NAME, "other"]
        assert texts(client, seed=1) == texts(client, model="other", seed=1)
        assert refused(client.get("/tokenizer_info")) == (400, "invalid_value", "model")
        assert client.get("/tokenizer_info", params={"model": "other"}).json()["vocab_size"] == 26


def test_the_figures_for_prometheus() -> None:
    with serving() as client:
        complete(client, PROMPT, n=2, max_tokens=30)
        client.post("/v1/completions", json={"n": 0})
        client.get("/nowhere")
        answers = {"name": "elman_http_requests_total", "endpoint": "/v1/completions"}
        assert [get_metric(client, **answers, status=status) for status in ("200", "400")] == [1, 1]
        assert get_metric(client, "elman_http_requests_total", endpoint="none", status="404") == 1
        for name, expected in {
            "elman_prompt_characters_total": 8,
            "elman_written_characters_total": 60,
            "elman_first_character_seconds_count": 1,
            "elman_completion_seconds_count": 1,
            "elman_requests_in_progress": 0,
        }.items():
            assert (
                get_metric(client, name, model=NAME, endpoint="/v1/completions") == get_metric(client, name) == expected
            )
        assert get_metric(client, "elman_texts_running", model=NAME) == get_metric(client, "elman_texts_waiting") == 0
        assert get_metric(client, "process_resident_memory_bytes") > 0
        assert client.get("/metrics").headers["content-type"].startswith("text/plain")


def test_an_endpoint_is_counted_under_its_path() -> None:
    with serving() as client:
        for path in ("/v1/models", f"/v1/models/{NAME}", "/v1/models/sunny", "/api/models", "/"):
            client.get(path)
        client.delete("/api/models")
        counted = {path: get_metric(client, "elman_http_requests_total", endpoint=path) for path in ENDPOINTS}
    assert counted == ENDPOINTS


@pytest.mark.parametrize("adapt", ["weights", True, 1, "", []])
def test_only_counts_adapt(client: httpx.Client, adapt: Any) -> None:
    response = client.post("/v1/completions", json={"model": NAME, "prompt": "the ", "adapt": adapt})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "adapt"
    assert response.json()["error"]["message"].startswith("adapt must be 'counts' or left out (got ")


def test_a_model_without_a_prior_cannot_count_a_prompt(client: httpx.Client) -> None:
    response = client.post("/v1/completions", json={"model": NAME, "prompt": "the ", "adapt": "counts"})
    assert response.status_code == 400
    message = "adapt counts requires a model with an n-gram prior: train with ngram_order=7"
    assert (response.json()["error"]["message"], response.json()["error"]["param"]) == (message, "adapt")
