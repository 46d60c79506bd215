"""The advice after a run: train longer, use a larger network, or stop."""

from unittest import mock

import pytest

from elman.text import Corpus
from elman.training.advice import Outcome, advise, fall, outcome_of
from support.state import TEXT
from support.training import EXACT, StopsAt, train

FALLING = [(100, 2.5), (200, 2.2), (300, 2.0), (400, 1.9)]
FLAT = [(100, 2.5), (200, 2.0), (300, 1.905), (400, 1.9)]
RISING = [(100, 2.5), (200, 1.8), (300, 1.85), (400, 1.9)]
SMOOTH = [(100, 50.0), (200, 45.0), (300, 42.0), (400, 40.0)]


@pytest.mark.parametrize(
    ("outcome", "begins"),
    [
        (Outcome(SMOOTH, FALLING, 1.85), "Train longer: validation loss was still falling."),
        (
            Outcome(SMOOTH, FALLING, 1.5),
            "Train longer: validation loss was still falling (27 % above training loss).",
        ),
        (
            Outcome(SMOOTH, RISING, 1.85),
            "Stop: validation loss has risen from its minimum, although the model is not overfitting.",
        ),
        (
            Outcome(SMOOTH, RISING, 1.3),
            "Stop: validation loss has risen from its minimum (46 % above training loss): the model is overfitting.",
        ),
        (
            Outcome(SMOOTH, RISING, 0.19),
            "Stop: validation loss has risen from its minimum (10.0 times training loss): the model is overfitting.",
        ),
        (
            Outcome(SMOOTH, FLAT, 1.3),
            "Stop: validation loss has plateaued (46 % above training loss): the model is overfitting.",
        ),
        (
            Outcome(SMOOTH, FLAT, 1.85),
            "Use a larger network: training and validation loss have both plateaued, close to each other.",
        ),
        (Outcome(SMOOTH, FLAT[-1:], 1.85), "Train longer: there are too few validation losses"),
        (Outcome(SMOOTH, FLAT, 1.3, epochs=0), "Train longer: not even one epoch is complete."),
        (Outcome(SMOOTH, FLAT, None), "Use a larger network"),
        (Outcome(SMOOTH), "Train longer: training loss was still falling. To see whether the model overfits"),
        (Outcome(SMOOTH, reference=True), "Train longer: training loss was still falling."),
        (Outcome([(1, 50.0), (2, 50.0)], reference=True), "Use a larger network: training loss has plateaued"),
        (Outcome(SMOOTH, (), 0.049), "Stop: training loss is only 0.049 nats/char: the model has memorized its text."),
        (Outcome(SMOOTH, (), 0.051), "Train longer: training loss was still falling."),
        (Outcome([(1, 50.0)]), "Train longer: there are too few updates to see a trend."),
        (Outcome(SMOOTH, FALLING, 1.85, interrupted=True), "The run was interrupted: continue it with --resume."),
    ],
)
def test_typical_runs(outcome: Outcome, begins: str) -> None:
    assert advise(outcome).startswith(begins)


def test_without_a_validation_set_one_is_recommended() -> None:
    assert "with --validation 0.1" in advise(Outcome(SMOOTH))
    assert "validation" not in advise(Outcome(SMOOTH, reference=True))


def test_more_dropout_is_not_asked_for_where_there_is_much() -> None:
    assert "add text or increase --dropout" in advise(Outcome(SMOOTH, RISING, 1.3, dropout=0.2))
    assert "to improve, add text." in advise(Outcome(SMOOTH, RISING, 1.3, dropout=0.5))


def test_a_fall_where_the_prior_is_switched_on_is_no_trend() -> None:
    options = EXACT | {"batch_size": 2, "max_updates": 100, "validation": 0.25, "validate_every": 10}
    run = train(Corpus.from_text(TEXT * 4), **options, ngram_order=2, ngram_start=0.5)
    losses = [(row.update, row.validation_loss) for row in run.metrics if row.validation_loss is not None]
    assert outcome_of(run, None).validation == losses
    assert outcome_of(run, None, since=50).validation == [row for row in losses if row[0] > 50]
    with mock.patch("elman.training.loop.outcome_of", wraps=outcome_of) as called:
        train(Corpus.from_text(TEXT * 4), **options, ngram_order=2, ngram_start=0.5)
        train(Corpus.from_text(TEXT * 4), **options)
    assert [call.args[2] for call in called.call_args_list] == [50, 0]


def test_the_fall_is_that_of_the_last_quarter() -> None:
    assert fall(FALLING) == pytest.approx(0.1 / 2.0)
    assert fall(RISING) < 0
    assert fall([(100, 0.0), (200, 0.0)]) == 0
    assert fall([(400, 2.0)]) == 0


def test_every_run_ends_with_advice() -> None:
    corpus = Corpus.from_text(TEXT * 3)
    assert train(corpus, **EXACT, max_updates=30).advice
    assert "validation loss" in train(corpus, **EXACT, validation=0.2, epochs=2).advice
    assert "resume=True" in train(corpus, **EXACT, callback=StopsAt(1)).advice
