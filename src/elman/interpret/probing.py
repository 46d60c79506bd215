"""How well each unit keeps track of what a reader can name, measured so that chance is kept out.

N  characters in the text       D  units       P  things that can be named

Two measures. Of what holds or does not, the AUC: how often, of one place where it holds and one where it does not, the
unit tells which is which, ties counting half. Of an amount, the rank correlation (Spearman's). Neither asks how a unit
is scaled or bent, only how it orders the places. Inside this module both are signed numbers in [-1, 1], the first as
2 AUC - 1.

The best of some hundred units is good by choice alone. So they are ranked on the first half of the text, and the score
that is told comes from the second, which had no part in the choice. And as neighbouring places are alike, few
stretches may look like many: beside the score stands the best of what the same unit reaches where the thing is moved
along the text by random distances.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elman.interpret.activations import Codes
from elman.interpret.features import NAMEABLE, Nameable, Track
from elman.network.parameters import Array

TOLD = 6
"""Units of each thing whose scores are told."""
STRETCHES = 5
"""How often, in either half, a thing must begin for units to be held against it."""
MOVES = 20
_CODES = 256
_ROWS = 4096
"""Places looked at at a time."""


@dataclass(frozen=True)
class Tracker:
    """How well one unit keeps track of one thing.

    Parameters
    ----------
    unit : int
        Its column.
    rises : bool
        Whether the activation rises with the thing, rather than falls.
    score : float
        On the second half: an AUC or a rank correlation, counted in the direction that the first half told.
    chance : float
        What the unit reaches at best while the thing is moved along the text, `MOVES` times.
    """

    unit: int
    rises: bool
    score: float
    chance: float


@dataclass(frozen=True, eq=False)
class Tracked:
    """A thing that can be named, and the units that keep track of it.

    Parameters
    ----------
    nameable : Nameable
    track : ndarray of float32, shape (N,)
        What it is at every place.
    order : ndarray of int, shape (D,)
        All units, the best on the first half first; empty where the thing is too rare.
    best : tuple of Tracker
        The first of them, with their scores.
    """

    nameable: Nameable
    track: Track
    order: NDArray[np.intp]
    best: tuple[Tracker, ...]


def track(codes: Codes, text: str) -> list[Tracked]:
    """Hold every unit against everything that can be named.

    Parameters
    ----------
    codes : ndarray of uint8, shape (N, D)
        Activations, see `elman.interpret.activations.encoded`.
    text : str
        N characters.
    """
    half, generator = len(text) // 2, np.random.default_rng(0)
    first, second = slice(0, half), slice(half, None)
    tracks = [nameable.of(text) for nameable in NAMEABLE]
    common = [min(_stretches(track[first]), _stretches(track[second])) >= STRETCHES for track in tracks]
    things = [_Thing(nameable.holds, _ranks(track[first])) for nameable, track in zip(NAMEABLE, tracks, strict=True)]
    found = []
    for nameable, whole, enough, strength in zip(
        NAMEABLE, tracks, common, _strengths(codes[first], things), strict=True
    ):
        order = np.argsort(-np.abs(strength), kind="stable") if enough else np.empty(0, np.intp)
        told = order[:TOLD]
        thing = _Thing(nameable.holds, _ranks(whole[second]))
        best = _trackers(codes[second][:, told], thing, told, strength[told] >= 0, generator) if enough else ()
        found.append(Tracked(nameable, whole, order, best))
    return found


def chosen(tracked: list[Tracked], D: int, count: int) -> list[int]:
    """Return `count` of D units: the best of every thing, then the second of every thing, and so on.

    Where nothing could be tracked they are the first.
    """
    ranked = (int(unit) for place in zip(*(t.order for t in tracked if len(t.order)), strict=True) for unit in place)
    return list(dict.fromkeys([*ranked, *range(D)]))[:count]


@dataclass(frozen=True, eq=False)
class _Thing:
    """What units are held against on one half: whether it either holds or not, and the ranks of its places (n,)."""

    holds: bool
    ranks: NDArray[np.float64]


def _trackers(
    codes: Codes, thing: _Thing, units: NDArray[np.intp], rises: NDArray[np.bool_], generator: np.random.Generator
) -> tuple[Tracker, ...]:
    """Return the scores of some units on the half that they were not chosen on."""
    n = len(codes)
    moves = generator.integers(max(1, n // 20), n - n // 20, MOVES)
    strengths = _strengths(codes, [thing, *(_Thing(thing.holds, np.roll(thing.ranks, move)) for move in moves)])
    scores = strengths[0] * np.where(rises, 1, -1)
    chances = np.abs(strengths[1:]).max(axis=0)
    if thing.holds:
        scores, chances = (scores + 1) / 2, (chances + 1) / 2
    rows = zip(units, rises, scores, chances, strict=True)
    return tuple(Tracker(int(unit), bool(up), float(score), float(chance)) for unit, up, score, chance in rows)


def _stretches(track: Track) -> int:
    """Return how often an amount rises from 0, or a thing begins to hold."""
    return int(np.sum((track[1:] > 0) & (track[:-1] == 0)))


def _strengths(codes: Codes, things: Sequence[_Thing]) -> Array:
    """Return of every thing how well each unit keeps track of it, signed, (P, D); 0 of what never changes.

    With x the ranks of a unit's activations and y those of a thing, both less their means, the rank correlation is
    sum x y / (n s_x s_y). Where something holds at n_1 places and does not at n_0, 2 AUC - 1 is 2 sum_1 x / (n_1 n_0),
    a sum over the n_1. As y is n / 2 higher there, and s_y^2 = n_1 n_0 / 4, that is sum x y / (n s_y^2).
    """
    n, counts = len(codes), _histogram(codes)
    ranks = np.cumsum(counts, axis=1) - (counts - 1) / 2 - (n + 1) / 2  # ties share the rank in their middle
    deviations = np.sqrt((counts * ranks**2).sum(axis=1) / n)
    sums = _products(codes, ranks, np.stack([thing.ranks for thing in things]))
    strengths = np.zeros_like(sums)
    for p, thing in enumerate(things):
        deviation = thing.ranks.std()
        by = n * deviation * (np.full_like(deviations, deviation) if thing.holds else deviations)
        np.divide(sums[p], by, out=strengths[p], where=by > 0)
    return strengths.clip(-1, 1)  # the products are rounded to float32


def _ranks(track: Track) -> NDArray[np.float64]:
    """Return the rank of every place, ties in their middle, less the mean of all; a track is of whole numbers."""
    amounts = track.astype(np.intp)
    counts = np.bincount(amounts)
    ranks = np.cumsum(counts) - (counts - 1) / 2 - (len(track) + 1) / 2
    return np.asarray(ranks[amounts])


def _products(codes: Codes, table: Array, tracks: Array) -> NDArray[np.float64]:
    """Return the products (P, D) of tracks (P, n) with what a table (D, 256) has for the codes (n, D)."""
    flat, offsets = table.astype(np.float32).ravel(), _offsets(codes)
    sums = np.zeros((len(tracks), codes.shape[1]))
    for start in range(0, len(codes), _ROWS):
        rows = slice(start, start + _ROWS)
        sums += tracks[:, rows].astype(np.float32) @ flat[codes[rows] + offsets]
    return sums


def _histogram(codes: Codes) -> NDArray[np.int64]:
    """Return how often each unit has each code, (D, 256)."""
    D, offsets = codes.shape[1], _offsets(codes)
    counts = np.zeros(D * _CODES, np.int64)
    for start in range(0, len(codes), _ROWS):
        counts += np.bincount((codes[start : start + _ROWS] + offsets).ravel(), minlength=D * _CODES)
    return counts.reshape(D, _CODES)


def _offsets(codes: Codes) -> NDArray[np.int32]:
    """Return where the codes of each unit begin in a table (D, 256) that is read row by row."""
    return _CODES * np.arange(codes.shape[1], dtype=np.int32)
