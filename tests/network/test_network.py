"""The reference network: its first loss, output layer, sampling, and the documents that derive them."""

import doctest
import importlib
import itertools
import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.network import SamplingParams, output
from elman.network.cells import CELLS
from elman.network.ops import sigmoid
from elman.network.parameters import Array
from support import tolerances as tolerances
from support.networks import make_parameters, state_of, window_loss
from support.state import ROOT


@pytest.mark.parametrize("seed", [400, 1, 2])
def test_the_first_loss_is_that_of_guessing(seed: int) -> None:
    parameters = make_parameters(80, 100, 0.1, np.random.RandomState(seed), np.float64)
    text = np.random.default_rng(seed).integers(0, 80, 26).astype(np.uint8)
    loss, _ = window_loss(parameters, state_of(parameters, np.zeros(100)), text[:-1], text[1:])
    assert loss == pytest.approx(25 * math.log(80), rel=tolerances.START_LOSS)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_is_stable_at_large_logits(dtype: type[np.floating]) -> None:
    o = np.array([[1000, -1000, 1000, 0], [-1000, -1000, -1000, -1000]], dtype)
    np.testing.assert_array_equal(output.softmax(o), [[0.5, 0, 0.5, 0], [0.25] * 4])
    expected = np.array([[0, -2000, 0, -1000], [0] * 4], dtype) - np.log(np.array([[2], [4]], dtype))
    np.testing.assert_array_equal(output.log_softmax(o), expected)
    np.testing.assert_array_equal(sigmoid(o[0]), [1, 0, 1, 0.5])


def test_the_loss_is_finite_where_p_underflows() -> None:
    o = np.array([[0.0, 2000.0, -2000.0], [0.0, 0.0, 0.0]])
    assert output.softmax(o)[0, 2] == 0
    expected = 4000 + math.log(3)
    assert output.loss(o, np.array([2, 1], np.uint8)) == pytest.approx(expected, rel=1e-15)


# A grid, so that two logits are either equal or clearly apart.
logits = st.lists(st.integers(-40, 40).map(lambda n: n / 4), min_size=1, max_size=9).map(np.array)
draws = st.builds(
    SamplingParams,
    temperature=st.sampled_from([0.0, 0.1, 0.5, 1.0, 3.0]),
    top_k=st.integers(0, 12),
    top_p=st.floats(0, 1),
)
uniforms = st.floats(0, 1, exclude_max=True) | st.just(math.nextafter(1, 0))


def argmax(o: Array) -> Array:
    p = np.zeros(len(o))
    p[o.argmax()] = 1
    return p


@given(logits)
def test_temperature_zero_and_the_first_of_top_k_are_the_argmax(o: Array) -> None:
    np.testing.assert_array_equal(SamplingParams(temperature=0).probabilities(o), argmax(o))
    is_highest = o == o.max()
    np.testing.assert_allclose(SamplingParams(temperature=1e-320).probabilities(o), is_highest / is_highest.sum())
    np.testing.assert_array_equal(SamplingParams(top_k=1).probabilities(o), argmax(o))
    np.testing.assert_array_equal(SamplingParams(top_p=0).probabilities(o), argmax(o))


@given(logits, st.integers(1, 12))
def test_top_k_keeps_the_k_most_likely(o: Array, top_k: int) -> None:
    p = SamplingParams(top_k=top_k).probabilities(o)
    kept = p > 0
    assert kept.sum() == min(top_k, len(o))
    assert o[~kept].max(initial=-np.inf) <= o[kept].min()
    full = output.softmax(o)
    np.testing.assert_allclose(p[kept], full[kept] / full[kept].sum(), tolerances.PROBABILITY)


@given(logits, st.floats(0.01, 1), st.sampled_from([0.1, 1.0, 3.0]))
def test_top_p_keeps_the_smallest_set_that_reaches_it(o: Array, top_p: float, temperature: float) -> None:
    full = output.softmax(o / temperature)
    p = SamplingParams(temperature, top_p=top_p).probabilities(o)
    kept = p > 0
    assert o[~kept].max(initial=-np.inf) <= o[kept].min()
    assert full[kept].sum() >= top_p - tolerances.PROBABILITY
    assert full[kept].sum() - full[kept].min() < top_p + tolerances.PROBABILITY
    np.testing.assert_allclose(p[kept], full[kept] / full[kept].sum(), tolerances.PROBABILITY)


