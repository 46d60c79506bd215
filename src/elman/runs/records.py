"""Records of a run: a row of metrics and a generated sample, with strict parsers for the files that store them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from elman.config import Config
from elman.notebook import render_text
from elman.storage.untrusted import parse_strict_json, require_finite, require_int, require_sha256, require_str


@dataclass(frozen=True, slots=True)
class Metrics:
    """The metrics after `update` updates: a row of ``metrics.csv``, and the learning rate of that update.

    Parameters
    ----------
    update : int
        Updates done.
    epoch : int
        Epochs completed.
    smooth_loss : float
        The smooth loss, an exponential moving average of `loss`, in nats per window.
    loss : float
        The loss of this update in nats per window: summed over its characters, averaged over the rows of the batch.
    validation_loss : float or None
        Loss of the held-out text in nats per character, where it was evaluated.
    seconds : float
        Seconds spent in updates since the start of the run.
    chars_per_second : float
        Characters trained on per second since the previous row.
    learning_rate : float or None
        Not in ``metrics.csv``: None in a row that was read from there, and ignored when rows are compared.
    """

    update: int
    epoch: int
    smooth_loss: float
    loss: float
    validation_loss: float | None
    seconds: float
    chars_per_second: float
    learning_rate: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class ModelOrigin:
    """The model that a run started from, see `elman.runs.fine_tuning`.

    Parameters
    ----------
    path : str or None
        The absolute path it was loaded from; None for a model in memory.
    sha256 : str
        Its `elman.inference.fingerprint`, in hexadecimal.
    """

    path: str | None
    sha256: str

    @classmethod
    def parse(cls, value: Any) -> ModelOrigin | None:
        """Parse the value in ``run.json``.

        Raises
        ------
        ValueError, KeyError, TypeError
            If it is invalid.
        """
        if value is None:
            return None
        path = value["path"]
        return cls(None if path is None else require_str(path, "path"), require_sha256(value["sha256"]))


COLUMNS = tuple(column.name for column in fields(Metrics) if column.name != "learning_rate")
"""The header of ``metrics.csv``."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A line of ``samples.jsonl``: text generated after `update` updates."""

    update: int
    smooth_loss: float | None
    text: str

    def _repr_html_(self) -> str:
        return render_text(f"sample after {self.update:,} updates", self.text)


def parse_metrics(rows: Iterable[dict[str, str]]) -> list[Metrics]:
    """Parse rows of ``metrics.csv``, given as text by column.

    Raises
    ------
    ValueError, KeyError, TypeError
        If a row is invalid.
    """
    return [_parse_row(row) for row in rows]


def parse_samples(lines: Iterable[str]) -> list[Sample]:
    """Parse lines of ``samples.jsonl``.

    Raises
    ------
    ValueError, KeyError, TypeError
        If a line is invalid.
    """
    return [_parse_sample(parse_strict_json(line)) for line in lines]


def finite_or_none(value: float) -> float | None:
    """Return a number that JSON can represent: None in place of nan and the infinities."""
    return value if math.isfinite(value) else None


def _parse_row(row: dict[str, str]) -> Metrics:
    if None in row or None in row.values():
        raise ValueError("a row does not have as many fields as the header")

    def number(name: str) -> float:
        return require_finite(float(row[name]), name)

    return Metrics(
        require_int(int(row["update"]), "update"),
        require_int(int(row["epoch"]), "epoch"),
        number("smooth_loss"),
        number("loss"),
        number("validation_loss") if row["validation_loss"] else None,
        number("seconds"),
        number("chars_per_second"),
    )


def _parse_sample(line: Any) -> Sample:
    update, smooth_loss, generated = line["update"], line["smooth_loss"], line["text"]
    return Sample(
        require_int(update, "update"),
        None if smooth_loss is None else require_finite(smooth_loss, "smooth_loss"),
        require_str(generated, "text"),
    )


def summarize(config: Config, corpus: str, metrics: Sequence[Metrics], train_loss: float | None) -> dict[str, object]:
    """Return what a run is and how far it has come, for a table."""
    last = metrics[-1] if metrics else None
    return {
        "text": corpus,
        "network": f"{config.layers} x {config.cell} {config.hidden_size}",
        "updates": 0 if last is None else last.update,
        "seconds": None if last is None else round(last.seconds, 1),
        "train loss": train_loss,
    }
