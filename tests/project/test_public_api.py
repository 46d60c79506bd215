"""The public Python API: its names, its reference with examples that run, and what it imports."""

import doctest
import inspect
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import elman
import elman.apps.course
import elman.pyctcdecode
import elman.testing
from elman.text import Corpus
from support.state import ROOT, T

SMALL: dict[str, Any] = {"hidden_size": 3, "seq_length": T, "engine": "numpy", "max_updates": 10}


PUBLIC: dict[str, Any] = {f"elman.{name}": getattr(elman, name) for name in dir(elman)}
PUBLIC |= {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in (elman.testing, elman.apps.course, elman.pyctcdecode)
    for name in dir(module)
    if callable(getattr(module, name))
}
# scikit-learn takes each worker a second to import.
NAMES = [*PUBLIC, "elman.apps.sklearn.LineClassifier", "elman.apps.sklearn.LineOutlierDetector"]


LAZY = [
    ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")
    for path in sorted((ROOT / "src").rglob("*.py"))
    if re.search(r"^(?:def )?__getattr__\b", path.read_text("utf-8"), re.M)
]
"""Modules that make their attributes on first use."""


@pytest.mark.parametrize("name", LAZY)
def test_a_lazy_module_has_no_other_attribute(name: str) -> None:
    with pytest.raises(AttributeError, match=rf"^module '{re.escape(name)}' has no attribute 'nothing'$"):
        import_module(name).nothing  # noqa: B018


def test_the_public_names() -> None:
    classes = [
        "Config", "Corpus", "CtcSearch", "ElmanError", "LineScorer", "Model", "Run", "Sample", "SavedRun", "Score",
        "TrainingCallback",
    ]  # fmt: skip
    functions = [
        "choose_weights", "compress", "decode_batch", "decode_ctc", "decompress", "ensemble", "explain", "export",
        "gradcheck", "import_", "kraken_decoder", "list_runs", "load", "open_run", "rescore", "sweep", "train",
    ]  # fmt: skip
    assert dir(elman) == classes + functions
    page = (ROOT / "docs" / "reference" / "python_api.md").read_text("utf-8")
    documented = [
        f"{module}.{name}"
        for module, block in re.findall(r"currentmodule:: (\S+)(.*?)(?=\.\. currentmodule|\Z)", page, re.DOTALL)
        for name in re.findall(r"^   (\w+)$", block, re.MULTILINE)
    ]
    assert sorted(documented) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the name and, of a class, of its methods; none is skipped."""
    if name == "elman.sweep":
        pytest.importorskip("optuna")
    value = PUBLIC[name] if name in PUBLIC else import_module("elman.apps.sklearn").LineOutlierDetector
    assert "Examples\n--------\n" in (inspect.getdoc(value) or "")
    monkeypatch.chdir(tmp_path)
    cases = doctest.DocTestFinder().find(value, name, module=False, globs={})
    examples = [example for case in cases for example in case.examples]
    assert examples
    assert not any(example.options.get(doctest.SKIP) for example in examples)
    report: list[str] = []
    for case in cases:
        doctest.DocTestRunner().run(case, out=report.append)
    assert not report, "".join(report)


@pytest.mark.parametrize("call", ["", "elman.cli.main(['--help'])", "elman.cli.main(['train', '--help'])"])
def test_imports_are_light(call: str) -> None:
    statement = f"import elman.cli; {call}" if call else "pass"
    code = f"import elman, sys\ntry: {statement}\nfinally: print(*sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    heavy = {"numpy", "numba", "scipy", "matplotlib", *([] if call else ["rich"])}
    assert not heavy & {*printed.splitlines()[-1].split()}


def test_a_plain_training_imports_less_than_half_of_the_package(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("a cat, a hat. " * 50, "utf-8")
    code = (
        "import sys; from elman.cli import main\n"
        "try: main(['train', 'text', '--out', 'run', '--max-updates', '2', '--hidden-size', '8', '-q'])\n"
        "finally: print(sum(name.split('.')[0] == 'elman' for name in sys.modules))"
    )
    process = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    package = Path(elman.__file__).parent
    assert int(process.stdout.splitlines()[-1]) < sum(1 for _ in package.rglob("*.py")) / 2


def test_a_built_in_text_is_trained_on(tmp_path: Path) -> None:
    run = elman.train("python-docs", out=str(tmp_path), preset="reference", **SMALL)  # a path may be a string
    assert run.corpus.name == "python-docs"
    assert run.config == elman.Config(**SMALL)
    direct, by_folder = elman.load(str(tmp_path / "checkpoint.safetensors")), elman.load(str(tmp_path))
    assert direct.sample(50, seed=1) == by_folder.sample(50, seed=1)


def test_a_network_is_loaded_on_the_engine_asked_for(corpus: Corpus, tmp_path: Path) -> None:
    elman.train(corpus, out=tmp_path, preset="reference", **SMALL)
    for given, expected in ((None, "numpy"), ("numpy", "numpy"), ("numba", "numba")):
        assert elman.load(tmp_path, engine=given).engine.name == expected
