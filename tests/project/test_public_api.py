"""The public Python API: its names, what they do, and that everything public has a docstring."""

import ast
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import elman
from elman.engine.numpy_engine import NumpyEngine
from elman.engine.protocol import Indices
from elman.errors import ElmanError, NonFiniteLossError
from elman.network import LossAndGradients, Parameters
from elman.network.parameters import Array
from elman.text import Corpus
from support.cells import COMPILED_CELLS
from support.state import TEXT, T

SOURCE = Path(elman.__file__).parent
SMALL: dict[str, Any] = {"hidden_size": 3, "seq_length": T, "engine": "numpy", "max_updates": 10}


# --- Names ---


def test_the_public_names() -> None:
    classes = ["Config", "Corpus", "ElmanError", "LineScorer", "Model", "Run", "SavedRun", "Score", "TrainingCallback"]
    functions = [
        "compress", "decompress", "ensemble", "explain", "export", "gradcheck", "import_", "load", "open_run", "runs",
        "sweep", "train",
    ]  # fmt: skip
    assert elman.__all__ == classes + functions


@pytest.mark.parametrize("name", elman.__all__)
def test_a_public_name_exists_and_has_a_docstring(name: str) -> None:
    assert inspect.getdoc(getattr(elman, name))


def test_an_unknown_name() -> None:
    with pytest.raises(AttributeError, match=r"^module 'elman' has no attribute 'sampel'$"):
        elman.sampel  # noqa: B018


def test_the_package_is_typed() -> None:
    assert (SOURCE / "py.typed").exists()


def test_a_loss_that_is_not_finite_is_an_error_of_elman() -> None:
    assert issubclass(NonFiniteLossError, ElmanError)


def test_import_elman_is_light() -> None:
    code = "import elman, json, sys; print(json.dumps(sorted(sys.modules)))"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "numba", "scipy", "matplotlib", "rich"} & set(json.loads(process.stdout))


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


def test_a_missing_docstring_is_found(tmp_path: Path) -> None:
    source = '"""Module."""\nclass A:\n    """A."""\n    def b(self): ...\n    def _c(self): ...\ndef d(): ...\n'
    (tmp_path / "m.py").write_text(source, encoding="utf-8")
    assert list(undocumented(tmp_path / "m.py")) == ["m.A.b", "m.d"]


# --- Train, load, sample, score ---


def test_a_file_is_trained_on_and_the_model_used(tmp_path: Path) -> None:
    (tmp_path / "novel.txt").write_text(TEXT, encoding="utf-8")
    run = elman.train(tmp_path / "novel.txt", out=tmp_path / "run", preset="reference", **SMALL)
    assert isinstance(run, elman.Run)
    model = elman.load(tmp_path / "run")
    assert isinstance(model, elman.Model)
    assert model.sample(50, seed=1) == run.model.sample(50, seed=1)
    assert model.score(TEXT) == run.model.score(TEXT)


def test_a_path_may_be_a_string(tmp_path: Path) -> None:
    (tmp_path / "novel.txt").write_text(TEXT, encoding="utf-8")
    elman.train(str(tmp_path / "novel.txt"), out=str(tmp_path / "run"), preset="reference", **SMALL)
    assert elman.load(str(tmp_path / "run")).alphabet.characters[:6] == TEXT[:6]


def test_the_corpus_by_default_is_built_in() -> None:
    run = elman.train(preset="reference", **SMALL)
    assert run.corpus.name == "python-docs"
    assert run.config == elman.Config(**SMALL)


def test_the_file_of_a_checkpoint_may_be_loaded(corpus: Corpus, tmp_path: Path) -> None:
    elman.train(corpus, out=tmp_path, preset="reference", **SMALL)
    direct, by_folder = elman.load(tmp_path / "checkpoint.safetensors"), elman.load(tmp_path)
    assert direct.sample(50, seed=1) == by_folder.sample(50, seed=1)


@pytest.mark.parametrize(("given", "expected"), [(None, "numpy"), ("numpy", "numpy"), ("numba", "numba")])
def test_a_network_is_loaded_on_the_engine_asked_for(
    corpus: Corpus, tmp_path: Path, given: str | None, expected: str
) -> None:
    elman.train(corpus, out=tmp_path, preset="reference", **SMALL)
    assert elman.load(tmp_path, engine=given).engine.name == expected


def test_an_engine_that_there_is_not(corpus: Corpus, tmp_path: Path) -> None:
    elman.train(corpus, out=tmp_path, preset="reference", **SMALL)
    with pytest.raises(ElmanError, match=r"^unknown engine 'jax' \(choose from numba, numpy, torch\)$"):
        elman.load(tmp_path, engine="jax")


def test_an_unknown_setting_of_train(corpus: Corpus) -> None:
    with pytest.raises(ElmanError, match=r"^unknown setting 'epoch'; did you mean epochs\?$"):
        elman.train(corpus, epoch=3)  # type: ignore[call-arg]


# --- The gradient check ---


