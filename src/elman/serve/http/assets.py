"""Static files of the package, each with a route of its own: no file name is ever taken from a request."""

from __future__ import annotations

from importlib.resources import files
from pathlib import PurePosixPath

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

STATIC = "/static"
"""URL path of the static files."""

_MEDIA_TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml"}


def page_routes(package: str) -> list[Route]:
    """Return the routes of a web page: its ``index.html`` at ``/``, its static files and the shared style sheet.

    Parameters
    ----------
    package : str
        Package that contains ``index.html`` and the folder ``static``; the files are read here, once.
    """
    folder = files(package)
    routes = [_route("/", "text/html", (folder / "index.html").read_bytes())]
    for file in [files("elman.serve.http") / "base.css", *(folder / "static").iterdir()]:
        media_type = _MEDIA_TYPES[PurePosixPath(file.name).suffix]
        routes.append(_route(f"{STATIC}/{file.name}", media_type, file.read_bytes()))
    return routes


def _route(path: str, media_type: str, content: bytes) -> Route:
    async def asset(_: Request) -> Response:
        return Response(content, media_type=media_type, headers={"cache-control": "no-cache"})

    return Route(path, asset)
