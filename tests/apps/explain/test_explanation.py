"""Surprisal, predictions, activations and contributions of the prior, against the reference."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.apps.explain import explanation as explaining
from elman.apps.explain.explanation import PriorExplanation, dequantize, explain_indices, quantize
from elman.engine import get_engine
from elman.errors import ElmanError
from elman.model import Model
from elman.model.score import score
from elman.network import Parameters, bptt
from elman.network.parameters import Array
from elman.network.state import State
from elman.ngram import model as ngrams
from elman.text.unknown import KNOWN_PENALTY_NATS, unknown_nats
from support.networks import make_parameters, state_of
from support.random_model import random_model, random_prior_model
from support.state import TEXT
from support.tolerances import ROUNDINGS

K, M, N = 7, 4, 90


def made(cell: str, layers: int = 1) -> tuple[Parameters, State, Any]:
    generator = np.random.RandomState(1)
    parameters = make_parameters(K, M, 0.7, generator, np.float64, cell, layers)
    state = state_of(parameters, np.tanh(generator.randn(parameters.architecture.state_size)))
    return parameters, state, np.random.default_rng(2).integers(K, size=N, dtype=np.uint8)


@pytest.mark.parametrize(("cell", "layers"), [("rnn", 1), ("gru", 1), ("lstm", 1), ("rnn", 2), ("lstm", 2)])
@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_explanations_are_the_references(monkeypatch: pytest.MonkeyPatch, engine: str, cell: str, layers: int) -> None:
    monkeypatch.setattr(explaining, "MAX_SLICE_VALUES", 8 * (K + 2 * layers * M))  # slices of 8 to 12 characters
    parameters, state, indices = made(cell, layers)
    found = explain_indices(get_engine(engine), parameters, state, indices)
    assert math.isnan(found.surprisal[0])
    assert not found.probabilities[0].any()
    for n in range(N):
        o, state = bptt.logits(parameters, state, indices[n : n + 1])
        values = state.recurrent.copy()
        if cell == "lstm":
            for layer in range(layers):
                cell_state = slice((2 * layer + 1) * M, (2 * layer + 2) * M)
                values[cell_state] = np.tanh(values[cell_state])
        assert np.abs(quantize(values).astype(int) - found.quantized[n]).max() <= 1  # 1 if two levels are equally near
        if n + 1 < N:
            p = np.exp(o[0]) / np.exp(o[0]).sum()
            assert found.surprisal[n + 1] == pytest.approx(-np.log2(p[indices[n + 1]]), rel=1e-5)
            np.testing.assert_array_equal(found.candidates[n + 1], np.argsort(-p)[:5])
            np.testing.assert_allclose(found.probabilities[n + 1], np.sort(p)[::-1][:5], rtol=1e-5)


FLOAT32_RTOL = ROUNDINGS * float(np.finfo(np.float32).eps)
"""Relative error of values that are stored in float32."""


@pytest.mark.parametrize(
    "before",
    [[0], [N], [0, 0, 0, N, N], [1, 40], [*[0] * 30, 2, *[50] * 40, N - 1]],
    ids=["first", "last", "both ends", "within", "whole slices"],
)
@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_unknown_characters_are_skipped_and_cost_what_the_score_says(
    monkeypatch: pytest.MonkeyPatch, engine: str, cell: str, before: list[int]
) -> None:
    (parameters, start, indices), used = made(cell), get_engine(engine)
    plain = explain_indices(used, parameters, start, indices)
    monkeypatch.setattr(explaining, "MAX_SLICE_VALUES", 8 * (K + M))  # slices of 5 to 8 characters
    extended = np.insert(indices, before, K + 1 + np.arange(len(before)))
    found, known = explain_indices(used, parameters, start, extended), extended < K
    expected = score(used, parameters, start, extended)
    assert found.chars == expected.chars == N - 1 + len(before)
    assert found.nats_per_char * found.chars == pytest.approx(expected.nats, rel=FLOAT32_RTOL)
    np.testing.assert_allclose(found.surprisal[~known] * math.log(2), unknown_nats(K), rtol=FLOAT32_RTOL)
    np.testing.assert_array_equal(found.quantized[known], plain.quantized)
    np.testing.assert_array_equal(found.candidates[known][1:], plain.candidates[1:])
    less = math.exp(-KNOWN_PENALTY_NATS)
    np.testing.assert_allclose(found.probabilities[known], plain.probabilities * less, rtol=FLOAT32_RTOL)
    first_state = explain_indices(used, parameters, start, extended[~known][[0, 0]]).quantized[0]
    for n in np.flatnonzero(~known):
        np.testing.assert_array_equal(found.quantized[n], found.quantized[n - 1] if n else first_state)
        if known[n:].any():  # expected in its place was what comes next
            after = n + int(np.argmax(known[n:]))
            np.testing.assert_array_equal(found.candidates[n], found.candidates[after])
            np.testing.assert_array_equal(found.probabilities[n], found.probabilities[after])


def test_a_text_of_unknown_characters_is_not_read() -> None:
    parameters, start, indices = made("lstm", 2)
    found = explain_indices(get_engine("numba"), parameters, start, np.full(4, K, np.uint8))
    assert found.chars == 4
    assert found.nats_per_char == pytest.approx(unknown_nats(K), rel=FLOAT32_RTOL)
    assert not found.probabilities.any()
    after_known = explain_indices(get_engine("numba"), parameters, start, np.append(indices, [K, K]).astype(np.uint8))
    np.testing.assert_array_equal(after_known.candidates[N], after_known.candidates[N + 1])


@given(st.floats(-1, 1))
def test_a_quantized_activation_is_near_the_activation(value: float) -> None:
    restored = float(dequantize(quantize(np.array([value])))[0])
    assert abs(restored - value) <= math.sqrt(abs(value)) / 127 + 2e-5
    assert quantize(np.array([-1.5, -1.0, 0.0, 1.0, 1.5])).tolist() == [0, 0, 127, 254, 254]


@pytest.mark.parametrize(
    ("length", "c", "message"),
    [
        *((length, 0.0, rf"needs at least 2 characters to be explained \(got {length}\)") for length in (0, 1)),
        (N, 0.0, r"may have at most 89 characters to be explained \(got 90\);"),
        (N - 1, np.nan, "not finite"),
    ],
)
def test_what_cannot_be_explained(monkeypatch: pytest.MonkeyPatch, length: int, c: float, message: str) -> None:
    monkeypatch.setattr(explaining, "MAX_CHARS", N - 1)
    parameters, start, indices = made("rnn")
    parameters["c"][0] += c
    with pytest.raises(ElmanError, match=message):
        explain_indices(get_engine("numpy"), parameters, start, indices[:length])


ORDER = 3


def explain_prior(model: Model, indices: Any, engine: str = "numpy") -> PriorExplanation:
    prior = explain_indices(get_engine(engine), model.parameters, model.state, indices).prior
    assert prior is not None
    return prior


def log_p(o: Array, y: int) -> float:
    return float(o[y] - o.max() - np.log(np.exp(o - o.max()).sum()))


@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_contributions_are_shapley_values(monkeypatch: pytest.MonkeyPatch, engine: str, cell: str) -> None:
    made = random_prior_model(TEXT * 2, cell, order=ORDER, dtype=np.float64)
    parameters, K = made.parameters, len(made.alphabet)
    size = 9 * (4 * K + len(made.state.recurrent))
    monkeypatch.setattr(explaining, "MAX_SLICE_VALUES", size)  # slices of 9 characters
    indices = made.alphabet.encode("dark torrents;\nnight and rain")
    found = explain_prior(made, indices, engine)
    assert parameters.ngrams is not None
    assert math.isnan(found.surprisal[0])
    assert math.isnan(found.counting[0])
    assert (found.order, found.matched[0]) == (ORDER + 1, 0)
    alone = parameters.with_arrays({**parameters, "alpha": 0 * parameters["alpha"]})
    log_q, matched, _ = ngrams.read(parameters.ngrams, made.state.history, indices)
    (both, _), (rest, _) = (bptt.logits(each, made.state, indices) for each in (parameters, alone))
    for t, y in enumerate(indices[1:].tolist()):
        p, n, c = log_p(both[t], y), log_p(rest[t], y), log_p(parameters["alpha"][matched[t]] * log_q[t], y)
        uniform = -math.log(K)
        expected = [-log_q[t, y], (c - uniform + p - n) / 2, (n - uniform + p - c) / 2]
        bits = [found.surprisal[t + 1], found.counting[t + 1], found.network[t + 1]]
        np.testing.assert_allclose(np.array(bits) * math.log(2), expected, rtol=1e-5, atol=1e-6)
        assert found.matched[t + 1] == matched[t]
    means = np.array([found.uniform, found.surprisal, found.counting, found.network])[:, 1:].mean(axis=1) * math.log(2)
    np.testing.assert_allclose([*found.means().values()], means, rtol=1e-5)
    assert found.mean_matched_length == pytest.approx(found.matched[1:].mean())


@pytest.mark.parametrize("unknown", [[], [0, 0, 4, 9, 40, 80], [7]], ids=["none", "some", "one"])
def test_the_means_add_up(unknown: list[int]) -> None:
    made = random_prior_model(TEXT, order=ORDER)
    indices = np.insert(made.alphabet.encode((TEXT * 2)[:80]), unknown, len(made.alphabet) + 1)
    found = explain_indices(made.engine, made.parameters, made.state, indices)
    assert found.prior is not None
    uniform, _, counting, network = found.prior.means().values()
    assert uniform == pytest.approx(found.nats_per_char + counting + network, rel=FLOAT32_RTOL)
    K, n, penalty = len(made.alphabet), len(unknown), KNOWN_PENALTY_NATS if unknown else 0.0
    assert uniform == pytest.approx((79 * (math.log(K) + penalty) + n * unknown_nats(K)) / (79 + n), rel=FLOAT32_RTOL)


def test_contributions_skip_unknown_characters() -> None:
    made = random_prior_model(TEXT, order=ORDER)
    indices, K = made.alphabet.encode((TEXT * 2)[:80]), len(made.alphabet)
    extended = np.insert(indices, [0, 0, 4, 9, 9, 40, 80], K + 1)
    known = extended < K
    plain, found = (explain_prior(made, x) for x in (indices, extended))
    surprisal = explain_indices(made.engine, made.parameters, made.state, extended).surprisal
    np.testing.assert_array_equal(found.surprisal[~known], surprisal[~known])
    np.testing.assert_allclose(found.counting[known], plain.counting, rtol=FLOAT32_RTOL)
    np.testing.assert_array_equal(found.matched[known], plain.matched)
    assert np.isnan(found.counting[~known]).all()
    assert np.isnan(found.surprisal).sum() == 1


def test_without_known_characters_or_a_prior_there_are_no_contributions() -> None:
    made = random_prior_model(TEXT, order=ORDER)
    found = explain_prior(made, np.full(4, 99, np.uint8))
    assert found.means()["counting_nats_per_char"] == found.mean_matched_length == 0
    made.parameters["alpha"][:] = 0
    for each, text in ((made, TEXT), (random_model("ab"), "abab")):
        assert explain_indices(each.engine, each.parameters, each.state, each.alphabet.encode(text)).prior is None
