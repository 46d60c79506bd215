"""Compilation is announced where kernels are compiled, and only there."""

import subprocess
import sys

import pytest
from numba.core import event

import elman
from elman.engine.compilation import COMPILING, watch_compilation
from elman.engine.numpy_engine import NumpyEngine
from elman.text import Corpus
from support.training import EXACT


def compile_kernel() -> None:
    """Do as Numba does when a kernel is not in its cache."""
    with event.trigger_event("numba:compile"):
        pass


def test_the_first_compilation_in_the_block_is_announced() -> None:
    seen: list[str] = []
    with watch_compilation(lambda: seen.append("compiling")):
        assert seen == []
        compile_kernel()
        compile_kernel()
        assert seen == ["compiling"]
    compile_kernel()
    assert seen == ["compiling"]


@pytest.mark.parametrize("compiles", [False, True])
def test_a_training_announces_it(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], compiles: bool
) -> None:
    advance = NumpyEngine.advance

    def compile_and_advance(*arguments: object) -> object:
        compile_kernel()
        return advance(*arguments)  # type: ignore[arg-type]

    if compiles:
        monkeypatch.setattr(NumpyEngine, "advance", compile_and_advance)
    elman.train(corpus, **EXACT, max_updates=2, progress=True)
    assert capsys.readouterr().err.count(f"{COMPILING}\n") == compiles


def test_the_compiled_engine_imports_numba_before_it_is_used() -> None:
    code = "import sys; from elman.engine import get_engine; get_engine('numba'); assert 'numba' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
