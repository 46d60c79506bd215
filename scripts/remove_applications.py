"""Delete one application after the other from a copy, and check that the core works without it.

For each application, the script checks that its commands are gone, that a model can be trained, and that a text can be
generated. Without all applications, every test of the core must be found, so none imports an application, and the fast
tests must pass. Arguments are passed to pytest.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
APPLICATIONS = sorted(path.parent.name for path in (ROOT / "src/elman/apps").glob("*/__init__.py"))
IMPORTED_BY = {"serve": ["dashboard"], "course": ["report"]}
"""Application -> applications that import it, which are deleted with it; ``pyproject.toml`` has the reasons."""
PRODUCT_TESTS = "tests/project"
"""Tests of the whole product: its documentation, its packages, its public names."""
FAST_TESTS = ["tests/cli", "tests/storage"]
"""Tests in which a missing application would show; every run of all tests includes the tests of the mathematics."""


def main() -> None:
    """Exit with status 1 if anything fails."""
    groups = [APPLICATIONS, *([name, *IMPORTED_BY.get(name, [])] for name in APPLICATIONS)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for removed, gone in zip(groups, pool.map(_check_without, groups), strict=True):
            print(f"without {', '.join(removed)}: no {', '.join(sorted(gone)) or 'command less'}", flush=True)


def _check_without(removed: list[str]) -> set[str]:
    """Check the core without some applications, and return their commands; without all of them, also run its tests."""
    with tempfile.TemporaryDirectory() as folder:
        copy, everything = Path(folder), removed == APPLICATIONS
        gone, kept = _copy_without(removed, copy, ("src", "tests", "examples", "docs") if everything else ("src",))
        commands = set(re.findall(r"^│ (\w+) ", _run(copy, "-m", "elman", "--help"), re.MULTILINE))
        assert kept <= commands, (removed, kept - commands)
        assert not gone & commands, (removed, gone & commands)
        arguments = ("--preset", "reference", "--hidden-size", "8", "--max-updates", "20", "--quiet")
        _run(copy, "-m", "elman", "train", "python-docs", "--out", "run", *arguments)
        _run(copy, "-m", "elman", "sample", "run", "--length", "20")
        if everything:
            _run(copy, "-m", "pytest", "-q", "--collect-only", "-n", "0", f"--ignore={PRODUCT_TESTS}", "tests")
            _run(copy, "-m", "pytest", "-q", "-n", "0", *FAST_TESTS, *sys.argv[1:])
        return gone


def _copy_without(removed: list[str], copy: Path, folders: Sequence[str]) -> tuple[set[str], set[str]]:
    """Copy the source without some applications; return their commands and the commands of the others."""
    for folder in folders:
        shutil.copytree(ROOT / folder, copy / folder)  # with the bytecode, whose compilation needs a second
    for name in removed:
        shutil.rmtree(copy / "src/elman/apps" / name)
        shutil.rmtree(copy / "tests/apps" / name, ignore_errors=True)
    source = (ROOT / "pyproject.toml").read_text("utf-8")
    modules = tuple(f"elman.apps.{name}." for name in removed)
    lines = [line for line in source.splitlines() if not line.partition(' = "')[2].startswith(modules)]
    (copy / "pyproject.toml").write_text("\n".join(lines) + "\n", "utf-8")
    project = tomllib.loads((copy / "pyproject.toml").read_text("utf-8"))["project"]
    _write_metadata(copy / "src", project)
    everything = tomllib.loads(source)["project"]["entry-points"]["elman.commands"]
    kept = project["entry-points"].get("elman.commands", {})
    return everything.keys() - kept.keys(), set(kept)


def _write_metadata(folder: Path, project: dict[str, object]) -> None:
    """Write the files that `importlib.metadata` reads of an installed package; the first on the path counts."""
    metadata = folder / f"{project['name']}-{project['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n", "utf-8"
    )
    groups = project["entry-points"]
    assert isinstance(groups, dict)
    text = "".join(
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
        for group, entries in groups.items()
    )
    (metadata / "entry_points.txt").write_text(text, "utf-8")


def _run(copy: Path, *arguments: str) -> str:
    """Run Python in the copy, and return what it prints."""
    path = os.pathsep.join(map(str, (copy / "src", copy / "tests")))
    environment = os.environ | {"PYTHONPATH": path, "COLUMNS": "80", "PYTHONUTF8": "1"}
    result = subprocess.run(
        [sys.executable, *arguments], cwd=copy, env=environment, capture_output=True, text=True, encoding="utf-8"
    )
    if result.returncode:
        sys.exit(f"{' '.join(arguments)} failed:\n{result.stdout[-5000:]}{result.stderr[-5000:]}")
    return result.stdout


if __name__ == "__main__":
    main()