def test_top_p_stops_where_the_sum_is_reached_exactly() -> None:
    o = np.log([0.25, 0.5, 0.125, 0.125])
    for top_p, kept in [(0.5, [1]), (0.51, [0, 1]), (0.75, [0, 1]), (0.875, [0, 1, 2])]:
        assert np.flatnonzero(SamplingParams(top_p=top_p).probabilities(o)).tolist() == kept


FILTERS: dict[str, Any] = {"top_k": 6, "top_p": 0.85, "min_p": 0.1, "typical_p": 0.8}


@pytest.mark.parametrize(("first", "second"), [*itertools.combinations(FILTERS, 2)])
def test_a_filter_is_applied_to_the_distribution_that_the_filters_before_it_leave(first: str, second: str) -> None:
    for o in np.random.default_rng(3).normal(0, 1.5, (50, 12)):
        p = SamplingParams(**{first: FILTERS[first]}).probabilities(o)
        kept = np.flatnonzero(p)
        expected = np.zeros(len(o))
        expected[kept] = SamplingParams(**{second: FILTERS[second]}).probabilities(np.log(p[kept]))
        both = SamplingParams(**{name: FILTERS[name] for name in (first, second)}).probabilities(o)
        np.testing.assert_allclose(both, expected, atol=tolerances.PROBABILITY)


@settings(max_examples=300)
@given(logits, draws, uniforms)
def test_an_index_inverts_the_distribution_function(o: Array, sampling: SamplingParams, uniform: float) -> None:
    before, p, index = o.copy(), sampling.probabilities(o), sampling.sample(o, uniform)
    np.testing.assert_array_equal(o, before)
    np.testing.assert_array_equal(sampling.probabilities(o.astype(np.float32)), p)  # they are always of float64
    assert p.min() >= 0
    assert p.sum() == pytest.approx(1, abs=tolerances.PROBABILITY)
    assert p[index] > 0
    assert p[:index].sum() <= uniform + tolerances.PROBABILITY
    assert p[: index + 1].sum() > uniform - tolerances.PROBABILITY


def test_the_borders_between_characters() -> None:
    o = np.zeros(4)
    below_half = math.nextafter(0.5, 0)
    for uniform, index in [(0, 0), (0.25, 1), (below_half, 1), (0.5, 2), (math.nextafter(1, 0), 3)]:
        assert SamplingParams().sample(o, uniform) == index
    # Two of four are excluded, the first and a middle one.
    o = np.array([-1.0, 0.0, -1.0, 0.0])
    for uniform, index in [(0, 1), (below_half, 1), (0.5, 3), (math.nextafter(1, 0), 3)]:
        assert SamplingParams(top_k=2).sample(o, uniform) == index


@pytest.mark.parametrize("module", ["elman.network.optimizer", "elman.network.sampling", "elman.testing.conformance"])
def test_the_examples_in_docstrings(module: str) -> None:
    result = doctest.testmod(importlib.import_module(module))
    assert result.attempted > 0
    assert result.failed == 0


PAGES = "".join((ROOT / f"docs/explanation/{name}.md").read_text("utf-8") for name in ("bptt", "cells", "ngram_prior"))


@pytest.mark.parametrize(
    ("module", "label"),
    [
        *((f"network/cells/{name}", spec.label) for name, spec in CELLS.items()),
        ("network/output", "Output"),
        ("network/dropout", "Dropout"),
        ("ngram/model", "Counts"),
    ],
)
def test_the_documents_derive_every_numbered_line(module: str, label: str) -> None:
    """**GRU (1) to (3).** and **GRU (4), (5).** in bold, before the equations, name the lines."""
    derived: set[str] = set()
    for numbers in re.findall(rf"\*\*(?:[^*]*; )?{label} (\([^*;]*)", PAGES):
        for first, last in re.findall(r"\((\d+'?)\)(?: to \((\d+)\))?", numbers):
            derived |= {first} | ({str(n) for n in range(int(first), int(last) + 1)} if last else set())
    source = (ROOT / f"src/elman/{module}.py").read_text("utf-8")
    comments = re.findall(r"  # (\(\d.*)$", source, re.M)
    numbered = {number for comment in comments for number in re.findall(r"\((\d+'?)\)", comment)}
    assert numbered
    assert numbered <= derived
