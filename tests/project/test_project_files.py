"""The files around the package are valid and agree: versions, changelog, citation, workflow, issue forms, scripts."""

import datetime
import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import elman
from support.state import ROOT

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
GITHUB = ROOT / ".github"
FORMS = sorted(path for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
"""Of changes, as Keep a Changelog names them."""
RELEASE = re.compile(r"\[(\d+)\.(\d+)\.(\d+)\] - (\d{4}-\d{2}-\d{2})")


def load_yaml(path: Path) -> dict[Any, Any]:
    """Return the content of a YAML file, which must be a mapping."""
    content = yaml.safe_load(path.read_text("utf-8"))
    assert isinstance(content, dict), path
    return content


def releases() -> list[tuple[str, datetime.date]]:
    """Return the versions of the changelog and their dates, as far as the headings have the right form."""
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    matches = [match for match in map(RELEASE.fullmatch, headings) if match]
    assert len(matches) == len([heading for heading in headings if heading != "[Unreleased]"]), headings
    return [(".".join(match.groups()[:3]), datetime.date.fromisoformat(match[4])) for match in matches]


def supported() -> list[str]:
    """Return the versions of Python within the bounds of pyproject.toml."""
    bounds = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", PROJECT["requires-python"])
    assert bounds is not None
    return [f"3.{minor}" for minor in range(int(bounds[1]), int(bounds[2]))]


def test_the_version_is_the_same_everywhere() -> None:
    assert PROJECT["version"] == elman.__version__ == releases()[0][0]
    citation = load_yaml(ROOT / "CITATION.cff")
    assert (citation["version"], citation["date-released"]) == releases()[0]


def test_the_changelog_has_the_newest_version_first_and_known_kinds_of_changes() -> None:
    numbers = [tuple(map(int, version.split("."))) for version, _ in releases()]
    assert numbers == sorted(set(numbers), reverse=True)
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        kinds = re.findall(r"^### (.*)$", section, re.MULTILINE)
        assert len(kinds) == len(set(kinds)), section[:40]
        assert set(kinds) <= KINDS
        assert kinds or section.startswith("[Unreleased]")


def test_the_citation_has_what_the_format_requires() -> None:
    citation = load_yaml(ROOT / "CITATION.cff")
    assert citation.keys() >= {"cff-version", "message", "title", "authors", "license", "type"}
    assert (citation["cff-version"], citation["type"], citation["license"]) == ("1.2.0", "software", PROJECT["license"])
    for authors in (citation["authors"], *(reference["authors"] for reference in citation["references"])):
        assert authors
        assert all("name" in author or "family-names" in author for author in authors)


def test_the_workflow_runs_the_tests_on_every_supported_python() -> None:
    workflow = load_yaml(GITHUB / "workflows" / "ci.yml")
    assert workflow[True].keys() == {"push", "pull_request"}  # YAML reads the key `on` as a truth value
    job = workflow["jobs"]["test"]
    assert job["strategy"]["matrix"]["python"] == supported()
    assert job["steps"][-1] == {"run": ".ci/run"}
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_the_workflow_runs_the_tests_on_every_system_and_without_the_global_lock() -> None:
    job = load_yaml(GITHUB / "workflows" / "ci.yml")["jobs"]["platforms"]
    rows = {
        (row["os"].split("-")[0], row["python"].endswith("t"), row["may-fail"])
        for row in job["strategy"]["matrix"]["include"]
    }
    assert rows == {("macos", False, False), ("windows", False, False), ("ubuntu", True, True)}
    assert job["steps"][-1] == {"run": "python -m pytest"}


def test_a_tag_is_published_by_trusted_publishing() -> None:
    workflow = load_yaml(GITHUB / "workflows" / "release.yml")
    assert workflow[True] == {"push": {"tags": ["v*"]}}
    build, publish = (workflow["jobs"][name] for name in ("build", "publish"))
    assert {"run": "scripts/build"} in build["steps"]
    assert (publish["needs"], publish["environment"], publish["permissions"]) == (
        "build",
        "pypi",
        {"id-token": "write"},
    )
    assert publish["steps"][-1] == {"uses": "pypa/gh-action-pypi-publish@release/v1"}  # without a token


def test_the_image_is_built_from_the_files_that_docker_may_read() -> None:
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert lines[0] == "*"
    assert all((ROOT / line.removeprefix("!")).exists() for line in lines if line.startswith("!"))
    used = {PROJECT["readme"], *PROJECT["license-files"], "pyproject.toml", "src"}
    assert used == {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert len((ROOT / "Dockerfile").read_text("utf-8").splitlines()) <= 15


def test_the_classifiers_name_every_supported_python() -> None:
    prefix = "Programming Language :: Python :: 3."
    minors = [name.removeprefix(prefix) for name in PROJECT["classifiers"] if name.startswith(prefix)]
    assert [f"3.{minor}" for minor in minors] == supported()


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_an_issue_form_has_what_github_requires(path: Path) -> None:
    form = load_yaml(path)
    assert all(isinstance(form[key], str) and form[key] for key in ("name", "description"))
    assert {field["type"] for field in form["body"]} <= {"markdown", "textarea", "input", "dropdown", "checkboxes"}
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert fields
    assert len({field["id"] for field in fields}) == len(fields)
    assert all(field["attributes"]["label"] for field in fields)


@pytest.mark.parametrize("name", ["build", "check", "docs", "install", "test"])
def test_a_script_is_short_and_runs_where_it_lies(name: str) -> None:
    path = ROOT / "scripts" / name
    lines = path.read_text("utf-8").splitlines()
    assert len(lines) <= 20
    assert os.access(path, os.X_OK)
    assert {"set -euo pipefail", 'cd "$(dirname "$0")/.."'} <= set(lines)
    subprocess.run(["bash", "-n", path], check=True)
    programs = re.findall(r"(?:scripts|benchmarks)/\w+\.py", path.read_text("utf-8"))
    assert all((ROOT / program).exists() for program in programs)
