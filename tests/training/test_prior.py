"""The n-gram prior of a run: on in every model that is used, and never worse than its counts alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import elman
from elman.engine import get_engine
from elman.model.score import score
from elman.network.state import untrained_weights
from elman.ngram import language_model
from elman.ngram.language_model import compute_losses
from elman.text import Corpus
from elman.training.run import Run
from elman.training.validation import Validation
from support import tolerances
from support.state import TEXT
from support.training import EXACT, StopsAt, assert_same, train

LONG = Corpus.from_text(TEXT * 20)
OPTIONS: dict[str, Any] = EXACT | {"ngram_order": 4, "ngram_start": 0.9, "validation": 0.2}


def loss_of_counts(run: Run) -> float:
    ngrams, held_out = run.state.parameters.ngrams, run.data.validation_sample
    assert ngrams is not None
    assert held_out is not None
    return float(compute_losses(ngrams, held_out, run.config.dtype).mean())


def loss_of_model(run: Run, path: Path) -> float:
    model, held_out = elman.load(path), run.data.validation_sample
    assert held_out is not None
    return score(get_engine("numpy"), model.snapshot().parameters, model.state, held_out).nats_per_char


@pytest.mark.parametrize("stops_at", [1, 20, None])
@pytest.mark.parametrize("validation", [0.0, 0.2])
def test_the_prior_of_every_model_is_on(tmp_path: Path, stops_at: int | None, validation: float) -> None:
    """Also of a run that is interrupted before its prior is trained, and of one that makes a single update."""
    callback = StopsAt(stops_at) if stops_at else None
    options = OPTIONS | {"validation": validation, "max_updates": 100 if stops_at else 1}
    run = train(LONG, **options, callback=callback, out=tmp_path)
    assert not run.state.parameters.prior.is_on
    assert run.model.snapshot().parameters.prior.is_on
    assert elman.load(tmp_path).snapshot().parameters.prior.is_on


@pytest.mark.parametrize("limits", [{"max_updates": 1}, {"max_updates": 60}, {"learning_rate": 3.0, "max_updates": 40}])
@pytest.mark.parametrize("stops_at", [1, 30, None])
def test_no_model_is_worse_than_the_counts(tmp_path: Path, limits: dict[str, Any], stops_at: int | None) -> None:
    run = train(LONG, **OPTIONS | limits, callback=StopsAt(stops_at) if stops_at else None, out=tmp_path)
    counts = loss_of_counts(run)
    assert run.counts_loss == run.results()["counts_loss"] == pytest.approx(counts, rel=tolerances.NAIVE)
    assert run.validation_loss is not None
    assert run.validation_loss <= counts
    assert loss_of_model(run, tmp_path) == pytest.approx(run.validation_loss, rel=1e-9)


def test_a_network_that_learns_nothing_leaves_the_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Validation, "score", lambda *_: 9.0)
    run = train(LONG, **OPTIONS, max_updates=40, out=tmp_path)
    assert run.results()["kept_update"] == 0
    assert run.validation_loss == run.counts_loss
    assert loss_of_model(run, tmp_path) == pytest.approx(loss_of_counts(run), rel=1e-9)


def test_a_weak_network_is_mixed_with_the_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = iter([9.0, 0.01])  # of the network, and of the mixture
    monkeypatch.setattr(Validation, "score", lambda *_: next(losses))
    run = train(LONG, **OPTIONS | {"validate_every": 0}, max_updates=1, out=tmp_path)
    network, model = run.snapshot().parameters, elman.load(tmp_path).snapshot()
    assert (run.validation_loss, run.results()["kept_update"]) == (0.01, 1)
    assert model.parameters["alpha"] == pytest.approx((network["alpha"] + 1) / 2)
    assert model.parameters["V"] == pytest.approx(network["V"] / 2)


@pytest.mark.parametrize(
    ("update", "expected"), [(0, (1, 0)), (150, (0.9, 0.125)), (300, (0.8, 0.25)), (900, (0.8, 0.25))]
)
def test_the_weights_before_the_prior_is_on(update: int, expected: tuple[float, float]) -> None:
    assert untrained_weights(update) == expected


def test_an_interrupted_run_resumes_as_if_it_had_not_been(tmp_path: Path) -> None:
    options = OPTIONS | {"max_updates": 60, "validate_every": 50, "ngram_start": 0.5, "metrics_every": 5}
    train(LONG, **options, callback=StopsAt(20), out=tmp_path)
    resumed = train(LONG, out=tmp_path, resume=True)
    whole = train(LONG, **options)
    assert_same(resumed, whole)
    assert whole.state.prior_since == 30
    assert resumed.counts_loss == whole.counts_loss


def test_patience_counts_validations_of_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = iter([9.0, 8.0, 7.0, 7.5, 7.5, 7.5])
    monkeypatch.setattr(language_model, "compute_losses", lambda *_: np.ones(1))
    monkeypatch.setattr(Validation, "score", lambda *_: next(losses))
    options = OPTIONS | {"validate_every": 5, "patience": 2, "max_updates": 60}
    run = train(LONG, **options)
    assert (run.stopped, run.state.update, run.validation_loss) == ("patience", 25, 1.0)
