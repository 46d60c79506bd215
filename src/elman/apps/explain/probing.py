"""Probing: how well the activation of each unit tracks each feature of the text.

N  characters in the text       D  units       P  features

A feature is a function from a text to one number per character. A value depends on the text up to and including its
position, never on later text: the network has read no more when its activations are recorded there.

There are two measures. For a binary feature it is the AUC: the probability that the unit ranks a random position where
the feature holds above a random one where it does not, ties counting half. For an amount it is Spearman's rank
correlation. Both depend only on the order in which a unit ranks the positions, not on scale or shape. Inside this
module both are signed numbers in [-1, 1], the AUC as 2 AUC - 1.

The best of some hundred units looks good by selection alone. Units are therefore ranked on the first half of the text
and scored on the second half. Because neighbouring positions are correlated, a few long runs may look like many
samples. Each score therefore has a null baseline: the unit's best score when the feature is shifted along the text by
random offsets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from unicodedata import category

import numpy as np
from numpy.typing import NDArray

from elman.apps.explain.explanation import QuantizedActivations
from elman.network import Array

REPORTED_UNITS = 6  # units per feature whose scores are reported
MIN_ONSETS = 5  # minimum number of beginnings of a feature in each half, for units to be ranked by it
NUM_SHIFTS = 20
_UNITS_AT_ONCE = 16  # units whose ranks are in memory at once

FeatureValues = NDArray[np.float32]  # one number per character, shape (N,)

_SENTENCE_ENDS = ".!?"


@dataclass(frozen=True)
class Feature:
    """A feature of the text."""

    name: str
    description: str  # its definition, in a sentence
    compute: Callable[[str], FeatureValues]  # returns its value at every position of a text
    is_binary: bool = True  # whether its values are 1 and 0; otherwise they are amounts of 0 or more
    needs_history: bool = True  # whether it depends on more than the last character read


@dataclass(frozen=True)
class UnitScore:
    """How well one unit tracks one feature."""

    unit: int  # the column of the unit
    rises: bool  # whether the activation rises with the feature, rather than falls
    score: float  # AUC or rank correlation on the second half, in the direction found on the first half
    baseline: float
    """The unit's best score when the feature is shifted along the text, over `NUM_SHIFTS` random offsets."""


@dataclass(frozen=True, eq=False)
class FeatureProbe:
    """A feature, and the units that track it."""

    feature: Feature
    values: FeatureValues  # (N,): the feature at every position
    ranking: NDArray[np.intp]  # (D,): all units, best on the first half first; empty if the feature is too rare
    best: tuple[UnitScore, ...]  # the first units of the ranking with their scores


def probe_units(quantized: QuantizedActivations, text: str) -> list[FeatureProbe]:
    """Score every unit, of quantized activations (N, D), against every feature of a text of N characters."""
    half, generator = len(text) // 2, np.random.default_rng(0)
    first, second = slice(0, half), slice(half, None)
    values = [feature.compute(text) for feature in FEATURES]
    ranks = np.stack([_ranks(v[first]) for v in values])
    associations = _associations(quantized[first], ranks, np.array([feature.is_binary for feature in FEATURES]))
    probes = []
    for feature, v, association in zip(FEATURES, values, associations, strict=True):
        if min(_count_onsets(v[first]), _count_onsets(v[second])) < MIN_ONSETS:
            probes.append(FeatureProbe(feature, v, np.empty(0, np.intp), ()))
            continue
        ranking = np.argsort(-np.abs(association), kind="stable")
        top = ranking[:REPORTED_UNITS]
        best = _score_units(quantized[second][:, top], feature, v[second], association[top] >= 0, generator)
        scores = (UnitScore(unit, *row) for unit, row in zip(top.tolist(), best, strict=True))
        probes.append(FeatureProbe(feature, v, ranking, tuple(scores)))
    return probes


def select_units(probes: list[FeatureProbe], D: int, count: int) -> list[int]:
    """Return `count` of D units: the best of every feature, then the second of every feature, and so on."""
    # If no feature could be ranked, these are the first units.
    rankings = (probe.ranking for probe in probes if len(probe.ranking))
    in_turn = (int(unit) for units in zip(*rankings, strict=True) for unit in units)
    return list(dict.fromkeys([*in_turn, *range(D)]))[:count]


