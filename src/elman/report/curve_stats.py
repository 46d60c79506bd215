"""Statistics of a smooth-loss curve: how fast it falls, and whether it continues to fall.

S  smooth loss, nats per window
T  characters in one window, K  size of the alphabet
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.engine import get_engine
from elman.runs.records import Metrics
from elman.runs.run import Run
from elman.training.start import initial_state


@dataclass(frozen=True)
class PhaseSummary:
    """Outcome of one of the two training phases of the report; see `elman.runs.run.Run.results`."""

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
    def of(cls, run: Run, epochs_asked: int) -> PhaseSummary:
        """Return the outcome of a run so far."""
        results = run.results()
        return cls(epochs_asked, **{field.name: results[field.name] for field in fields(cls)[1:]})

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return asdict(self)


@dataclass(frozen=True)
class CurveStats:
    """Statistics that the discussion of a curve uses.

    Parameters
    ----------
    per_epoch : int
        Updates in one epoch.
    start, uniform : float
        S_0, the loss of the first window; T ln K, the loss of the uniform distribution.
    end : float
        S after the last update.
    first_tenth : float
        Fraction of the decrease from start to end after the first tenth of the updates; 0 where S did not decrease.
    epoch_minima : list of float
        Minimum S of the rows of each complete epoch that has rows.
    lower, compared : int
        Rows from the second epoch on (`compared`), and how many of them are below the curve one epoch earlier, at
        the same position in the text.
    wave : float or None
        Maximum minus minimum S within the last complete epoch after the first; None if it has fewer than three rows.
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
        """Whether S ended lower than it began."""
        return self.end < self.start

    @property
    def minima_lower(self) -> int:
        """Number of epochs whose minimum is below that of the previous epoch."""
        return sum(later < earlier for earlier, later in zip(self.epoch_minima, self.epoch_minima[1:], strict=False))


def first_loss(run: Run) -> float:
    """Return S_0, the loss of the first window under the initial weights, which no row of metrics contains."""
    state, (x, y) = initial_state(run.data, run.optimizer), run.data.windows.at(0)
    return float(np.mean(get_engine(run.config.engine, run.config.device).loss(state.parameters, state.h, x, y)[0]))


def curve_of(part: PhaseSummary, metrics: Sequence[Metrics], start: float) -> list[Metrics]:
    """Return the rows of a phase, preceded by its first update and followed by its last.

    A resumed run has no row of the update that it resumed from, so the last row is made from the summary of the phase;
    fields that the summary lacks are NaN.
    """
    between = [row for row in metrics if 1 < row.update < part.updates]
    first = Metrics(1, 0, start, start, None, 0.0, math.nan)
    last = Metrics(part.updates, part.epochs, part.smooth_loss, math.nan, None, part.seconds, math.nan)
    return [first, *between, *([last] if part.updates > 1 else [])]


def curve_stats(rows: Sequence[Metrics], per_epoch: int, uniform: float) -> CurveStats:
    """Compute the statistics of a curve.

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
    lower, compared = _compare_with_previous_epoch(updates, S, per_epoch)
    epochs = _split_epochs(updates, S, per_epoch)
    last = epochs[-1] if len(epochs) > 1 and len(epochs[-1]) >= 3 else None
    return CurveStats(
        per_epoch=per_epoch,
        start=float(S[0]),
        uniform=uniform,
        end=float(S[-1]),
        first_tenth=_fraction_after(updates, S, updates[-1] / 10),
        epoch_minima=[float(losses.min()) for losses in epochs],
        lower=lower,
        compared=compared,
        wave=None if last is None else float(np.ptp(last)),
    )


def _fraction_after(updates: NDArray[np.int64], S: NDArray[np.float64], update: float) -> float:
    fall = S[0] - S[-1]
    return float((S[0] - np.interp(update, updates, S)) / fall) if fall > 0 else 0.0


def _compare_with_previous_epoch(updates: NDArray[np.int64], S: NDArray[np.float64], per_epoch: int) -> tuple[int, int]:
    # The curve is steep before the first row: interpolation from update 1 would misrepresent it.
    later = updates - per_epoch >= updates[min(1, len(updates) - 1)]
    earlier = np.interp(updates[later] - per_epoch, updates, S)
    return int((S[later] < earlier).sum()), int(later.sum())


def _split_epochs(updates: NDArray[np.int64], S: NDArray[np.float64], per_epoch: int) -> list[NDArray[np.float64]]:
    epoch = (updates - 1) // per_epoch
    return [S[epoch == n] for n in range(updates[-1] // per_epoch) if (epoch == n).any()]
