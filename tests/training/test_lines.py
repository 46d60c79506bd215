"""A run on independent lines: its order, its validation set, its cross-fitting, and what it is resumed from."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import elman
from elman.config import make_config
from elman.engine import get_engine
from elman.engine.protocol import training_folds
from elman.errors import ElmanError
from elman.model.loading import load
from elman.model.score import score
from elman.model.score_lines import compute_score_quantiles
from elman.runs.snapshot import LINE_SCORES_SHAPE
from elman.runs.texts import TrainingData
from elman.text import Corpus
from elman.text.lines import shuffle_corpus
from elman.training.initialization import create_optimizer, initial_state
from elman.training.records import generate_final_sample
from elman.training.run import Run
from support.cli import Command, assert_refused
from support.training import EXACT, StopsAt, assert_same, assert_saved, train

NAMES = [f"{a}{b}{c}" for a in ("an", "be", "car") for b in ("n", "tt", "l") for c in ("a", "e", "ie")]
CORPUS = Corpus.from_text("\n".join(sorted(NAMES)))
OPTIONS: dict[str, Any] = EXACT | {
    "lines": True, "batch_size": 2, "ngram_order": 4, "ngram_folds": 3, "validation": 0.2, "epochs": 100,
}  # fmt: skip


def stream(run: Run, epoch: int) -> str:
    windows = run.data.windows_of(epoch)
    return CORPUS.alphabet.decode(windows.indices)


def test_every_epoch_has_the_same_lines_in_another_order() -> None:
    run = train(CORPUS, **OPTIONS, max_updates=1)
    orders = [stream(run, epoch)[1:-1].split("\n") for epoch in range(3)]
    assert len({tuple(order) for order in orders}) == 3
    assert sorted(orders[0]) == sorted(orders[1]) == sorted(orders[2])
    held_out = run.data.validation_sample
    assert held_out is not None
    kept = CORPUS.alphabet.decode(held_out)[1:-1].split("\n")
    assert sorted(orders[0] + kept) == sorted(NAMES)
    assert len(kept) == 5


def test_the_loop_trains_on_the_order_of_the_epoch() -> None:
    """An engine that is given the windows of every epoch in turn arrives at the same state."""
    run = train(CORPUS, **OPTIONS | {"ngram_order": 0, "validation": 0.0}, max_updates=40)
    per_epoch = run.data.windows.per_epoch
    assert 1 < per_epoch < 40 / 2
    state = initial_state(run.data, run.optimizer)
    for epoch in range(40 // per_epoch + 1):
        windows = run.data.windows_of(epoch)
        updates = min(per_epoch, 40 - state.update)
        get_engine("numpy").advance(state, windows, updates, run.optimizer)
    assert all(np.array_equal(state.parameters[name], run.state.parameters[name]) for name in state.parameters)


@pytest.mark.parametrize("stop", [13, 31])
def test_a_run_is_resumed_bit_for_bit(tmp_path: Path, stop: int) -> None:
    """At the end of an epoch, 13 updates, and elsewhere; the prior is cross-fitted in the new order."""
    options = OPTIONS | {"max_updates": 40, "ema_decay": 0.9}
    expected = train(CORPUS, **options)
    train(CORPUS, **options, out=tmp_path, callback=StopsAt(stop))
    assert_same(train(CORPUS, out=tmp_path, resume=True), expected)
    assert_saved(tmp_path, expected)


def test_cross_fitting_leaves_out_the_fold_of_the_line() -> None:
    """In any order a target leaves out the counts of the fold that its line was counted in."""
    config = make_config("reference", {name: value for name, value in OPTIONS.items() if name != "preset"})
    data = TrainingData(config, shuffle_corpus(CORPUS, config.seed))
    parameters = initial_state(data, create_optimizer(config)).parameters
    ngrams = parameters.ngrams
    assert ngrams is not None
    counted = CORPUS.alphabet.decode(data.windows.indices)
    fold_of = {name: ngrams.folds_at(np.array(counted.index(f"\n{name}\n") + 1)) for name in counted[1:-1].split("\n")}
    assert len(set(fold_of.values())) == ngrams.folds > 1
    for epoch in range(3):
        windows = data.windows_of(epoch)
        text = CORPUS.alphabet.decode(windows.indices)
        for position in range(0, windows.per_epoch * windows.seq_length, windows.seq_length):
            folds = training_folds(parameters, windows, position)
            assert folds is not None
            for t, b in np.ndindex(folds.shape):
                target = position + 1 + t + b * windows.row_length
                if text[target] != "\n":
                    assert folds[t, b] == fold_of[text.split("\n")[text[:target].count("\n")]]


def test_the_validation_loss_is_that_of_the_lines() -> None:
    run = train(CORPUS, **OPTIONS, max_updates=20)
    held_out = run.data.validation_sample
    assert held_out is not None
    lines = CORPUS.alphabet.decode(held_out)[1:-1].split("\n")
    scores = [run.model.score(line) for line in lines]
    assert [score.chars for score in scores] == [len(line) + 1 for line in lines]
    nats = sum(score.nats for score in scores) / sum(score.chars for score in scores)
    assert run.validation_loss == pytest.approx(nats, rel=1e-12)
    model = run.model
    reversed_lines = "\n\n".join(reversed(lines))
    assert model.score(reversed_lines).nats_per_char == pytest.approx(nats, rel=1e-12)
    assert score(model.engine, model.parameters, model.state, held_out).nats_per_char == pytest.approx(nats)
    assert len(run.samples[-1].text) == 20
    assert generate_final_sample(run).count("\n") == 9


def test_a_loaded_model_knows_its_lines(tmp_path: Path) -> None:
    run = train(CORPUS, **OPTIONS, max_updates=20, out=tmp_path)
    trained_on = stream(run, 0)[1:-1].split("\n")
    for model in (run.model, load(tmp_path), load(tmp_path / "best.safetensors")):
        assert [name for name in NAMES if model.in_training_text(name)] == [
            name for name in NAMES if name in trained_on
        ]
        assert not model.in_training_text("nobody")
        assert model.is_of_lines
        assert model.sample(seed=1) == run.model.sample(seed=1)
        assert model.score("anna\nbetta") == run.model.score("anna\nbetta")


LOG = [f"12:{n // 60:02}:{n % 60:02} {('job', 'task')[n % 2]} {n * 37 % 1000} is done" for n in range(100)]
MASKED: dict[str, Any] = OPTIONS | {"mask": "all", "mask_regex": "[jt][a-z]+", "max_updates": 40}


def test_a_masked_run_is_resumed_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("\n".join(LOG), encoding="utf-8")
    expected = train(tmp_path / "log", **MASKED)
    assert expected.corpus.text.startswith("\nⓉ Ⓡ Ⓝ is done\n")
    train(tmp_path / "log", **MASKED, out=tmp_path / "run", callback=StopsAt(13))
    assert_same(train(tmp_path / "log", out=tmp_path / "run", resume=True), expected)
    with pytest.raises(ElmanError, match=r"^cannot change mask on resume"):
        train(tmp_path / "log", out=tmp_path / "run", resume=True, mask="numbers")


def test_a_run_that_patience_ends_has_quantiles_and_samples_are_not_compared(command: Command, tmp_path: Path) -> None:
    options = MASKED | {"learning_rate": 1e-30}
    run = train(Corpus.from_lines(LOG), **options, validate_every=2, patience=1, out=tmp_path)
    assert run.stopped == "patience"
    assert load(tmp_path).score_quantiles is not None
    expected = "--new-only cannot compare samples with the training text of a model with --mask"
    assert_refused(command("sample", tmp_path, "--new-only", "-q"), expected)


def test_a_finished_run_has_the_quantiles_of_its_best_network(tmp_path: Path) -> None:
    run = train(Corpus.from_lines(LOG), **MASKED, validate_every=7, out=tmp_path)
    assert run.data.validation_sample is not None
    quantiles = compute_score_quantiles(run.model, run.data.validation_sample)
    assert quantiles.shape == LINE_SCORES_SHAPE
    assert (np.diff(quantiles) >= 0).all()
    again = train(Corpus.from_lines(LOG), out=tmp_path, resume=True)
    for model in (run.model, again.model, load(tmp_path), load(tmp_path / "best.safetensors")):
        np.testing.assert_array_equal(model.score_quantiles, quantiles)
    train(Corpus.from_lines(LOG), out=tmp_path, resume=True, max_updates=60, callback=StopsAt(50))
    assert load(tmp_path).score_quantiles is None  # of another network than the one that is saved now


def test_a_fine_tuned_run_has_the_same_masks() -> None:
    model = train(Corpus.from_lines(LOG), **MASKED | {"max_updates": 2}).model
    options = {name: value for name, value in OPTIONS.items() if name != "lines"} | {"max_updates": 2}
    assert train(Corpus.from_lines(LOG), init_from=model, **options).model.masker == model.masker
    assert train(Corpus.from_lines(LOG), init_from=model, lines=False, **options).model.masker is None
    pytest.importorskip("elman.apps.ensemble")
    with pytest.raises(ElmanError, match=r", 1 has mask='timestamps.*' mask_regex='.*', 2 has none$"):
        elman.ensemble([model, train(Corpus.from_lines(LOG), **OPTIONS, max_updates=2).model])


@pytest.mark.parametrize("scores", [np.zeros((4, 7)), np.full(LINE_SCORES_SHAPE, np.nan)])
def test_invalid_quantiles_are_one_line(tmp_path: Path, scores: Any) -> None:
    model = train(Corpus.from_lines(LOG), **MASKED | {"max_updates": 2}).model
    replace(model, score_quantiles=scores).save(tmp_path / "model.safetensors")
    with pytest.raises(ElmanError, match="line_scores is not the array of a text of independent lines"):
        load(tmp_path / "model.safetensors")
