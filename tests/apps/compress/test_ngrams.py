"""The codec's n-gram prior is that of the reference, in rows that share what they count."""

import numpy as np
import pytest
from numpy.typing import NDArray

from elman.apps.compress import predictor as module
from elman.apps.compress.predictor import NgramRows, read_ngrams
from elman.ngram.kernels import NONE, TOTAL
from elman.ngram.model import MIN_PROB, READ_COUNT, NgramCounts, NgramModel
from support.codec_models import make_model
from support.tolerances import FLOAT32_ROUNDING

START, R, STEPS = 0, 3, 40


def counted(order: int = 3) -> NgramModel:
    ngrams = make_model(order=order).parameters.ngrams
    assert ngrams is not None
    return ngrams


def texts() -> NDArray[np.int64]:
    """Return characters (STEPS, R) of a small part of the alphabet, so that contexts recur."""
    return np.random.default_rng(0).integers(1, 5, (STEPS, R))


def read(rows: NgramRows, x: NDArray[np.int64], unread: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Read characters x (R,), except in the row `unread`; return log q and the matched lengths."""
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
    assert others.reader.added.nodes[0, TOTAL] == rows.reader.added.nodes[0, TOTAL] + READ_COUNT


def test_counts_are_dropped_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ADDED_CONTEXTS", 30)
    monkeypatch.setattr(module, "ROOM", 2 * R)
    rows, totals = NgramRows(counted(), START, R, grows=True), []
    for x in texts():
        read(rows, x)
        totals.append(int(rows.reader.added.nodes[0, TOTAL]))
        assert rows.reader.added.sizes[0] <= 30 + 2 * R * 3
    assert totals[-1] < R * STEPS * READ_COUNT
    assert min(np.diff(totals)) < 0
    assert (rows.arrays.extras[:, 1:] != NONE).any()
    rows._restart()
    assert (rows.arrays.extras[:, 1:] == NONE).all()  # no row refers to counts that were dropped
