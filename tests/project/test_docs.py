"""The documents say what the code does."""

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from support.state import ROOT


def test_the_generated_reference_is_up_to_date() -> None:
    subprocess.run([sys.executable, "scripts/generate_reference.py", "--check"], cwd=ROOT, check=True)


def test_packages_import_downwards_only() -> None:
    subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )


def test_links_of_the_readme_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / target).exists(), target


def test_the_tables_are_those_of_the_results() -> None:
    subprocess.run([sys.executable, "benchmarks/tables.py", "--check"], cwd=ROOT, check=True)


DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_test_that_a_document_cites_exists(document: Path) -> None:
    cited = set(re.findall(r"`(test_\w+)`", document.read_text("utf-8")))
    assert cited <= names_of_tests(), cited - names_of_tests()


@cache
def names_of_tests() -> set[str]:
    """Return the names of all tests."""
    sources = (path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    return {name for source in sources for name in re.findall(r"^def (test_\w+)", source, re.MULTILINE)}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_a_document_cites_exists(document: Path) -> None:
    paths = r"(?<![\w/.-])(?:benchmarks|docs|examples|scripts|src|tests)/[\w./-]*\w/?"
    for path in re.findall(paths, document.read_text("utf-8")):
        placeholder = "NAME" in path  # of a file that the reader adds
        assert ((ROOT / path).parent if placeholder else ROOT / path).exists(), path


def test_the_documents_of_guarantees_cite_tests() -> None:
    assert len(re.findall(r"`test_\w+`", (ROOT / "docs" / "explanation" / "guarantees.md").read_text("utf-8"))) > 60
