"""Access control: host names, origins, API keys and security headers."""

import hmac
from collections.abc import Iterator

import httpx
import pytest

from elman.apps.serve.middleware import DEFAULT_HEADERS
from support.server import NAME, error_of, serving

KEY = "sesame-0123"
ORIGIN = "http://localhost:3000"
PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,x-client"}
SECURITY_HEADERS = {name: value for name, value in DEFAULT_HEADERS.items() if name != "cache-control"}
CROSS_SITE = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"}


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with serving() as client:
        yield client


@pytest.fixture(scope="module")
def locked() -> Iterator[httpx.Client]:
    """A client without the key of a server that accepts any numerical address, and an origin."""
    with serving(api_key=KEY, any_address=True, origins=(ORIGIN,)) as client:
        yield client


def test_only_host_names_of_this_machine_are_allowed(client: httpx.Client) -> None:
    for host in ("localhost", "localhost:1", "LOCALHOST:8000", "127.0.0.1:80", "[::1]", "[::1]:9", "localhost."):
        assert client.get("/health", headers={"host": host}).status_code == 200
    for host in (
        *("evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example"),
        *("evil.example/localhost", "localhost@evil.example", "evil.example@localhost", "localhost:port"),
        *("127.0.0.2", "192.168.0.1", "[::1", "", "a b", "a#b", "a?b", ":1"),
    ):
        for path in ("/health", "/v1/models", "/nowhere"):
            error_of(client.get(path, headers={"host": host}), 403, "host_not_allowed")


def test_a_server_at_any_address_accepts_every_numerical_one(locked: httpx.Client) -> None:
    for host in ("192.168.0.7:8000", "[fe80::1]:80", "127.0.0.1", "localhost"):
        assert locked.get("/health", headers={"host": host}).status_code == 200
    for host in ("evil.example", "192.168.0.7.evil.example", "0x7f.1"):
        error_of(locked.get("/health", headers={"host": host}), 403, "host_not_allowed")


@pytest.mark.parametrize(
    "origin",
    [
        *("http://evil.example", "null", "", "http://localhost:1", "https://localhost", "file://", "http://127.0.0.1"),
        *("http://[", "chrome-extension://a"),
    ],
)
def test_a_page_of_another_site(client: httpx.Client, origin: str, caplog: pytest.LogCaptureFixture) -> None:
    headers = {"origin": origin, "host": "localhost:8000"}
    for response in (
        client.get("/v1/models", headers=headers),
        client.post("/v1/completions", json={"model": NAME}, headers=headers),
        client.options("/v1/completions", headers=headers | {"access-control-request-method": "POST"}),
    ):
        error_of(response, 403, "origin_not_allowed")
        assert not [name for name in response.headers if name.startswith("access-control-")]
    assert caplog.messages == [f"refused a request from a page of {origin!r}; --allow-origin permits an origin"] * 3


def test_requests_of_the_server_itself_and_of_no_page(client: httpx.Client) -> None:
    for origin in ("http://localhost:8000", "https://localhost:8000", "http://LOCALHOST:8000"):
        headers = {"origin": origin, "host": "localhost:8000", "sec-fetch-site": "same-origin"}
        assert client.post("/v1/completions", json={"model": NAME}, headers=headers).status_code == 200
    for site, mode, status in (
        *(("cross-site", "no-cors", 403), ("same-site", "cors", 403), ("cross-site", "navigate", 200)),
        *(("same-origin", "cors", 200), ("none", "navigate", 200)),
    ):
        headers = {"sec-fetch-site": site, "sec-fetch-mode": mode}
        assert client.get("/v1/models", headers=headers).status_code == status
    form = client.post("/v1/completions", data={"model": NAME}, headers=CROSS_SITE | {"sec-fetch-mode": "navigate"})
    error_of(form, 403, "origin_not_allowed")


