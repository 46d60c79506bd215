"""Ensembles of models: their score, and which models cannot be joined."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import elman
from elman.apps.ensemble.ensemble import ensemble
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
    model = trained(cell="gru", ngram_order=3)
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
    options = OPTIONS | {"lines": True, "ngram_order": 3, "seq_length": 4}
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
        ({"ngram_order": 3}, "must have the same n-gram prior: train them on the same text"),
        ({"ngram_min_count": 1}, "must have the same n-gram prior: train them on the same text"),
    ],
)
def test_models_that_cannot_be_joined(options: dict[str, Any], message: str) -> None:
    if text := options.get("text"):
        texts = [elman.Corpus.from_text(each * 5) for each in ("abc", text)]
        models = [train(each, **OPTIONS | {"seq_length": 4}).model for each in texts]
    else:
        models = [trained(ngram_order=4), trained(**{"ngram_order": 4} | options)]
    with pytest.raises(ElmanError, match=re.escape(f"the models of an ensemble {message}")):
        ensemble(models)


def test_the_command(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runs = [tmp_path / name for name in "ab"]
    for seed, run in enumerate(runs):
        train(CORPUS, **OPTIONS, seed=seed, out=run)
    assert command("ensemble", *runs, "-o", "joined", "--weights", "0.6,0.4") == (0, "joined\n", "")
    expected = ensemble([load(run) for run in runs], weights=[0.6, 0.4])
    assert load(Path("joined")).score(TEXT) == expected.score(TEXT)
    assert_refused(command("ensemble", *runs, "-o", "joined"), "joined")
