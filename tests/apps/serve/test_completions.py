"""The completions API over a real connection: every argument, the format of every response and error."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

import elman
from elman.apps.serve import batcher, models
from elman.apps.serve.app import create_app
from elman.apps.serve.settings import Settings
from elman.text import Corpus
from support import reference_impl
from support import tolerances as tolerances
from support.random_model import random_model, random_prior_model
from support.server import NAME, complete, error_of, get_metric, listening, serving, texts, tiny
from support.training import train

PROMPT = "the rain"


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with serving(max_tokens=300, max_characters=2000, max_body=5000) as client:
        yield client


def events(client: httpx.Client, prompt: Any = PROMPT, **arguments: Any) -> list[Any]:
    """Return the contents of the events of a stream, which must be complete."""
    body = {"model": NAME, "prompt": prompt, "stream": True} | arguments
    response = client.post("/v1/completions", json=body)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    *found, done, rest = response.text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    assert all(event.startswith("data: ") for event in found)
    return [json.loads(event.removeprefix("data: ")) for event in found]


def post(client: httpx.Client, **arguments: Any) -> httpx.Response:
    return client.post("/v1/completions", json={"model": NAME} | arguments)


def log_p(text: str) -> reference_impl.Array:
    """Return the naive implementation's log p of every character after each of `text`."""
    _, p = reference_impl.forward(tiny().parameters, tiny().state.recurrent, tiny().alphabet.encode(text))[:2]
    return np.asarray(np.log(p[1:]))


# --- Generation ---


