"""The weights of an ensemble that are fitted to a text."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import elman
from elman.errors import ElmanError
from elman.inference import Model
from elman.inference import ensemble_weights as fitting
from elman.inference.ensemble import ensemble, fit_ensemble_weights
from elman.runs.models import load
from support.cli import Command
from support.training import SMALL, train

OPTIONS = SMALL | {"sample_every": 0, "ngram_order": 2, "hidden_size": 6}
WORDS = ("the cat ", "sat on ", "the mat\n", "a dog ", "ran to ", "the sea\n")
TEXT = "".join(np.random.default_rng(1).choice(WORDS, 200))
TRAINING, HELD_OUT = TEXT[:500], TEXT[500:]
CORPUS = elman.Corpus.from_text(TRAINING)


def trained(**options: Any) -> Model:
    return train(CORPUS, **OPTIONS | {"max_updates": 60} | options).model


@pytest.fixture(scope="module")
def models() -> list[Model]:
    return [trained(hidden_size=m) for m in (2, 12, 6)]


def indices(model: Model, text: str = HELD_OUT) -> Any:
    return model.alphabet.encode(text)


def nats(models: list[Model], weights: list[float]) -> float:
    return ensemble(models, weights=weights).score(HELD_OUT).nats_per_char


def test_no_other_weights_are_better(models: list[Model]) -> None:
    weights = fitting.fit_weights(models, indices(models[0]))
    assert min(weights) >= 0
    best = nats(models, weights)
    assert best < nats(models, [1 / 3] * 3)
    for i, change in ((i, change) for i in range(3) for change in (-0.02, 0.02)):
        other = [max(0.0, weight + (change if i == j else 0)) for j, weight in enumerate(weights)]
        assert best <= nats(models, other)


def test_the_derivatives_are_those_of_the_loss(models: list[Model]) -> None:
    chunks = fitting._collect_logits(models, indices(models[0]))
    weights, step = np.array([0.2, 0.5, 0.4]), 1e-4
    loss, gradient, hessian = fitting._evaluate(chunks, weights)
    assert loss == pytest.approx(nats(models, list(weights)), rel=1e-6)
    for i in range(3):
        change = step * np.eye(3)[i]
        above, below = (fitting._evaluate(chunks, weights + sign * change) for sign in (1, -1))
        assert gradient[i] == pytest.approx((above[0] - below[0]) / (2 * step), rel=1e-6)
        np.testing.assert_allclose(hessian[i], (above[1] - below[1]) / (2 * step), rtol=1e-5, atol=1e-9)


def test_chunks_do_not_matter(models: list[Model], monkeypatch: pytest.MonkeyPatch) -> None:
    expected = fitting.fit_weights(models, indices(models[0]))
    monkeypatch.setattr(fitting, "CHUNK_LOGITS", 300)
    np.testing.assert_allclose(fitting.fit_weights(models, indices(models[0])), expected, rtol=1e-4)


def test_a_large_alphabet_and_chunks(models: list[Model], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "MAX_LOGITS", 1)
    first = fitting.fit_weights(models[:2], indices(models[0]))
    assert first == fitting.fit_weights(models[:2], indices(models[0], HELD_OUT[:101]))


def test_equal_models_have_equal_weights(models: list[Model]) -> None:
    alone, both = (fitting.fit_weights([models[1]] * n, indices(models[1])) for n in (1, 2))
    assert both[0] == pytest.approx(both[1])
    assert sum(both) == pytest.approx(alone[0], rel=1e-3)


def negated(model: Model) -> Model:
    """Return a model with the negative of the logits."""
    arrays = {name: -array if name in ("V", "c", "alpha") else array for name, array in model.parameters.items()}
    return Model(model.alphabet, model.parameters.with_arrays(arrays), model.h, model.engine)


def test_a_model_that_predicts_the_opposite_has_no_weight(models: list[Model]) -> None:
    good = models[1]
    bad = negated(good)
    weights = fitting.fit_weights([bad, good, models[0]], indices(good))
    assert weights[0] == 0
    assert weights[1:] == pytest.approx(fitting.fit_weights([good, models[0]], indices(good)), rel=1e-4)
    assert ensemble([bad, good], fit_on=HELD_OUT).parameters["W"].shape == good.parameters["W"].shape
    with pytest.raises(
        ElmanError, match=r"^no model predicts the text better than a uniform distribution: fit on text"
    ):
        ensemble([bad, negated(models[0])], fit_on=HELD_OUT)


def test_the_minimum_is_that_of_the_constrained_problem(models: list[Model]) -> None:
    pool = [models[0], negated(models[1]), models[2], negated(models[0]), models[1]]
    weights = np.array(fitting.fit_weights(pool, indices(models[0])))
    _, gradient, _ = fitting._evaluate(fitting._collect_logits(pool, indices(models[0])), weights)
    np.testing.assert_allclose(gradient[weights > 0], 0, atol=1e-5)
    assert (gradient[weights == 0] > 0).all()


def test_a_text_without_a_minimum(models: list[Model], monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = fitting._collect_logits(models[:1], indices(models[0]))
    chunks = [chunk._replace(y=chunk.logits[0].argmax(-1)) for chunk in chunks]  # as predicted
    monkeypatch.setattr(fitting, "_collect_logits", lambda models, x: chunks)
    with pytest.raises(ElmanError, match=r"^no finite weights predict the text best: it is too short"):
        fitting.fit_weights(models[:1], indices(models[0]))


def test_a_long_text_is_cut(models: list[Model], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "MAX_CHARACTERS", 150)
    first = fitting.fit_weights(models[:2], indices(models[0]))
    assert first == fitting.fit_weights(models[:2], indices(models[0], HELD_OUT[:151]))


def test_unknown_characters_are_left_out(models: list[Model]) -> None:
    known = ensemble(models[:2], fit_on=HELD_OUT)
    assert ensemble(models[:2], fit_on=HELD_OUT[:50] + "\u2603" + HELD_OUT[50:]).score(TEXT) == known.score(TEXT)


def test_models_of_lines() -> None:
    lines = [trained(lines=True, seed=seed) for seed in (1, 2)]
    weights = fit_ensemble_weights(lines, HELD_OUT.replace("\n", "\r\n"))
    fitted, equal = (ensemble(lines, weights=shares).score(HELD_OUT).nats for shares in (weights, None))
    assert fitted < equal - 0.01


def test_errors(models: list[Model]) -> None:
    with pytest.raises(ElmanError, match=r"^cannot combine weights with fit_on, which fits them$"):
        ensemble(models, weights=[1, 1, 1], fit_on=TEXT)
    message = "fitting weights needs a text of at least 100 known characters (got 99)"
    with pytest.raises(ElmanError, match=f"^{re.escape(message)}$"):
        ensemble(models, fit_on=TEXT[:99] + "\u2603" * 100)
    arrays = {name: np.full_like(array, np.nan) for name, array in models[0].parameters.items()}
    diverged = Model(models[0].alphabet, models[0].parameters.with_arrays(arrays), models[0].h, models[0].engine)
    with pytest.raises(ElmanError, match=r"^the logits of a model are not finite: its training diverged$"):
        ensemble([models[1], diverged], fit_on=HELD_OUT)


def test_the_command(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for seed, run in enumerate("ab"):
        train(CORPUS, **OPTIONS | {"max_updates": 40}, seed=seed, out=tmp_path / run)
    Path("held_out.txt").write_text(HELD_OUT, encoding="utf-8")
    code, out, err = command("ensemble", "a", "b", "-o", "joined", "--fit-on", "held_out.txt")
    assert (code, out) == (0, "joined\n")
    assert re.fullmatch(r"weights [0-9.]+, [0-9.]+\n", err)
    assert load(Path("joined")).score(TEXT) == ensemble([load(Path(run)) for run in "ab"], fit_on=HELD_OUT).score(TEXT)
    for options, message in {
        ("--fit-on", "missing.txt"): "missing.txt",
        ("--fit-on", "held_out.txt", "--weights", "1,1"): "cannot combine --weights with --fit-on, which fits them",
    }.items():
        code, out, err = command("ensemble", "a", "b", "-o", "other", *options)
        assert (code, out) == (2, "")
        assert message in err
        assert not Path("other").exists()
