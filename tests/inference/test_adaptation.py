"""Models that adapt to what they read, against the NumPy engine and against counting by hand."""

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

import elman
from elman.engine import get_engine
from elman.errors import ElmanError
from elman.inference import Model
from elman.inference.adaptation import parse_adapt
from elman.inference.dynamic_evaluation import score_dynamic
from elman.inference.score import score
from elman.network import Parameters, SamplingParams
from elman.network.model import logits
from elman.network.ngram import READ_COUNT
from elman.network.output import losses
from elman.text import Corpus
from support.cli import Command, assert_refused
from support.state import TEXT

ORDER = 3
OTHER = "a dim lantern went out on the wet and windy hill, and so on and so on: " * 3
KINDS = pytest.mark.parametrize("adapt", ["weights", "counts", "both"])


def trained(engine: Literal["numba", "numpy"] = "numba", ngram_order: int = ORDER, out: Path | None = None) -> Model:
    """Return a model that knows the letters of the texts."""
    corpus = Corpus.from_text(TEXT + OTHER[:72])
    return elman.train(
        corpus, preset="reference", hidden_size=4, seq_length=5, max_updates=30, epochs=99, engine=engine,
        ngram_order=ngram_order, ngram_folds=2, dtype="float64", sample_every=0, out=out,
    ).model  # fmt: skip


@pytest.fixture(scope="module")
def model() -> Model:
    return trained()


def with_numpy(model: Model) -> Model:
    return Model(model.alphabet, model.parameters, model.h, get_engine("numpy"))


def slowly(model: Model, text: str) -> float:
    """Return the cost of a text with counts that go on, by the equations of `elman.network.ngram` and of the output."""
    ngrams, K = model.parameters.ngrams, len(model.alphabet)
    assert ngrams is not None
    source, read = ngrams.text.tolist(), model.alphabet.encode(text)
    counted = [(source[max(0, t - ORDER) : t], y) for t, y in enumerate(source)]

    def distribution(history: list[int]) -> tuple[Any, int]:
        q, matched = np.full(K, 1 / K), 0
        for o in range(ORDER + 1):
            context = history[len(history) - o :]
            N = np.bincount([y for before, y in counted if before[len(before) - o :] == context and len(before) >= o],
                            minlength=K)  # fmt: skip
            if not N.any():
                break
            q, matched = (np.maximum(N - ngrams.discount, 0) + ngrams.discount * (N > 0).sum() * q) / N.sum(), o
        return q, matched

    arrays = {name: array for name, array in model.parameters.items() if name != "alpha"}
    recurrent, history = model.h[:-ORDER], (np.rint(model.h[-ORDER:]).astype(int) - 1).tolist()
    o, _ = logits(Parameters(model.parameters.cell, arrays), recurrent, read[:-1])
    for t, x in enumerate(read[:-1].tolist()):
        counted += [(history[-ORDER:], x)] * READ_COUNT
        history.append(x)
        q, matched = distribution(history)
        o[t] += model.parameters["alpha"][matched] * np.log(np.maximum(q, 1e-7))
    return float(losses(o, read[1:]).sum())


@KINDS
def test_both_engines_agree(model: Model, adapt: Any) -> None:
    found, expected = (each.score(OTHER, adapt=adapt) for each in (model, with_numpy(model)))
    assert found.nats == pytest.approx(expected.nats, rel=1e-9)


def test_every_character_is_counted_once_it_has_been_read(model: Model) -> None:
    assert model.score(OTHER[:90], adapt="counts").nats == pytest.approx(slowly(model, OTHER[:90]), rel=1e-9)


@KINDS
def test_what_repeats_costs_less(model: Model, adapt: Any) -> None:
    assert model.score(OTHER * 4, adapt=adapt).nats < model.score(OTHER * 4).nats


def test_both_is_dynamic_evaluation_with_counts_that_go_on(model: Model) -> None:
    indices = model.alphabet.encode(OTHER)
    network = (model.engine, model.parameters.continued(), model.h, indices)
    assert model.score(OTHER, adapt="both") == score_dynamic(*network)
    assert model.score(OTHER, adapt="both").nats != model.score(OTHER, adapt="weights").nats


def test_true_is_the_weights(model: Model) -> None:
    assert model.score(OTHER, adapt=True) == model.score(OTHER, adapt="weights")
    assert model.score(OTHER, adapt=False) == model.score(OTHER)
    assert (parse_adapt(True), parse_adapt(False)) == ("weights", None)


@KINDS
def test_the_model_stays_as_it_is(model: Model, adapt: Any) -> None:
    before = model.score(OTHER), {name: array.tobytes() for name, array in model.parameters.items()}
    assert model.score(OTHER, adapt=adapt) == model.score(OTHER, adapt=adapt)
    assert (model.score(OTHER), {name: array.tobytes() for name, array in model.parameters.items()}) == before


def test_a_long_text_is_read_in_order(monkeypatch: pytest.MonkeyPatch, model: Model) -> None:
    text = OTHER * 3
    in_order = model.score(text, adapt="counts")
    monkeypatch.setattr("elman.inference.score.MIN_SEGMENTED_CHARS", 100)
    monkeypatch.setattr("elman.inference.score.MIN_SEGMENTED_WEIGHTS", 1)
    monkeypatch.setattr("elman.inference.score.SEGMENTS", 3)
    assert model.score(text, adapt="counts") == in_order


