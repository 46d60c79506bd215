"""Access control: host names, origins, API keys, security headers, addresses."""

import hmac
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from elman.errors import ElmanError
from elman.serve.api.startup import create_settings
from elman.serve.http.access import host_name, parse_origin
from elman.serve.http.responses import SECURITY_HEADERS
from elman.serve.http.server import address_of, is_loopback, listen
from support.server import NAME, serving

KEY = "sesame-0123"
LIMITS: dict[str, Any] = {"max_tokens": 10, "max_characters": 100, "max_batch_size": 1, "max_queued_requests": 0}


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    """A client of a server on the loopback interface, without a key."""
    with serving() as client:
        yield client


@pytest.fixture(scope="module")
def locked() -> Iterator[httpx.Client]:
    """A client without the key of a server that accepts any numerical address."""
    with serving(api_key=KEY, any_address=True) as client:
        yield client


def code(answer: httpx.Response) -> tuple[int, str]:
    """Return the status and the code of an error."""
    return answer.status_code, answer.json()["error"]["code"]


# --- Host names ---


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:1", "LOCALHOST:8000", "127.0.0.1:80", "[::1]", "[::1]:9", "localhost."]
)
def test_a_name_of_this_machine(client: httpx.Client, host: str) -> None:
    assert client.get("/health", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.example/localhost",
        "localhost@evil.example",
        "evil.example@localhost",
        "localhost:port",
        "127.0.0.2",
        "192.168.0.1",
        "[::1",
        "",
    ],
)
def test_a_name_that_is_not_served(client: httpx.Client, host: str) -> None:
    for path in ("/health", "/v1/models", "/nowhere"):
        assert code(client.get(path, headers={"host": host})) == (403, "host_not_allowed")


def test_a_server_at_any_address_answers_to_every_numerical_one(locked: httpx.Client) -> None:
    for host in ("192.168.0.7:8000", "10.0.0.1", "[fe80::1]:80", "127.0.0.1", "localhost"):
        assert locked.get("/health", headers={"host": host}).status_code == 200
    for host in ("evil.example", "192.168.0.7.evil.example", "0x7f.1"):
        assert code(locked.get("/health", headers={"host": host})) == (403, "host_not_allowed")


@pytest.mark.parametrize(
    ("host", "name"),
    [
        *(("a:1", "a"), ("A.b", "a.b"), ("[::1]:1", "::1"), ("a b", "a b")),
        *((host, None) for host in ("a/b", "a#b", "a?b", "u@a", ":1", "")),
    ],
)
def test_the_name_in_a_host(host: str, name: str | None) -> None:
    assert host_name(host) == name


# --- Pages of other sites ---


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "", "http://localhost:1", "https://localhost", "file://", "http://127.0.0.1", "http://[",
     "chrome-extension://a"],
)  # fmt: skip
def test_a_page_of_another_site(client: httpx.Client, origin: str) -> None:
    headers = {"origin": origin, "host": "localhost:8000"}
    for answer in (
        client.get("/v1/models", headers=headers),
        client.post("/v1/completions", json={"model": NAME}, headers=headers),
        client.options("/v1/completions", headers=headers | {"access-control-request-method": "POST"}),
    ):
        assert code(answer) == (403, "origin_not_allowed")
        assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("origin", ["http://localhost:8000", "https://localhost:8000", "http://LOCALHOST:8000"])
def test_a_page_of_the_server_itself(client: httpx.Client, origin: str) -> None:
    headers = {"origin": origin, "host": "localhost:8000", "sec-fetch-site": "same-origin"}
    assert client.post("/v1/completions", json={"model": NAME}, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 403),
        ({"sec-fetch-site": "same-site", "sec-fetch-mode": "cors"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, 200),
        ({"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}, 200),
        ({"sec-fetch-site": "none", "sec-fetch-mode": "navigate"}, 200),
    ],
    ids=str,
)
def test_what_the_browser_says_of_where_it_comes_from(
    client: httpx.Client, headers: dict[str, str], status: int
) -> None:
    assert client.get("/v1/models", headers=headers).status_code == status


def test_a_page_of_another_site_cannot_even_open_a_form(client: httpx.Client) -> None:
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    answer = client.post("/v1/completions", data={"model": NAME}, headers=headers)
    assert code(answer) == (403, "origin_not_allowed")


# --- Pages of allowed origins ---

ORIGIN = "http://localhost:3000"
PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,x-client"}


def test_a_page_of_an_allowed_origin() -> None:
    with serving(api_key=KEY, origins=(ORIGIN,)) as client:
        page = {"origin": ORIGIN, "sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"}
        answer = client.options("/v1/completions", headers=page | PREFLIGHT)  # a browser sends no key with it
        assert answer.status_code == 200
        for name, value in {"origin": ORIGIN, "methods": "GET, POST", "headers": "authorization,x-client"}.items():
            assert answer.headers[f"access-control-allow-{name}"] == value
        assert "access-control-allow-credentials" not in answer.headers
        for headers, status in (page, 401), (page | {"authorization": f"Bearer {KEY}"}, 200):
            answer = client.post("/v1/completions", json={}, headers=headers)
            assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, ORIGIN)
            assert answer.headers["vary"] == "Origin"
            assert SECURITY_HEADERS.items() <= dict(answer.headers).items()


