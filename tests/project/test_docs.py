"""The documents say what the code does."""

import re
import subprocess
import sys
import tomllib

import elman
from support.state import ROOT


def test_the_page_of_commands_is_up_to_date() -> None:
    subprocess.run([sys.executable, "docs/generate_cli.py", "--check"], cwd=ROOT, check=True)


def test_the_rooms_import_downwards_only() -> None:
    subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )


def test_the_version_stands_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["version"] == elman.__version__
    assert f"## {elman.__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_links_of_the_readme_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / target).exists(), target


def test_the_tables_are_those_of_the_results() -> None:
    subprocess.run([sys.executable, "benchmarks/tables.py", "--check"], cwd=ROOT, check=True)
