"""Settings of a server: addresses, names and origins, the key and limits."""

from typing import Any

import pytest

from elman.apps.serve.settings import create_settings, is_loopback
from elman.errors import ElmanError

KEY = "sesame-0123"


@pytest.mark.parametrize(
    ("origin", "parsed"),
    [
        *(("http://localhost:3000", "http://localhost:3000"), ("HTTPS://A.example:443/", "https://a.example")),
        *(("http://[::1]:80", "http://[::1]"), ("chrome-extension://abc", "chrome-extension://abc")),
        *((origin, None) for origin in ("*", "null", "", "a.example", "http://", "http://a/b", "http://a?b")),
        *((origin, None) for origin in ("http://u@a", "http://a:b", "http://*.a", "http://é.example", "http://a\n")),
        *((origin, None) for origin in ("http://a:65536", "http://a:99999")),
    ],
)
def test_an_allowed_origin(origin: str, parsed: str | None) -> None:
    if parsed is None:
        with pytest.raises(ElmanError, match=r"^allow_origin must be an origin such as https://example\.org or "):
            create_settings("127.0.0.1", None, allow_origin=[origin])
    else:
        assert create_settings("127.0.0.1", None, allow_origin=[origin]).origins == (parsed,)


def test_a_loopback_address_needs_no_key_and_another_one_does() -> None:
    for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost"):
        assert is_loopback(host)
        settings = create_settings(host, None)
        assert not settings.any_address
        assert {"localhost", "127.0.0.1", "::1", host} <= set(settings.hosts)
    for host in ("0.0.0.0", "::", "192.168.0.1", "", "example.com", "127.1", "localhost.evil.example"):
        for key in (None, ""):
            with pytest.raises(ElmanError, match=r"can be reached by other machines and requires api_key"):
                create_settings(host, key)


def test_the_accepted_host_names() -> None:
    everywhere = create_settings("0.0.0.0", KEY, ["Elman.Example"])
    assert everywhere.any_address
    assert {"localhost", "elman.example"} <= set(everywhere.hosts)
    names = create_settings("127.0.0.1", None, ["Box.local:8000", "box.", "::1", "[::2]:80"])
    assert names.hosts[-4:] == ("box.local", "box", "::1", "::2")
    one = create_settings("192.168.0.1", KEY)
    assert (one.hosts, one.any_address) == (("192.168.0.1",), False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        *(({"allow_host": [name]}, "allow_host must be a host name") for name in ("", "http://box", "box/path", "a b")),
        *(({"allow_host": [name]}, "allow_host must be a host name") for name in ("me@box", "box:http")),
        *(({"api_key": key}, "api_key must be printable ASCII") for key in ("two words", "schlüssel", "a\nb", " ")),
        ({"max_tokens": 0}, r"max_tokens must be at least 1 \(got 0\)"),
        ({"max_batch_size": 0}, r"max_batch_size must be at least 1 \(got 0\)"),
        ({"max_queued_requests": -1}, r"max_queued_requests must be at least 0 \(got -1\)"),
        ({"max_tokens": 10, "max_characters": 9}, r"max_characters must be at least max_tokens \(got 9 and 10\)"),
    ],
    ids=str,
)
def test_an_invalid_setting(options: Any, message: str) -> None:
    with pytest.raises(ElmanError, match=message):
        create_settings("127.0.0.1", **{"api_key": None} | options)