def test_all_other_rules_hold_where_an_origin_is_allowed() -> None:
    with serving(api_key=KEY, origins=(ORIGIN,)) as client:
        for origin in (
            "http://evil.example",
            "http://localhost:3001",
            "https://localhost:3000",
            "null",
            "",
            f"{ORIGIN}.a",
        ):
            for answer in (
                client.options("/v1/completions", headers={"origin": origin} | PREFLIGHT),
                client.post("/v1/completions", json={}, headers={"origin": origin}),
            ):
                assert code(answer) == (403, "origin_not_allowed")
                assert not [name for name in answer.headers if name.startswith("access-control-")]
        answer = client.options("/v1/completions", headers={"origin": ORIGIN, "host": "evil.example"} | PREFLIGHT)
        assert code(answer) == (403, "host_not_allowed")
        assert client.get("/v1/models", headers={"sec-fetch-site": "cross-site"}).status_code == 403
        assert "access-control-allow-origin" not in client.get("/health").headers


@pytest.mark.parametrize(
    ("origin", "parsed"),
    [
        *(("http://localhost:3000", "http://localhost:3000"), ("HTTPS://A.example:443/", "https://a.example")),
        *(("http://[::1]:80", "http://[::1]"), ("chrome-extension://abc", "chrome-extension://abc")),
        *(
            (origin, None)
            for origin in ("*", "null", "", "a.example", "http://", "http://a/b", "http://a?b", "http://u@a")
        ),
        *((origin, None) for origin in ("http://a:b", "http://*.a", "http://é.example", "http://a\n")),
    ],
)
def test_the_origin_in_an_option(origin: str, parsed: str | None) -> None:
    assert parse_origin(origin) == parsed
    if parsed is None:
        with pytest.raises(ElmanError, match=r"^allow_origin must be an origin such as https://example\.org or "):
            create_settings("127.0.0.1", None, [], [origin], **LIMITS)
    else:
        assert create_settings("127.0.0.1", None, [], [origin], **LIMITS).origins == (parsed,)


# --- API keys ---


@pytest.mark.parametrize(
    "shown",
    [None, "", KEY, "Bearer", f"Basic {KEY}", *(f"Bearer {key}" for key in (f"{KEY}x", KEY[:-1], KEY.upper(), "\xe9"))],
    ids=str,
)
def test_a_key_that_is_missing_or_wrong(locked: httpx.Client, shown: str | None) -> None:
    headers = [] if shown is None else [(b"authorization", shown.encode("latin-1"))]
    for path in ("/v1/models", "/metrics", "/openapi.json", "/tokenizer_info", "/nowhere"):
        answer = locked.get(path, headers=httpx.Headers(headers))
        assert code(answer) == (401, "invalid_api_key")
        assert answer.headers["www-authenticate"] == "Bearer"
    assert code(locked.post("/v1/completions", json={}, headers=httpx.Headers(headers))) == (401, "invalid_api_key")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_right_key(locked: httpx.Client, scheme: str) -> None:
    headers = {"authorization": f"{scheme} {KEY}"}
    assert locked.get("/v1/models", headers=headers).status_code == 200
    assert locked.get("/metrics", headers=headers).status_code == 200


def test_health_needs_no_key(locked: httpx.Client) -> None:
    assert locked.get("/health").json() == {"status": "ok"}


def test_without_a_key_any_is_welcome(client: httpx.Client) -> None:
    assert client.get("/v1/models", headers={"authorization": "Bearer"}).status_code == 200


