"""The match model finds what the reference finds, and forgets only what does not fit."""

import numpy as np
import pytest
from numpy.typing import NDArray

from elman.compression.experts import match
from elman.compression.experts.match import MatchModel, TextMatches, text_matches
from elman.compression.experts.reference import ReferenceMatchModel
from support.codec_models import make_model

R, STEPS = 3, 300


def read(model: MatchModel, x: NDArray[np.int64], reads: NDArray[np.bool_] | None = None) -> match.MatchArrays:
    """Read one character per row; return the matches afterwards."""
    model.reserve(1)
    match.read_characters(model.arrays, x, np.ones(len(x), np.bool_) if reads is None else reads)
    return model.arrays


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
        found = read(model, x)
        reference.read(x.tolist())
        for r in range(R):
            expected = reference.predict(r)
            assert found.predicted[r] == (match.NONE if expected is None else expected), (t, r)
            if expected is not None:
                assert found.lengths[r] == reference.lengths[r]
                right += t + 1 < STEPS and expected == rows[t + 1, r]
    assert right > R * STEPS / 4


def test_a_row_that_reads_nothing_keeps_its_match() -> None:
    model, reads = MatchModel(prepared(repetitive(0, 200)), 2, STEPS), np.array([True, False])
    for x in repetitive(0, 40):
        found = read(model, np.array([x, x]))
    assert (found.pointers >= 0).all()
    before = found.pointers.copy(), found.lengths.copy()
    read(model, found.predicted.copy(), reads)
    assert (found.pointers[0], found.pointers[1]) == (before[0][0] + 1, before[0][1])
    assert found.lengths[1] == before[1][1]


def test_old_characters_are_overwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(match, "MAX_CODED", 64)
    model = MatchModel(prepared(repetitive(0, 50)), 2, 1000)
    predicted = 0
    for x in repetitive(1, 500):
        found = read(model, np.array([x, 3 - x]))
        predicted += int((found.predicted >= 0).sum())
        assert (found.pointers < len(found.history)).all()
    assert len(found.history) == 50 + 64
    assert predicted > 0


def test_the_end_of_the_training_text_predicts_nothing() -> None:
    text = np.arange(20) % 20
    model = MatchModel(prepared(text), 1, STEPS)
    for x in text:
        found = read(model, np.array([x]))
    assert found.predicted.tolist() == [match.NONE]


def test_the_table_of_a_training_text_is_made_once() -> None:
    ngrams = make_model(order=3).parameters.ngrams
    assert ngrams is not None
    assert text_matches(ngrams) is text_matches(ngrams)
    assert len(text_matches(None).text) == 0


def test_room_is_made_at_once_or_step_by_step() -> None:
    x = repetitive(0, 400)
    models = [MatchModel(prepared(repetitive(0, 50)), 1, len(x)) for _ in range(2)]
    models[0].reserve(len(x))
    for t in range(len(x)):
        both = [read(model, x[t : t + 1]) for model in models]
        assert both[0].predicted == both[1].predicted
    assert models[0].room == models[1].room == len(x)
