"""Who is let in: a request under a name that is served, from a page that is this server's own, with the key.

A page of another site can make a browser send requests here. It is kept out three times: the browser says where
the page is from (``Origin``, ``Sec-Fetch-Site``); under a name of its own that leads to this machine (DNS rebinding)
the page is at home, but the name is not one that is served; and what is not JSON is not read (`elman.serve.http.request_body`).
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from elman.serve.http.errors import Refusal
from elman.serve.settings import Settings

HEADERS = {
    "content-security-policy": (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
"""Sent with everything; an answer that has one of its own keeps it."""


class Guard:
    """ASGI middleware that lets in whom it should, and sends `HEADERS` with every answer.

    Parameters
    ----------
    app : ASGI application
    settings : Settings
    is_public : callable
        Whether the path is shown without a key.
    """

    def __init__(self, app: ASGIApp, settings: Settings, is_public: Callable[[str], bool]) -> None:
        self.app, self.settings, self.is_public = app, settings, is_public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it. What is neither HTTP nor the start of the server is not known here."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"nothing answers {scope['type']!r} here")

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self._check(scope)
        except Refusal as refusal:
            await refusal.response()(scope, receive, with_headers)
        else:
            await self.app(scope, receive, with_headers)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        if not self._is_served(headers.getlist("host")):
            message = "this server does not answer to that name: use one of its own, or start it with --allow-host"
            raise Refusal(403, message, "host_not_allowed")
        if not _is_at_home(headers, scope):
            raise Refusal(403, "pages of other sites may not call this server", "origin_not_allowed")
        if self.settings.api_key is None or self.is_public(scope["path"]):
            return
        if not _shows(self.settings.api_key, headers.get("authorization", "")):
            message = "the API key is missing or wrong: send Authorization: Bearer KEY"
            raise Refusal(401, message, "invalid_api_key", headers={"www-authenticate": "Bearer"})

    def _is_served(self, hosts: list[str]) -> bool:
        name = host_name(hosts[0]) if len(hosts) == 1 else None
        return name is not None and (
            name in self.settings.hosts or (self.settings.any_address and as_address(name) is not None)
        )


def _is_at_home(headers: Headers, scope: Scope) -> bool:
    """Whether a request comes from no page, from one of this server, or only opens one."""
    origin = headers.get("origin")
    if origin is not None:
        return origin.lower() in (f"{scheme}://{headers['host'].lower()}" for scheme in ("http", "https"))
    site = headers.get("sec-fetch-site", "none")
    opens = scope["method"] in ("GET", "HEAD") and headers.get("sec-fetch-mode") == "navigate"
    return site in ("none", "same-origin") or opens


def host_name(host: str) -> str | None:
    """Return the name in a ``Host``, without its port, or None if it is not one."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises where it is no number
    except ValueError:
        return None
    whole = parts.netloc == host and parts.username is None
    return parts.hostname.rstrip(".") if whole and parts.hostname else None


def as_address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the numerical address that a name is, if it is one."""
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _shows(key: str, authorization: str) -> bool:
    """Whether the key is shown, in a time that tells nothing of it."""
    scheme, _, shown = authorization.partition(" ")
    digests = (hashlib.sha256(text.encode()).digest() for text in (key, shown.strip()))
    return hmac.compare_digest(*digests) and scheme.lower() == "bearer"
