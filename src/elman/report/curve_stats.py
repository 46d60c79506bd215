"""What a curve of the smooth loss shows: how fast it falls, and whether it goes on falling.

S  smooth loss, nats a window
T  characters in one window, K  size of the alphabet
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.config import Config
from elman.engine import get_engine
from elman.runs.lifecycle import first_state
from elman.runs.records import Metrics
from elman.runs.run import Run, split
from elman.text import Corpus


@dataclass(frozen=True)
class Part:
    """Where a run stood at the end of one of the report's two trainings; see `elman.runs.run.Run.results`."""

    epochs_asked: int
    updates: int
    epochs: int
    seconds: float
    chars_per_second: int | None
    smooth_loss: float
    minimum_smooth_loss: float
    minimum_at: int
    validation_loss: float | None

    @classmethod
    def of(cls, run: Run, epochs_asked: int) -> Part:
        """Return where a run stands."""
        results = run.results()
        return cls(epochs_asked, **{field.name: results[field.name] for field in fields(cls)[1:]})

    def as_dict(self) -> dict[str, Any]:
        """Return the figures by name."""
        return asdict(self)


@dataclass(frozen=True)
class CurveFacts:
    """What the discussion of a curve rests on.

    Parameters
    ----------
    per_epoch : int
        Updates in one epoch.
    start, uniform : float
        S_0, the loss of the first window; T ln K, what equal chances for every character would cost.
    end : float
        S after the last update.
    first_tenth : float
        Share of the fall from start to end that was done after the first tenth of the updates; 0 where S did not fall.
    epoch_minima : list of float
        The least S of the rows of each whole epoch that has any.
    lower, compared : int
        Rows that an epoch came before, and how many of them lie below the curve one epoch earlier, at the
        same place in the text.
    wave : float or None
        Largest minus least S within the last whole epoch after the first; None without one of three rows.
    """

    per_epoch: int
    start: float
    uniform: float
    end: float
    first_tenth: float
    epoch_minima: list[float]
    lower: int
    compared: int
    wave: float | None

    @property
    def fell(self) -> bool:
        """Whether S ended below where it began."""
        return self.end < self.start

    @property
    def minima_lower(self) -> int:
        """Epochs whose minimum lies below that of the epoch before."""
        return sum(later < earlier for earlier, later in zip(self.epoch_minima, self.epoch_minima[1:], strict=False))


def first_loss(corpus: Corpus, config: Config) -> float:
    """Return S_0, the loss of the first window under the initial weights, which no row of metrics holds."""
    state = first_state(len(corpus.alphabet), config)
    x, y = split(corpus, config)[0].at(0)
    return float(np.mean(get_engine(config.engine).loss(state.parameters, state.h, x, y)[0]))


def curve_of(part: Part, metrics: Sequence[Metrics], start: float) -> list[Metrics]:
    """Return the rows of a training, with its first update before them and its last after them.

    A run that goes on keeps no row of the update it went on from, so the last is made from the part's own figures;
    what they do not hold is not a number.
    """
    between = [row for row in metrics if 1 < row.update < part.updates]
    first = Metrics(1, 0, start, start, None, 0.0, math.nan)
    last = Metrics(part.updates, part.epochs, part.smooth_loss, math.nan, None, part.seconds, math.nan)
    return [first, *between, *([last] if part.updates > 1 else [])]


def curve_facts(rows: Sequence[Metrics], per_epoch: int, uniform: float) -> CurveFacts:
    """Read off a curve what there is to say about it.

    Parameters
    ----------
    rows : sequence of Metrics
        The first is that of update 1.
    per_epoch : int
        Updates in one epoch.
    uniform : float
        T ln K.
    """
    updates = np.array([row.update for row in rows])
    S = np.array([row.smooth_loss for row in rows])
    lower, compared = _against_an_epoch_before(updates, S, per_epoch)
    epochs = _whole_epochs(updates, S, per_epoch)
    last = epochs[-1] if len(epochs) > 1 and len(epochs[-1]) >= 3 else None
    return CurveFacts(
        per_epoch=per_epoch,
        start=float(S[0]),
        uniform=uniform,
        end=float(S[-1]),
        first_tenth=_done_after(updates, S, updates[-1] / 10),
        epoch_minima=[float(losses.min()) for losses in epochs],
        lower=lower,
        compared=compared,
        wave=None if last is None else float(np.ptp(last)),
    )


def _done_after(updates: NDArray[np.int64], S: NDArray[np.float64], update: float) -> float:
    fall = S[0] - S[-1]
    return float((S[0] - np.interp(update, updates, S)) / fall) if fall > 0 else 0.0


def _against_an_epoch_before(updates: NDArray[np.int64], S: NDArray[np.float64], per_epoch: int) -> tuple[int, int]:
    # Before the first row lies the steep beginning, which a straight line from update 1 would misrepresent.
    later = updates - per_epoch >= updates[min(1, len(updates) - 1)]
    earlier = np.interp(updates[later] - per_epoch, updates, S)
    return int((S[later] < earlier).sum()), int(later.sum())


def _whole_epochs(updates: NDArray[np.int64], S: NDArray[np.float64], per_epoch: int) -> list[NDArray[np.float64]]:
    epoch = (updates - 1) // per_epoch
    return [S[epoch == n] for n in range(updates[-1] // per_epoch) if (epoch == n).any()]
