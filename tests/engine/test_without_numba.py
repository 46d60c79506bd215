"""Without Numba, which has no packages for some processors: the numpy engine, and an interpreted codec."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from elman import engine_registry
from elman.config import Config
from elman.engine import get_engine, require_engine
from elman.engine_registry import inference_engine
from elman.errors import ElmanError, command_line
from elman.model import load
from support.missing_packages import hide_packages
from support.state import TEXT

REASON = "--engine numba requires Numba, which is not installed, or disabled: use --engine numpy"


@pytest.fixture
def _without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elman.engine_registry.NUMBA_INSTALLED", False)
    monkeypatch.setattr(engine_registry, "DEFAULT_ENGINE", "numpy")


@pytest.mark.usefixtures("_without_numba")
def test_an_engine_that_requires_numba_is_refused() -> None:
    with pytest.raises(ElmanError) as refused, command_line():
        get_engine("numba")
    assert str(refused.value) == REASON
    with pytest.raises(ElmanError, match="requires Numba"):
        require_engine(Config(engine="numba"))
    require_engine(Config(engine="numpy"))


def test_the_package_is_used_with_a_disabled_compiler() -> None:
    code = "import elman; print(elman.load('builtin').sample(3, seed=1))"
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert ended.stdout == load("builtin").sample(3, seed=1) + "\n"


@pytest.mark.usefixtures("_without_numba")
def test_a_model_trained_elsewhere_is_used_with_numpy() -> None:
    assert [inference_engine(name, "rnn") for name in ("numba", "torch", "numpy")] == ["numpy"] * 3


def elman(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command where Numba, llvmlite and SciPy are not installed."""
    environment = os.environ | hide_packages(folder / "hidden", "numba", "llvmlite", "scipy")
    return subprocess.run(
        [sys.executable, "-m", "elman", *map(str, arguments)],
        cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip


def test_a_model_is_trained_and_used(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT, "utf-8")
    settings = ("--hidden-size", 4, "--seq-length", 5, "--max-updates", 30, "--ngram-order", 3, "--json")
    trained = elman(tmp_path, "train", "text.txt", "--out", "run", *settings)
    assert trained.returncode == 0, trained.stderr
    about = json.loads((tmp_path / "run" / "run.json").read_text("utf-8"))
    assert about["config"]["engine"] == "numpy"
    assert "numba" not in about["versions"]
    assert len(elman(tmp_path, "sample", "run", "--length", 20).stdout) == 21
    assert "nats_per_char" in elman(tmp_path, "eval", "run", "text.txt", "--json").stdout
    refused = elman(tmp_path, "train", "text.txt", "--out", "other", "--engine", "numba")
    assert (refused.returncode, refused.stderr) == (2, f"error: {REASON}\n")
