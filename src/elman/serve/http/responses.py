"""Responses: JSON, the security headers, and the static files of pages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import PurePosixPath
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

JSON = "application/json"

SECURITY_HEADERS = {
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


def json_response(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON response, encoded by `dump_json`."""
    return Response(dump_json(content), status, headers, JSON)


def dump_json(content: Any) -> bytes:
    """Serialize content as JSON in ASCII, since text may contain lone surrogates, which UTF-8 cannot encode."""
    return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


STATIC = "/static"
"""URL path of the static files."""

_MEDIA_TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml"}


def page_routes(package: str) -> list[Route]:
    """Return the routes of a web page: its ``index.html`` at ``/``, its static files and the shared style sheet.

    Parameters
    ----------
    package : str
        Package that contains ``index.html`` and the directory ``static``; the files are read here, once.
    """
    directory = files(package)
    routes = [_route("/", "text/html", (directory / "index.html").read_bytes())]
    for file in [files("elman.serve.http") / "base.css", *(directory / "static").iterdir()]:
        media_type = _MEDIA_TYPES[PurePosixPath(file.name).suffix]
        routes.append(_route(f"{STATIC}/{file.name}", media_type, file.read_bytes()))
    return routes


def _route(path: str, media_type: str, content: bytes) -> Route:
    async def asset(_: Request) -> Response:
        return Response(content, media_type=media_type, headers={"cache-control": "no-cache"})

    return Route(path, asset)
