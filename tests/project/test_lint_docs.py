"""Each rule of scripts/lint_docs.py finds the faults that it is for, and nothing in a project without faults."""

import runpy
from pathlib import Path

import pytest

from elman.errors import flag
from elman.network.sampling import list_sampling_options
from support.state import ROOT

RULES = runpy.run_path(str(ROOT / "scripts" / "lint_docs.py"))["RULES"]
FILES = {
    "README.md": "![The loss of three networks](a.png), docs/page.md, tests/NAME.py\n",
    "a.png": "",
    "CHANGELOG.md": "## [Unreleased]\n\n## [0.2.0] - 2026-02-01\n\n## [0.1.0] - 2026-01-01\n",
    "CITATION.cff": "{version: 0.2.0, date-released: 2026-02-01}",
    ".dockerignore": "*\n!src\n!pyproject.toml\n!README.md\n!LICENSE\n**/cache\n",
    ".github/workflows/ci.yml": 'jobs: {test: {strategy: {matrix: {python: ["3.12", "3.13"]}}}}\n',
    "docs/page.md": "It is\n\n```text\n[no link](none)\n```\n\nfast.\n",
    "docs/how_to/generate_text.md": " ".join(flag(option.name) for option in list_sampling_options()),
    "examples/one.ipynb": """{"cells": [
        {"cell_type": "markdown", "source": ["See [a page](../docs/page.md#part) and [a site](https://example.org)."]},
        {"cell_type": "code", "source": ["1"], "execution_count": 1, "outputs": [{"output_type": "display_data",
         "data": {"image/png": "iVBORw==", "text/plain": ["a figure"]}}]}
    ]}""",
    "pyproject.toml": """
        [project]
        version = "0.2.0"
        requires-python = ">=3.12,<3.14"
        classifiers = ["Programming Language :: Python :: 3.12", "Programming Language :: Python :: 3.13"]
        license-files = ["LICENSE"]
    """,
    "src/elman/_version.py": '"""The version."""\n\n__version__ = "0.2.0"\n',
    "tests/a.py": "",
}


def find_faults(project: Path, file: str = "README.md", old: str = "", new: str = "") -> list[str]:
    """Return what the rules find where one file has another text."""
    assert old in FILES[file]
    for name, text in {**FILES, file: FILES[file].replace(old, new)}.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text, "utf-8")
    return [finding for rule in RULES for finding in rule(project)]


def test_a_project_without_faults(tmp_path: Path) -> None:
    assert find_faults(tmp_path) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "finding"),
    [
        ("README.md", "a.png", "b.png", "README.md: links to b.png, which does not exist"),
        ("README.md", "docs/page.md", "docs/none.md", "README.md: cites docs/none.md, which does not exist"),
        ("examples/one.ipynb", "page.md", "none.md", "examples/one.ipynb: links to ../docs/none.md, which"),
        ("README.md", "docs", "word " * 650 + "docs", "README.md: 657 words; at most 650"),
        ("README.md", "The loss of three networks", "Loss", "README.md: a.png needs an alternative text"),
        ("docs/page.md", "fast", "fast " * 22_000, "docs: 22,0"),
        ("docs/how_to/generate_text.md", "--min-p", "", "docs/how_to/generate_text.md: --min-p is not described"),
        ("examples/one.ipynb", '"execution_count": 1', '"execution_count": 2', "examples/one.ipynb: not executed once"),
        ("examples/one.ipynb", "display_data", "error", "examples/one.ipynb: has an error or a warning"),
        ("examples/one.ipynb", "a figure", "in /tmp/ab", "examples/one.ipynb: has the path of a machine, /tmp/"),
        ("CITATION.cff", "2026-02-01", "2026-02-02", "CITATION.cff: 0.2.0 is not the 0.2.0 of 2026-02-01"),
        ("CHANGELOG.md", "2026-02-01", "unreleased", "CITATION.cff: 0.2.0 is not the 0.2.0 of unreleased"),
        ("pyproject.toml", "0.2.0", "0.1.0", "pyproject.toml: 0.1.0 is not the 0.2.0 of 2026-02-01"),
        ("src/elman/_version.py", "0.2.0", "0.1.0", "src/elman/_version.py: 0.1.0 is not the 0.2.0"),
        ("pyproject.toml", "3.13", "3.11", "pyproject.toml: classifiers ['3.12', '3.11'] are not ['3.12', '3.13']"),
        (".github/workflows/ci.yml", "3.13", "3.11", ".github/workflows/ci.yml: matrix ['3.12', '3.11'] are not"),
        (".dockerignore", "!LICENSE", "!tests", ".dockerignore: must exclude * but ['LICENSE', 'README.md', "),
    ],
)
def test_a_fault_is_found(tmp_path: Path, file: str, old: str, new: str, finding: str) -> None:
    (found,) = find_faults(tmp_path, file, old, new)
    assert found.startswith(finding)


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
        ('<script src="https://cdn.example/x.js"></script>', "", ["index.html: loads https://cdn.example/x.js"]),
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
