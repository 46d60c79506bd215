"""Downsampled curves: incremental updates equal the entire curve, the points are bounded, extremes are kept."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.network import initial_parameters
from elman.serve import history
from elman.serve.history import BINS, MetricCurve, compute_histograms

FEW = 8
"""Buckets in these tests."""


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Downsample short curves already."""
    monkeypatch.setattr(history, "MAX_BUCKETS", FEW)


class Page:
    """A client's copy of a curve."""

    def __init__(self) -> None:
        self.points: list[tuple[int, float, float]] = []
        self.known = 0

    def receive(self, news: dict[str, Any]) -> None:
        """Replace the points from `since` on by the new ones."""
        self.points = [point for point in self.points if point[0] < news["since"]]
        self.points += zip(news["update"], news["seconds"], news["value"], strict=True)
        self.known = news["count"]


def curve(values: list[float], updates: list[int] | None = None) -> MetricCurve:
    made = MetricCurve()
    for i, value in enumerate(values):
        update = 3 * i + 1 if updates is None else updates[i]
        made.append(update, update / 4, value)
    return made


VALUES = st.lists(st.integers(0, 9).map(float), max_size=6 * FEW)


@settings(max_examples=300, deadline=None)
@given(VALUES, st.lists(st.integers(1, 9), max_size=20))
def test_incremental_updates_equal_the_entire_curve(values: list[float], pieces: list[int]) -> None:
    growing, page = MetricCurve(), Page()
    borders = [0, *np.minimum(np.cumsum([*pieces, len(values)]), len(values)).tolist()]
    for start, end in pairwise(borders):
        for i in range(start, end):
            growing.append(3 * i + 1, (3 * i + 1) / 4, values[i])
        page.receive(growing.since(page.known))
    at_once = Page()
    at_once.receive(curve(values).since(0))
    assert page.points == at_once.points
    assert len(page.points) <= 2 * FEW + 1


@given(VALUES.filter(bool))
def test_extremes_are_kept(values: list[float]) -> None:
    found = curve(values).since(0)
    assert (min(found["value"]), max(found["value"])) == (min(values), max(values))
    assert [values[(update - 1) // 3] for update in found["update"]] == found["value"]
    assert found["update"] == sorted(set(found["update"]))


@given(VALUES.filter(bool), st.integers(0, 200), st.integers(0, 200))
def test_a_range_has_its_updates_and_one_on_either_side(values: list[float], a: int, b: int) -> None:
    first, last = sorted((a, b))
    updates = [3 * i + 1 for i in range(len(values))]
    inside = [update for update in updates if first <= update <= last]
    found = curve(values).between(first, last)["update"]
    assert len(found) <= 2 * FEW + 1
    assert set(found) <= set(updates)
    if len(inside) + 2 <= FEW:  # not thinned
        before, behind = [u for u in updates if u < first][-1:], [u for u in updates if u > last][:1]
        assert found == before + inside + behind


def test_a_client_with_more_points_than_the_curve_gets_all() -> None:
    found = curve([1.0, 2.0]).since(50)
    assert (found["since"], found["update"]) == (1, [1, 4])


def test_values_that_are_not_finite_are_left_out() -> None:
    assert curve([1.0, np.nan, np.inf, 2.0]).since(0)["value"] == [1.0, 2.0]
    assert curve([np.nan]).minimum() is None
    assert curve([3.0, 1.0, 2.0]).minimum() == (4, 1.0)
    assert MetricCurve().since(0) == {"since": 0, "count": 0, "update": [], "seconds": [], "value": []}


def test_histograms_of_every_array_and_state_vector() -> None:
    m, K = 3, 5
    parameters = initial_parameters(K, m, 0.5, np.random.RandomState(0), np.float32, "lstm", 2)
    parameters["c"][:] = 0
    states = np.arange(2 * 7 * 4 * m, dtype=np.float32).reshape(2, 7, 4 * m)
    found = {each["name"]: each for each in compute_histograms(parameters, states)}
    assert [*found] == [*parameters, "h", "s", "h2", "s2"]
    for name, array in parameters.items():
        assert sum(found[name]["counts"]) == array.size
        assert len(found[name]["counts"]) == BINS
    assert (found["W"]["low"], found["W"]["high"]) == (parameters["W"].min(), parameters["W"].max())
    assert (found["c"]["low"], found["c"]["high"]) == (-0.5, 0.5)
    part = states[..., m : 2 * m]
    assert (found["s"]["low"], found["s"]["high"], sum(found["s"]["counts"])) == (part.min(), part.max(), part.size)


def test_numbers_that_are_not_finite_are_in_no_histogram() -> None:
    parameters = initial_parameters(5, 3, 0.5, np.random.RandomState(0), np.float64)
    parameters["b"][0] = np.nan
    found = {each["name"]: each for each in compute_histograms(parameters, np.full((1, 3), np.inf))}
    assert (sum(found["b"]["counts"]), sum(found["h"]["counts"])) == (2, 0)