@pytest.mark.parametrize("engine", ["numba", "numpy"])
def test_the_gradients_of_every_engine_pass(corpus: Corpus, engine: str) -> None:
    (check,) = elman.gradcheck(corpus, hidden_size=4, seq_length=5, points=10, engine=engine)
    assert list(check.relative_error) == ["V", "U", "W", "b", "c", "h0"]
    assert check.passed
    assert 0 < max(check.relative_error.values()) < 1e-7


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", COMPILED_CELLS)
def test_the_gradients_of_every_network_pass(corpus: Corpus, cell: str, layers: int) -> None:
    (check,) = elman.gradcheck(corpus, hidden_size=4, seq_length=5, points=10, engine="numpy", cell=cell, layers=layers)
    of_layers = [name + number for number in ("", "2")[:layers] for name in ("UWbd" if cell == "gru" else "UWb")]
    assert set(check.relative_error) == {*of_layers, "V", "c", "h0"}
    assert check.passed
    assert min(check.relative_error.values()) > 0


def test_one_number_asks_for_one_experiment(corpus: Corpus) -> None:
    (check,) = elman.gradcheck(corpus, hidden_size=4, engine="numpy")
    assert (check.points, check.hidden_size, check.seq_length) == (25, 4, 25)
    (check,) = elman.gradcheck(corpus, hidden_size=4, seq_length=6, engine="numpy")
    assert (check.points, check.hidden_size, check.seq_length) == (6, 4, 6)


@pytest.mark.parametrize("name", ["V", "U", "W", "b", "c", "h0"])
@pytest.mark.parametrize("factor", [-1.0, 2.001, 1.000001, 0.0])
def test_a_wrong_gradient_does_not_pass(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch, name: str, factor: float
) -> None:
    class Wrong(NumpyEngine):
        def loss_and_gradients(self, *arguments: Any) -> LossAndGradients:
            result = super().loss_and_gradients(*arguments)
            if name == "h0":
                return result._replace(dh0=factor * result.dh0)
            return result._replace(gradients=result.gradients | {name: factor * result.gradients[name]})

    monkeypatch.setattr("elman.training.gradcheck.get_engine", lambda name: Wrong())
    (check,) = elman.gradcheck(corpus, hidden_size=3, seq_length=4, points=4)
    assert not check.passed
    assert [n for n, error in check.relative_error.items() if error > 1e-7] == [name]


def test_a_gradient_that_forgot_the_initial_state_does_not_pass(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Forgets(NumpyEngine):
        def loss_and_gradients(self, parameters: Parameters, h0: Array, x: Indices, y: Indices) -> LossAndGradients:
            result = super().loss_and_gradients(parameters, h0, x, y)
            da_first = np.linalg.solve(parameters["W"].T, result.dh0)
            dW = result.gradients["W"] - np.outer(da_first, h0)
            return result._replace(gradients=result.gradients | {"W": dW})

    monkeypatch.setattr("elman.training.gradcheck.get_engine", lambda name: Forgets())
    (check,) = elman.gradcheck(corpus, hidden_size=3, seq_length=4)
    assert [name for name, error in check.relative_error.items() if error > 1e-7] == ["W"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"hidden_size": 0}, "hidden_size must be at least 1 (got 0)"),
        ({"seq_length": 0}, "seq_length must be at least 1 (got 0)"),
        ({"seq_length": 9, "points": 8}, "points must be at least seq_length (got 8 and 9)"),
        ({"points": 0}, "points must be at least seq_length (got 0 and 25)"),
    ],
    ids=str,
)
def test_a_gradient_check_out_of_range(corpus: Corpus, options: dict[str, Any], expected: str) -> None:
    with pytest.raises(ElmanError, match=f"^{re.escape(expected)}$"):
        elman.gradcheck(corpus, **options)


def test_a_gradient_check_on_too_short_a_text() -> None:
    expected = (
        "points=6 needs a text of at least 7 characters ('text' has 6); lower points and seq_length, or use a "
        "longer text"
    )
    with pytest.raises(ElmanError, match=f"^{re.escape(expected)}$"):
        elman.gradcheck(Corpus.from_text("abcdef"), hidden_size=2, seq_length=3, points=6)


def test_too_short_a_text_is_refused_before_anything_is_checked(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    def checked(*_: object) -> None:
        raise AssertionError("an experiment was begun")

    monkeypatch.setattr("elman.training.gradcheck.central_differences", checked)
    with pytest.raises(ElmanError, match=r"^points=100 needs a text of at least 101 characters \('text' has 77\); "):
        elman.gradcheck(corpus, engine="numpy")


@pytest.mark.parametrize("option", [{"cell": "cnn"}, {"layers": 0}, {"engine": "jax"}, {"seed": -1}], ids=str)
def test_a_gradient_check_with_an_invalid_option(corpus: Corpus, option: dict[str, Any]) -> None:
    name = next(iter(option))
    with pytest.raises(ElmanError, match=f"^{name} must be "):
        elman.gradcheck(corpus, **option)


def test_reprs_are_one_line(tmp_path: Path) -> None:
    run = elman.train(
        elman.Corpus.from_text(TEXT, "novel"),
        out=tmp_path,
        preset="reference",
        cell="gru",
        hidden_size=3,
        max_updates=20,
    )
    model = "<Model: 1 x gru 3, 26 characters, float32, numba>"
    assert repr(elman.load(tmp_path)) == model
    assert repr(run) == f"<Run on 'novel': 20 updates, {model}>"
    run = elman.train(
        elman.Corpus.from_text(TEXT * 9), preset="reference", hidden_size=3, max_updates=20, validation=0.2
    )
    assert f"validation loss {run.validation_loss:.3f}, <Model" in repr(run)