def test_a_page_of_an_allowed_origin(locked: httpx.Client) -> None:
    page = {"origin": ORIGIN} | CROSS_SITE
    response = locked.options("/v1/completions", headers=page | PREFLIGHT)  # a browser sends no key with it
    assert response.status_code == 200
    for name, value in {"origin": ORIGIN, "methods": "GET, POST", "headers": "authorization,x-client"}.items():
        assert response.headers[f"access-control-allow-{name}"] == value
    assert "access-control-allow-credentials" not in response.headers
    for headers, status in (page, 401), (page | {"authorization": f"Bearer {KEY}"}, 200):
        response = locked.post("/v1/completions", json={}, headers=headers)
        assert (response.status_code, response.headers["access-control-allow-origin"]) == (status, ORIGIN)
        assert response.headers["vary"] == "Origin"
        assert SECURITY_HEADERS.items() <= dict(response.headers).items()


def test_another_origin_than_the_allowed_one(locked: httpx.Client) -> None:
    for origin in ("http://evil.example", "http://localhost:3001", "https://localhost:3000", "null", "", f"{ORIGIN}.a"):
        for response in (
            locked.options("/v1/completions", headers={"origin": origin} | PREFLIGHT),
            locked.post("/v1/completions", json={}, headers={"origin": origin}),
        ):
            error_of(response, 403, "origin_not_allowed")
            assert not [name for name in response.headers if name.startswith("access-control-")]
    headers = {"origin": ORIGIN, "host": "evil.example"} | PREFLIGHT
    error_of(locked.options("/v1/completions", headers=headers), 403, "host_not_allowed")
    assert locked.get("/v1/models", headers=CROSS_SITE).status_code == 403
    assert "access-control-allow-origin" not in locked.get("/health").headers


@pytest.mark.parametrize(
    "given",
    [None, "", KEY, "Bearer", f"Basic {KEY}", *(f"Bearer {key}" for key in (f"{KEY}x", KEY[:-1], KEY.upper(), "\xe9"))],
    ids=str,
)
def test_a_key_that_is_missing_or_wrong(locked: httpx.Client, given: str | None) -> None:
    headers = httpx.Headers([] if given is None else [(b"authorization", given.encode("latin-1"))])
    described = ("/v1/models", f"/models/{NAME}", "/tokenizer_info", "/metrics", "/openapi.json")
    for path in (*described, "/nowhere", "/healthy"):
        response = locked.get(path, headers=headers)
        error_of(response, 401, "invalid_api_key")
        assert response.headers["www-authenticate"] == "Bearer"
    error_of(locked.post("/v1/completions", json={}, headers=headers), 401, "invalid_api_key")


def test_the_right_key_and_what_needs_none(client: httpx.Client, locked: httpx.Client) -> None:
    for path, scheme in {"/v1/models": "Bearer", "/metrics": "bearer", f"/models/{NAME}": "BEARER"}.items():
        assert locked.get(path, headers={"authorization": f"{scheme} {KEY}"}).status_code == 200
    for path in ("/health", "/"):  # the page asks for the key
        assert locked.get(path).status_code == 200
    assert client.get("/v1/models", headers={"authorization": "Bearer"}).status_code == 200


def test_keys_are_compared_in_constant_time(locked: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = list[int]()
    compare = hmac.compare_digest

    def record(first: bytes, second: bytes) -> bool:
        compared.extend((len(first), len(second)))
        return compare(first, second)

    monkeypatch.setattr(hmac, "compare_digest", record)
    for given in ("Bearer x", f"Bearer {KEY}", "x" * 999):
        locked.get("/v1/models", headers={"authorization": given})
    assert compared == [32] * 6


def test_every_response_has_the_security_headers(client: httpx.Client, locked: httpx.Client) -> None:
    responses = [
        client.get(f"/models/{NAME}"),
        client.get("/nowhere"),
        client.delete("/health"),
        client.get("/health", headers={"host": "evil.example"}),
        client.post("/v1/completions", content=b"{}"),
        client.post("/v1/completions", json={"model": NAME, "stream": True}),
        locked.get("/v1/models"),
    ]
    assert [response.status_code for response in responses] == [200, 404, 405, 403, 415, 200, 401]
    for response in responses:
        assert SECURITY_HEADERS.items() <= dict(response.headers).items()
        assert "server" not in response.headers
        assert "access-control-allow-origin" not in response.headers
    assert [responses[n].headers["cache-control"] for n in (0, 5)] == ["no-cache", "no-store"]
    of_page = {"content-security-policy": "frame-ancestors 'none'"}  # the rest is in the page
    assert (SECURITY_HEADERS | of_page).items() <= dict(client.get("/").headers).items()
