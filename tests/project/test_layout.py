"""Applications import the core through its fronts, the core imports no application, and what fronts list is there."""

import ast
import pkgutil
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

import elman
from elman.fronts import list_front
from support.state import ROOT

SOURCE = Path(elman.__file__).parents[1]
APPS = SOURCE / "elman" / "apps"
FRONTS = [".".join(path.parent.relative_to(SOURCE).parts) for path in SOURCE.rglob("__init__.pyi")]
NAMED = {
    tuple(end.removeprefix("elman.apps.").removesuffix(".**") for end in arrow.split(" -> "))
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    for arrow in contract.get("ignore_imports", [])
}
"""Applications that import another one, and this one."""


def list_imports(path: Path) -> set[tuple[str, str]]:
    """Return what a file imports of the package: modules, and of each the names, "" for the module itself."""
    found = set[tuple[str, str]]()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {(alias.name, "") for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {("." * node.level + (node.module or ""), alias.name) for alias in node.names}
    return {(module, name) for module, name in found if module.split(".")[0] in ("", "elman")}


def is_offered(module: str, name: str) -> bool:
    """Return whether a module is at the top level, or the front of a package has the name."""
    path = SOURCE.joinpath(*module.split("."))
    if not path.is_dir():
        return path.parent == SOURCE / "elman" and any(path.with_suffix(each).is_file() for each in (".py", ".pyi"))
    package = import_module(module)
    return hasattr(package, name) and name not in {each.name for each in pkgutil.iter_modules(package.__path__)}


def test_applications_import_the_core_through_fronts() -> None:
    past = set[tuple[str, str, str]]()
    for path in APPS.rglob("*.py"):
        app = path.relative_to(APPS).parts[0]
        for module, name in list_imports(path):
            other = module.removeprefix("elman.apps.").split(".")[0]
            is_core = not module.startswith("elman.apps.")
            is_allowed = is_offered(module, name) if is_core else other == app or (app, other) in NAMED
            past |= set() if is_allowed else {(app, module, name)}
    assert past == set()


def test_the_core_imports_no_application() -> None:
    core = {path: list_imports(path) for path in SOURCE.rglob("*.py") if not path.is_relative_to(APPS)}
    assert {path for path, found in core.items() if any(f"{m}.{n}".startswith("elman.apps") for m, n in found)} == set()


@pytest.mark.parametrize("front", FRONTS)
def test_a_front_lists_what_is_there(front: str) -> None:
    """And no name that a submodule has, which would take its place once it is imported."""
    package, names = import_module(front), list_front(front)
    assert names
    assert {name for name in names if not hasattr(package, name)} == set()
    assert {each.name for each in pkgutil.iter_modules(package.__path__)} & names.keys() == set()
