"""The check of the built documentation site finds what it is for."""

import runpy
from pathlib import Path

import pytest

from support.state import ROOT

SCRIPT = runpy.run_path(str(ROOT / "scripts" / "check_site.py"))


PAGE = """<!doctype html><link rel="stylesheet" href="style.css"><h1 id="top">Title</h1>
<a href="#top">up</a> <a href="other.html#part">other</a> <a href="https://example.org">another site</a>
<img src="data:image/png;base64,AA=="> <script src="_static/code.js?v=1"></script>{more}"""


def site(folder: Path, *, more: str = "", css: str = "p { background: url(image.png) }") -> Path:
    (folder / "_static").mkdir()
    (folder / "_static" / "code.js").write_text("", "utf-8")
    (folder / "style.css").write_text(css, "utf-8")
    (folder / "other.html").write_text('<p id="part">', "utf-8")
    (folder / "index.html").write_text(PAGE.format(more=more), "utf-8")
    return folder


def test_a_site_without_faults_passes(tmp_path: Path) -> None:
    assert SCRIPT["check"](site(tmp_path)) == []


@pytest.mark.parametrize(
    ("more", "finding"),
    [
        ('<a href="none.html">', "links to none.html, which does not exist"),
        ('<a href="other.html#none">', "links to other.html#none, a page without that anchor"),
        ('<img src="none.png">', "links to none.png, which does not exist"),
        ('<script src="https://cdn.example/x.js"></script>', "loads https://cdn.example/x.js"),
        ('<link rel="stylesheet" href="//cdn.example/x.css">', "loads //cdn.example/x.css"),
        ("<p style=\"background: url('https://cdn.example/x.png')\">", "loads https://cdn.example/x.png"),
    ],
)
def test_a_fault_of_a_page_is_found(tmp_path: Path, more: str, finding: str) -> None:
    assert SCRIPT["check"](site(tmp_path, more=more)) == [f"index.html: {finding}"]


def test_a_font_of_another_server_is_found(tmp_path: Path) -> None:
    css = '@import "https://cdn.example/font.css"; p { src: url(https://cdn.example/font.woff2) }'
    expected = [f"style.css: loads https://cdn.example/font.{suffix}" for suffix in ("css", "woff2")]
    assert SCRIPT["check"](site(tmp_path, css=css)) == expected


def test_an_empty_site_is_a_fault(tmp_path: Path) -> None:
    assert SCRIPT["check"](tmp_path) == [f"{tmp_path} has no pages"]