def test_the_format_of_a_response(client: httpx.Client) -> None:
    assert [len(text) for text in texts(client)] == [16]  # by default
    response = complete(client, PROMPT, max_tokens=5, seed=1)
    (text,) = tiny().samples(1, 5, prompt=PROMPT, seed=1, temperature=1)
    assert response.pop("id").startswith("cmpl-")
    assert response.pop("created") > 1.7e9
    assert response == {
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
            expected = model.samples(3, 16, prompt=prompt, seed=7, temperature=1)
            assert texts(client, prompt, seed=7, n=3) == expected
            assert not any("\n" in text for text in expected)
        choices = complete(client, "", seed=7, n=3, max_tokens=100)["choices"]
        assert [choice["finish_reason"] for choice in choices] == ["stop"] * 3


def test_lines_are_drawn_until_they_are_within_the_limits() -> None:
    options: dict[str, Any] = {"lines": True, "engine": "numpy", "seq_length": 5, "max_updates": 20}
    model = train(Corpus.from_text("anna\nbell\ncarl\n"), **options).model
    limits: dict[str, Any] = {"min_length": 3, "max_length": 6, "unique": True, "new_only": True, "temperature": 1}
    with serving(model, max_characters=3000, max_tokens=100) as client:
        for prompt in ("", "ca"):
            found = complete(client, prompt, seed=7, n=5, logprobs=1, **limits)["choices"]
            assert [choice["text"] for choice in found] == model.samples(5, prompt=prompt, seed=7, **limits)
            assert {choice["finish_reason"] for choice in found} == {"stop"}
            assert all("".join(choice["logprobs"]["tokens"]) == choice["text"] for choice in found)
            body = {"prompt": prompt, "stream": True, "seed": 7, "n": 5} | limits
            texts_by_index: dict[int, str] = {}
            for event in client.post("/v1/completions", json=body).text.split("\n\n")[:-2]:
                (choice,) = json.loads(event.removeprefix("data: "))["choices"]
                texts_by_index[choice["index"]] = texts_by_index.get(choice["index"], "") + choice["text"]
            assert texts_by_index == {choice["index"]: choice["text"] for choice in found}
        for body, words in (
            ({"n": 9, "max_length": 1, "unique": True}, "lines, then reached the limit --max-characters: relax "),
            ({"min_length": 3, "max_length": 2}, "min_length must be at most max_length (got 3 and 2)"),
            ({"max_length": 2, "prompt": "anna"}, "the prompt is longer than max_length=2 (got 4)"),
            ({"unique": 1}, "unique must be a valid boolean"),
        ):
            response = client.post("/v1/completions", json={"temperature": 0.1} | body)
            assert (response.status_code, words in response.json()["error"]["message"]) == (400, True), response.text
    with serving() as client:
        message = post(client, max_length=3).json()["error"]["message"]
        assert message.startswith("max_length requires a model of independent lines")


@pytest.mark.parametrize("max_batch_size", [1, 2, 64])
def test_lines_do_not_depend_on_which_ends_first(max_batch_size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The length of a step depends on the load."""
    lengths = np.random.default_rng(max_batch_size)
    monkeypatch.setattr(batcher.ContinuousBatcher, "_step_length", lambda *_: int(lengths.integers(1, 9)))
    options: dict[str, Any] = {"lines": True, "engine": "numpy", "seq_length": 5, "max_updates": 20}
    model = train(Corpus.from_text("anna\nbell\ncarl\n"), **options).model
    limits: dict[str, Any] = {"min_length": 2, "unique": True, "new_only": True, "temperature": 0.8}
    prompts = ["", "ca", "b"]
    with serving(model, max_batch_size=max_batch_size) as client:
        found = texts(client, prompts, seed=7, n=8, **limits)
    pairs = zip(prompts, (7, 15, 23), strict=True)
    expected = [model.samples(8, prompt=prompt, seed=seed, **limits) for prompt, seed in pairs]
    assert found == [text for lines in expected for text in lines]


def test_several_sequences_per_prompt_of_several_prompts(client: httpx.Client) -> None:
    response = complete(client, ["the ", "rain"], n=3, seed=5, max_tokens=20)
    assert [choice["index"] for choice in response["choices"]] == list(range(6))
    found = [choice["text"] for choice in response["choices"]]
    assert found == [
        text
        for prompt, seed in (("the ", 5), ("rain", 8))
        for text in tiny().samples(3, 20, prompt=prompt, seed=seed, temperature=1)
    ]
    assert response["usage"] == {"prompt_tokens": 8, "completion_tokens": 120, "total_tokens": 128}
    first, second = texts(client, n=2, max_tokens=50)
    assert first != second


def test_prompts_and_seeds_of_all_kinds(client: httpx.Client) -> None:
    for prompt in ("", None):  # generation starts on a new line
        response = complete(client, prompt, seed=3, max_tokens=50, echo=True)
        assert response["choices"][0]["text"] == tiny().samples(1, 50, prompt="\n", seed=3, temperature=1)[0]
        assert response["usage"]["prompt_tokens"] == 0
    for seed in (-1, -(2**63), 2**63 - 1):
        assert texts(client, seed=seed, max_tokens=50) == texts(client, seed=seed, max_tokens=50)
    greedy = [tiny().sample(50, prompt="the ", temperature=0)]
    assert texts(client, top_p=0, max_tokens=50) == texts(client, temperature=0, max_tokens=50) == greedy
    indices = tiny().alphabet.encode(PROMPT).tolist()
    options = {"seed": 4, "max_tokens": 30, "echo": True}
    assert texts(client, indices, **options) == texts(client, PROMPT, **options)
    characters = tiny().alphabet.characters
    ends = [[0], [len(characters) - 1]]
    assert texts(client, ends, max_tokens=0, echo=True) == [characters[0], characters[-1]]
    assert texts(client, [indices, PROMPT], **options)[0] == texts(client, [PROMPT, indices], **options)[0]


@pytest.mark.parametrize("stop", [" ", ["zzz", " "], ["e"], "ai"])
def test_a_text_ends_before_a_stop_sequence(client: httpx.Client, stop: str | list[str]) -> None:
    whole = texts(client, seed=6, max_tokens=200)[0]
    ends = [whole.find(one) for one in ([stop] if isinstance(stop, str) else stop) if one in whole]
    response = complete(client, seed=6, max_tokens=200, stop=stop, logprobs=1)
    (choice,) = response["choices"]
    assert ends
    assert (choice["text"], choice["finish_reason"]) == (whole[: min(ends)], "stop")
    assert "".join(choice["logprobs"]["tokens"]) == choice["text"]
    assert response["usage"]["completion_tokens"] == len(choice["text"])


@pytest.mark.parametrize("chunked", [False, True])
def test_a_stop_sequence_at_the_limit(client: httpx.Client, chunked: bool) -> None:
    """The beginning of a stop sequence is held back while characters may follow, and is delivered if none do."""
    for length in range(20, 40):
        whole = texts(client, PROMPT, seed=6, max_tokens=length)[0]
        absent = next(whole[-1] + each for each in tiny().alphabet.characters if whole[-1] + each not in whole)
        for stop, expected in ((absent, (whole, "length")), (whole[-2:], (whole[: whole.find(whole[-2:])], "stop"))):
            options = {"seed": 6, "max_tokens": length, "stop": stop}
            found = events(client, **options) if chunked else [complete(client, PROMPT, **options)]
            choices = [choice for each in found for choice in each["choices"]]
            text = "".join(choice["text"] for choice in choices)
            assert (text, choices[-1]["finish_reason"]) == expected


def test_arguments_without_effect(client: httpx.Client) -> None:
    nothing = {"best_of": 1, "presence_penalty": 0, "frequency_penalty": 0.0, "logit_bias": {}, "suffix": None}
    expected = texts(client, seed=1)
    assert texts(client, seed=1, user="somebody", stop=None, max_tokens=16.0, **nothing) == expected
    assert texts(client, seed=1, suffix="", stop=["<|endoftext|>", "\n\n漢"]) == expected


# --- Streams ---


@pytest.mark.parametrize("arguments", [{}, {"n": 3}, {"stop": " "}, {"echo": True}, {"max_tokens": 1}], ids=str)
def test_a_stream_has_the_same_texts(client: httpx.Client, arguments: dict[str, Any]) -> None:
    options = {"seed": 9, "max_tokens": 200} | arguments
    found, finishes = dict[int, str](), dict[int, str]()
    for event in events(client, **options):
        assert "usage" not in event
        (choice,) = event["choices"]
        found[choice["index"]] = found.get(choice["index"], "") + choice["text"]
        assert choice["index"] not in finishes
        if choice["finish_reason"]:
            finishes[choice["index"]] = choice["finish_reason"]
    whole = complete(client, PROMPT, **options)["choices"]
    assert [found[index] for index in sorted(found)] == [choice["text"] for choice in whole]
    assert [finishes[index] for index in sorted(finishes)] == [choice["finish_reason"] for choice in whole]


def test_a_stream_has_the_same_log_probabilities_and_the_usage_if_requested(client: httpx.Client) -> None:
    options = {"seed": 3, "max_tokens": 100, "logprobs": 2, "stop": ["torr"]}
    whole = complete(client, PROMPT, **options)["choices"][0]["logprobs"]
    chunks = [event["choices"][0]["logprobs"] for event in events(client, **options)]
    assert {name: [one for chunk in chunks for one in chunk[name]] for name in whole} == whole
    *parts, last = events(client, max_tokens=200, stream_options={"include_usage": True})
    assert all(part["usage"] is None for part in parts)
    assert last["choices"] == []
    assert last["usage"] == {"prompt_tokens": 8, "completion_tokens": 200, "total_tokens": 208}


# --- Log-probabilities ---


@pytest.mark.parametrize("prompt", [PROMPT, "t"])
def test_a_prompt_is_scored_without_generating(client: httpx.Client, prompt: str) -> None:
    (choice,) = complete(client, prompt, max_tokens=0, echo=True, logprobs=1)["choices"]
    found = choice["logprobs"]["token_logprobs"]
    assert (choice["text"], choice["finish_reason"], found[0]) == (prompt, "length", None)
    expected = [row[k] for row, k in zip(log_p(prompt[:-1]), tiny().alphabet.encode(prompt[1:]), strict=True)]
    assert found[1:] == pytest.approx(expected, rel=tolerances.COMPILED)
    if len(prompt) > 1:
        assert -sum(found[1:]) == pytest.approx(tiny().score(prompt).nats, rel=tolerances.COMPILED)


def test_the_log_probabilities_of_prompt_and_text(client: httpx.Client) -> None:
    options = {"max_tokens": 20, "seed": 1, "temperature": 0.7, "logprobs": 3}
    (choice,) = complete(client, PROMPT, echo=True, **options)["choices"]
    text, logprobs = choice["text"], choice["logprobs"]
    assert logprobs["tokens"] == list(text)
    assert logprobs["text_offset"] == list(range(28))
    assert logprobs["top_logprobs"][0] is logprobs["token_logprobs"][0] is None
    rows = zip(text[1:], logprobs["token_logprobs"][1:], logprobs["top_logprobs"][1:], log_p(text[:-1]), strict=True)
    for character, found, top, row in rows:
        most_likely = [tiny().alphabet.characters[k] for k in np.argsort(-row)[:3]]
        assert set(top) == {*most_likely, character}
        expected = {one: row[tiny().alphabet.encode(one)[0]] for one in top}
        assert top == pytest.approx(expected, rel=tolerances.COMPILED)
        assert found == top[character]
    alone = complete(client, PROMPT, **options)["choices"][0]["logprobs"]
    assert {name: values[8:] for name, values in logprobs.items()} == alone  # offsets include the prompt
    (choice,) = complete(client, PROMPT, **options | {"logprobs": 0})["choices"]
    assert [[*top] for top in choice["logprobs"]["top_logprobs"]] == [[token] for token in choice["text"]]


# --- Errors ---


WRONG_PROMPTS: tuple[Any, ...] = (1, [], [[]], {}, [True], [-1], [1.5], ["a", 1], ["a"] * 129)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_tokens": 301}, "max_tokens must be less than or equal to 300 (got 301)"),
        *(({"max_tokens": wrong}, None) for wrong in (-1, 1.5, True)),
        *((wrong, None) for wrong in ({"n": 17}, {"logprobs": 6}, {"seed": 2**63}, {"echo": 1}, {"model": ["stormy"]})),
        ({"stream_options": {"include_usage": 1}}, None),
        ({"best_of": 2}, "best_of is not supported (got 2)"),
        ({"presence_penalty": -0.5}, "presence_penalty is not supported (got -0.5)"),
        ({"logit_bias": {"1": 1}}, "logit_bias is not supported (got {'1': 1})"),
        ({"suffix": "\ud800"}, r"suffix is not supported (got '\ud800')"),
        ({"\ud800": 1}, r"unknown argument '\ud800'"),
        ({"stream_options": {"\ud800": 1}}, None),
        ({"stop": ""}, "stop must have at least 1 character or be a valid list (got '')"),
        *(({"stop": stop}, None) for stop in ([1], ["a"] * 17, "a" * 201)),
        *(({"prompt": prompt}, None) for prompt in WRONG_PROMPTS),
        ({"prompt": [1, 26]}, "prompt must be a valid string or be less than 26 or be a valid list (got [1, 26])"),
        ({"temprature": 1}, "unknown argument 'temprature'"),
        ({"stream_options": {"usage": True}}, "unknown argument 'usage'"),
        ({"adapt": "weights"}, "adapt must be 'counts' (got 'weights')"),
        ({"adapt": "counts"}, "adapt requires a model with n-gram counts, which stormy does not have"),
    ],
    ids=str,
)
def test_an_invalid_argument(client: httpx.Client, arguments: dict[str, Any], message: str | None) -> None:
    is_unknown = (message or "").startswith("unknown")
    headers = {"content-type": "application/json"}  # httpx encodes no lone surrogates
    content = json.dumps({"model": NAME} | arguments)
    response = client.post("/v1/completions", content=content, headers=headers)
    error = error_of(response, 400, "unknown_parameter" if is_unknown else "invalid_value")
    assert error["param"] == next(iter(arguments))
    assert error["message"] == (message or error["message"])
    assert len(error["message"]) < 200


@pytest.mark.parametrize("stream", [False, True])
def test_an_unknown_character(client: httpx.Client, stream: bool) -> None:
    error = error_of(post(client, prompt="the Quick", stream=stream), 400, "unknown_character")
    assert (error["param"], error["message"][:12]) == ("prompt", "'Q' (U+0051)")


def test_a_request_that_asks_for_too_much(client: httpx.Client) -> None:
    error = error_of(post(client, prompt="the ", n=8, max_tokens=250), 400, "request_too_large")
    assert error["param"] == "max_tokens"
    assert "limit: 2000" in error["message"]
    assert len(texts(client, n=8, max_tokens=249)) == 8
    prompt, arguments = PROMPT * 20, {"n": 12, "max_tokens": 0, "logprobs": 5}  # an echoed prompt counts n times
    assert texts(client, prompt, **arguments) == [""] * 12
    assert texts(client, prompt, **arguments, echo=True) == [prompt] * 12
    error = error_of(post(client, prompt=prompt, **arguments | {"n": 13}, echo=True), 400, "request_too_large")
    assert "asks for 2080 characters" in error["message"]


def test_numbers_that_are_not_finite() -> None:
    model = random_model("abc")
    model.parameters["c"][:] = np.nan
    with serving(model) as client:
        response = client.post("/v1/completions", json={"prompt": "a", "logprobs": 1, "max_tokens": 9})
        error_of(response, 500, "not_finite")


def test_the_logarithm_of_a_probability_of_0() -> None:
    model = random_model("abc")
    model.parameters["V"][:] *= 1e6
    with serving(model) as client:
        (choice,) = complete(client, "abcabc", max_tokens=0, echo=True, logprobs=3)["choices"]
        found = choice["logprobs"]["token_logprobs"][1:], *map(dict.values, choice["logprobs"]["top_logprobs"][1:])
        assert [min(each) for each in found] == [-9999] * 6


def test_what_is_not_served(client: httpx.Client) -> None:
    error = error_of(post(client, model="sunny", prompt="the "), 404, "model_not_found")
    assert (error["param"], error["message"]) == ("model", "model 'sunny' not found (available: stormy)")
    for method, body in {"POST": {"model": NAME, "messages": []}, "GET": None}.items():
        error = error_of(client.request(method, "/v1/chat/completions", json=body), 404, "not_found")
        assert "use /v1/completions" in error["message"]
    for path in ("/v1/complete", "/v1/completions/", "/..%2f..%2fetc/passwd", "/v1/models/../../etc/passwd"):
        error_of(client.get(path), 404, "not_found")
    response = client.get("/v1/completions")
    error_of(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "POST"


JSON, BODY = "application/json", b'{"model": "stormy"}'


NO_OBJECTS: list[Any] = [b"", b"[]", b"\xff", b'{"a": NaN}', b"[" * 4000, b'{"n": ' + b"1" * 4990 + b"}"]


@pytest.mark.parametrize(
    ("bodies", "kinds", "status", "code"),
    [
        (NO_OBJECTS, [JSON], 400, "invalid_json"),
        ([b'{"\\ud83d": 1}'], [JSON], 400, "unknown_parameter"),
        ([b'{"prompt": "\\ud83d"}'], [JSON], 400, "unknown_character"),
        ([b" " * 5001, b" " * 70_000, [b" " * 1000] * 6], [JSON], 413, "request_too_large"),
        ([BODY], ["text/plain", "multipart/form-data", ""], 415, "unsupported_media_type"),
    ],
    ids=["no object", "unknown name", "unknown character", "too large", "not declared"],
)
def test_a_refused_body(client: httpx.Client, bodies: list[Any], kinds: list[str], status: int, code: str) -> None:
    for body, kind in itertools.product(bodies, kinds):
        content = iter(body) if isinstance(body, list) else body  # of undeclared length
        response = client.post("/v1/completions", content=content, headers={"content-type": kind})
        error_of(response, status, code)
    headers = {"content-type": "Application/JSON; charset=utf-8"}
    assert client.post("/v1/completions", content=BODY, headers=headers).status_code == 200


def test_an_error_of_the_server(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models.Server, "describe", lambda *_: 1 / 0)
    with serving() as client:
        response = client.get("/v1/models")
        assert get_metric(client, "elman_http_requests_total", endpoint="/v1/models", status="500") == 1
    error = error_of(response, 500, "internal_error")
    assert error["message"] == "internal server error; see the server's log"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "ZeroDivisionError" in caplog.text


# --- Models and tokenizer ---


def test_the_models_are_listed(client: httpx.Client) -> None:
    listed = client.get("/v1/models").json()
    (model,) = listed["data"]
    assert listed["object"] == "list"
    assert (model["id"], model["object"], model["owned_by"]) == (NAME, "model", "elman")
    assert client.get(f"/v1/models/{NAME}").json() == model
    error_of(client.get("/v1/models/sunny"), 404, "model_not_found")
    assert client.get("/health").json() == {"status": "ok"}


def test_the_tokenizer(client: httpx.Client) -> None:
    expected = tiny().alphabet.encode(PROMPT).tolist()
    found = client.post("/tokenize", json={"prompt": PROMPT, "add_special_tokens": False}).json()
    assert found == {"tokens": expected, "count": 8, "max_model_len": 2000}
    assert client.post("/detokenize", json={"tokens": expected}).json() == {"prompt": PROMPT}
    assert client.post("/detokenize", json={"tokens": []}).json() == {"prompt": ""}
    info = {"tokenizer_class": "characters", "vocab_size": 26, "bos_token": "\n", "eos_token": None, "pad_token": None}
    assert client.get("/tokenizer_info").json() == info
    error_of(client.post("/tokenize", json={}), 400, "invalid_value")
    error_of(client.post("/tokenize", json={"prompt": "Q"}), 400, "unknown_character")
    error_of(client.post("/detokenize", json={"tokens": [99]}), 400, "invalid_value")


def test_an_imported_arpa_file_has_no_counts_to_adapt(tmp_path: Path) -> None:
    elman.export(train(Corpus.from_text("abc\n" * 20), preset="counts").model, tmp_path / "lm.arpa")
    with listening(create_app({NAME: elman.import_(tmp_path / "lm.arpa")}, Settings())) as client:
        error = error_of(post(client, prompt="b", adapt="counts"), 400, "invalid_value")
        assert error["message"] == f"adapt requires a model with n-gram counts, which {NAME} does not have"


def test_of_several_models_a_request_names_one() -> None:
    small = random_prior_model("abc\n")
    with listening(create_app({NAME: tiny(), "other": tiny(), "small": small}, Settings())) as client:
        assert [model["id"] for model in client.get("/v1/models").json()["data"]] == [NAME, "other", "small"]
        assert texts(client, seed=1) == texts(client, model="other", seed=1)
        assert client.get("/tokenizer_info", params={"model": "other"}).json()["vocab_size"] == 26
        error_of(client.get("/tokenizer_info"), 400, "invalid_value")
        for path in ("/v1/completions", "/tokenize"):
            error = error_of(client.post(path, json={"prompt": "the "}), 400, "invalid_value")
            assert (error["param"], error["message"]) == ("model", "missing required argument model")
        error = error_of(post(client, model="small", prompt=[25]), 400, "unknown_character")
        assert error["message"] == "25 is not the index of a character; the model has 4"
        assert "requires a model with" in error_of(post(client, adapt="counts"), 400, "invalid_value")["message"]
        expected = small.samples(1, 16, prompt="abc", seed=1, adapt="counts", temperature=1)
        assert texts(client, "abc", model="small", adapt="counts", seed=1) == expected


LONG = "abcdefghij" * 20_000


def test_no_error_of_the_server_is_long() -> None:
    with serving() as client:
        answers: list[httpx.Response] = [
            client.get(f"/{LONG[:9000]}"),
            client.post("/v1/completions", json={LONG: 1}),
            client.post("/v1/completions", content=b"{}", headers={"content-type": LONG[:9000]}),
            client.get(f"/v1/models/{LONG[:9000]}"),
        ]
        for name in ("model", "prompt", "max_tokens", "temperature", "seed", "stop", "adapt", "stream_options"):
            for value in (LONG, [LONG], -int("9" * 4000)):
                answers.append(client.post("/v1/completions", json={name: value}))
        answers.append(client.post("/v1/completions", json={"prompt": [int("9" * 4000)]}))
        for answer in answers:
            assert 400 <= answer.status_code < 500
            assert len(answer.text) < 500
