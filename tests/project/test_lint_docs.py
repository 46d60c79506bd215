"""Each rule of scripts/lint_docs.py finds the faults that it is for, and nothing in a project without faults."""

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from elman.errors import flag
from elman.network.sampling import list_sampling_options
from support.state import ROOT

RULES = runpy.run_path(str(ROOT / "scripts" / "lint_docs.py"))["RULES"]
SCRIPT = '#!/usr/bin/env bash\nset -euo pipefail\ncd "$(dirname "$0")/.."\nscripts/lint.py\n'
FORM = "name: Bug\ndescription: A bug\nbody:\n- {type: input, id: a, attributes: {label: A}}\n"
CHANGELOG = "## [Unreleased]\n\n## [0.2.0] - 2026-02-01\n\n### Added\n\n## [0.1.0] - 2026-01-01\n\n### Fixed\n"
NOTEBOOK: dict[str, Any] = {
    "cells": [
        {"cell_type": "markdown", "source": ["See [a page](../docs/page.md#part) and [a site](https://example.org)."]},
        {
            "cell_type": "code", "source": ["1"], "execution_count": 1,
            "outputs": [{"output_type": "display_data", "data": {"image/png": "iVBORw==", "text/plain": ["a figure"]}}],
        },
    ]
}  # fmt: skip
PYPROJECT = """
[project]
version = "0.2.0"
requires-python = ">=3.12,<3.14"
classifiers = ["Programming Language :: Python :: 3.12", "Programming Language :: Python :: 3.13"]
license-files = ["LICENSE"]
"""
CITATION = """
{cff-version: 1.2.0, message: cite, title: elman, license: MIT, type: software, authors: [{name: A}], version: 0.2.0,
date-released: 2026-02-01}
"""
FILES = {
    "README.md": "Nats per\ncharacter, ![The loss of three networks](a.png), docs/page.md, tests/NAME.py\n",
    "a.png": "",
    "CHANGELOG.md": CHANGELOG,
    "CITATION.cff": CITATION,
    ".dockerignore": "*\n!src\n!pyproject.toml\n!README.md\n!LICENSE\n**/cache\n",
    ".github/workflows/ci.yml": 'jobs: {test: {strategy: {matrix: {python: ["3.12", "3.13"]}}}}\n',
    ".github/ISSUE_TEMPLATE/bug.yml": FORM,
    "docs/page.md": "It is\n\n```text\nnow and\n\n[no link](none)\n```\n\nfast.\n",
    "docs/examples/index.md": "[One](../../examples/one.ipynb)\n",
    "docs/how_to/generate_text.md": " ".join(flag(option.name) for option in list_sampling_options()),
    "examples/one.ipynb": json.dumps(NOTEBOOK),
    "pyproject.toml": PYPROJECT,
    "scripts/check": SCRIPT,
    "scripts/lint.py": "",
    "src/elman/_version.py": '"""The version."""\n\n__version__ = "0.2.0"\n',
    "src/elman/a.js": "// nats per character\n",
    "tests/a.py": "",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    (tmp_path / "scripts" / "check").chmod(0o755)
    return tmp_path


def findings(project: Path) -> list[str]:
    return [finding for rule in RULES for finding in rule(project)]


def test_a_project_without_faults(project: Path) -> None:
    assert findings(project) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "finding"),
    [
        ("README.md", "Nats per", "A line\n\nmean nats a", "README.md:3: 'nats a character' (use: … per …)"),
        ("src/elman/_version.py", "The version", "By\n    heart", "src/elman/_version.py:1: 'By heart' (use: "),
        ("src/elman/a.js", "per", "a", "src/elman/a.js:1: 'nats a character'"),
        ("docs/page.md", "fast", "now\nfast", "docs/page.md:9: 'now' (use: what is, not what was)"),
        ("README.md", "a.png", "b.png", "README.md: links to b.png, which does not exist"),
        ("README.md", "docs/page.md", "docs/none.md", "README.md: cites docs/none.md, which does not exist"),
        ("examples/one.ipynb", "page.md", "none.md", "examples/one.ipynb: links to ../docs/none.md, which"),
        ("README.md", "Nats", "Nats" + " word" * 900, "README.md: 910 words; at most 900"),
        ("README.md", "The loss of three networks", "Loss", "README.md: a.png needs an alternative text"),
        ("docs/how_to/generate_text.md", "--min-p", "", "docs/how_to/generate_text.md: --min-p is not described"),
        ("docs/examples/index.md", "../../examples/one.ipynb", "index.md", "examples/one.ipynb: docs/examples/index"),
        ("examples/one.ipynb", "a figure", "a" * 200_000, "examples/one.ipynb: more than 200,000 bytes"),
        ("examples/one.ipynb", '"execution_count": 1', '"execution_count": 2', "examples/one.ipynb: not executed once"),
        ("examples/one.ipynb", "display_data", "error", "examples/one.ipynb: has an error or a warning"),
        ("examples/one.ipynb", "image/png", "text/html", "examples/one.ipynb: has no figure"),
        ("examples/one.ipynb", "a figure", "in /tmp/ab", "examples/one.ipynb: has the path of a machine, /tmp/"),
        ("CHANGELOG.md", "2026-01-01", "January", "CHANGELOG.md: a heading is not [N] - YYYY-MM-DD"),
        ("CHANGELOG.md", "0.1.0", "0.3.0", "CHANGELOG.md: versions out of order"),
        ("CHANGELOG.md", "Fixed", "Mended", "CHANGELOG.md: [0.1.0] - 2026-01-01 has the kinds ['Mended']"),
        ("CITATION.cff", "2026-02-01", "2026-02-02", "CITATION.cff: 0.2.0 is not the 0.2.0 of 2026-02-01"),
        ("pyproject.toml", "0.2.0", "0.1.0", "pyproject.toml: 0.1.0 is not the 0.2.0 of 2026-02-01"),
        ("src/elman/_version.py", "0.2.0", "0.1.0", "src/elman/_version.py: 0.1.0 is not the 0.2.0"),
        ("CITATION.cff", "message", "text", "CITATION.cff: misses ['message']"),
        ("CITATION.cff", "name: A", "email: A", "CITATION.cff: authors need a name"),
        ("pyproject.toml", "3.13", "3.11", "pyproject.toml: classifiers ['3.12', '3.11'] are not ['3.12', '3.13']"),
        (".github/workflows/ci.yml", "3.13", "3.11", ".github/workflows/ci.yml: matrix ['3.12', '3.11'] are not"),
        (".github/ISSUE_TEMPLATE/bug.yml", "description", "text", ".github/ISSUE_TEMPLATE/bug.yml: needs a name, a"),
        (".github/ISSUE_TEMPLATE/bug.yml", "input", "number", ".github/ISSUE_TEMPLATE/bug.yml: unknown types"),
        (".github/ISSUE_TEMPLATE/bug.yml", "label: A", "label: ''", ".github/ISSUE_TEMPLATE/bug.yml: every field"),
        ("scripts/check", "lint.py", "none.py", "scripts/check: scripts/none.py does not exist"),
        ("scripts/check", "set -euo pipefail", "", "scripts/check: must be executable, set -euo pipefail"),
        ("scripts/check", "lint.py", "lint.py" + "\n" * 25, "scripts/check: more than 25 lines"),
        (".dockerignore", "!LICENSE", "!tests", ".dockerignore: must exclude * but ['LICENSE', 'README.md', "),
    ],
)  # fmt: skip
def test_a_fault_is_found(project: Path, file: str, old: str, new: str, finding: str) -> None:
    text = (project / file).read_text("utf-8")
    assert old in text
    (project / file).write_text(text.replace(old, new), "utf-8")
    found = findings(project)
    assert [each.startswith(finding) for each in found] == [True], found


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