def test_keys_are_compared_in_a_time_that_tells_nothing(locked: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = list[int]()
    real = hmac.compare_digest

    def noting(first: bytes, second: bytes) -> bool:
        compared.extend((len(first), len(second)))
        return real(first, second)

    monkeypatch.setattr(hmac, "compare_digest", noting)
    for shown in ("Bearer x", f"Bearer {KEY}", "x" * 999):
        locked.get("/v1/models", headers={"authorization": shown})
    assert compared == [32] * 6


# --- Headers ---


def test_every_answer_has_its_headers(client: httpx.Client, locked: httpx.Client) -> None:
    answers = [
        client.get("/health"),
        client.get("/nowhere"),
        client.delete("/health"),
        client.get("/health", headers={"host": "evil.example"}),
        client.post("/v1/completions", content=b"{}"),
        client.post("/v1/completions", json={"model": NAME, "stream": True}),
        locked.get("/v1/models"),
    ]
    assert [answer.status_code for answer in answers] == [200, 404, 405, 403, 415, 200, 401]
    for answer in answers:
        assert SECURITY_HEADERS.items() <= {name: answer.headers.get(name) for name in SECURITY_HEADERS}.items()
        assert "server" not in answer.headers
        assert "access-control-allow-origin" not in answer.headers


def test_what_the_headers_forbid() -> None:
    policy = dict(part.strip().split(" ", 1) for part in SECURITY_HEADERS["content-security-policy"].split(";"))
    assert policy["default-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["object-src"] == policy["base-uri"] == "'none'"
    assert "http" not in SECURITY_HEADERS["content-security-policy"]
    assert "unsafe" not in SECURITY_HEADERS["content-security-policy"]


# --- Addresses ---


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_the_loopback_needs_no_key(host: str) -> None:
    assert is_loopback(host)
    settings = create_settings(host, None, [], **LIMITS)
    assert not settings.any_address
    assert {"localhost", "127.0.0.1", "::1", host} <= set(settings.hosts)


@pytest.mark.parametrize("key", [None, ""])
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "", "example.com", "127.1", "localhost.evil.example"])
def test_another_address_needs_a_key(host: str, key: str | None) -> None:
    expected = r"^host '.*' can be reached by other machines and requires api_key \(or ELMAN_API_KEY\)$"
    with pytest.raises(ElmanError, match=expected):
        create_settings(host, key, [], **LIMITS)


def test_the_names_of_other_addresses() -> None:
    everywhere = create_settings("0.0.0.0", KEY, ["Elman.Example"], **LIMITS)
    assert everywhere.any_address
    assert {"localhost", "elman.example"} <= set(everywhere.hosts)
    names = create_settings("127.0.0.1", None, ["Box.local:8000", "box.", "::1", "[::2]:80"], **LIMITS)
    assert names.hosts[-4:] == ("box.local", "box", "::1", "::2")
    one = create_settings("192.168.0.1", KEY, [], **LIMITS)
    assert (one.hosts, one.any_address) == (("192.168.0.1",), False)


@pytest.mark.parametrize("name", ["", "http://box", "box/path", "me@box", "box:http"])
def test_a_name_that_no_request_has(name: str) -> None:
    with pytest.raises(ElmanError, match=r"^allow_host must be a host name or an IP address \(got "):
        create_settings("127.0.0.1", None, [name], **LIMITS)


@pytest.mark.parametrize("key", ["two words", "schlüssel", "line\nfeed", " "])
def test_a_key_that_no_header_can_hold(key: str) -> None:
    with pytest.raises(ElmanError, match=r"^api_key must be printable ASCII without spaces"):
        create_settings("127.0.0.1", key, [], **LIMITS)


@pytest.mark.parametrize(
    ("limit", "value", "minimum"),
    [("max_tokens", 0, 1), ("max_batch_size", 0, 1), ("max_queued_requests", -1, 0)],
)
def test_a_limit_out_of_its_range(limit: str, value: int, minimum: int) -> None:
    expected = rf"^{limit} must be at least {minimum} \(got {value}\)$"
    with pytest.raises(ElmanError, match=expected):
        create_settings("127.0.0.1", None, [], **LIMITS | {limit: value})


def test_a_request_limit_below_that_of_a_completion() -> None:
    with pytest.raises(ElmanError, match=r"^max_characters must be at least max_tokens \(got 9 and 10\)$"):
        create_settings("127.0.0.1", None, [], **LIMITS | {"max_tokens": 10, "max_characters": 9})


def test_a_port_that_is_taken() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        expected = rf"^port {port} of 127.0.0.1 is already in use; port=0 picks a free one$"
        with pytest.raises(ElmanError, match=expected):
            listen("127.0.0.1", port)


def test_an_address_that_is_not_this_machines() -> None:
    with pytest.raises(ElmanError, match=r"^cannot listen on 192\.0\.2\.1, port 0 \(.*\); change host or port$"):
        listen("192.0.2.1", 0)
    with pytest.raises(ElmanError, match=r"^host 'no such' is not an address of this machine"):
        listen("no such", 0)


@pytest.mark.parametrize(("host", "expected"), [("127.0.0.1", "http://127.0.0.1:"), ("0.0.0.0", "http://localhost:")])
def test_the_address_that_is_shown(host: str, expected: str) -> None:
    with listen(host, 0) as listening:
        assert address_of(listening) == f"{expected}{listening.getsockname()[1]}"
