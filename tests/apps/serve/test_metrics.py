"""Prometheus metrics of the server."""

from support.server import NAME, complete, get_metric, serving, wait_for_metric

PROMPT = "the rain"
ENDPOINTS = {"/v1/completions": (8, 60, 1, 1), "/api/play": (8 + 8 + 5, 150, 2, 0), "/api/read": (16, 0, 1, 1)}
"""Characters read and generated, and requests completed and refused."""


def test_characters_requests_and_seconds_are_counted_by_endpoint() -> None:
    with serving() as client:
        complete(client, PROMPT, n=2, max_tokens=30)
        for path, body in (
            ("/v1/completions", {"n": 0}),
            ("/api/play", {"prompt": PROMPT, "max_tokens": 100}),
            ("/api/play", {"prompt": PROMPT, "max_tokens": 50, "generated": "storm"}),
            ("/api/read", {"text": PROMPT * 2}),
            ("/api/read", {"text": ""}),
        ):
            client.post(path, json=body)
        for endpoint, (read, generated, completed, refused) in ENDPOINTS.items():
            for name, value in {
                "elman_prompt_characters_total": read,
                "elman_generated_characters_total": generated,
                "elman_first_character_seconds_count": completed,
                "elman_completion_seconds_count": completed,
                "elman_requests_in_progress": 0,
                "elman_client_disconnects_total": 0,
            }.items():
                assert get_metric(client, name, model=NAME, endpoint=endpoint) == value
            responses = {"name": "elman_http_requests_total", "endpoint": endpoint}
            assert get_metric(client, **responses, status="200") == completed
            assert get_metric(client, **responses, status="400") == refused
        assert get_metric(client, "elman_generated_characters_total", model=NAME) == 210
        assert get_metric(client, "elman_sequences_running", model=NAME) == 0
        assert get_metric(client, "elman_sequences_waiting") == 0
        assert get_metric(client, "process_resident_memory_bytes") > 0
        assert client.get("/metrics").headers["content-type"].startswith("text/plain")


def test_what_was_generated_for_a_client_that_disconnects_is_counted() -> None:
    with serving(max_tokens=10**6, max_characters=10**6) as client:
        with client.stream("POST", "/api/play", json={"max_tokens": 10**6}) as response:
            lines = response.iter_lines()  # it closes the response when it is forgotten
            assert next(lines)
            assert get_metric(client, "elman_requests_in_progress", endpoint="/api/play") == 1
        wait_for_metric(client, "elman_client_disconnects_total", 1)
        assert get_metric(client, "elman_requests_in_progress") == 0
        assert 0 < get_metric(client, "elman_generated_characters_total", endpoint="/api/play") < 10**6


def test_responses_are_counted_by_the_path_of_the_endpoint() -> None:
    expected = {"/v1/models": 1, "/v1/models/{name}": 2, "/api/models": 2, "/": 1, "/static": 1, "none": 1}
    paths = ("/v1/models", f"/v1/models/{NAME}", "/v1/models/sunny", "/api/models", "/", "/static/base.css", "/nowhere")
    with serving() as client:
        for path in paths:
            client.get(path)
        client.delete("/api/models")
        assert {path: get_metric(client, "elman_http_requests_total", endpoint=path) for path in expected} == expected
