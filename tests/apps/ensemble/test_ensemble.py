"""Ensembles of models: their score, which models cannot be joined, and weights that are fitted to a text."""

import re
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import elman
from elman.apps.ensemble import ensemble as fitting
from elman.apps.ensemble.ensemble import ensemble, fit_ensemble_weights
from elman.errors import ElmanError
from elman.model import Model
from elman.model.loading import load, save_model
from support.cli import Command, assert_refused
from support.state import TEXT
from support.tolerances import SINGLE
from support.training import SMALL, train

OPTIONS = SMALL | {"max_updates": 40, "sample_every": 0}
CORPUS = elman.Corpus.from_text(TEXT)


def trained(**options: Any) -> Model:
    return train(CORPUS, **OPTIONS | options).model


def test_two_equal_models_are_that_model() -> None:
    model = trained(cell="gru", ngram_order=2)
    joined = ensemble([model, model])
    assert joined.score(TEXT).nats == pytest.approx(model.score(TEXT).nats, rel=SINGLE)
    assert joined.score(TEXT, adapt="counts").nats == pytest.approx(model.score(TEXT, adapt="counts").nats, rel=SINGLE)
    assert joined.sample(40, seed=1) == model.sample(40, seed=1)


def test_an_ensemble_is_compressed_with_saved_and_loaded(tmp_path: Path) -> None:
    joined = ensemble([trained(seed=seed) for seed in (1, 2)])
    save_model(joined, tmp_path / "joined")
    again = load(tmp_path / "joined")
    assert again.score(TEXT) == joined.score(TEXT)
    assert elman.decompress(elman.compress(TEXT, joined), again) == TEXT.encode()


def test_the_order_of_lines_does_not_matter_to_a_prior() -> None:
    names = ["Ada", "Grace", "Edith", "Joan", "Mary", "Jean", "Betty", "Kay"]
    options = OPTIONS | {"lines": True, "ngram_order": 2, "seq_length": 4}
    models = [train(elman.Corpus.from_text("\n".join(names)), **options, seed=seed).model for seed in (1, 2)]
    index = models[0].alphabet.encode("Ada\nKay")
    logits = [each.engine.session(each.parameters).logits(each.state.reshape(1), index[:, None])[0] for each in models]
    joined = ensemble(models, weights=[0.25, 0.75])
    o, _ = joined.engine.session(joined.parameters).logits(joined.state.reshape(1), index[:, None])
    np.testing.assert_allclose(o, 0.25 * logits[0] + 0.75 * logits[1], rtol=SINGLE, atol=SINGLE)
    other = train(elman.Corpus.from_text("\n".join([*names[:-1], "Kya"])), **options).model
    with pytest.raises(ElmanError, match="must have the same n-gram prior"):
        ensemble([models[0], other])


def test_the_training_lines_are_those_of_all_models() -> None:
    lines = ["abab", "abba", "abbb", "aabb"]
    texts = [elman.Corpus.from_text("\n".join(part)) for part in (lines[:2], lines[2:])]
    models = [train(text, **OPTIONS | {"seq_length": 2}, lines=True).model for text in texts]
    joined = ensemble(models)
    assert joined.is_of_lines
    for n, line in enumerate(lines):
        assert models[n // 2].in_training_text(line)
        assert joined.in_training_text(line)
    assert not joined.in_training_text("aaaa")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cell": "gru"}, "must have the same cell: of models 1 and 2, 1 has rnn, 2 has gru"),
        ({"layers": 2}, "must have the same number of layers: of models 1 and 2, 1 has 1, 2 has 2"),
        ({"dtype": "float32"}, "must have the same precision: of models 1 and 2, 1 has float64, 2 has float32"),
        ({"lines": True}, "must have the same kind of text: of models 1 and 2, 1 has continuous, 2 has independent"),
        ({"text": "abd"}, "must have the same alphabet: of models 1 and 2, 1 lacks 'd', 2 lacks 'c'"),
        ({"text": "acb"}, "must have the same alphabet: of models 1 and 2, they have the same characters in different"),
        ({"ngram_order": 2}, "must have the same n-gram prior: train them on the same text"),
        ({"ngram_min_count": 1}, "must have the same n-gram prior: train them on the same text"),
    ],
)
def test_models_that_cannot_be_joined(options: dict[str, Any], message: str) -> None:
    if text := options.get("text"):
        texts = [elman.Corpus.from_text(each * 5) for each in ("abc", text)]
        models = [train(each, **OPTIONS | {"seq_length": 4}).model for each in texts]
    else:
        models = [trained(ngram_order=3), trained(**{"ngram_order": 3} | options)]
    with pytest.raises(ElmanError, match=re.escape(f"the models of an ensemble {message}")):
        ensemble(models)


