"""Access control: the host name, the origin and the API key of every request; and security headers.

A web page of another site can make a browser send requests to this server. Three checks keep it out: the browser states
the page's origin (``Origin``, ``Sec-Fetch-Site``); a page whose host name resolves to this machine (DNS rebinding) is
same-origin, but its host name is not an accepted one; and only bodies declared as JSON are read, which an HTML form
cannot send (`elman.apps.serve.requests`).

The key is checked after that, by a middleware of its own: a browser sends none with the preflight request of a page of
an allowed origin, which Starlette's `CORSMiddleware` answers in between.
"""

from __future__ import annotations

import hashlib
import hmac
import logging

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from elman.apps.serve.responses import APIError
from elman.apps.serve.settings import Settings, as_address, parse_host
from elman.errors import quote

DEFAULT_HEADERS = {
    "cache-control": "no-cache",
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
"""Added to every response that does not set them itself."""
PUBLIC_PATHS = frozenset({"/", "/health"})
"""Paths served without an API key. The page has no model, and asks for the key."""

log = logging.getLogger(__name__)


def restrict_access(app: Starlette, settings: Settings) -> ASGIApp:
    """Return an application that rejects the requests which the settings do not allow."""
    if settings.api_key is not None:
        app.add_middleware(require_key, key=settings.api_key)
    if settings.origins:  # every header may be sent: OpenAI's client for browsers adds many; no cookies are involved
        methods = ("GET", "POST")
        app.add_middleware(CORSMiddleware, allow_origins=settings.origins, allow_methods=methods, allow_headers=("*",))
    return check_access(app, settings)


def check_access(app: ASGIApp, settings: Settings) -> ASGIApp:
    """Return an application that rejects other hosts and origins, and adds the default headers to every response."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in DEFAULT_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            if scope["type"] != "lifespan":
                _check(scope, settings)
        except APIError as error:
            await error.response()(scope, receive, send_with_headers)
        else:
            await app(scope, receive, send_with_headers)

    return call


def require_key(app: ASGIApp, key: str) -> ASGIApp:
    """Return an application that rejects requests without the API key, except to public paths."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PUBLIC_PATHS or _has_key(key, scope):
            await app(scope, receive, send)
            return
        message = "missing or invalid API key; send the header Authorization: Bearer KEY"
        error = APIError(401, message, "invalid_api_key", headers={"www-authenticate": "Bearer"})
        await error.response()(scope, receive, send)

    return call


def _check(scope: Scope, settings: Settings) -> None:
    headers = Headers(scope=scope)
    hosts = headers.getlist("host")
    name = parse_host(hosts[0]) if len(hosts) == 1 else None
    if name not in settings.hosts and not (name and settings.any_address and as_address(name)):
        message = "this Host is not allowed; use one of the server's names or start it with --allow-host"
        raise APIError(403, message, "host_not_allowed")
    if headers.get("origin") not in settings.origins and not _is_same_origin(headers, scope):
        message = "requests from pages of other sites are refused; elman serve --allow-origin permits an origin"
        origin = headers.get("origin", "another site")
        log.warning("refused a request from a page of %s; --allow-origin permits an origin", quote(origin))
        raise APIError(403, message, "origin_not_allowed")


def _is_same_origin(headers: Headers, scope: Scope) -> bool:
    """Return whether a request does not come from another site's page, or only navigates to a page."""
    origin = headers.get("origin")
    if origin is not None:
        return origin.lower() in (f"{scheme}://{headers['host'].lower()}" for scheme in ("http", "https"))
    site = headers.get("sec-fetch-site", "none")
    navigates = scope["method"] in ("GET", "HEAD") and headers.get("sec-fetch-mode") == "navigate"
    return site in ("none", "same-origin") or navigates


def _has_key(key: str, scope: Scope) -> bool:
    """Return whether ``Authorization`` contains the key, in a time that is independent of the contents."""
    scheme, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
    digests = (hashlib.sha256(text.encode()).digest() for text in (key, token.strip()))
    return hmac.compare_digest(*digests) and scheme.lower() == "bearer"
