"""Compilation is announced where kernels are compiled, and only there."""

from typing import Any

import pytest

import elman
from elman.config import make_config
from elman.engine import COMPILING, TrainState, watch_compilation
from elman.engine.numpy_engine import NumpyEngine, NumpySession
from elman.jit import COMPILATION
from elman.network.state import State
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


@pytest.mark.parametrize("sample_every", [0, 1])
def test_sampling_is_compiled_if_it_is_used(corpus: Corpus, monkeypatch: pytest.MonkeyPatch, sample_every: int) -> None:
    generate, lengths = NumpySession.generate, list[int]()

    def record_and_generate(session: NumpySession, state: State, x: Any, uniforms: Any, sampling: Any) -> Any:
        lengths.append(len(uniforms))
        return generate(session, state, x, uniforms, sampling)

    monkeypatch.setattr(NumpySession, "generate", record_and_generate)
    elman.train(corpus, **EXACT | {"sample_every": sample_every}, max_updates=1)
    assert lengths[:1] == [1] * sample_every


def test_a_prior_that_is_switched_on_later_is_compiled_before(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    advance, calls = NumpyEngine.advance, list[bool]()

    def record_and_advance(engine: NumpyEngine, state: TrainState, *arguments: object) -> object:
        calls.append(state.parameters.prior.is_on)
        return advance(engine, state, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(NumpyEngine, "advance", record_and_advance)
    elman.train(corpus, **EXACT, ngram_order=2, ngram_start=0.5, max_updates=2)
    assert calls == [False, True, False, True]  # two before training
