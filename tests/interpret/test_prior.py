"""What counting and the network contribute to each character."""

import math
from typing import Any

import numpy as np
import pytest

from elman.engine import get_engine
from elman.interpret import prior as explaining
from elman.interpret.activations import explain
from elman.interpret.prior import explain_prior
from elman.network import model as network
from elman.network import ngram
from elman.network.parameters import Array
from support.random_model import random_model, random_prior_model
from support.state import TEXT
from support.tolerances import ROUNDINGS

RTOL = ROUNDINGS * float(np.finfo(np.float32).eps)
"""Relative error of values that are stored in float32."""
ORDER = 3


def log_p(o: Array, y: int) -> float:
    """Return log softmax(o)[y]."""
    return float(o[y] - o.max() - np.log(np.exp(o - o.max()).sum()))


@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_contributions_are_shapley_values(monkeypatch: pytest.MonkeyPatch, engine: str, cell: str) -> None:
    made = random_prior_model(TEXT * 2, cell, order=ORDER, dtype=np.float64)
    parameters, K = made.parameters, len(made.alphabet)
    monkeypatch.setattr(explaining, "MAX_SLICE_VALUES", 9 * (K + len(made.h)))  # slices of 9 characters
    indices = made.alphabet.encode("dark torrents;\nnight and rain")
    found = explain_prior(get_engine(engine), parameters, made.h, indices)
    assert found is not None
    assert parameters.ngrams is not None
    assert math.isnan(found.surprisal[0])
    assert math.isnan(found.counting[0])
    assert (found.order, found.matched[0]) == (ORDER, 0)
    alone = parameters.with_arrays({**parameters, "alpha": 0 * parameters["alpha"]})
    log_q, matched, _ = ngram.read(parameters.ngrams, made.h[-ORDER:], indices)
    (both, _), (rest, _) = (network.logits(each, made.h, indices) for each in (parameters, alone))
    for t, y in enumerate(indices[1:].tolist()):
        p, n, c = log_p(both[t], y), log_p(rest[t], y), log_p(parameters["alpha"][matched[t]] * log_q[t], y)
        uniform = -math.log(K)
        expected = [-log_q[t, y], (c - uniform + p - n) / 2, (n - uniform + p - c) / 2]
        bits = [found.surprisal[t + 1], found.counting[t + 1], found.network[t + 1]]
        np.testing.assert_allclose(np.array(bits) * math.log(2), expected, rtol=1e-5, atol=1e-6)
        assert found.matched[t + 1] == matched[t]


def test_contributions_add_up_to_what_is_known() -> None:
    made = random_prior_model(TEXT * 2, "gru", order=ORDER)
    indices, K = made.alphabet.encode(TEXT), len(made.alphabet)
    reading: Any = (made.engine, made.parameters, made.h, indices)
    found, explanation = explain_prior(*reading), explain(*reading)
    assert found is not None
    known = math.log2(K) - explanation.surprisal
    np.testing.assert_allclose((found.counting + found.network)[1:], known[1:], rtol=1e-4, atol=1e-5)
    means = found.means()
    total = means["counting_nats_per_char"] + means["network_nats_per_char"]
    assert total == pytest.approx(math.log(K) - explanation.nats_per_char, rel=1e-5)
    assert found.mean_matched_order == pytest.approx(found.matched[1:].mean())


@pytest.mark.parametrize("before", [[0], [9], [0, 0, 4, 9, 9, 40], [80]])
def test_unknown_characters_are_skipped_and_cost_the_same(before: list[int]) -> None:
    made = random_prior_model(TEXT, order=ORDER)
    indices, K = made.alphabet.encode((TEXT * 2)[:80]), len(made.alphabet)
    extended = np.insert(indices, before, K + 1)
    known = extended < K
    plain, found = (explain_prior(made.engine, made.parameters, made.h, x) for x in (indices, extended))
    assert plain is not None
    assert found is not None
    explanation = explain(made.engine, made.parameters, made.h, extended)
    np.testing.assert_array_equal(found.surprisal[~known], explanation.surprisal[~known])
    np.testing.assert_allclose(found.counting[known], plain.counting, rtol=RTOL)
    np.testing.assert_array_equal(found.matched[known], plain.matched)
    assert np.isnan(found.counting[~known]).all()
    assert np.isnan(found.surprisal).sum() == 1


def test_nothing_known_has_no_contributions() -> None:
    made = random_prior_model(TEXT, order=ORDER)
    found = explain_prior(made.engine, made.parameters, made.h, np.full(4, 99, np.uint8))
    assert found is not None
    assert found.means()["counting_nats_per_char"] == found.mean_matched_order == 0


def test_a_prior_that_is_off_has_no_contributions() -> None:
    made = random_prior_model(TEXT, order=ORDER)
    made.parameters["alpha"][:] = 0
    assert explain_prior(made.engine, made.parameters, made.h, made.alphabet.encode(TEXT)) is None


def test_a_network_without_a_prior_has_no_contributions() -> None:
    made = random_model("ab")
    assert explain_prior(made.engine, made.parameters, made.h, made.alphabet.encode("abab")) is None
