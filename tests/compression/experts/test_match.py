"""The match model finds what the reference finds, and forgets only what does not fit."""

import numpy as np
import pytest
from numpy.typing import NDArray

from elman.compression.experts import match
from elman.compression.experts.match import MatchModel, TextMatches, text_matches
from elman.compression.experts.reference import ReferenceMatchModel
from support.codec_models import make_model

R, STEPS = 3, 300


def repetitive(seed: int, size: int) -> NDArray[np.int64]:
    """Return characters of a small alphabet in which pieces recur."""
    rng = np.random.default_rng(seed)
    pieces = [rng.integers(0, 4, 25) for _ in range(4)]
    text = np.concatenate([pieces[rng.integers(4)][: rng.integers(9, 26)] for _ in range(size + 1)])
    return text[:size]


def prepared(text: NDArray[np.int64]) -> TextMatches:
    """Return a text with a table so large that no two of its contexts share an entry."""
    table = np.full(1 << 22, match.NONE, np.int32)
    match.fill_text_table(text.astype(np.int32), len(text), table)
    return TextMatches(text.astype(np.int32), table)


@pytest.mark.parametrize("text_size", [0, 5, 200])
def test_matches_are_those_of_the_reference(text_size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(match, "table_size", lambda entries, maximum: 1 << 22)
    text = repetitive(0, text_size)
    model, reference = MatchModel(prepared(text), R, STEPS), ReferenceMatchModel(text.tolist(), R)
    rows = np.stack([np.concatenate([repetitive(0, 150), repetitive(seed, 150)]) for seed in range(R)], 1)
    right = 0
    for t, x in enumerate(rows):
        model.read(x, np.ones(R, np.bool_))
        reference.read(x.tolist())
        for r in range(R):
            expected = reference.predict(r)
            assert model.predicted[r] == (match.NONE if expected is None else expected), (t, r)
            if expected is not None:
                assert model.lengths[r] == reference.lengths[r]
                right += t + 1 < STEPS and expected == rows[t + 1, r]
    assert right > R * STEPS / 4


def test_a_row_that_reads_nothing_keeps_its_match() -> None:
    model, reads = MatchModel(prepared(repetitive(0, 200)), 2, STEPS), np.array([True, False])
    for x in repetitive(0, 40):
        model.read(np.array([x, x]), np.ones(2, np.bool_))
    assert (model.pointers >= 0).all()
    before = model.pointers.copy(), model.lengths.copy()
    model.read(model.predicted.copy(), reads)
    assert (model.pointers[0], model.pointers[1]) == (before[0][0] + 1, before[0][1])
    assert model.lengths[1] == before[1][1]


def test_old_characters_are_overwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(match, "MAX_CODED", 64)
    model = MatchModel(prepared(repetitive(0, 50)), 2, 1000)
    predicted = 0
    for x in repetitive(1, 500):
        model.read(np.array([x, 3 - x]), np.ones(2, np.bool_))
        predicted += int((model.predicted >= 0).sum())
        assert (model.pointers < len(model.history)).all()
    assert len(model.history) == 50 + 64
    assert predicted > 0


def test_the_end_of_the_training_text_predicts_nothing() -> None:
    text = np.arange(20) % 20
    model = MatchModel(prepared(text), 1, STEPS)
    for x in text:
        model.read(np.array([x]), np.ones(1, np.bool_))
    assert model.predicted.tolist() == [match.NONE]


def test_the_table_of_a_training_text_is_made_once() -> None:
    ngrams = make_model(order=3).parameters.ngrams
    assert ngrams is not None
    assert text_matches(ngrams) is text_matches(ngrams)
    assert len(text_matches(None).text) == 0
