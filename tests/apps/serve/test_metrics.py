"""Prometheus metrics of the server."""

from support.server import NAME, complete, get_metric, serving, wait_for_metric

PROMPT = "the rain"
PATH = "/v1/completions"


def test_characters_requests_and_seconds_are_counted() -> None:
    with serving() as client:
        complete(client, PROMPT, n=2, max_tokens=30, echo=True)
        client.post(PATH, json={"n": 0})
        for name, value in {
            "elman_prompt_characters_total": len(PROMPT),
            "elman_generated_characters_total": 60,
            "elman_first_character_seconds_count": 1,
            "elman_completion_seconds_count": 1,
            "elman_requests_in_progress": 0,
            "elman_client_disconnects_total": 0,
        }.items():
            assert get_metric(client, name, model=NAME, endpoint=PATH) == value
        for status in ("200", "400"):
            assert get_metric(client, "elman_http_requests_total", endpoint=PATH, status=status) == 1
        assert get_metric(client, "elman_sequences_running", model=NAME) == 0
        assert get_metric(client, "elman_sequences_waiting") == 0
        assert get_metric(client, "process_resident_memory_bytes") > 0
        assert client.get("/metrics").headers["content-type"].startswith("text/plain")


def test_what_was_generated_for_a_client_that_disconnects_is_counted() -> None:
    with serving(max_tokens=10**6, max_characters=10**6) as client:
        with client.stream("POST", PATH, json={"max_tokens": 10**6, "stream": True}) as response:
            lines = response.iter_lines()  # it closes the response when it is forgotten
            assert next(lines)
            assert get_metric(client, "elman_requests_in_progress", endpoint=PATH) == 1
        wait_for_metric(client, "elman_client_disconnects_total", 1)
        assert get_metric(client, "elman_requests_in_progress") == 0
        assert 0 < get_metric(client, "elman_generated_characters_total", endpoint=PATH) < 10**6


def test_responses_are_counted_by_the_path_of_the_endpoint() -> None:
    expected = {"/v1/models": 2, "/v1/models/{name}": 2, "/models/{name}": 1, "/": 1, "none": 1}
    paths = ("/v1/models", f"/v1/models/{NAME}", "/v1/models/sunny", f"/models/{NAME}", "/", "/nowhere")
    with serving() as client:
        for path in paths:
            client.get(path)
        client.delete("/v1/models")
        assert {path: get_metric(client, "elman_http_requests_total", endpoint=path) for path in expected} == expected
