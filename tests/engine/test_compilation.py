"""Compilation is announced where kernels are compiled, and only there."""

import pytest

import elman
from elman.compilation import COMPILATION
from elman.config import make_config
from elman.engine import COMPILING, watch_compilation
from elman.engine.numpy_engine import NumpyEngine
from elman.text import Corpus
from elman.training.initialization import measure_speed
from support.training import EXACT


def compile_kernel() -> None:
    """Do as a kernel does that is not in the cache."""
    with COMPILATION.measure():
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


def test_the_measurement_of_the_speed_announces_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NumpyEngine, "advance", lambda *_: compile_kernel())
    seen: list[str] = []
    measure_speed(make_config("minute", {"engine": "numpy"}), lambda: seen.append("compiling"))
    assert seen == ["compiling"]
