"""The directory of compiled kernels."""

import ast
import importlib.util
from pathlib import Path

from elman.engine.numba.compiler import kernel_sources

NOT_IN_KERNELS = {"elman.engines"}
"""Its constant says whether Numba is installed, and without it nothing is compiled."""


def test_every_constant_in_a_kernel_is_part_of_the_digest() -> None:
    sources = kernel_sources()
    imported = {module for path in sources for module in _modules_of_constants(path)}
    assert "elman.network.ngram" in imported
    assert not {module for module in imported - NOT_IN_KERNELS if _find_file(module) not in sources}


def _modules_of_constants(path: Path) -> set[str]:
    """Return the modules of Elman from which a module imports constants."""
    statements = [
        node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.ImportFrom)
    ]
    constants = [node.module for node in statements if any(name.name.isupper() for name in node.names)]
    return {module for module in constants if module is not None and module.startswith("elman")}


def _find_file(module: str) -> Path:
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin)
