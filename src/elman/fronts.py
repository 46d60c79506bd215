"""The front of a package: the names that it offers to other packages, each imported on first use.

The names are listed once, in the stub ``__init__.pyi`` of the package, which type checkers also read. As a result,
``import elman`` and ``elman --help`` import neither NumPy nor Numba.
"""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType


@cache
def list_front(package: str) -> dict[str, str]:
    """Return name -> module for the names of a package: the lines ``from MODULE import NAME as NAME`` of its stub."""
    source = import_module(package).__file__
    assert source is not None
    stub = Path(source).with_suffix(".pyi")
    lines = stub.read_text("utf-8").splitlines() if stub.exists() else []
    return {line.split()[3]: line.split()[1] for line in lines if line.startswith("from ")}


def lazy_front(package: str) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return the functions `__getattr__` and `__dir__` of a package (PEP 562)."""

    def get(name: str) -> object:
        if name.startswith("__") or name not in list_front(package):
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            module: ModuleType = import_module(list_front(package)[name])
        except ModuleNotFoundError as error:
            if not (error.name or "").startswith("elman.apps"):
                raise
            raise AttributeError(f"{package}.{name} needs {error.name}, which is not installed") from error
        return getattr(module, name)

    return get, lambda: sorted(list_front(package))
