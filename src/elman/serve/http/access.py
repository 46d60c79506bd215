"""Access control: the host name, the origin and the API key of every request.

A web page of another site can make a browser send requests to this server. Three checks keep it out: the browser states
the page's origin (``Origin``, ``Sec-Fetch-Site``); a page whose host name resolves to this machine (DNS rebinding) is
same-origin, but its host name is not an accepted one; and only bodies declared as JSON are read, which an HTML form
cannot send (`elman.serve.http.request_body`).

The key is checked after that, by a middleware of its own: a browser sends none with the preflight request of a page of
an allowed origin, which Starlette's `CORSMiddleware` answers in between.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from elman.serve.http.errors import APIError
from elman.serve.http.responses import SECURITY_HEADERS
from elman.serve.settings import Settings

_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?/?")
_DEFAULT_PORTS = {"http": 80, "https": 443}
"""Scheme -> port that browsers leave out."""


class AccessMiddleware:
    """ASGI middleware that rejects other hosts and origins, and adds the security headers to every response.

    Parameters
    ----------
    app : ASGI application
    settings : Settings
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app, self.settings = app, settings

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
        if headers.get("origin") not in self.settings.origins and not _is_same_origin(headers, scope):
            message = "requests from pages of other sites are not allowed, unless started with --allow-origin"
            raise APIError(403, message, "origin_not_allowed")

    def _is_allowed_host(self, hosts: list[str]) -> bool:
        name = host_name(hosts[0]) if len(hosts) == 1 else None
        return name is not None and (
            name in self.settings.hosts or (self.settings.any_address and as_address(name) is not None)
        )


class KeyMiddleware:
    """ASGI middleware that rejects requests without the API key, if there is one.

    Parameters
    ----------
    app : ASGI application
    settings : Settings
    is_public : callable
        Whether a path is served without a key.
    """

    def __init__(self, app: ASGIApp, settings: Settings, is_public: Callable[[str], bool]) -> None:
        self.app, self.settings, self.is_public = app, settings, is_public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request with the key, and the lifespan."""
        if scope["type"] != "http" or self._has_access(scope):
            await self.app(scope, receive, send)
            return
        message = "missing or invalid API key; send the header Authorization: Bearer KEY"
        error = APIError(401, message, "invalid_api_key", headers={"www-authenticate": "Bearer"})
        await error.response()(scope, receive, send)

    def _has_access(self, scope: Scope) -> bool:
        key = self.settings.api_key
        if key is None or self.is_public(scope["path"]):
            return True
        return _has_key(key, Headers(scope=scope).get("authorization", ""))


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


def parse_origin(origin: str) -> str | None:
    """Return an origin as browsers send it, such as ``https://example.org``, or None if it is not one."""
    match = _ORIGIN.fullmatch(origin.lower())
    if match is None:
        return None
    scheme, host, port = match.groups()
    shown = f":{port}" if port and int(port) != _DEFAULT_PORTS.get(scheme) else ""
    return f"{scheme}://{host}{shown}"


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
