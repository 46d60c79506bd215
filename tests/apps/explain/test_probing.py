"""Features and probing: against counting by hand, and with planted units."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.apps.explain.explanation import dequantize, quantize
from elman.apps.explain.probing import FEATURES, MIN_ONSETS, REPORTED_UNITS, FeatureProbe, probe_units, select_units
from elman.network.parameters import Array
from support.tolerances import DEVIATIONS, RANKS

BY_HAND = {
    "position in the line": ("ab\ncd", [1, 2, 0, 1, 2]),
    "position in the sentence": ("Go. We?!x", [1, 2, 0, 1, 2, 3, 0, 0, 1]),
    "length of the word so far": ("it's ok", [1, 2, 0, 1, 0, 1, 2]),
    "indentation": ("  a b\n\tc\nd", [1, 2, 2, 2, 2, 0, 1, 1, 0, 0]),
    "inside quotes": ('a "b" “c” "d\n\ne', [0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 1, 0, 0]),
    "inside brackets": ("f(a[0]) (\n\n)x", [0, 1, 1, 1, 1, 1, 0, 0, 1, 1, 0, 0, 0]),
    "after a sentence": ('Go." We', [0, 0, 1, 1, 1, 0, 0]),
    "line feed": ("a\nb", [0, 1, 0]),
    "space": ("a b", [0, 1, 0]),
    "upper case": ("aB1É", [0, 1, 0, 1]),
    "letter": ("aé1 ", [1, 1, 0, 0]),
    "vowel": ("aBEy", [1, 0, 1, 0]),
    "digit": ("a1٣", [0, 1, 1]),
    "punctuation": ("a,-”+", [0, 1, 1, 1, 0]),
}


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_a_feature_is_counted_as_by_hand(feature: Any) -> None:
    text, expected = BY_HAND[feature.name]
    assert feature.compute(text).tolist() == expected
    assert feature.compute("").shape == (0,)


@given(st.text(alphabet='aB 1\n".(“”)[]!\t', max_size=40), st.integers(0, 40))
def test_no_feature_looks_ahead(text: str, cut: int) -> None:
    for feature in FEATURES:
        np.testing.assert_array_equal(feature.compute(text)[:cut], feature.compute(text[:cut]))


_generator = np.random.default_rng(5)
WORDS = ("one", "Two", '"three', 'four"', "(five)", "six.", "7", "eight\n")
TEXT = " ".join(_generator.choice(WORDS, 4000))
NOISE = quantize(_generator.uniform(-1, 1, (len(TEXT), 12)))


def feature_named(name: str) -> Any:
    return next(feature for feature in FEATURES if feature.name == name)


def best_of(found: list[FeatureProbe], name: str) -> FeatureProbe:
    return next(each for each in found if each.feature.name == name)


@pytest.fixture(scope="module")
def planted() -> Any:
    """Activations of noise, but for units 3, 5 and 8, which track features in some noise."""
    activations, generator = NOISE.copy(), np.random.default_rng(6)
    quotes, line = feature_named("inside quotes").compute(TEXT), feature_named("position in the line").compute(TEXT)
    activations[:, 3] = quantize(np.where(generator.random(len(TEXT)) < 0.9, 0.02 * quotes - 0.01, 0.0))
    activations[:, 5] = quantize(-line / line.max())
    activations[:, 8] = quantize(0.9 * feature_named("digit").compute(TEXT))
    return activations


def test_planted_units_are_found(planted: Any) -> None:
    found = probe_units(planted, TEXT)
    quotes = best_of(found, "inside quotes").best[0]
    assert (quotes.unit, quotes.rises) == (3, True)
    assert quotes.score == pytest.approx(0.995, abs=0.001)  # a tenth of each side ties with a tenth of the other
    assert quotes.baseline < 0.6
    line = best_of(found, "position in the line").best[0]
    assert (line.unit, line.rises) == (5, False)
    assert line.score > 0.99
    digit = best_of(found, "digit").best[0]
    assert (digit.unit, digit.rises) == (8, True)
    assert digit.score == pytest.approx(1.0, rel=RANKS)
    assert all(len(each.best) == REPORTED_UNITS for each in found if len(each.ranking))


def average_ranks(x: Array) -> Array:
    """Return the rank of every number, from 1 on; equal numbers have the mean of their ranks."""
    ordered = np.sort(x)
    return (np.searchsorted(ordered, x, "left") + np.searchsorted(ordered, x, "right") + 1) / 2


def test_scores_are_those_of_the_second_half(planted: Any) -> None:
    half = len(TEXT) // 2
    for each in probe_units(planted, TEXT):
        second = each.values[half:]
        for unit_score in each.best:
            x, sign = dequantize(planted[half:, unit_score.unit]), 1 if unit_score.rises else -1
            if each.feature.is_binary:
                there, elsewhere = np.sort(x[second > 0]), np.sort(x[second == 0])
                below = np.searchsorted(elsewhere, there, "left") + np.searchsorted(elsewhere, there, "right")
                expected = below.mean() / 2 / len(elsewhere)
                assert unit_score.score == pytest.approx(expected if unit_score.rises else 1 - expected, abs=1e-6)
            else:
                spearman = np.corrcoef(average_ranks(x), average_ranks(second))[0, 1]
                assert unit_score.score == pytest.approx(sign * spearman, abs=1e-6)


def test_noise_scores_only_on_the_half_it_was_selected_on() -> None:
    n = 2000
    text, activations = TEXT[:n], quantize(np.random.default_rng(7).uniform(-1, 1, (n, 400)))
    vowel = best_of(probe_units(activations, text), "vowel")
    sigma = math.sqrt(1 / 3 / (n / 2) / 4 / (vowel.values.mean() * (1 - vowel.values.mean())))  # of an AUC by chance
    first, x = vowel.values[: n // 2], dequantize(activations[: n // 2, vowel.best[0].unit])
    there, elsewhere = x[first > 0], x[first == 0]
    selected_on = (there[:, None] > elsewhere).mean()
    assert max(selected_on, 1 - selected_on) > 0.5 + 2 * sigma
    assert abs(vowel.best[0].score - 0.5) < DEVIATIONS * sigma
    assert 0.5 < vowel.best[0].baseline < 0.5 + DEVIATIONS * sigma


def test_a_constant_unit_tracks_nothing_and_rare_features_are_not_ranked() -> None:
    for each in probe_units(np.full((len(TEXT), 1), 127, np.uint8), TEXT):
        assert all(unit_score.score == (0.5 if each.feature.is_binary else 0) for unit_score in each.best)
    text = ("one two\n" * 50 + '"' * (2 * MIN_ONSETS - 1)) * 2
    found = probe_units(quantize(np.zeros((len(text), 3))), text)
    assert len(best_of(found, "space").ranking) == 3
    assert not best_of(found, "inside quotes").best
    assert not len(best_of(found, "inside quotes").ranking)


@pytest.mark.parametrize("text", ["ab", "a" * 30, "\n" * 30, "a b " * 11])
def test_any_text_can_be_probed(text: str) -> None:
    assert len(select_units(probe_units(quantize(np.zeros((len(text), 2))), text), 2, 1)) == 1


def test_units_are_selected_in_turns(planted: Any) -> None:
    found = probe_units(planted, TEXT)
    best = list(dict.fromkeys(int(each.ranking[0]) for each in found if len(each.ranking)))
    assert select_units(found, 12, len(best)) == best
    assert sorted(select_units(found, 12, 99)) == list(range(12))
    assert select_units([], 12, 3) == [0, 1, 2]
