"""The check of the built documentation site finds what it is for."""

import runpy
from pathlib import Path

import pytest

from support.state import ROOT

check = runpy.run_path(str(ROOT / "scripts" / "check_site.py"))["check"]
PAGE = """<!doctype html><link rel="stylesheet" href="style.css"><h1 id="top">Title</h1>
<a href="#top">up</a> <a href="other.html#part">other</a> <a href="https://example.org">another site</a>
<img src="data:image/png;base64,AA=="> <script src="_static/code.js?v=1"></script>"""
CSS = '@import "https://cdn.example/font.css"; p { src: url(https://cdn.example/font.woff2) }'


@pytest.mark.parametrize(
    ("more", "css", "findings"),
    [
        ("", "p { background: url(image.png) }", []),
        ('<a href="none.html">', "", ["index.html: links to none.html, which does not exist"]),
        ('<a href="other.html#none">', "", ["index.html: links to other.html#none, a page without that anchor"]),
        ('<img src="none.png">', "", ["index.html: links to none.png, which does not exist"]),
        ('<script src="https://cdn.example/x.js"></script>', "", ["index.html: loads https://cdn.example/x.js"]),
        ('<link rel="stylesheet" href="//cdn.example/x.css">', "", ["index.html: loads //cdn.example/x.css"]),
        ("<p style=\"background: url('https://a.example/x')\">", "", ["index.html: loads https://a.example/x"]),
        ("", CSS, [f"style.css: loads https://cdn.example/font.{suffix}" for suffix in ("css", "woff2")]),
    ],
)
def test_the_faults_of_a_site_are_found(tmp_path: Path, more: str, css: str, findings: list[str]) -> None:
    assert check(tmp_path) == [f"{tmp_path} has no pages"]
    (tmp_path / "_static").mkdir()
    files = {"_static/code.js": "", "style.css": css, "other.html": '<p id="part">', "index.html": PAGE + more}
    for name, text in files.items():
        (tmp_path / name).write_text(text, "utf-8")
    assert check(tmp_path) == findings
