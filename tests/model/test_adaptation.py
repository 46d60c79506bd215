"""Models that adapt to what they read, against the equations: dynamic evaluation, and counting by hand."""

import json
import math
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

import elman
from elman.engine import get_engine
from elman.model import Model, Score
from elman.model import adaptation as adapting
from elman.model.adaptation import ADAPTATIONS, DECAY_INTERVAL, score_dynamic
from elman.model.score import score
from elman.network import Parameters, SamplingParams
from elman.network import loss_and_gradients as reference
from elman.network.bptt import logits
from elman.network.output import losses
from elman.network.state import State
from elman.ngram.model import READ_COUNT, ngram_counts
from elman.text import Corpus
from support import tolerances as tolerances
from support.cli import Command
from support.networks import make_parameters, state_of, sum_losses
from support.state import TEXT, generate

ORDER = 4
OTHER = "a dim lantern went out on the wet and windy hill, and so on and so on: " * 3
KINDS = pytest.mark.parametrize("adapt", [*ADAPTATIONS])
BY_ENGINE = pytest.mark.parametrize("adapt", ["weights", "counts", "both"])
ENGINES = pytest.mark.parametrize("engine", ["numpy", "numba"])


K, M, T = 5, 6, 7


def made(cell: str = "gru", layers: int = 2, dtype: Any = np.float64) -> tuple[Parameters, State]:
    generator = np.random.RandomState(1)
    parameters = make_parameters(K, M, 0.4, generator, dtype, cell, layers)
    return parameters, state_of(parameters, np.tanh(generator.randn(parameters.architecture.state_size)).astype(dtype))


def text(n: int) -> Any:
    return np.random.default_rng(2).integers(K, size=n, dtype=np.uint8)


def evaluate_slowly(trained: Parameters, state: State, indices: Any, rate: float, time_constant: float) -> float:
    """Return the cost of a text, by the equations of `elman.model.adaptation`."""
    theta = trained.map(np.copy)
    mean = {name: np.zeros_like(array) for name, array in trained.items()}
    W = np.concatenate([array.ravel() for name, array in trained.items() if name.startswith("W")])
    eta, beta, nats = rate * np.sqrt(np.mean(W**2)) / np.sqrt(M), 0.999, 0.0
    decay = 1 - math.exp(-DECAY_INTERVAL * T / time_constant)
    for n, start in enumerate(range(0, len(indices) - 1, T), 1):
        x = indices[start : start + T + 1]
        window = reference(theta, state, x[:-1], x[1:])
        nats, state = nats + window.loss, window.state
        if len(x) <= T:
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
def test_dynamic_evaluation_is_its_equations(
    monkeypatch: pytest.MonkeyPatch, engine: str, cell: str, layers: int, n: int
) -> None:
    for name, value in {"SEQ_LENGTH": T, "RELATIVE_RATE": 0.05, "TIME_CONSTANT": 300.0}.items():
        monkeypatch.setattr(adapting, name, value)
    parameters, start = made(cell, layers)
    before = {name: array.tobytes() for name, array in parameters.items()}, start.recurrent.tobytes()
    found = score_dynamic(get_engine(engine), parameters, start, text(n))
    expected = evaluate_slowly(parameters, start, text(n), 0.05, 300.0)
    assert found.nats == pytest.approx(expected, rel=tolerances.COMPILED_TRAJECTORY)
    assert found == Score(n - 1, found.nats)
    assert ({name: array.tobytes() for name, array in parameters.items()}, start.recurrent.tobytes()) == before


def test_repetitions_are_learned_and_then_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    parameters, start = made(dtype=np.float32)
    network = get_engine("numba"), parameters, start, np.tile(np.array([0, 3, 1, 1, 4, 2], np.uint8), 400)
    assert score_dynamic(*network).nats_per_char < 0.5 * score(*network).nats_per_char
    monkeypatch.setattr(adapting, "TIME_CONSTANT", 200.0)
    short = score_dynamic(*network)
    monkeypatch.setattr(adapting, "TIME_CONSTANT", 1e9)
    assert short.nats > score_dynamic(*network).nats


def trained(engine: Literal["numba", "numpy"] = "numba", ngram_order: int = ORDER, out: Path | None = None) -> Model:
    corpus = Corpus.from_text(TEXT + OTHER[:72])
    return elman.train(
        corpus, preset="reference", hidden_size=4, seq_length=5, max_updates=30, epochs=99, engine=engine,
        ngram_order=ngram_order, ngram_folds=2, dtype="float64", sample_every=0, out=out,
    ).model  # fmt: skip


@pytest.fixture(scope="module")
def model() -> Model:
    return trained()


def with_numpy(model: Model) -> Model:
    return Model(model.alphabet, model.parameters, model.state, get_engine("numpy"))


