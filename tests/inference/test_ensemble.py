"""Ensembles of models: their score, what a model and every command do with them, and which models cannot be joined."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import elman
from elman.errors import ElmanError
from elman.inference import Model
from elman.inference.ensemble import ensemble
from elman.runs.models import load, save_model
from support.cli import Command
from support.state import TEXT
from support.tolerances import COMPILED, SINGLE
from support.training import SMALL, train

OPTIONS = SMALL | {"max_updates": 40, "sample_every": 0}
CORPUS = elman.Corpus.from_text(TEXT)


def trained(**options: Any) -> Model:
    return train(CORPUS, **OPTIONS | options).model


@pytest.mark.parametrize("engine", ["numba", "numpy"])
@pytest.mark.parametrize("order", [0, 3])
def test_the_probabilities_are_the_normalized_geometric_mean(engine: str, order: int) -> None:
    models = [
        trained(engine=engine, cell="gru", dtype="float64", ngram_order=order, hidden_size=m, seed=m) for m in (3, 5)
    ]
    joined = ensemble(models, weights=[0.25, 0.75])
    assert joined.engine is models[0].engine
    index = joined.alphabet.encode(TEXT[:30])
    log_probs = []
    for model in (*models, joined):
        o, _ = model.engine.session(model.parameters).logits(model.h[None], index[:, None])
        log_probs.append(o[:, 0] - np.log(np.exp(o[:, 0]).sum(-1, keepdims=True)))
    mean = 0.25 * log_probs[0] + 0.75 * log_probs[1]
    mean -= np.log(np.exp(mean).sum(-1, keepdims=True))
    np.testing.assert_allclose(log_probs[2], mean, rtol=COMPILED, atol=COMPILED)


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


def test_lines_remain_lines() -> None:
    joined = ensemble([trained(lines=True, seed=seed) for seed in (1, 2)])
    assert joined.is_of_lines
    assert joined.in_training_text(TEXT.splitlines()[0])


def test_the_order_of_lines_does_not_matter_to_a_prior() -> None:
    names = ["Ada", "Grace", "Edith", "Joan", "Mary", "Jean", "Betty", "Kay"]
    options = OPTIONS | {"lines": True, "ngram_order": 2, "seq_length": 4}
    models = [train(elman.Corpus.from_text("\n".join(names)), **options, seed=seed).model for seed in (1, 2)]
    texts = [model.parameters.ngrams.text for model in models if model.parameters.ngrams is not None]
    assert texts[0].tobytes() != texts[1].tobytes()
    index = models[0].alphabet.encode("Ada\nKay")
    logits = [model.engine.session(model.parameters).logits(model.h[None], index[:, None])[0] for model in models]
    joined = ensemble(models)
    o, _ = joined.engine.session(joined.parameters).logits(joined.h[None], index[:, None])
    np.testing.assert_allclose(o, sum(logits) / 2, rtol=SINGLE, atol=SINGLE)
    other = train(elman.Corpus.from_text("\n".join([*names[:-1], "Kya"])), **options).model
    with pytest.raises(ElmanError, match="must have the same n-gram prior"):
        ensemble([models[0], other])


def test_the_training_lines_are_those_of_all_models() -> None:
    lines = ["abab", "abba", "abbb", "aabb"]
    texts = [elman.Corpus.from_text("\n".join(part)) for part in (lines[:2], lines[2:])]
    models = [train(text, **OPTIONS | {"seq_length": 2}, lines=True).model for text in texts]
    joined = ensemble(models)
    for n, line in enumerate(lines):
        assert models[n // 2].in_training_text(line)
        assert joined.in_training_text(line)
    assert not joined.in_training_text("aaaa")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cell": "gru"}, "must have the same cell: of models 1 and 2, 1 has rnn, 2 has gru"),
        ({"layers": 2}, "must have the same number of layers: of models 1 and 2, 1 has 1, 2 has 2"),
        ({"dtype": "float64"}, "must have the same precision: of models 1 and 2, 1 has float32, 2 has float64"),
        (
            {"lines": True},
            "must have the same kind of text: of models 1 and 2, 1 has continuous, 2 has independent lines",
        ),
        ({"min_count": 3}, "must have the same alphabet: of models 1 and 2, 1 lacks "),
        ({"ngram_order": 2}, "must have the same n-gram prior: train them on the same text"),
        ({"ngram_discount": 0.5}, "must have the same n-gram prior: train them on the same text"),
    ],
)
def test_models_that_cannot_be_joined(options: dict[str, Any], message: str) -> None:
    models = [trained(ngram_order=3), trained(**{"ngram_order": 3} | options)]
    with pytest.raises(ElmanError, match=re.escape(f"the models of an ensemble {message}")):
        ensemble(models)


@pytest.mark.parametrize(
    ("text", "difference"),
    [("abd", "1 lacks 'd', 2 lacks 'c'"), ("acb", "they have the same characters in different orders")],
)
def test_alphabets_that_differ_are_described(text: str, difference: str) -> None:
    options = OPTIONS | {"seq_length": 4}
    models = [train(elman.Corpus.from_text(each * 5), **options).model for each in ("abc", text)]
    with pytest.raises(ElmanError, match=f"the same alphabet: of models 1 and 2, {difference}$"):
        ensemble(models)


def test_wrong_arguments() -> None:
    model = trained()
    with pytest.raises(ElmanError, match=r"^an ensemble needs at least two models \(got 1\)$"):
        ensemble([model])
    with pytest.raises(ElmanError, match=r"^an ensemble needs a weight for each model \(got 1 weights, 2 models\)$"):
        ensemble([model, model], weights=[1.0])
    with pytest.raises(ElmanError, match=r"^an ensemble needs at least two models \(got 1\)$"):
        ensemble(model)  # type: ignore[arg-type]
    wrong: dict[str, Any] = {
        "a weight of an ensemble must be finite and at least 0 (got nan)": [1.0, float("nan")],
        "a weight of an ensemble must be finite and at least 0 (got -1.0)": [-1, 2],
        "the weights of an ensemble must be numbers (got": [1.0, None],
        "the weights of an ensemble must be numbers (got 0.5": 0.5,
        "the weights of an ensemble must not all be 0": [0, 0],
        "the weights of the ensemble are too large": [1, 1e300],
    }
    for message, weights in wrong.items():
        with pytest.raises(ElmanError, match=re.escape(message)):
            ensemble([model, model], weights=weights)
    with pytest.raises(ElmanError, match=r"^model must be an elman\.Model"):
        ensemble([model, "runs/novel"])  # type: ignore[list-item]


def test_the_command(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runs = [tmp_path / name for name in "ab"]
    for seed, run in enumerate(runs):
        train(CORPUS, **OPTIONS, seed=seed, out=run)
    assert command("ensemble", *runs, "-o", "joined", "--weights", "0.6,0.4") == (0, "joined\n", "")
    expected = ensemble([load(run) for run in runs], weights=[0.6, 0.4])
    assert load(Path("joined")).score(TEXT) == expected.score(TEXT)
    code, _, err = command("ensemble", *runs, "-o", "joined")
    assert code == 2
    assert "joined" in err
    for arguments, message in {
        ("-o", "other"): "an ensemble needs at least two models (got 0)",
        (runs[0], "-o", "other"): "an ensemble needs at least two models (got 1)",
        (*runs, "-o", "other", "--weights", "-1,2"): "a weight of an ensemble must be finite and at least 0 (got -1.0)",
        (*runs, "-o", "other", "--weights", "1;2"): "--weights must be numbers separated by commas, such as 0.6,0.4",
    }.items():
        code, out, err = command("ensemble", *arguments)
        assert (code, out) == (2, "")
        assert message in err
        assert not Path("other").exists()
