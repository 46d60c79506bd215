"""The documents say what the code does."""

import re
import subprocess
import sys
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
def test_every_file_that_a_document_cites_exists(document: Path) -> None:
    paths = r"(?<![\w/.-])(?:benchmarks|docs|examples|scripts|src|tests)/[\w./-]*\w/?"
    for path in re.findall(paths, document.read_text("utf-8")):
        placeholder = "NAME" in path  # of a file that the reader adds
        assert ((ROOT / path).parent if placeholder else ROOT / path).exists(), path
