"""The public Python API: its names, what they do, and that everything public has a docstring."""

import ast
import inspect
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import elman
from elman.errors import ElmanError
from elman.text import Corpus
from support.state import TEXT, T

SOURCE = Path(elman.__file__).parent
SMALL: dict[str, Any] = {"hidden_size": 3, "seq_length": T, "engine": "numpy", "max_updates": 10}


# --- Names ---


def test_the_public_names() -> None:
    classes = [
        "Config", "Corpus", "ElmanError", "LineScorer", "Model", "Run", "Sample", "SavedRun", "Score",
        "TrainingCallback",
    ]  # fmt: skip
    functions = [
        "compress", "decompress", "ensemble", "explain", "export", "gradcheck", "import_", "list_runs", "load",
        "open_run", "sweep", "train",
    ]  # fmt: skip
    assert elman.__all__ == classes + functions
    assert all(inspect.getdoc(getattr(elman, name)) for name in elman.__all__)


def test_an_unknown_name() -> None:
    with pytest.raises(AttributeError, match=r"^module 'elman' has no attribute 'sampel'$"):
        elman.sampel  # type: ignore[attr-defined]  # noqa: B018


def test_an_unknown_name_is_a_type_error(tmp_path: Path) -> None:
    api = pytest.importorskip("mypy.api")
    package, script = tmp_path / "elman", tmp_path / "script.py"
    package.mkdir()
    shutil.copy(SOURCE / "__init__.py", package)
    script.write_text('import elman\nelman.train("x")\nelman.trian("x")\n', "utf-8")
    options = ["--strict", "--ignore-missing-imports", "--no-site-packages", "--config-file="]
    printed, _, _ = api.run([*options, f"--cache-dir={os.devnull}", str(script)])
    assert 'script.py:3: error: Module has no attribute "trian"' in printed
    assert "script.py:2" not in printed


def test_import_elman_is_light() -> None:
    code = "import elman, json, sys; print(json.dumps(sorted(sys.modules)))"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "numba", "scipy", "matplotlib", "rich"} & set(json.loads(process.stdout))


def test_a_plain_training_imports_less_than_half_of_the_package(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("a cat, a hat. " * 50, "utf-8")
    code = (
        "import sys; from elman.cli import main\n"
        "try: main(['train', 'text', '--out', 'run', '--max-updates', '2', '-q'])\n"
        "finally: print(sum(name.split('.')[0] == 'elman' for name in sys.modules))"
    )
    process = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert int(process.stdout.splitlines()[-1]) <= 90


def is_overload(node: ast.AST) -> bool:
    """Whether it is a signature for type checkers, whose docstring is that of the function."""
    decorators = node.decorator_list if isinstance(node, ast.FunctionDef) else []
    return any(isinstance(each, ast.Name) and each.id == "overload" for each in decorators)


def undocumented(path: Path) -> Iterator[str]:
    """Yield the public modules, classes, functions and methods of a file that have no docstring."""

    def walk(node: ast.AST, name: str) -> Iterator[str]:
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and not (
            ast.get_docstring(node) or is_overload(node)
        ):
            yield name
        if isinstance(node, ast.Module | ast.ClassDef | ast.If):
            for child in ast.iter_child_nodes(node):
                child_name = getattr(child, "name", "")
                if isinstance(child, ast.If) or (child_name and not child_name.startswith("_")):
                    yield from walk(child, f"{name}.{child_name}")

    yield from walk(ast.parse(path.read_text(encoding="utf-8")), path.stem)


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_everything_public_has_a_docstring(path: Path) -> None:
    assert list(undocumented(path)) == []


# --- Train, load, sample, score ---


def test_a_file_is_trained_on_and_the_model_used(tmp_path: Path) -> None:
    (tmp_path / "novel.txt").write_text(TEXT, encoding="utf-8")
    run = elman.train(tmp_path / "novel.txt", out=tmp_path / "run", preset="reference", **SMALL)
    assert isinstance(run, elman.Run)
    model = elman.load(tmp_path / "run")
    assert isinstance(model, elman.Model)
    assert model.sample(50, seed=1) == run.model.sample(50, seed=1)
    assert model.score(TEXT) == run.model.score(TEXT)


def test_a_built_in_text_is_trained_on(tmp_path: Path) -> None:
    with pytest.raises(ElmanError, match=r"^the text is missing: use a file or a built-in text \(python-docs, "):
        elman.train(out=tmp_path)
    run = elman.train("python-docs", out=str(tmp_path), preset="reference", **SMALL)  # a path may be a string
    assert run.corpus.name == "python-docs"
    assert run.config == elman.Config(**SMALL)
    direct, by_folder = elman.load(str(tmp_path / "checkpoint.safetensors")), elman.load(str(tmp_path))
    assert direct.sample(50, seed=1) == by_folder.sample(50, seed=1)


def test_a_network_is_loaded_on_the_engine_asked_for(corpus: Corpus, tmp_path: Path) -> None:
    elman.train(corpus, out=tmp_path, preset="reference", **SMALL)
    for given, expected in ((None, "numpy"), ("numpy", "numpy"), ("numba", "numba")):
        assert elman.load(tmp_path, engine=given).engine.name == expected
    with pytest.raises(ElmanError, match=r"^unknown engine 'jax' \(choose from numba, numpy, torch\)$"):
        elman.load(tmp_path, engine="jax")
