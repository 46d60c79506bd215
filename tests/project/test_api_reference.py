"""The API reference: it has every public name, and the examples of their docstrings run."""

import doctest
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import elman
import elman.sklearn
import elman.testing
from support.state import ROOT

PUBLIC: dict[str, Any] = {f"elman.{name}": getattr(elman, name) for name in elman.__all__}
PUBLIC["elman.sklearn.LineOutlierDetector"] = elman.sklearn.LineOutlierDetector
PUBLIC |= {
    f"elman.testing.{name}": value
    for name, value in vars(elman.testing).items()
    if not name.startswith("_") and callable(value)
}


def documented() -> list[str]:
    """Return the names that the page of the API lists."""
    page, names = (ROOT / "docs" / "reference" / "python_api.md").read_text("utf-8"), []
    for module, block in re.findall(r"currentmodule:: (\S+)(.*?)(?=\.\. currentmodule|\Z)", page, re.DOTALL):
        names += [f"{module}.{name}" for name in re.findall(r"^   (\w+)$", block, re.MULTILINE)]
    return names


def test_every_public_name_is_in_the_reference_once() -> None:
    assert sorted(documented()) == sorted(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_the_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the name and, of a class, of its methods; none is skipped."""
    if name == "elman.sweep":
        pytest.importorskip("optuna")
    assert "Examples\n--------\n" in (inspect.getdoc(PUBLIC[name]) or "")
    monkeypatch.chdir(tmp_path)
    examples = doctest.DocTestFinder().find(PUBLIC[name], name, module=False, globs={})
    assert sum(len(example.examples) for example in examples) > 0
    assert not [each for example in examples for each in example.examples if each.options.get(doctest.SKIP)]
    failures = ""
    for example in examples:
        report: list[str] = []
        doctest.DocTestRunner().run(example, out=report.append)
        failures += "".join(report)
    assert not failures, failures
