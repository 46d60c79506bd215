"""What is handed on: the dependencies that are declared, and the sdist and the wheel in empty environments."""

import ast
import contextlib
import importlib.util
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from support.state import ROOT

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
DEPENDENCIES: list[str] = PROJECT["dependencies"]
EXTRAS: list[str] = [
    requirement
    for extra, requirements in PROJECT["optional-dependencies"].items()
    if extra not in ("all", "dev", "docs", "fuzz", "peers")
    for requirement in requirements
]
COMES_WITH_NOTEBOOKS = {"ipython"}
"""Imported only in a notebook, which it runs."""
PACKAGES = {"markdown-it-py": "markdown_it", "scikit-learn": "sklearn"}
"""Packages by project, where their names differ."""
ELSEWHERE = {"compression", "_typeshed"}
"""In the standard library of later versions of Python, imported there only, and in type checkers."""
SUFFIXES = {".py", ".toml", ".ipynb", ".typed", ".html", ".md", ".css", ".js", ".svg", ".txt", ".xz"}
"""Of what the wheel holds of the package: code, the mark of types, the templates of the report, the pages, the course
kit, and the built-in model with its licences."""


def package_of(requirement: str) -> str:
    """Return the package that is imported from it; backports.zstd is in a namespace."""
    name = Requirement(requirement).name.lower()
    return PACKAGES.get(name, name.split(".")[0])


def run(*command: object, where: Path) -> str:
    ended = subprocess.run([*map(str, command)], cwd=where, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"{command}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


def imported(source: Path) -> set[str]:
    names = set[str]()
    for node in ast.walk(ast.parse(source.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


def test_every_import_is_declared_and_every_dependency_imported() -> None:
    found = set[str]().union(*(imported(source) for source in (ROOT / "src").rglob("*.py")))
    found = {name.lower() for name in found - sys.stdlib_module_names - ELSEWHERE - {"elman"}}
    declared, optional = ({package_of(requirement) for requirement in some} for some in (DEPENDENCIES, EXTRAS))
    assert found - optional - COMES_WITH_NOTEBOOKS == declared


def test_every_dependency_has_a_lower_bound() -> None:
    bounded = re.compile(r"[\w.-]+>=[\d.]+(,<[\d.]+)?(; [^;]+)?")
    assert [requirement for requirement in DEPENDENCIES + EXTRAS if not bounded.fullmatch(requirement)] == []


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    if importlib.util.find_spec("build") is None:
        pytest.skip("build is not installed: pip install -e '.[dev]'")
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", out, ROOT, where=out)
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return {"wheel": wheel, "sdist": sdist}


@pytest.mark.slow
def test_the_wheel_holds_only_the_package(built: dict[str, Path]) -> None:
    names = {Path(name) for name in zipfile.ZipFile(built["wheel"]).namelist()}
    package = {path for path in names if path.parts[0] == "elman"}
    source = {path.relative_to(ROOT / "src") for path in (ROOT / "src" / "elman").rglob("*") if path.is_file()}
    assert package == {path for path in source if "__pycache__" not in path.parts}
    # By name too: a stray file in the source would be in both.
    assert {path.suffix for path in package} <= SUFFIXES
    about = {"/".join(path.parts[1:]) for path in names - package}
    assert about == {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}


@pytest.mark.slow
def test_the_sdist_holds_only_the_project(built: dict[str, Path]) -> None:
    with tarfile.open(built["sdist"]) as archive:
        top = {Path(member.name).parts[1] for member in archive.getmembers()}
    files = {"README.md", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "LICENSE", "SECURITY.md", "pyproject.toml"}
    assert top == files | {"PKG-INFO", ".gitignore", "src", "tests", "benchmarks", "docs", "examples", "scripts"}


@pytest.mark.slow
def test_the_metadata_is_valid(built: dict[str, Path]) -> None:
    run(sys.executable, "-m", "twine", "check", "--strict", *built.values(), where=ROOT)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "extra", "lowest"),
    [
        ("sdist", "none", []),
        ("wheel", "plot", []),
        ("wheel", "serve", []),
        ("wheel", "export", []),
        ("wheel", "all", []),
        ("wheel", "none", DEPENDENCIES),
        ("wheel", "all", EXTRAS),
    ],
)
def test_it_works_in_an_empty_environment(
    built: dict[str, Path], tmp_path: Path, kind: str, extra: str, lowest: list[str]
) -> None:
    """With the newest dependencies, or some of them at their lower bounds."""
    if lowest and sys.version_info >= (3, 13):
        pytest.skip("the lowest versions have no wheels for this Python: run it with 3.11 or 3.12")
    constraints = tmp_path / "constraints.txt"
    bounds = (re.sub(r">=([\w.]+).*", r"==\1\n", requirement) for requirement in lowest)
    constraints.write_text("".join(bounds), "utf-8")
    smoke_test = (ROOT / "scripts" / "smoke_test.py", built[kind], extra, "--constraint", constraints)
    assert run(sys.executable, *smoke_test, where=ROOT) == f"works with extra {extra}\n"


ALLOWED = re.compile(
    r"MIT|BSD|Apache|PSF|Python Software Foundation|ISC|Unlicense|MPL-2\.0|Mozilla Public License 2\.0"
)
REFUSED = re.compile(r"GPL|GNU|[Pp]roprietary|[Cc]ommercial")


def test_every_licence_is_permissive() -> None:
    """Of the dependencies and of theirs, as far as they are installed: permissive, or of a file as MPL-2.0 is."""
    said, wanted = dict[str, str](), [Requirement(requirement) for requirement in DEPENDENCIES + EXTRAS]
    for requirement in wanted:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found = metadata.distribution(requirement.name)
            if requirement.name not in said:
                said[requirement.name] = licence(found.metadata)
                theirs = map(Requirement, found.requires or [])
                wanted += [each for each in theirs if each.marker is None or each.marker.evaluate({"extra": ""})]
    assert {name: text for name, text in said.items() if not ALLOWED.search(text) or REFUSED.search(text)} == {}


def licence(about: metadata.PackageMetadata) -> str:
    """Return what a package says of its licence: in an expression, in classifiers, or in words."""
    classifiers = [c for c in about.get_all("Classifier") or [] if c.startswith("License ::")]
    said = [*(about.get_all("License-Expression") or []), " ".join(classifiers), *(about.get_all("License") or [])]
    return next(filter(None, said), "")