def test_frozen_counts_stay_as_they_are(model: Model) -> None:
    for engine in map(get_engine, ("numba", "numpy")):
        indices = model.alphabet.encode(OTHER)
        growing = model.parameters.continued()
        score(engine, growing, model.h, indices)
        frozen = growing.frozen()
        first, second = (score(engine, frozen, model.h, indices) for _ in range(2))
        assert first == second
        assert first.nats < score(engine, model.parameters, model.h, indices).nats


@pytest.mark.parametrize("adapt", ["counts", "both"])
def test_without_a_prior_there_are_no_counts(adapt: Any) -> None:
    message = rf"^adapt {adapt} requires a model with an n-gram prior: train with ngram_order=7$"
    plain = trained(ngram_order=0)
    with pytest.raises(ElmanError, match=message):
        plain.score(OTHER, adapt=adapt)
    with pytest.raises(ElmanError, match=message.replace(adapt, "counts")):
        plain.sample(9, adapt="counts")


def test_other_kinds_are_refused(model: Model) -> None:
    other: Any = "biases"
    with pytest.raises(ElmanError, match=r"^adapt must be one of weights, counts, both \(got biases\)$"):
        model.score(OTHER, adapt=other)
    weights: Any = "weights"
    with pytest.raises(ElmanError, match=r"^adapt must be counts to generate text \(got weights\)$"):
        model.sample(9, adapt=weights)


def test_unknown_characters_are_not_counted(model: Model) -> None:
    with_one, without = (model.score(text * 9, adapt="counts") for text in ("the 漢rain", "the rain"))
    assert (with_one.unknown, with_one.chars) == (9, without.chars + 9)
    assert with_one.nats > without.nats


# --- Generating text ---


def test_a_counted_prompt_is_continued_as_by_a_model_that_has_counted_it(model: Model) -> None:
    indices = model.alphabet.encode(OTHER)
    ngrams = model.parameters.ngrams
    assert ngrams is not None
    growing = model.parameters.continued()
    _, h = model.engine.loss(growing, model.h, indices[:-1], indices[1:])
    uniforms = np.random.default_rng(3).random(50)
    expected, _ = model.engine.generate(growing.frozen(), h, int(indices[-1]), uniforms, SamplingParams())
    sampled = model.sample(50, prompt=OTHER, seed=3, adapt="counts")
    assert sampled == model.alphabet.decode(expected)
    assert sampled != model.sample(50, prompt=OTHER, seed=3)
    assert sampled == with_numpy(model).sample(50, prompt=OTHER, seed=3, adapt="counts")
    assert sampled == model.samples(2, 50, prompt=OTHER, seed=3, adapt="counts")[0]


def test_how_long_a_text_is_does_not_change_its_beginning(model: Model) -> None:
    long = model.sample(200, prompt=OTHER, seed=1, adapt="counts")
    assert model.sample(70, prompt=OTHER, seed=1, adapt="counts") == long[:70]


def test_beam_search_after_a_counted_prompt(model: Model) -> None:
    beams = ["".join(each.beam(1, 20, prompt=OTHER, adapt="counts")) for each in (model, with_numpy(model))]
    assert beams[0] == beams[1] == model.sample(20, prompt=OTHER, adapt="counts", temperature=0)


def test_without_a_prompt_nothing_is_counted(model: Model) -> None:
    assert model.sample(50, seed=1, adapt="counts") == model.sample(50, seed=1)


# --- Commands ---


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run of a model with a prior, one without, and a text."""
    folder = tmp_path_factory.mktemp("runs")
    trained(out=folder / "prior")
    trained(ngram_order=0, out=folder / "plain")
    (folder / "other.txt").write_text(OTHER, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("arguments", "adapt"),
    [
        (["prior", "other.txt", "--adapt"], "weights"),
        (["prior", "other.txt", "--adapt", "weights"], "weights"),
        (["prior", "other.txt", "--adapt", "counts"], "counts"),
        (["--adapt=both", "prior", "other.txt"], "both"),
    ],
    ids=str,
)
def test_eval_adapts(
    runs: Path, command: Command, monkeypatch: pytest.MonkeyPatch, arguments: list[str], adapt: Any
) -> None:
    monkeypatch.chdir(runs)
    ended = command("eval", *arguments, "--json")
    loaded = elman.load("prior")
    found = json.loads(ended.out)
    assert found["nats_per_char"] == loaded.score(OTHER, adapt=adapt).nats_per_char
    assert found["nats_per_char_without_adapt"] == loaded.score(OTHER).nats_per_char


@pytest.mark.parametrize(
    "arguments",
    [["eval", "plain", "other.txt"], ["compress", "other.txt", "-m", "plain", "-o", "out"], ["sample", "plain"]],
    ids=lambda arguments: arguments[0],
)
def test_commands_say_what_a_model_lacks(
    runs: Path, command: Command, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(runs)
    ended = command(*arguments, "--adapt", "counts")
    assert_refused(ended, "--adapt counts requires a model with an n-gram prior: train with --ngram-order 7")


def test_sample_counts_its_prompt(runs: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(runs)
    ended = command("sample", "prior", "--prompt", OTHER, "--length", 60, "--seed", 3, "--adapt", "counts")
    assert ended.out == OTHER + elman.load("prior").sample(60, prompt=OTHER, seed=3, adapt="counts") + "\n"
