"""Static files of the package. Each has a route of its own, so that no path of a request names a file."""

from __future__ import annotations

from importlib.resources import files
from pathlib import PurePosixPath

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

STATIC = "/static"
"""The path under which static files are served."""

_MEDIA_TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml"}


def page_routes(package: str) -> list[Route]:
    """Return the routes of a page: its ``index.html`` at ``/``, its static files and the common style sheet.

    Parameters
    ----------
    package : str
        The package that contains ``index.html`` and the folder ``static``. The files are read now.
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