WORDS = ("the cat ", "sat on ", "the mat\n", "a dog ", "ran to ", "the sea\n")
WORDY = "".join(np.random.default_rng(1).choice(WORDS, 200))
TRAINING, HELD_OUT = elman.Corpus.from_text(WORDY[:500]), WORDY[500:]


def train_words(**options: Any) -> Model:
    settings = SMALL | {"sample_every": 0, "ngram_order": 2, "hidden_size": 6, "max_updates": 60}
    return train(TRAINING, **settings | options).model


@pytest.fixture(scope="module")
def models() -> list[Model]:
    return [train_words(hidden_size=m) for m in (2, 12, 6)]


def nats(models: list[Model], weights: list[float]) -> float:
    return ensemble(models, weights=weights).score(HELD_OUT).nats_per_char


def test_no_other_weights_are_better(models: list[Model]) -> None:
    weights = fit_ensemble_weights(models, HELD_OUT)
    assert min(weights) >= 0
    best = nats(models, weights)
    assert best < nats(models, [1 / 3] * 3)
    for i, change in ((i, change) for i in range(3) for change in (-0.02, 0.02)):
        other = [max(0.0, weight + (change if i == j else 0)) for j, weight in enumerate(weights)]
        assert best <= nats(models, other)


def evaluate(models: list[Model], weights: Any) -> tuple[float, Any, Any]:
    x = models[0].alphabet.encode(HELD_OUT)
    return fitting._evaluate(fitting._collect_logits(models, x), x[1:].astype(np.intp), np.array(weights))


@pytest.mark.parametrize("lines", [False, True])
def test_of_a_text_in_chunks_only_the_beginning_is_read(lines: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "MAX_CHARACTERS", 300)
    models = [train_words(seed=seed, lines=lines) for seed in (1, 2)]
    expected = fit_ensemble_weights(models, HELD_OUT * 9)
    assert fit_ensemble_weights(models, cycle([HELD_OUT[:70], HELD_OUT[70:]])) == expected


def test_slices_do_not_matter(models: list[Model], monkeypatch: pytest.MonkeyPatch) -> None:
    expected = fit_ensemble_weights(models, HELD_OUT)
    monkeypatch.setattr(fitting, "SLICE_LOGITS", 300)
    np.testing.assert_allclose(fit_ensemble_weights(models, HELD_OUT), expected, rtol=1e-4)


@pytest.mark.parametrize(("limit", "value", "used"), [("MAX_LOGITS", 1, 101), ("MAX_CHARACTERS", 150, 151)])
def test_a_long_text_is_cut_and_unknown_characters_are_left_out(
    models: list[Model], monkeypatch: pytest.MonkeyPatch, limit: str, value: int, used: int
) -> None:
    monkeypatch.setattr(fitting, limit, value)
    expected = fit_ensemble_weights(models[:2], HELD_OUT[:used])
    assert fit_ensemble_weights(models[:2], HELD_OUT[:50] + "\u2603" + HELD_OUT[50:]) == expected  # it is unknown


def negated(model: Model) -> Model:
    arrays = {name: -array if name in ("V", "c", "alpha") else array for name, array in model.parameters.items()}
    return Model(model.alphabet, model.parameters.with_arrays(arrays), model.state, model.engine)


