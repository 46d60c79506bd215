"""The codec's n-gram models are those of the reference, in rows that share what they count."""

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

import elman
from elman.compression import ngrams as module
from elman.compression.ngrams import NgramRows, count_background, read_background_text, read_ngrams
from elman.engine.numba.ngrams.counting import ADDED_TOTAL
from elman.network.ngram import MIN_PROB, READ_COUNT, NgramCounts, NgramModel
from elman.text import Alphabet
from support.codec_models import make_model
from support.tolerances import FLOAT32_ROUNDING

START, R, STEPS = 0, 3, 40
ALPHABET = Alphabet("\nabcdefghijklmnopqrstuvwxyz ")
LENGTH = len(read_background_text().text)


def counted(order: int = 3) -> NgramModel:
    ngrams = make_model(order=order).parameters.ngrams
    assert ngrams is not None
    return ngrams


def texts() -> NDArray[np.int64]:
    """Return characters (STEPS, R) of a small part of the alphabet, so that contexts recur."""
    return np.random.default_rng(0).integers(1, 5, (STEPS, R))


def read(rows: NgramRows, x: NDArray[np.int64], unread: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Read characters x (R,), except in the row `unread`; return log q and the matched orders."""
    rows.reserve()
    read_ngrams(rows.arrays, x, np.arange(len(x)) != (-1 if unread is None else unread))
    return rows.arrays.log_q.copy(), rows.arrays.matched.copy()


@pytest.mark.parametrize("grows", [False, True])
@pytest.mark.parametrize("order", [1, 3, 7])
def test_distributions_are_those_of_the_reference(order: int, grows: bool) -> None:
    ngrams = counted(order)
    rows, counts = NgramRows(ngrams, START, R, grows=grows), NgramCounts(ngrams.continued() if grows else ngrams)
    histories = [[START] for _ in range(R)]
    for x in texts():
        log_q, matched = read(rows, x)
        for r in range(R):
            if grows:
                counts.add(np.array(histories[r][-order:]), int(x[r]))
            histories[r].append(int(x[r]))
        for r in range(R):
            q, expected = counts.distribution(np.array(histories[r][-order:]), counts.model.folds)
            assert matched[r] == expected
            np.testing.assert_allclose(log_q[r], np.log(np.maximum(q, MIN_PROB)), rtol=FLOAT32_ROUNDING)


def test_a_row_that_reads_nothing_counts_nothing() -> None:
    rows, others = (NgramRows(counted(), START, R, grows=True) for _ in range(2))
    before = read(rows, np.array([1, 2, 3]))
    after = read(rows, np.array([4, 4, 4]), unread=1)
    np.testing.assert_array_equal(after[0][1], before[0][1])
    assert rows.arrays.histories[1].tolist() == [0, START + 1, 3]
    read(others, np.array([1, 2, 3]))
    read(others, np.array([4, 1, 4]))
    assert others.reader.added.nodes[0, ADDED_TOTAL] == rows.reader.added.nodes[0, ADDED_TOTAL] + READ_COUNT


def test_counts_are_dropped_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ADDED_CONTEXTS", 30)
    monkeypatch.setattr(module, "ROOM", 2 * R)
    rows, totals = NgramRows(counted(), START, R, grows=True), []
    for x in texts():
        read(rows, x)
        totals.append(int(rows.reader.added.nodes[0, ADDED_TOTAL]))
        assert rows.reader.added.sizes[0] <= 30 + 2 * R * 3
    assert totals[-1] < R * STEPS * READ_COUNT
    assert min(np.diff(totals)) < 0


def test_the_counts_of_the_training_text_do_not_change() -> None:
    ngrams = counted()
    first, growing = NgramRows(ngrams, START, R, grows=False).arrays.log_q, NgramRows(ngrams, START, R, grows=True)
    for x in texts():
        read(growing, x)
    np.testing.assert_array_equal(NgramRows(ngrams, START, R, grows=False).arrays.log_q, first)


# --- The background model ---


def test_the_background_text_is_the_one_that_the_built_in_model_counts() -> None:
    model = elman.load("builtin")
    assert model.parameters.ngrams is not None
    assert read_background_text().characters == model.alphabet.characters
    np.testing.assert_array_equal(read_background_text().text, model.parameters.ngrams.text)


@pytest.mark.parametrize("has_unknown", [False, True])
def test_characters_that_the_alphabet_lacks_are_one_symbol(has_unknown: bool) -> None:
    alphabet, K = dataclasses.replace(ALPHABET, has_unknown=has_unknown), len(ALPHABET)
    background, other = count_background(None, alphabet, 200), K - has_unknown
    end = read_background_text().text[-len(background.text) :]
    expected = [
        alphabet.characters.find(c) if c in alphabet.characters[: K - has_unknown] else other
        for c in (read_background_text().characters[k] for k in end[:2000])
    ]
    assert background.K == K + 1
    assert other in expected
    assert background.text[:2000].tolist() == expected


@pytest.mark.parametrize(
    ("training_length", "N", "expected"),
    [
        (0, 0, (0, 64)),
        (50, 10, (50, 640 - 50)),
        (50, 1000, (50, 64_000 - 50)),
        (100_000, 1000, (64_000, 0)),
        (100, 1 << 40, (100, LENGTH)),
        (module.MAX_TRAINING_TEXT + 7, 1 << 40, (module.MAX_TRAINING_TEXT, LENGTH)),
    ],
)
def test_a_short_file_counts_the_ends_of_long_texts(training_length: int, N: int, expected: tuple[int, int]) -> None:
    text = ALPHABET.encode(("a bad egg had a leg\n" * (training_length // 20 + 1))[:training_length])
    background = count_background(NgramModel(text, len(ALPHABET), 3) if training_length else None, ALPHABET, N)
    of_training_text, of_background = expected
    assert len(background.text) == of_training_text + of_background
    np.testing.assert_array_equal(background.text[of_background:], text[len(text) - of_training_text :])
