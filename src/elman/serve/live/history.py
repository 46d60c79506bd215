"""What a page is told of a run: its curves and its texts, as far as they are known."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, Protocol

from elman.runs.records import Metrics, Sample
from elman.serve.live.downsampling import Curve

SAMPLES = 200
"""Texts that are told at once; of more the last."""


class Known(NamedTuple):
    """How much a page knows: points of the curves, and texts."""

    rows: int = 0
    scores: int = 0
    samples: int = 0


@dataclass(frozen=True)
class Written:
    """A text, and whether a person asked for it in between."""

    sample: Sample
    asked: bool = False


@dataclass(eq=False)
class Progress:
    """The curves and the texts of a run, from its first update on. One thread may add to them while others read.

    Parameters
    ----------
    characters : int
        That one update reads.
    session : str
        Another one where all begins anew, so that a page forgets what it knows.
    """

    characters: int
    session: str = field(default_factory=lambda: secrets.token_hex(8))
    rows: Curve = field(default_factory=Curve)
    scores: Curve = field(default_factory=Curve)
    samples: list[Written] = field(default_factory=list)

    def add(self, rows: Sequence[Metrics]) -> None:
        """Add rows of metrics."""
        for row in rows:
            self.rows.add(row.update, row.seconds, row.smooth_loss)
            if row.validation_loss is not None:
                self.scores.add(row.update, row.seconds, row.validation_loss)

    def since(self, known: Known) -> dict[str, Any]:
        """Return what is new for a page that knows so much."""
        return {
            "session": self.session,
            "rows": self.rows.since(known.rows),
            "scores": self.scores.since(known.scores),
            "speeds": self.rows.speeds_since(known.rows, self.characters),
            "samples": self._samples_since(known.samples),
        }

    def between(self, first: int, last: int) -> dict[str, Any]:
        """Return the curves from one update to another, in more detail."""
        return {
            "session": self.session,
            "rows": self.rows.between(first, last),
            "scores": self.scores.between(first, last),
        }

    def _samples_since(self, known: int) -> dict[str, Any]:
        count = len(self.samples)
        new = self.samples[max(known, count - SAMPLES) : count]
        return {"count": count, "new": [asdict(written.sample) | {"asked": written.asked} for written in new]}


class Shown(Protocol):
    """A run that a page shows."""

    name: str

    @property
    def progress(self) -> Progress:
        """As far as it is known now."""

    def about(self) -> dict[str, Any]:
        """Return what ``run.json`` says; empty as long as it is not known."""

    def status(self) -> dict[str, Any]:
        """Return where the run stands."""

    def histograms(self) -> list[dict[str, Any]]:
        """Return those of the weights and of the hidden states; none as long as there are none."""