def test_a_model_that_predicts_the_opposite_has_no_weight(models: list[Model]) -> None:
    good = models[1]
    bad = negated(good)
    weights = fit_ensemble_weights([bad, good, models[0]], HELD_OUT)
    assert weights[0] == 0
    assert weights[1:] == pytest.approx(fit_ensemble_weights([good, models[0]], HELD_OUT), rel=1e-4)
    assert ensemble([bad, good], fit_on=HELD_OUT).parameters["W"].shape == good.parameters["W"].shape
    with pytest.raises(ElmanError, match=r"^no model predicts the text better than a uniform distribution: fit on"):
        ensemble([bad, negated(models[0])], fit_on=HELD_OUT)


def test_the_minimum_is_that_of_the_constrained_problem(models: list[Model]) -> None:
    pool = [models[0], negated(models[1]), models[2], negated(models[0]), models[1]]
    weights = np.array(fit_ensemble_weights(pool, HELD_OUT))
    _, gradient, _ = evaluate(pool, weights)
    np.testing.assert_allclose(gradient[weights > 0], 0, atol=1e-5)
    assert (gradient[weights == 0] > -1e-5).all()


def test_a_text_without_a_minimum_is_rejected(models: list[Model]) -> None:
    logits = fitting._collect_logits(models[:2], models[0].alphabet.encode(HELD_OUT))
    with pytest.raises(ElmanError, match=r"^no finite weights predict the text best: it is too short"):
        fitting._minimize(logits, logits[0].argmax(-1))  # as predicted


def test_models_of_lines() -> None:
    lines = [train_words(lines=True, seed=seed) for seed in (1, 2)]
    weights = fit_ensemble_weights(lines, HELD_OUT.replace("\n", "\r\n"))
    fitted, equal = (ensemble(lines, weights=shares).score(HELD_OUT).nats for shares in (weights, None))
    assert fitted < equal - 0.01


def test_unusable_texts_are_rejected(models: list[Model]) -> None:
    message = "fitting weights needs a text of at least 100 known characters (got 99)"
    with pytest.raises(ElmanError, match=f"^{re.escape(message)}$"):
        ensemble(models, fit_on=WORDY[:99] + "\u2603" * 100)
    arrays = {name: np.full_like(array, np.nan) for name, array in models[0].parameters.items()}
    diverged = Model(models[0].alphabet, models[0].parameters.with_arrays(arrays), models[0].state, models[0].engine)
    with pytest.raises(ElmanError, match=r"^the logits of a model are not finite: its training diverged$"):
        ensemble([models[1], diverged], fit_on=HELD_OUT)


def test_the_command(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("held_out.txt").write_text(HELD_OUT, encoding="utf-8")
    runs = [tmp_path / name for name in "ab"]
    for seed, run in enumerate(runs):
        train(CORPUS, **OPTIONS, seed=seed, out=run)
    assert command("ensemble", *runs, "-o", "joined", "--weights", "0.6,0.4") == (0, "joined\n", "")
    expected = ensemble([load(run) for run in runs], weights=[0.6, 0.4])
    assert load(Path("joined")).score(TEXT) == expected.score(TEXT)
    assert_refused(command("ensemble", *runs, "-o", "joined"), "joined")
    code, out, err = command("ensemble", *runs, "-o", "fitted", "--fit-on", "held_out.txt")
    assert (code, out) == (0, "fitted\n")
    assert re.fullmatch(r"weights [0-9.]+, [0-9.]+\n", err)
    expected = ensemble([load(run) for run in runs], fit_on=HELD_OUT)
    assert load(Path("fitted")).score(TEXT) == expected.score(TEXT)


def test_the_weights_are_fitted_on_the_text_as_the_models_read_it(command: Command, folder: Path) -> None:
    Path("crlf.txt").write_text(TEXT.replace("\n", "\r\n"), "utf-8", newline="")
    for seed in (1, 2):
        train("novel.txt", seed=seed, out=f"run-{seed}", hidden_size=3, seq_length=5, engine="numpy", max_updates=50)
    lf, crlf = (
        command("ensemble", "run-1", "run-2", "--fit-on", f"{name}.txt", "-o", name).err for name in ("novel", "crlf")
    )
    assert crlf == "line ends \\r\\n read as \\n: the model does not know \\r\n" + lf
