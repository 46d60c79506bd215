"""The files of the front ends refer to each other, and are served."""

import re

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from elman.web import STATIC_FILES, page_routes

KINDS = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml"}


@pytest.mark.parametrize("name", ["dashboard", "playground"])
def test_a_page_refers_to_files_that_are_served(name: str) -> None:
    client = TestClient(Starlette(routes=page_routes(name)))
    page = client.get("/").text
    for path in re.findall(r'="(/static/[^"]+)"', page):
        assert client.get(path).status_code == 200 or path == "/static/plotly/plotly.min.js"
    for forbidden in ("<style", " style=", "<script>"):  # by the content security policy
        assert forbidden not in page
    for path in ("/static/", "/static/../__init__.py", "/static/%2e%2e/__init__.py", "/static/..%2f__init__.py"):
        assert client.get(path).status_code == 404


def test_every_file_is_served_and_every_import_exists() -> None:
    client = TestClient(Starlette(routes=page_routes("playground")))
    for file in (path for path in STATIC_FILES.rglob("*") if path.is_file()):
        response = client.get(f"/static/{file.relative_to(STATIC_FILES).as_posix()}")
        assert response.headers["content-type"].startswith(KINDS[file.suffix])
        if file.suffix == ".js":
            for imported in re.findall(r'^import .*"([^"]+)";$', response.text, re.MULTILINE):
                assert (file.parent / imported).is_file(), (file, imported)
