"""The codec's n-gram prior is that of the reference, in rows that share what they count."""

import numpy as np
import pytest
from numpy.typing import NDArray

from elman.compression import exact_prior
from elman.compression.adaptive import compute_gradients
from elman.compression.exact_network import build_exact_network
from elman.compression.exact_prior import ROW_BY_ROW, ExactPrior, trained_counts
from elman.engine.numba.ngrams.counting import ADDED_TOTAL
from elman.network import loss_and_gradients
from elman.network.ngram import MIN_PROB, READ_COUNT, NgramCounts, NgramModel
from elman.network.output import Prior
from support.codec_models import make_model
from support.exact_windows import current_prior, fill_window, read_row
from support.tolerances import FIXED_FUNCTIONS, FIXED_GRADIENTS, FLOAT32_ROUNDING

START, R, STEPS = 0, 3, 40


def counted(order: int = 3) -> NgramModel:
    ngrams = make_model(order=order).parameters.ngrams
    assert ngrams is not None
    return ngrams


def texts(seed: int = 0) -> NDArray[np.int64]:
    """Return characters (STEPS, R) of a small part of the alphabet, so that contexts recur."""
    return np.random.default_rng(seed).integers(1, 5, (STEPS, R))


def check_row(prior: Prior, r: int, counts: NgramCounts, history: list[int]) -> None:
    codes = np.array(history[-counts.model.order :])
    q, matched = counts.distribution(codes, counts.model.folds)
    assert prior.matched[r] == matched
    np.testing.assert_allclose(prior.log_q[r], np.log(np.maximum(q, MIN_PROB)), rtol=FLOAT32_ROUNDING)


@pytest.mark.parametrize("order", [1, 3, 7])
def test_rows_read_what_the_reference_reads(order: int) -> None:
    ngrams, x = counted(order), texts()
    prior, counts = ExactPrior(ngrams, START, R), NgramCounts(ngrams)
    histories = [[START] for _ in range(R)]
    for row in x:
        found = read_row(prior, row)
        for r in range(R):
            histories[r].append(int(row[r]))
            check_row(found, r, counts, histories[r])


@pytest.mark.parametrize("order", [1, 3, 7])
def test_rows_share_their_counts_in_the_order_of_the_rows(order: int) -> None:
    ngrams, x = counted(order), texts()
    prior, counts = ExactPrior(ngrams, START, R, ROW_BY_ROW), NgramCounts(ngrams.continued())
    histories = [[START] for _ in range(R)]
    for row in x:
        found = read_row(prior, row)
        for r in range(R):
            counts.add(np.array(histories[r][-order:]), int(row[r]))
            histories[r].append(int(row[r]))
            check_row(found, r, counts, histories[r])


def test_a_row_that_reads_nothing_counts_nothing_and_keeps_its_prior() -> None:
    prior, others = (ExactPrior(counted(), START, R, ROW_BY_ROW) for _ in range(2))
    before = read_row(prior, np.array([1, 2, 3]))
    after = read_row(prior, np.array([4, 4, 4]), unread=1)
    np.testing.assert_array_equal(after.log_q[1], before.log_q[1])
    assert after.matched[1] == before.matched[1]
    assert prior.arrays.histories[1].tolist() == [0, START + 1, 3]
    read_row(others, np.array([1, 2, 3]))
    read_row(others, np.array([4, 1, 4]))
    assert others.reader.added.nodes[0, ADDED_TOTAL] == prior.reader.added.nodes[0, ADDED_TOTAL] + READ_COUNT


def test_counts_are_dropped_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact_prior, "MAX_ADDED_CONTEXTS", 30)
    monkeypatch.setattr(exact_prior, "ROOM", 2 * R)
    prior, totals = ExactPrior(counted(), START, R, ROW_BY_ROW), []
    for row in texts():
        read_row(prior, row)
        totals.append(int(prior.reader.added.nodes[0, ADDED_TOTAL]))
        assert prior.reader.added.sizes[0] <= 30 + 2 * R * 3
    assert totals[-1] < R * STEPS * READ_COUNT
    assert min(np.diff(totals)) < 0


def test_the_counts_of_the_training_text_do_not_change() -> None:
    ngrams = counted()
    grown = ngrams.continued()
    assert trained_counts(grown) is trained_counts(grown.continued()) is ngrams
    first = current_prior(ExactPrior(ngrams, START, R))
    adapting = ExactPrior(ngrams, START, R, ROW_BY_ROW)
    for row in texts():
        read_row(adapting, row)
    np.testing.assert_array_equal(current_prior(ExactPrior(ngrams, START, R)).log_q, first.log_q)


def test_logits_and_gradients_are_those_of_the_mathematics() -> None:
    model = make_model(order=3, dtype=np.float64)
    network = build_exact_network(model.parameters)
    x = texts()[:, 0]
    prior = ExactPrior(counted(), int(x[0]), 1)
    window = fill_window(network, x, prior=prior)
    gradients = compute_gradients(network, window, np.empty_like(network.theta), trains_alpha=True).arrays
    expected = loss_and_gradients(
        model.parameters, np.zeros_like(model.h), x[:-1].astype(np.uint8), x[1:].astype(np.uint8)
    )
    state = window.states[-1].reshape(-1)
    np.testing.assert_allclose(state, expected.h[: state.size], atol=FIXED_FUNCTIONS)
    assert set(gradients) == set(expected.gradients)
    for name, gradient in expected.gradients.items():
        error = np.abs(gradients[name] - gradient.T).max() / np.abs(gradient).max()
        assert error < FIXED_GRADIENTS, name
