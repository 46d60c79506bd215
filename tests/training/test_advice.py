"""What a run is followed by: train longer, use a larger network, or stop."""

import pytest

from elman.text import Corpus
from elman.training.advice import Outcome, advise, fall
from elman.training.train import train
from support.state import TEXT
from support.training import EXACT, StopsAt

FALLING = [(100, 2.5), (200, 2.2), (300, 2.0), (400, 1.9)]
FLAT = [(100, 2.5), (200, 2.0), (300, 1.905), (400, 1.9)]
RISING = [(100, 2.5), (200, 1.8), (300, 1.85), (400, 1.9)]
SMOOTH = [(100, 50.0), (200, 45.0), (300, 42.0), (400, 40.0)]


@pytest.mark.parametrize(
    ("outcome", "begins"),
    [
        (Outcome(SMOOTH, FALLING, 1.85), "Train longer: the loss of the text kept aside was still falling."),
        (
            Outcome(SMOOTH, FALLING, 1.5),
            "Train longer: the loss of the text kept aside was still falling (27 % above that of its own text)",
        ),
        (Outcome(SMOOTH, RISING, 1.85), "Stop: the loss of the text kept aside was lower before, though the network"),
        (Outcome(SMOOTH, RISING, 1.3), "Stop: the loss of the text kept aside was lower before (46 %"),
        (
            Outcome(SMOOTH, FLAT, 1.3),
            "Stop: the loss of the text kept aside has come to rest (46 % above that of its own text)",
        ),
        (Outcome(SMOOTH, FLAT, 1.85), "Use a larger network: both losses have come to rest, and they are close."),
        (Outcome(SMOOTH, FLAT[-1:], 1.85), "Train longer: there are too few scores"),
        (Outcome(SMOOTH, FLAT, 1.3, epochs=0), "Train longer: the text has not been read to its end once."),
        (Outcome(SMOOTH, FLAT, None), "Use a larger network"),
        (Outcome(SMOOTH), "The smooth loss was still falling: train longer. Whether it learns its text by heart"),
        (Outcome(SMOOTH, reference=True), "The smooth loss was still falling: train longer."),
        (Outcome([(1, 50.0), (2, 50.0)], reference=True), "The smooth loss has come to rest: a larger network"),
        (Outcome([(1, 50.0)]), "There are too few updates to tell anything: train longer."),
        (Outcome(SMOOTH, FALLING, 1.85, interrupted=True), "The run was interrupted: go on with it by --resume."),
    ],
)
def test_typical_runs(outcome: Outcome, begins: str) -> None:
    assert advise(outcome).startswith(begins)


def test_without_a_text_kept_aside_one_is_asked_for() -> None:
    assert "give --validation 0.1" in advise(Outcome(SMOOTH))
    assert "validation" not in advise(Outcome(SMOOTH, reference=True))


def test_more_dropout_is_not_asked_for_where_there_is_much() -> None:
    assert "more text or more --dropout" in advise(Outcome(SMOOTH, RISING, 1.3, dropout=0.2))
    assert "only more text will" in advise(Outcome(SMOOTH, RISING, 1.3, dropout=0.5))


def test_the_fall_is_that_of_the_last_quarter() -> None:
    assert fall(FALLING) == pytest.approx(0.1 / 2.0)
    assert fall(RISING) < 0
    assert fall([(100, 0.0), (200, 0.0)]) == 0
    assert fall([(400, 2.0)]) == 0


def test_every_run_ends_with_advice() -> None:
    corpus = Corpus.from_text(TEXT * 3)
    assert train(corpus, **EXACT, max_updates=30).advice
    assert "kept aside" in train(corpus, **EXACT, validation=0.2, epochs=2).advice
    assert "--resume" in train(corpus, **EXACT, watcher=StopsAt(1)).advice
