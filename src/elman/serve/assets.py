"""Pages and what they are made of, out of the package: each at a path of its own, so that none comes from a request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import PurePosixPath

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

STATIC = "/static"
"""Where what the pages are made of is found."""

_TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml"}


def asset_routes(pages: Mapping[str, str], names: Iterable[str]) -> list[Route]:
    """Return the routes of pages and of what they are made of, read now.

    Parameters
    ----------
    pages : mapping of str to str
        The path of every page, and the name of its file in ``pages/``.
    names : iterable of str
        Files in ``static/``, found under `STATIC`.
    """
    return [
        *(_route(path, f"pages/{name}") for path, name in pages.items()),
        *(_route(f"{STATIC}/{name}", f"static/{name}") for name in names),
    ]


def _route(path: str, name: str) -> Route:
    content = (files("elman.serve") / name).read_bytes()
    kind = _TYPES[PurePosixPath(name).suffix]

    async def asset(_: Request) -> Response:
        return Response(content, media_type=kind, headers={"cache-control": "no-cache"})

    return Route(path, asset)
