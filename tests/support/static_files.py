"""Checks of the files of a page: they refer to each other, and are served."""

import re
from pathlib import Path

from starlette.applications import Starlette
from starlette.testclient import TestClient

from elman.formats.web import STATIC_FILES, page_routes

KINDS = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml"}


def check_page(name: str, folder: Path) -> None:
    """Assert that a page refers to files that are served, and to nothing that its content security policy forbids."""
    client = TestClient(Starlette(routes=page_routes(name, folder)))
    page = client.get("/").text
    for path in re.findall(r'="(/static/[^"]+)"', page):
        assert client.get(path).status_code == 200 or path == "/static/plotly/plotly.min.js"
    for forbidden in ("<style", " style=", "<script>"):
        assert forbidden not in page
    for path in ("/static/", "/static/../__init__.py", "/static/%2e%2e/__init__.py", "/static/..%2f__init__.py"):
        assert client.get(path).status_code == 404
    for root, mounted in ((STATIC_FILES, "/static"), (folder, f"/static/{name}")):
        for file in (path for path in root.rglob("*") if path.is_file()):
            response = client.get(f"{mounted}/{file.relative_to(root).as_posix()}")
            assert response.headers["content-type"].startswith(KINDS[file.suffix])
            if file.suffix == ".js":
                check_imports(file)


def check_imports(script: Path) -> None:
    """Assert that what an ES module imports exists, beside it or among the files that all pages share."""
    for imported in re.findall(r'^import .*"([^"]+)";$', script.read_text("utf-8"), re.MULTILINE):
        path = script.parent / imported
        assert path.is_file() or (STATIC_FILES / path.name).is_file(), (script, imported)
