"""Downsampled curves, whose points are bounded and whose extremes are kept, and histograms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.apps.dashboard import history
from elman.apps.dashboard.history import BINS, MetricCurve, compute_histograms
from support.networks import make_parameters

FEW = 8
"""Buckets in these tests."""


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Downsample short curves already."""
    monkeypatch.setattr(history, "MAX_BUCKETS", FEW)


def curve(values: list[float]) -> MetricCurve:
    made = MetricCurve()
    for i, value in enumerate(values):
        made.append(3 * i + 1, i / 4, value)
    return made


@given(st.lists(st.integers(0, 9).map(float), min_size=1, max_size=6 * FEW))
def test_extremes_are_kept(values: list[float]) -> None:
    found = curve(values).as_dict()
    assert (min(found["value"]), max(found["value"])) == (min(values), max(values))
    assert [values[(update - 1) // 3] for update in found["update"]] == found["value"]
    assert found["update"] == sorted(set(found["update"]))
    assert found["update"][-1] == 3 * len(values) - 2
    assert len(found["update"]) <= 2 * FEW + 1


def test_values_that_are_not_finite_are_left_out() -> None:
    assert curve([1.0, np.nan, np.inf, 2.0]).as_dict()["value"] == [1.0, 2.0]
    assert curve([np.nan]).minimum() is None
    assert curve([3.0, 1.0, 2.0]).minimum() == (4, 1.0)
    assert MetricCurve().as_dict() == {"update": [], "seconds": [], "value": []}


def test_histograms_of_every_array_and_state_vector() -> None:
    m, K = 3, 5
    parameters = make_parameters(K, m, 0.5, np.random.RandomState(0), np.float32, "lstm", 2)
    parameters["c"][:] = 0
    parameters["b2"][:] = 3e38  # in whose neighbourhood numbers are far apart
    parameters["b"][0] = np.nan
    states = np.arange(2 * 7 * 4 * m, dtype=np.float32).reshape(2, 7, 4 * m)
    states[..., 0] = np.inf
    found = {each["name"]: each for each in compute_histograms(parameters, states)}
    assert [*found] == [*parameters, "h", "s", "h2", "s2"]
    for name, array in parameters.items():
        assert sum(found[name]["counts"]) == np.isfinite(array).sum()
        assert len(found[name]["counts"]) == BINS
    assert (found["W"]["low"], found["W"]["high"]) == (parameters["W"].min(), parameters["W"].max())
    assert (found["c"]["low"], found["c"]["high"]) == (-0.5, 0.5)
    assert sum(found["h"]["counts"]) == 2 * 7 * (m - 1)
    part = states[..., m : 2 * m]
    assert (found["s"]["low"], found["s"]["high"], sum(found["s"]["counts"])) == (part.min(), part.max(), part.size)
