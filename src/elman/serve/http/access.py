"""Access control: the host name, the origin and the API key of every request.

A web page of another site can make a browser send requests to this server. Three checks keep it out: the browser states
the page's origin (``Origin``, ``Sec-Fetch-Site``); a page whose host name resolves to this machine (DNS rebinding) is
same-origin, but its host name is not an accepted one; and only bodies declared as JSON are read, which an HTML form
cannot send (`elman.serve.http.request_body`).
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from elman.serve.http.errors import APIError
from elman.serve.http.responses import SECURITY_HEADERS
from elman.serve.settings import Settings


class AccessMiddleware:
    """ASGI middleware that rejects requests without access and adds the security headers to every response.

    Parameters
    ----------
    app : ASGI application
    settings : Settings
    is_public : callable
        Whether a path is served without an API key.
    """

    def __init__(self, app: ASGIApp, settings: Settings, is_public: Callable[[str], bool]) -> None:
        self.app, self.settings, self.is_public = app, settings, is_public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward an allowed request and the lifespan; websockets are not supported."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"unsupported ASGI scope type {scope['type']!r}")

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self._check(scope)
        except APIError as error:
            await error.response()(scope, receive, send_with_headers)
        else:
            await self.app(scope, receive, send_with_headers)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        if not self._is_allowed_host(headers.getlist("host")):
            message = "this Host is not allowed; use one of the server's names or start it with --allow-host"
            raise APIError(403, message, "host_not_allowed")
        if not _is_same_origin(headers, scope):
            raise APIError(403, "requests from pages of other sites are not allowed", "origin_not_allowed")
        if self.settings.api_key is None or self.is_public(scope["path"]):
            return
        if not _has_key(self.settings.api_key, headers.get("authorization", "")):
            message = "missing or invalid API key; send the header Authorization: Bearer KEY"
            raise APIError(401, message, "invalid_api_key", headers={"www-authenticate": "Bearer"})

    def _is_allowed_host(self, hosts: list[str]) -> bool:
        name = host_name(hosts[0]) if len(hosts) == 1 else None
        return name is not None and (
            name in self.settings.hosts or (self.settings.any_address and as_address(name) is not None)
        )


def _is_same_origin(headers: Headers, scope: Scope) -> bool:
    """Return whether a request comes from no web page or from one of this server, or only navigates to one."""
    origin = headers.get("origin")
    if origin is not None:
        return origin.lower() in (f"{scheme}://{headers['host'].lower()}" for scheme in ("http", "https"))
    site = headers.get("sec-fetch-site", "none")
    navigates = scope["method"] in ("GET", "HEAD") and headers.get("sec-fetch-mode") == "navigate"
    return site in ("none", "same-origin") or navigates


def host_name(host: str) -> str | None:
    """Return the host name of a ``Host`` header, without its port, or None if the header is invalid."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises ValueError if it is not a number
    except ValueError:
        return None
    is_host = parts.netloc == host and parts.username is None
    return parts.hostname.rstrip(".") if is_host and parts.hostname else None


def as_address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Parse a numerical IP address; return None for any other name."""
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _has_key(key: str, authorization: str) -> bool:
    """Return whether an ``Authorization`` header contains the key, in a time that is independent of the contents."""
    scheme, _, token = authorization.partition(" ")
    digests = (hashlib.sha256(text.encode()).digest() for text in (key, token.strip()))
    return hmac.compare_digest(*digests) and scheme.lower() == "bearer"
