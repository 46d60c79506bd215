"""Dynamic evaluation, against a slow implementation of its equations."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import elman
from elman.engine import get_engine
from elman.errors import ElmanError
from elman.inference import Model, Score
from elman.inference.dynamic_evaluation import DECAY_INTERVAL, DynamicEvaluation, score_dynamic
from elman.inference.score import score
from elman.network import Parameters, initial_parameters
from elman.network import loss_and_gradients as reference
from elman.network.parameters import Array, architecture
from elman.text import Corpus
from support import tolerances as tolerances
from support.state import TEXT

K, M, T = 5, 6, 7
SMALL = DynamicEvaluation(seq_length=T, relative_rate=0.05, time_constant=300.0)
ENGINES = pytest.mark.parametrize("engine", ["numpy", "numba"])


def made(cell: str = "gru", layers: int = 2, dtype: Any = np.float64) -> tuple[Parameters, Array]:
    """Return a network and a state."""
    generator = np.random.RandomState(1)
    parameters = initial_parameters(K, M, 0.4, generator, dtype, cell, layers)
    return parameters, np.tanh(generator.randn(architecture(parameters).state_size)).astype(dtype)


def text(n: int) -> Any:
    return np.random.default_rng(2).integers(K, size=n, dtype=np.uint8)


def slowly(trained: Parameters, h: Array, indices: Any, settings: DynamicEvaluation) -> float:
    """Return the cost of a text, by the equations of `elman.inference.dynamic_evaluation`."""
    theta = trained.map(np.copy)
    mean = {name: np.zeros_like(array) for name, array in trained.items()}
    W = np.concatenate([array.ravel() for name, array in trained.items() if name.startswith("W")])
    eta, beta, nats = settings.relative_rate * np.sqrt(np.mean(W**2)) / np.sqrt(M), settings.beta, 0.0
    decay = 1 - math.exp(-DECAY_INTERVAL * settings.seq_length / settings.time_constant)
    for n, start in enumerate(range(0, len(indices) - 1, settings.seq_length), 1):
        x = indices[start : start + settings.seq_length + 1]
        window = reference(theta, h, x[:-1], x[1:])
        nats, h = nats + window.loss, window.h
        if len(x) <= settings.seq_length:
            break
        for name, g in window.gradients.items():
            mean[name] = beta * mean[name] + (1 - beta) * g**2
            theta[name][...] -= eta * g / (np.sqrt(mean[name] / (1 - beta**n)) + 1e-8)
            if n % DECAY_INTERVAL == 0:
                theta[name][...] += decay * (trained[name] - theta[name])
    return nats


@ENGINES
@pytest.mark.parametrize(("cell", "layers"), [("rnn", 1), ("gru", 2), ("lstm", 1)])
@pytest.mark.parametrize("n", [40 * T + 1, 40 * T, 35 * T + 3, 3])
def test_it_is_what_the_equations_say(engine: str, cell: str, layers: int, n: int) -> None:
    parameters, h0 = made(cell, layers)
    found = score_dynamic(get_engine(engine), parameters, h0, text(n), SMALL)
    expected = slowly(parameters, h0, text(n), SMALL)
    assert found.nats == pytest.approx(expected, rel=tolerances.COMPILED_TRAJECTORY)
    assert found == Score(n - 1, found.nats)


def test_the_learning_rate_is_relative_to_the_recurrent_weights() -> None:
    parameters, _ = made()
    scaled = parameters.with_arrays({name: 3 * a if name[0] == "W" else a for name, a in parameters.items()})
    assert DynamicEvaluation().learning_rate(scaled) == pytest.approx(3 * DynamicEvaluation().learning_rate(parameters))
    ones = parameters.with_arrays({name: np.ones_like(a) for name, a in parameters.items()})
    assert DynamicEvaluation(relative_rate=0.5).learning_rate(ones) == pytest.approx(0.5 / math.sqrt(M))


def test_without_recurrent_weights_or_of_a_network_that_diverged_there_is_a_rate() -> None:
    parameters, _ = made()
    for weight, rate in ((0.0, 0.0), (1e200, math.inf), (math.inf, math.inf)):
        other = parameters.with_arrays({name: np.full_like(a, weight) for name, a in parameters.items()})
        assert DynamicEvaluation().learning_rate(other) == rate


@ENGINES
def test_the_network_stays_as_it_is(engine: str) -> None:
    parameters, h0 = made()
    before = {name: array.tobytes() for name, array in parameters.items()}, h0.tobytes()
    score_dynamic(get_engine(engine), parameters, h0, text(300), SMALL)
    assert ({name: array.tobytes() for name, array in parameters.items()}, h0.tobytes()) == before


def test_without_a_rate_nothing_is_learned() -> None:
    parameters, h0 = made()
    numba = get_engine("numba")
    still = score_dynamic(numba, parameters, h0, text(300), DynamicEvaluation(seq_length=T, relative_rate=1e-12))
    assert still.nats == pytest.approx(score(numba, parameters, h0, text(300)).nats, rel=tolerances.COMPILED_TRAJECTORY)


def test_what_repeats_is_learned() -> None:
    parameters, h0 = made(dtype=np.float32)
    numba, pattern = get_engine("numba"), np.tile(np.array([0, 3, 1, 1, 4, 2], np.uint8), 400)
    static, adapting = (how(numba, parameters, h0, pattern) for how in (score, score_dynamic))
    assert adapting.nats_per_char < 0.5 * static.nats_per_char


def test_what_was_learned_fades() -> None:
    parameters, h0 = made(dtype=np.float32)
    numba, pattern = get_engine("numba"), np.tile(np.array([0, 3, 1, 1, 4, 2], np.uint8), 400)
    settings = (DynamicEvaluation(time_constant=n) for n in (200.0, 1e9))
    short, long = (score_dynamic(numba, parameters, h0, pattern, each) for each in settings)
    assert short.nats > long.nats


@pytest.fixture(scope="module")
def model() -> Model:
    """A network that knows the letters of the text."""
    return elman.train(
        Corpus.from_text(TEXT), preset="reference", hidden_size=M, seq_length=5, max_updates=30, epochs=9
    ).model


def test_a_model_scores_either_way(model: Model) -> None:
    network = (model.engine, model.parameters, model.h, model.alphabet.encode(TEXT * 9))
    assert model.score(TEXT * 9) == score(*network)
    assert model.score(TEXT * 9, adapt=True) == score_dynamic(*network)
    assert model.score(TEXT * 9, adapt=True) == score_dynamic(*network)  # nothing was left behind


def test_unknown_characters_cost_the_same_either_way(model: Model) -> None:
    for adapt in (False, True):
        with_one, without = model.score("the 漢rain" * 9, adapt=adapt), model.score("the rain" * 9, adapt=adapt)
        assert with_one.unknown == 9
        assert with_one.chars == without.chars + 9
        unknown = 9 * (16 * math.log(2) + math.log(0x110000 - len(model.alphabet)))
        others = -without.chars * math.log1p(-(2.0**-16))
        assert with_one.nats == pytest.approx(without.nats + unknown + others)


def test_a_text_that_holds_nothing_to_predict(model: Model) -> None:
    with pytest.raises(ElmanError, match=r"^a text needs at least 2 characters to be scored \(got 1\)$"):
        model.score("t", adapt=True)


def test_eval_says_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from elman.cli.app import main

    run, other = str(tmp_path / "run"), tmp_path / "other.txt"
    elman.train(Corpus.from_text(TEXT), out=run, preset="reference", hidden_size=M, max_updates=30, epochs=99)
    other.write_text(TEXT * 9 + "漢", encoding="utf-8")
    with pytest.raises(SystemExit) as end:
        main(["eval", run, str(other), "--adapt", "--json"])
    assert end.value.code == 0
    loaded = elman.load(run)
    adapting, static = (loaded.score(TEXT * 9 + "漢", adapt=adapt) for adapt in (True, False))
    assert json.loads(capsys.readouterr().out) == {
        "chars": adapting.chars,
        "nats_per_char": adapting.nats_per_char,
        "bits_per_char": adapting.bits_per_char,
        "perplexity": adapting.perplexity,
        "nats_per_char_without_adapt": static.nats_per_char,
        "unknown_chars": 1,
    }