def _score_units(
    quantized: QuantizedActivations, feature: Feature, values: FeatureValues, rises: NDArray[np.bool_],
    generator: np.random.Generator,
) -> Iterator[tuple[bool, float, float]]:  # fmt: skip
    """Return directions, scores and baselines of units on one half, given their directions on the other half."""
    n, ranks = len(quantized), _ranks(values)
    shifts = generator.integers(max(1, n // 20), n - n // 20, NUM_SHIFTS)
    shifted = np.stack([ranks, *(np.roll(ranks, shift) for shift in shifts)])
    associations = _associations(quantized, shifted, np.full(len(shifted), feature.is_binary))
    found = np.stack([associations[0] * np.where(rises, 1, -1), np.abs(associations[1:]).max(axis=0)])
    scores, baselines = ((found + 1) / 2 if feature.is_binary else found).tolist()
    return zip(rises.tolist(), scores, baselines, strict=True)


def _count_onsets(values: FeatureValues) -> int:
    """Return how often an amount rises from 0, or a binary feature begins to hold."""
    return int(np.sum((values[1:] > 0) & (values[:-1] == 0)))


def _associations(quantized: QuantizedActivations, target_ranks: Array, is_binary: NDArray[np.bool_]) -> Array:
    """Return the signed association (P, D) of features with units, given the features' centred ranks (P, n).

    It is 0 for a unit that never changes.

    Let x be the ranks of a unit's activations and y the ranks of a feature, minus their means; the rank correlation
    is sum x y / (n s_x s_y). If a binary feature holds at n_1 positions and does not hold at n_0, 2 AUC - 1 is
    2 sum_1 x / (n_1 n_0), a sum over the n_1 positions. Because y is n / 2 higher there, and s_y^2 = n_1 n_0 / 4, this
    is sum x y / (n s_y^2).
    """
    n, D = quantized.shape
    associations, target_deviations = np.zeros((len(target_ranks), D)), target_ranks.std(axis=1)[:, None]
    for first in range(0, D, _UNITS_AT_ONCE):
        units = slice(first, first + _UNITS_AT_ONCE)
        ranks = np.stack([_ranks(activations) for activations in quantized[:, units].T])
        by = n * target_deviations * np.where(is_binary[:, None], target_deviations, ranks.std(axis=1))
        np.divide(target_ranks @ ranks.T, by, out=associations[:, units], where=by > 0)
    return associations.clip(-1, 1)  # beyond only by rounding


def _ranks(values: FeatureValues | QuantizedActivations) -> NDArray[np.float64]:
    """Return the centred rank of every position, ties sharing their mean rank; the values are integers."""
    amounts = values.astype(np.intp)
    counts = np.bincount(amounts)
    ranks = np.cumsum(counts) - (counts - 1) / 2 - (len(values) + 1) / 2
    return np.asarray(ranks[amounts])


def _indentation(text: str) -> FeatureValues:
    # Every line with the line feed before it, which the first line does not have.
    lines = ((len(line), len(line) - len(line.lstrip(" \t"))) for line in text.split("\n"))
    return np.concatenate([np.minimum(np.arange(n + 1), depth) for n, depth in lines])[1:].astype(np.float32)


def _scan(step: Callable[[int, str, str], int]) -> Callable[[str], FeatureValues]:
    """Return the feature that holds while a number is not 0; each character and the previous one change the number."""

    def compute(text: str) -> FeatureValues:
        numbers = accumulate(zip(text, f"\0{text}", strict=False), lambda n, pair: step(n, *pair), initial=0)
        return (np.fromiter(numbers, np.intp)[1:] > 0).astype(np.float32)

    return compute


def _step_quotes(is_open: int, c: str, before: str) -> int:
    if c == '"':
        return not is_open
    return c in "“«„" or (is_open and not (c in "”»" or c == before == "\n"))


def _step_brackets(depth: int, c: str, before: str) -> int:
    return 0 if c == before == "\n" else max(0, depth + (c in "([{") - (c in ")]}"))


def _step_sentence(has_ended: int, c: str, _: str) -> int:
    return c in _SENTENCE_ENDS or (has_ended and not c.isalnum())


def _test_each(text: str, test: Callable[[str], bool]) -> NDArray[np.bool_]:
    """Return the result of a test for every character; the test runs once per distinct character."""
    passed = {c for c in set(text) if test(c)}
    return np.fromiter((c in passed for c in text), np.bool_, len(text))


def _character_class(name: str, noun: str, test: Callable[[str], bool]) -> Feature:
    sentence = f"The last character read is {noun}."
    return Feature(name, sentence, lambda text: _test_each(text, test).astype(np.float32), needs_history=False)


def _restarting_count(name: str, description: str, restarts: Callable[[str], bool]) -> Feature:
    def count(text: str) -> FeatureValues:
        positions = np.arange(1, len(text) + 1)
        last = np.maximum.accumulate(np.where(_test_each(text, restarts), positions, 0))
        return (positions - last).astype(np.float32)

    return Feature(name, description, count, is_binary=False)


_LETTERS = "Letters of the word read so far; 0 between words."
_SPACES = "Spaces and tabs at the start of the line, as far as it has been read."
FEATURES = (
    _restarting_count("position in the line", "Characters since the last line feed.", "\n".__eq__),
    _restarting_count("position in the sentence", "Characters since the last . ! or ?", lambda c: c in _SENTENCE_ENDS),
    _restarting_count("length of the word so far", _LETTERS, lambda c: not c.isalpha()),
    Feature("indentation", _SPACES, _indentation, is_binary=False),
    Feature(
        "inside quotes",
        'From an opening " “ « „ to the closing one; a blank line ends it too. Single quotes do not count, since they '
        "are also apostrophes.",
        _scan(_step_quotes),
    ),
    Feature("inside brackets", "From ( [ or { to the closing one; a blank line ends it too.", _scan(_step_brackets)),
    Feature(
        "after a sentence", "From . ! or ? to the character before the next letter or digit.", _scan(_step_sentence)
    ),
    _character_class("line feed", "a line feed: a line begins", "\n".__eq__),
    _character_class("space", "a space", " ".__eq__),
    _character_class("upper case", "an upper-case letter", str.isupper),
    _character_class("letter", "a letter", str.isalpha),
    _character_class("vowel", "a, e, i, o or u, in either case", "aeiouAEIOU".__contains__),
    _character_class("digit", "a digit", str.isdigit),
    _character_class("punctuation", "a punctuation mark (Unicode category P)", lambda c: category(c)[0] == "P"),
)
"""All features: first those that need history, then those that the last character determines."""
