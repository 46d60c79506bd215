"""The filters against obvious slow versions, and the compiled filters against them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.engine.numba.sampling import pack_sampling_params, truncate
from elman.network import SamplingParams
from elman.network.output import softmax
from elman.network.parameters import Array
from elman.network.sampling import list_sampling_options

# A grid, so that two logits are either equal or clearly apart.
logits = st.lists(st.integers(-40, 40).map(lambda n: n / 4), min_size=1, max_size=9).map(np.array)
filters = {
    each.name: st.just(each.default) | (st.integers(0, 12) if each.type is int else st.floats(0, 1))
    for each in list_sampling_options()
    if each.filter
}
params = st.builds(SamplingParams, temperature=st.sampled_from([0.1, 0.5, 1.0, 3.0]), **filters)


def truncate_compiled(o: Array, sampling: SamplingParams) -> Array:
    row = np.exp((o - o.max()) / sampling.temperature)
    remaining = np.empty(1)
    truncate(row, row.sum(), pack_sampling_params([sampling], len(o)), 0, remaining)
    assert remaining[0] == pytest.approx(row.sum())
    return np.asarray(row / remaining[0])


def typical_slowly(p: list[float], typical_p: float) -> set[int]:
    """Return the indices that locally typical sampling keeps of a distribution, by the definition."""
    total = sum(p)
    surprisal = {k: -math.log(x / total) for k, x in enumerate(p) if x > 0}
    entropy = sum(p[k] / total * s for k, s in surprisal.items())
    kept: set[int] = set()
    for k in sorted(surprisal, key=lambda k: (round(abs(surprisal[k] - entropy) * 1e6), -p[k], k)):
        kept.add(k)
        if sum(p[j] for j in kept) / total >= typical_p:
            break
    return kept


@settings(max_examples=300)
@given(logits, st.floats(0, 0.999), st.sampled_from([0.1, 0.5, 1.0, 3.0]))
def test_typical_p_keeps_those_nearest_to_the_entropy(o: Array, typical_p: float, temperature: float) -> None:
    full = softmax((o - o.max()) / temperature)
    p = SamplingParams(temperature, typical_p=typical_p).probabilities(o)
    kept = np.flatnonzero(p)
    assert {*kept.tolist()} == typical_slowly(full.tolist(), typical_p)
    np.testing.assert_allclose(p[kept], full[kept] / full[kept].sum())


@given(logits, st.integers(1, 9), st.floats(0, 1, exclude_max=True))
def test_typical_p_is_of_what_the_filters_before_it_leave(o: Array, top_k: int, typical_p: float) -> None:
    left = SamplingParams(top_k=top_k).probabilities(o)
    p = SamplingParams(top_k=top_k, typical_p=typical_p).probabilities(o)
    assert {*np.flatnonzero(p).tolist()} == typical_slowly(left.tolist(), typical_p)


def test_typical_p_may_exclude_the_most_likely() -> None:
    o = np.log([0.3, *[0.05] * 14])
    p = SamplingParams(typical_p=0.38).probabilities(o)
    assert p[0] == 0
    np.testing.assert_allclose(p[1:9], 1 / 8)
    assert not p[9:].any()


@pytest.mark.parametrize(
    ("p", "typical_p", "kept"),
    [
        ([0.25, 0.5, 0.25], 0.4, [1]),  # all are equally near: the more probable first
        ([0.25, 0.5, 0.25], 0.6, [0, 1]),  # of equally probable ones the first
        ([0.25] * 4, 0.6, [0, 1, 2]),
        ([0.25] * 4, 0.0, [0]),
        ([1.0, 0.0], 0.9, [0]),
    ],
)
def test_typical_p_breaks_ties(p: list[float], typical_p: float, kept: list[int]) -> None:
    with np.errstate(divide="ignore"):
        o = np.log(p)
    sampling = SamplingParams(typical_p=typical_p)
    assert np.flatnonzero(sampling.probabilities(o)).tolist() == kept
    assert np.flatnonzero(truncate_compiled(o, sampling)).tolist() == kept


@settings(max_examples=500)
@given(logits, params)
def test_the_compiled_filters_are_the_same(o: Array, sampling: SamplingParams) -> None:
    np.testing.assert_allclose(truncate_compiled(o, sampling), sampling.probabilities(o), rtol=1e-9)
