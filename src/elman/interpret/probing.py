"""Probing: how well the activation of each unit tracks each feature of the text.

N  characters in the text       D  units       P  features

There are two measures. For a binary feature it is the AUC: the probability that the unit ranks a random position where
the feature holds above a random one where it does not, ties counting half. For an amount it is Spearman's rank
correlation. Both depend only on the order in which a unit ranks the positions, not on scale or shape. Inside this
module both are signed numbers in [-1, 1], the AUC as 2 AUC - 1.

The best of some hundred units looks good by selection alone. Units are therefore ranked on the first half of the text
and scored on the second half. As neighbouring positions are correlated, a few long runs may look like many samples;
each score therefore comes with a null baseline, the unit's best score when the feature is shifted along the text by
random offsets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elman.interpret.activations import QuantizedActivations
from elman.interpret.features import FEATURES, Feature, FeatureValues
from elman.network.parameters import Array

REPORTED_UNITS = 6
"""Units per feature whose scores are reported."""
MIN_ONSETS = 5
"""How often a feature must begin, in either half, for units to be ranked by it."""
NUM_SHIFTS = 20
_LEVELS = 256
_SLICE = 4096
"""Positions processed at a time."""


@dataclass(frozen=True)
class UnitScore:
    """How well one unit tracks one feature.

    Parameters
    ----------
    unit : int
        Its column.
    rises : bool
        Whether the activation rises with the feature, rather than falls.
    score : float
        AUC or rank correlation on the second half, in the direction found on the first half.
    baseline : float
        The unit's best score when the feature is shifted along the text, over `NUM_SHIFTS` random offsets.
    """

    unit: int
    rises: bool
    score: float
    baseline: float


@dataclass(frozen=True, eq=False)
class FeatureProbe:
    """A feature, and the units that track it.

    Parameters
    ----------
    feature : Feature
    values : ndarray of float32, shape (N,)
        The feature at every position.
    ranking : ndarray of int, shape (D,)
        All units, best on the first half first; empty if the feature is too rare.
    best : tuple of UnitScore
        The first units of the ranking with their scores.
    """

    feature: Feature
    values: FeatureValues
    ranking: NDArray[np.intp]
    best: tuple[UnitScore, ...]


def probe_units(quantized: QuantizedActivations, text: str) -> list[FeatureProbe]:
    """Score every unit against every feature.

    Parameters
    ----------
    quantized : ndarray of uint8, shape (N, D)
        Activations, see `elman.interpret.activations.quantize`.
    text : str
        N characters.
    """
    half, generator = len(text) // 2, np.random.default_rng(0)
    first, second = slice(0, half), slice(half, None)
    values = [feature.compute(text) for feature in FEATURES]
    targets = [_Target(feature.is_binary, _ranks(v[first])) for feature, v in zip(FEATURES, values, strict=True)]
    associations = _associations(quantized[first], targets)
    probes = []
    for feature, v, association in zip(FEATURES, values, associations, strict=True):
        if min(_count_onsets(v[first]), _count_onsets(v[second])) < MIN_ONSETS:
            probes.append(FeatureProbe(feature, v, np.empty(0, np.intp), ()))
            continue
        ranking = np.argsort(-np.abs(association), kind="stable")
        top = ranking[:REPORTED_UNITS]
        target = _Target(feature.is_binary, _ranks(v[second]))
        best = _score_units(quantized[second][:, top], target, top, association[top] >= 0, generator)
        probes.append(FeatureProbe(feature, v, ranking, best))
    return probes


def select_units(probes: list[FeatureProbe], D: int, count: int) -> list[int]:
    """Return `count` of D units: the best of every feature, then the second of every feature, and so on.

    If no feature could be ranked, these are the first units.
    """
    rankings = (probe.ranking for probe in probes if len(probe.ranking))
    in_turn = (int(unit) for units in zip(*rankings, strict=True) for unit in units)
    return list(dict.fromkeys([*in_turn, *range(D)]))[:count]


@dataclass(frozen=True, eq=False)
class _Target:
    """A feature on one half of the text: whether it is binary, and the centred ranks of its positions (n,)."""

    is_binary: bool
    ranks: NDArray[np.float64]


def _score_units(
    quantized: QuantizedActivations,
    target: _Target,
    units: NDArray[np.intp],
    rises: NDArray[np.bool_],
    generator: np.random.Generator,
) -> tuple[UnitScore, ...]:
    """Return the scores of some units on the half that they were not selected on."""
    n = len(quantized)
    shifts = generator.integers(max(1, n // 20), n - n // 20, NUM_SHIFTS)
    shifted = [_Target(target.is_binary, np.roll(target.ranks, shift)) for shift in shifts]
    associations = _associations(quantized, [target, *shifted])
    scores = associations[0] * np.where(rises, 1, -1)
    baselines = np.abs(associations[1:]).max(axis=0)
    if target.is_binary:
        scores, baselines = (scores + 1) / 2, (baselines + 1) / 2
    rows = zip(units, rises, scores, baselines, strict=True)
    return tuple(UnitScore(int(unit), bool(up), float(score), float(null)) for unit, up, score, null in rows)


def _count_onsets(values: FeatureValues) -> int:
    """Return how often an amount rises from 0, or a binary feature begins to hold."""
    return int(np.sum((values[1:] > 0) & (values[:-1] == 0)))


def _associations(quantized: QuantizedActivations, targets: Sequence[_Target]) -> Array:
    """Return the signed association (P, D) of every target with every unit; 0 for a unit that never changes.

    With x the ranks of a unit's activations and y those of a feature, both less their means, the rank correlation is
    sum x y / (n s_x s_y). If a binary feature holds at n_1 positions and does not at n_0, 2 AUC - 1 is
    2 sum_1 x / (n_1 n_0), a sum over the n_1. As y is n / 2 higher there, and s_y^2 = n_1 n_0 / 4, that is
    sum x y / (n s_y^2).
    """
    n, counts = len(quantized), _histogram(quantized)
    ranks = np.cumsum(counts, axis=1) - (counts - 1) / 2 - (n + 1) / 2  # ties share their mean rank
    deviations = np.sqrt((counts * ranks**2).sum(axis=1) / n)
    sums = _products(quantized, ranks, np.stack([target.ranks for target in targets]))
    associations = np.zeros_like(sums)
    for p, target in enumerate(targets):
        deviation = target.ranks.std()
        by = n * deviation * (np.full_like(deviations, deviation) if target.is_binary else deviations)
        np.divide(sums[p], by, out=associations[p], where=by > 0)
    return associations.clip(-1, 1)  # the products are rounded to float32


def _ranks(values: FeatureValues) -> NDArray[np.float64]:
    """Return the centred rank of every position, ties sharing their mean rank; the values are integers."""
    amounts = values.astype(np.intp)
    counts = np.bincount(amounts)
    ranks = np.cumsum(counts) - (counts - 1) / 2 - (len(values) + 1) / 2
    return np.asarray(ranks[amounts])


def _products(quantized: QuantizedActivations, table: Array, target_ranks: Array) -> NDArray[np.float64]:
    """Return the products (P, D) of target ranks (P, n) with the table's (D, 256) ranks of the activations (n, D)."""
    flat, offsets = table.astype(np.float32).ravel(), _offsets(quantized)
    sums = np.zeros((len(target_ranks), quantized.shape[1]))
    for start in range(0, len(quantized), _SLICE):
        positions = slice(start, start + _SLICE)
        sums += target_ranks[:, positions].astype(np.float32) @ flat[quantized[positions] + offsets]
    return sums


def _histogram(quantized: QuantizedActivations) -> NDArray[np.int64]:
    """Return how often each unit takes each level, (D, 256)."""
    D, offsets = quantized.shape[1], _offsets(quantized)
    counts = np.zeros(D * _LEVELS, np.int64)
    for start in range(0, len(quantized), _SLICE):
        counts += np.bincount((quantized[start : start + _SLICE] + offsets).ravel(), minlength=D * _LEVELS)
    return counts.reshape(D, _LEVELS)


def _offsets(quantized: QuantizedActivations) -> NDArray[np.int32]:
    """Return the offset of each unit's row in a flattened table (D, 256)."""
    return _LEVELS * np.arange(quantized.shape[1], dtype=np.int32)
