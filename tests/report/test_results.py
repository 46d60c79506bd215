"""The statistics of a curve."""

import pytest

from elman.report.results import measure_curve


def curve(*points: tuple[int, float]) -> dict[str, list[float]]:
    """Return a curve through (update, smooth loss)."""
    update, S = zip(*points, strict=True)
    return {"update": list(update), "smooth_loss": list(S)}


def test_epochs_are_compared_at_equal_positions() -> None:
    wave = [
        (n, 60 - n / 10 + n % 10) for n in range(2, 41)
    ]  # rises within each epoch of 10, falls from one to the next
    statistics = measure_curve(curve((1, 100.0), *wave), 30, 10)
    expected = {"per_epoch": 10, "start": 100.0, "end": 57.0, "lower": 19, "compared": 19}
    assert {name: statistics[name] for name in expected} == expected


@pytest.mark.parametrize(("end", "first_tenth"), [(50.0, 0.8), (110.0, 0.0)])
def test_the_first_tenth_is_a_share_of_the_decrease(end: float, first_tenth: float) -> None:
    statistics = measure_curve(curve((1, 100.0), (10, 60.0), (100, end)), 100, 1000)
    assert statistics["first_tenth"] == pytest.approx(first_tenth)


def test_a_curve_of_one_update_has_statistics() -> None:
    statistics = measure_curve(curve((1, 100.0)), 1, 10)
    assert (statistics["compared"], statistics["first_tenth"], statistics["end"]) == (0, 0, 100)
