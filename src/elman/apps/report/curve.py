"""Properties of the curve of the smooth loss: its decrease, its minimum, and its jumps at the start of epochs.

S  smooth loss, nats per window
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from statistics import median
from typing import Any

import numpy as np

from elman.engine import get_engine
from elman.runs import DECAY, Sample
from elman.training import Run, initial_state

Curve = Mapping[str, Sequence[float]]  # ``update`` and ``smooth_loss``, of equal length
EARLY = 2000  # updates whose smooth loss is computed one by one: the decrease is fast at first
SOON = 20  # updates after which, by the course report, the decrease becomes slow
RISE = 0.1  # fraction of an epoch within which a jump at its start is at its top: S averages some 1,000 updates
JUMP = 2.0  # nats per window by which a jump exceeds the median rise, which is due to the text


def smooth(losses: Iterable[float]) -> list[float]:
    """Return S after every update: it starts as the first loss."""
    return [*accumulate(losses, lambda S, L: DECAY * S + (1 - DECAY) * L)]


def repeat_start(run: Run) -> list[float]:
    """Repeat the first updates of a run; return S after each."""
    state, windows = initial_state(run.data, run.optimizer), run.data.windows
    engine = get_engine(run.config.engine, run.config.device)
    optimizer = replace(run.optimizer, last_update=run.state.update)
    return smooth(engine.advance(state, windows, min(EARLY, run.state.update), optimizer).tolist())


def collect_curve(run: Run, phases: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return the curve of a run: its rows of metrics, and the last update of each phase."""
    # A resumed run may have no row of the update that it resumed from.
    points = {row.update: run.config.seq_length * row.smooth_loss for row in run.metrics}
    points |= {phase["updates"]: phase["smooth_loss"] for phase in phases}
    updates = sorted(points)
    return {"update": updates, "smooth_loss": [points[update] for update in updates]}


def plotted_minimum(samples: Iterable[Sample], last: int, T: int) -> dict[str, Any]:
    """Return the minimum over the updates with samples, which are the updates that the report plots."""
    points = [(T * each.smooth_loss, each.update) for each in samples if each.update <= last and each.smooth_loss]
    S, update = min(points, default=(None, None))
    return {"plotted_minimum": S, "plotted_minimum_at": update}


def measure_curve(curve: Curve, early: Sequence[float], last: int, per_epoch: int) -> dict[str, Any]:
    """Return the statistics for the discussion of a curve up to `last`, the end of the first phase.

    `early` is S after each of the first updates. The statistics are ``per_epoch`` (updates); ``start`` and ``end`` (S
    of the first and the last update); ``soon`` (S after `SOON` updates) and ``half_at`` (the update after which half of
    the decrease is reached), each null if the run ends earlier; ``first_tenth`` (fraction of the decrease after a tenth
    of the updates); and ``lower`` of ``compared`` (points below the curve one epoch earlier, at the same position in
    the text).
    """
    update, S = (np.array(curve[name]) for name in ("update", "smooth_loss"))
    update, S = update[update <= last], S[update <= last]
    decrease = S[0] - S[-1]
    tenth = float((S[0] - np.interp(last / 10, update, S)) / decrease) if decrease > 0 else 0.0
    half_at = next((n for n, each in enumerate(early, 1) if decrease > 0 and each <= S[0] - decrease / 2), None)
    # The curve is steep before the first row: interpolation from update 1 would misrepresent it.
    later = update - per_epoch >= update[min(1, len(update) - 1)]
    earlier = np.interp(update[later] - per_epoch, update, S)
    found: dict[str, Any] = {"per_epoch": per_epoch, "start": float(S[0]), "end": float(S[-1]), "first_tenth": tenth}
    found |= {"half_at": half_at, "soon": early[SOON - 1] if len(early) >= SOON else None}
    return found | {"lower": int((S[later] < earlier).sum()), "compared": int(later.sum())}


def find_jumps(curve: Curve, per_epoch: int) -> dict[str, Any]:
    """Find the epochs at whose start S rises by more than the text explains.

    The difficulty of the text at its beginning is the same in every epoch. The median rise is therefore due to the
    text, and a rise that exceeds it by `JUMP` is not.

    Returns
    -------
    dict
        ``typical``, the median rise, or null with fewer than three epochs; and ``jumps``, largest first: ``epoch``
        (counted from 1), ``from`` (S before), ``to``, ``at`` (the update of the top) and ``rise``.
    """
    update, S = (np.array(curve[name]) for name in ("update", "smooth_loss"))
    rises = []
    for epoch in range(2, int(update[-1] // per_epoch) + 2):
        start = (epoch - 1) * per_epoch
        before, after = np.flatnonzero(update <= start), (update > start) & (update <= start + RISE * per_epoch)
        if len(before) and after.any():
            at = np.flatnonzero(after)[S[after].argmax()]
            low, top = float(S[before[-1]]), float(S[at])
            rises.append({"epoch": epoch, "from": low, "to": top, "at": int(update[at]), "rise": top - low})
    if len(rises) < 3:
        return {"typical": None, "jumps": []}
    typical = median(each["rise"] for each in rises)
    jumps = [each for each in rises if each["rise"] > typical + JUMP]
    return {"typical": typical, "jumps": sorted(jumps, key=lambda each: -each["rise"])}
