"""What is handed on: the dependencies that are declared, and the sdist and the wheel in empty environments."""

import ast
import importlib.util
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from conftest import TEXT

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
DEPENDENCIES: list[str] = PROJECT["dependencies"]
EXTRAS: list[str] = [
    requirement
    for extra, requirements in PROJECT["optional-dependencies"].items()
    if extra not in ("all", "dev", "peers")
    for requirement in requirements
]
NOT_IMPORTED = {"scipy"}
"""Numba takes its products of matrices from there, when it compiles."""
SUFFIXES = {".py", ".typed", ".html", ".md", ".css", ".js", ".svg"}
"""Of what the wheel holds of the package: code, the mark of types, the templates of the report, and the pages."""


def name_of(requirement: str) -> str:
    """Return the project that a requirement names."""
    return re.split(r"[<>=!~\[; ]", requirement)[0].lower()


def lowest(requirement: str) -> str:
    """Return the constraint that takes a requirement at its lower bound."""
    name, bound = requirement.split(">=")
    return f"{name}=={bound.split(',')[0]}"


def run(*command: object, where: Path) -> str:
    """Run a command that must end well; return what it prints."""
    ended = subprocess.run([*map(str, command)], cwd=where, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"{command}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


def imported(source: Path) -> set[str]:
    """Return the names of the packages that a file imports, wherever in it."""
    names = set[str]()
    for node in ast.walk(ast.parse(source.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


def test_every_import_is_declared_and_every_dependency_imported() -> None:
    found = set[str]().union(*(imported(source) for source in (ROOT / "src").rglob("*.py")))
    found = {name.lower() for name in found - sys.stdlib_module_names - {"elman"}}
    declared, optional = ({name_of(requirement) for requirement in some} for some in (DEPENDENCIES, EXTRAS))
    assert found - optional == declared - NOT_IMPORTED


def test_every_dependency_has_a_lower_bound() -> None:
    bounded = re.compile(r"\w+>=[\d.]+(,<[\d.]+)?(; .+)?")
    assert [requirement for requirement in DEPENDENCIES + EXTRAS if not bounded.fullmatch(requirement)] == []


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The sdist, and the wheel that is built from it."""
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
    files = {"README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml", "PKG-INFO", ".gitignore"}
    assert top == files | {"src", "tests", "benchmarks", "docs", "examples"}


@pytest.mark.slow
@pytest.mark.parametrize("versions", ["lowest", "newest"])
@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_it_works_in_an_empty_environment(built: dict[str, Path], tmp_path: Path, kind: str, versions: str) -> None:
    if versions == "lowest" and sys.version_info >= (3, 13):
        pytest.skip("the lowest versions have no wheels for this Python: run it with 3.11 or 3.12")
    constraints = tmp_path / "constraints.txt"
    lines = [lowest(requirement) for requirement in DEPENDENCIES] if versions == "lowest" else []
    constraints.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    run(sys.executable, "-m", "venv", "env", where=tmp_path)
    there = tmp_path / "env" / ("Scripts" if sys.platform == "win32" else "bin")
    run(there / "python", "-m", "pip", "install", "--quiet", "--constraint", constraints, built[kind], where=tmp_path)
    run(there / "python", "-m", "pip", "check", where=tmp_path)
    (tmp_path / "text.txt").write_text(TEXT * 5, "utf-8")
    small = ("--hidden-size", 4, "--seq-length", 5)
    elman = there / "elman"
    training = (elman, "train", "text.txt", "--out", "run", "--max-updates", 50, *small, "--json")
    assert '"updates": 50' in run(*training, where=tmp_path)
    assert len(run(elman, "sample", "run", "--length", 30, where=tmp_path)) == 31
    assert '"nats_per_char"' in run(elman, "eval", "run", "text.txt", "--json", where=tmp_path)
    assert '"passed": true' in run(elman, "gradcheck", "text.txt", *small, "--points", 10, "--json", where=tmp_path)


@pytest.mark.slow
def test_no_dependency_has_a_known_weakness(tmp_path: Path) -> None:
    if importlib.util.find_spec("pip_audit") is None:
        pytest.skip("pip-audit is not installed: pip install pip-audit")
    wanted = tmp_path / "requirements.txt"
    wanted.write_text("".join(f"{requirement}\n" for requirement in DEPENDENCIES), "utf-8")
    command = [sys.executable, "-m", "pip_audit", "--progress-spinner", "off", "--requirement", str(wanted)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if ended.returncode and re.search(r"ConnectionError|ServiceError|Max retries|resolve host", ended.stderr):
        pytest.skip("pip-audit cannot reach its service from here")
    assert ended.returncode == 0, ended.stdout + ended.stderr