def count_slowly(model: Model, text: str) -> float:
    """Return the cost of a text with counts that grow, by the equations of `elman.ngram.model` and of the output."""
    ngrams, K = model.parameters.ngrams, len(model.alphabet)
    assert ngrams is not None
    table, read = ngram_counts(ngrams), model.alphabet.encode(text)
    added: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)

    def distribution(contexts: list[tuple[int, ...]]) -> tuple[Any, int]:
        q, matched = np.full(K, 1 / K), 0
        for o, context in enumerate(contexts):
            weights, rest = table.lookup(context, ngrams.folds)
            w = np.bincount([*(weights + added[context]).elements()], minlength=K)
            if not w.any():
                break
            shares = np.where(w > 0, np.maximum(w - ngrams.discounts[o, np.clip(w, 1, 3) - 1], 0), 0) / (w.sum() + rest)
            q, matched = shares + (1 - shares.sum()) * q, o
        return q, matched

    arrays = {name: array for name, array in model.parameters.items() if name != "alpha"}
    network = Parameters(model.parameters.architecture._replace(context_length=0), arrays)
    contexts = list[tuple[int, ...]]([()])
    o, _ = logits(network, state_of(network, model.state.recurrent), read[:-1])
    for t, x in enumerate(read[:-1].tolist()):
        for context in [c for c in contexts if not c or added[c[:-1]][c[-1]]]:
            added[context][x] += READ_COUNT
        contexts = [(), *((*c, x) for c in contexts[: ORDER - 1])]
        q, matched = distribution(contexts)
        o[t] += model.parameters["alpha"][matched] * np.log(np.maximum(q, 1e-7))
    return float(losses(o, read[1:]).sum())


@KINDS
def test_both_engines_agree_repetitions_cost_less_and_the_model_stays(model: Model, adapt: str) -> None:
    before = model.score(OTHER), {name: array.tobytes() for name, array in model.parameters.items()}
    found, expected = (each.score(OTHER, adapt=adapt) for each in (model, with_numpy(model)))
    assert found.nats == pytest.approx(expected.nats, rel=1e-9)
    assert model.score(OTHER * 4, adapt=adapt).nats < model.score(OTHER * 4).nats
    assert model.score(OTHER, adapt=adapt) == found
    assert (model.score(OTHER), {name: array.tobytes() for name, array in model.parameters.items()}) == before


def test_every_character_is_counted_once_it_has_been_read(model: Model) -> None:
    assert model.score(OTHER[:90], adapt="counts").nats == pytest.approx(count_slowly(model, OTHER[:90]), rel=1e-9)


def test_counts_of_a_long_text_grow_in_order(monkeypatch: pytest.MonkeyPatch, model: Model) -> None:
    text = OTHER * 3
    in_order = model.score(text, adapt="counts")
    for name, value in {"MIN_SEGMENTED_CHARS": 100, "MIN_SEGMENTED_WEIGHTS": 1, "SEGMENTS": 3}.items():
        monkeypatch.setattr(f"elman.model.score.{name}", value)
    assert model.score(text, adapt="counts") == in_order


@BY_ENGINE
def test_unknown_characters_cost_the_same_and_are_not_adapted_to(model: Model, adapt: str) -> None:
    with_one, without = (model.score(each * 9, adapt=adapt) for each in ("the 漢rain", "the rain"))
    assert (with_one.unknown, with_one.chars) == (9, without.chars + 9)
    unknown = 9 * (16 * math.log(2) + math.log(0x110000 - len(model.alphabet)))
    others = -without.chars * math.log1p(-(2.0**-16))
    assert with_one.nats == pytest.approx(without.nats + unknown + others)


def test_a_counted_prompt_is_continued_as_by_a_model_that_has_counted_it(model: Model) -> None:
    indices = model.alphabet.encode(OTHER)
    growing, uniforms = model.state.count(model.parameters.ngrams), np.random.default_rng(3).random(50)
    _, state = sum_losses(model.engine, model.parameters, growing, indices[:-1], indices[1:])
    expected, _ = generate(
        model.engine, model.parameters, state.freeze(), int(indices[-1]), uniforms, SamplingParams(0.7)
    )
    sampled = model.sample(50, prompt=OTHER, seed=3, adapt="counts")
    assert sampled == model.alphabet.decode(expected)
    assert sampled != model.sample(50, prompt=OTHER, seed=3)
    assert sampled == with_numpy(model).sample(50, prompt=OTHER, seed=3, adapt="counts")
    assert sampled == model.samples(2, 50, prompt=OTHER, seed=3, adapt="counts")[0]


def test_beam_search_and_long_texts_after_a_counted_prompt(model: Model) -> None:
    beams = ["".join(each.beam(1, 20, prompt=OTHER, adapt="counts")) for each in (model, with_numpy(model))]
    assert beams[0] == beams[1] == model.sample(20, prompt=OTHER, adapt="counts", temperature=0)
    long = model.sample(200, prompt=OTHER, seed=1, adapt="counts")
    assert model.sample(70, prompt=OTHER, seed=1, adapt="counts") == long[:70]
    assert model.sample(50, seed=1, adapt="counts") == model.sample(50, seed=1)  # without a prompt nothing is counted


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("runs")
    trained(out=directory / "prior")
    (directory / "other.txt").write_text(OTHER + "漢", encoding="utf-8")
    return directory


@KINDS
def test_eval_adapts(runs: Path, command: Command, monkeypatch: pytest.MonkeyPatch, adapt: str) -> None:
    monkeypatch.chdir(runs)
    ended = command("eval", "prior", "other.txt", "--adapt", adapt.upper(), "--json")
    loaded = elman.load("prior")
    adapting, static = loaded.score(OTHER + "漢", adapt=adapt), loaded.score(OTHER + "漢")
    metrics = {name: getattr(adapting, name) for name in ("chars", "nats_per_char", "bits_per_char", "perplexity")}
    assert json.loads(ended.out) == {**metrics, "nats_per_char_without_adapt": static.nats_per_char, "unknown_chars": 1}


def test_sample_counts_its_prompt(runs: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(runs)
    ended = command("sample", "prior", "--prompt", OTHER, "--length", 60, "--seed", 3, "--adapt", "counts")
    assert ended.out == OTHER + elman.load("prior").sample(60, prompt=OTHER, seed=3, adapt="counts") + "\n"
