"""A reset divides a window into parts that do not depend on one another, in every cell, batch and layer."""

from typing import Any

import numpy as np
import pytest

from elman.network import bptt
from elman.network.cells import CELLS
from elman.network.parameters import LossAndGradients, Parameters
from elman.network.state import State
from elman.ngram.counting import count_ngrams
from elman.ngram.model import ngram_counts, read
from elman.ngram.table import NgramSpec
from support.networks import make_parameters, numbers, state_of, with_architecture

K, M, FEED = 5, 4, 2
TEXT = np.random.default_rng(1).integers(0, K, 60).astype(np.uint8)


def network(cell: str, order: int = 2) -> Parameters:
    ngrams = count_ngrams(TEXT, NgramSpec(K, order, FEED))
    return make_parameters(K, M, 0.5, np.random.RandomState(1), np.float64, cell, 2, ngrams=ngrams, reset_at=FEED)


def state(parameters: Parameters) -> State:
    return state_of(parameters, np.random.default_rng(2).normal(size=parameters.architecture.state_size) * 0.5)


def run(parameters: Parameters, initial: State, text: Any) -> LossAndGradients:
    return bptt.loss_and_gradients(parameters, initial, text[:-1], text[1:])


@pytest.mark.parametrize("cell", CELLS)
def test_a_window_is_the_sum_of_its_lines(cell: str) -> None:
    """The reference: lines read one by one, from zeros, by a network without resets, whose prior has read nothing."""
    parameters, text = network(cell), np.array([0, 1, FEED, 3, 1, 4, FEED, FEED, 0], np.uint8)
    plain, initial = with_architecture(parameters, reset_at=None), state(parameters)
    lines = ((initial, 0, 3), *((initial.reset(), *ends) for ends in ((2, 7), (6, 8), (7, 9))))
    parts = [run(plain, each, text[a:b]) for each, a, b in lines]
    result = run(parameters, initial, text)
    assert result.loss == pytest.approx(sum(part.loss for part in parts), rel=1e-12)
    for name, gradient in result.gradients.items():
        np.testing.assert_allclose(gradient, np.sum([part.gradients[name] for part in parts], axis=0), atol=1e-12)
    np.testing.assert_allclose(result.dh0, parts[0].dh0, atol=1e-12)
    np.testing.assert_allclose(numbers(result.state), numbers(parts[-1].state), atol=1e-12)


@pytest.mark.parametrize("cell", CELLS)
def test_a_batch_is_the_mean_of_its_rows(cell: str) -> None:
    parameters, rows = network(cell), np.array([[FEED, 1, 0, 3], [1, FEED, FEED, 0], [0, 1, 3, 4]], np.uint8)
    initial = state(parameters)
    of_rows = [run(parameters, initial, row) for row in rows]
    batch = run(parameters, initial.tile(3), rows.T)
    for name, gradient in batch.gradients.items():
        np.testing.assert_allclose(gradient, np.mean([row.gradients[name] for row in of_rows], axis=0), atol=1e-12)
    np.testing.assert_allclose(batch.dh0, np.array([row.dh0 for row in of_rows]) / 3, atol=1e-12)
    np.testing.assert_allclose(numbers(batch.state), [numbers(row.state) for row in of_rows], atol=1e-12)
    assert not batch.dh0[0].any()


def test_histories_begin_at_the_reset() -> None:
    ngrams = network("rnn", order=3).ngrams
    assert ngrams is not None
    codes = ngrams.histories(np.array([0, 0, 1], np.int32), np.array([3, FEED, 0, FEED, FEED, 1], np.uint8))
    expected = [[0, 0, 1], [0, 1, 4], [0, 0, 3], [0, 3, 1], [0, 0, 3], [0, 0, 3], [0, 3, 2]]
    np.testing.assert_array_equal(codes, expected)


def test_what_is_read_is_counted_by_line() -> None:
    """A growing model gives the second line the counts of the first, but no context that crosses both."""
    ngrams = network("rnn", order=3).ngrams
    assert ngrams is not None
    grown = ngrams.continued()
    read(grown, np.zeros(3, np.int32), np.array([FEED, 1, 0, FEED, 1, 0, FEED], np.uint8))
    assert not any(FEED in context[1:] for context in ngram_counts(grown).added)
