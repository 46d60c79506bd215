"""What a run leaves behind: rows of metrics, samples of text, and the directory that keeps them."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar

from elman.errors import ElmanError
from elman.experiment.checkpoint import (
    Checkpoint,
    Network,
    load_checkpoint,
    save_checkpoint,
    save_network,
)
from elman.experiment.files import replace_file


@dataclass(frozen=True)
class Metrics:
    """A row of ``metrics.csv``, after `update` updates.

    Parameters
    ----------
    update, epoch : int
        Updates done, epochs completed.
    smooth_loss, loss : float
        S, and the loss of that update; nats a window of T characters, the mean over the streams.
    validation_loss : float or None
        Mean nats a character of the text kept aside, where it was scored.
    seconds : float
        Spent in updates since the beginning of the run.
    chars_per_second : float
        Since the row before.
    """

    update: int
    epoch: int
    smooth_loss: float
    loss: float
    validation_loss: float | None
    seconds: float
    chars_per_second: float


@dataclass(frozen=True)
class Sample:
    """A line of ``samples.jsonl``: text written after `update` updates."""

    update: int
    smooth_loss: float | None
    text: str


CHECKPOINT, BEST = "checkpoint.safetensors", "best.safetensors"
_RUN, _METRICS, _SAMPLES = "run.json", "metrics.csv", "samples.jsonl"
_HEADER_LINE = ",".join(column.name for column in fields(Metrics)) + "\n"
_Row = TypeVar("_Row", Metrics, Sample)


class RunDirectory:
    """The files of one run. The checkpoint, the metrics and the samples in it belong together.

    Rows are written before the checkpoint that covers them, and `rewind` takes away what no checkpoint covers.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def figure(self) -> Path:
        """Where the figure of the smooth loss stands."""
        return self.path / "smooth_loss.png"

    def holds_run(self) -> bool:
        """Whether there is a run in it."""
        # Unlike Path.exists, this takes a name too long for the system as one that is not there.
        return os.path.exists(self.path / CHECKPOINT)  # noqa: PTH110

    def create(self, description: dict[str, Any], checkpoint: Checkpoint) -> None:
        """Begin a run.

        Raises
        ------
        ElmanError
            If the directory holds a run already, or cannot be written.
        """
        if self.holds_run():
            raise ElmanError(f"{str(self.path)!r} holds a run already: go on by --resume, or choose another --out")
        self._try(lambda: self.path.mkdir(parents=True, exist_ok=True))
        replace_file(self.path / _METRICS, _HEADER_LINE.encode())
        replace_file(self.path / _SAMPLES, b"")
        self.describe(description)
        self.save(checkpoint)  # last: only what has a checkpoint is a run

    def describe(self, description: dict[str, Any]) -> None:
        """Write ``run.json``."""
        text = json.dumps(description, indent=2) + "\n"
        replace_file(self.path / _RUN, text.encode())

    def append(self, metrics: Iterable[Metrics], samples: Iterable[Sample]) -> None:
        """Add rows to ``metrics.csv`` and lines to ``samples.jsonl``."""

        def write() -> None:
            for name, lines in ((_METRICS, _metrics_lines(metrics)), (_SAMPLES, _sample_lines(samples))):
                with (self.path / name).open("a", encoding="utf-8", newline="") as file:
                    file.write(lines)

        self._try(write)

    def save(self, checkpoint: Checkpoint, kept: Network | None = None) -> None:
        """Replace the checkpoint, and beside it the network that is to be used in place of the last.

        The checkpoint holds the best network as well, so whatever happens in between, a run goes on with its own.
        """
        save_checkpoint(self.path / CHECKPOINT, checkpoint)
        if kept is not None:
            save_network(self.path / BEST, checkpoint, kept)
        else:
            self._try(lambda: (self.path / BEST).unlink(missing_ok=True))

    def load(self) -> Checkpoint:
        """Return the checkpoint."""
        return load_checkpoint(self.path / CHECKPOINT)

    def metrics(self) -> list[Metrics]:
        """Return the rows of ``metrics.csv``."""
        return self._read(_METRICS, lambda text: [_metrics(row) for row in csv.DictReader(text.splitlines())])

    def samples(self) -> list[Sample]:
        """Return the lines of ``samples.jsonl``."""
        return self._read(_SAMPLES, lambda text: [Sample(**json.loads(line)) for line in text.splitlines()])

    def rewind(
        self, row_covered: Callable[[int], bool], sample_covered: Callable[[int], bool]
    ) -> tuple[list[Metrics], list[Sample]]:
        """Keep only what the checkpoint covers, told by the update; return it."""
        self._drop_torn_line(_METRICS)
        self._drop_torn_line(_SAMPLES)
        metrics = [row for row in self.metrics() if row_covered(row.update)]
        samples = [sample for sample in self.samples() if sample_covered(sample.update)]
        replace_file(self.path / _METRICS, (_HEADER_LINE + _metrics_lines(metrics)).encode())
        replace_file(self.path / _SAMPLES, _sample_lines(samples).encode())
        return metrics, samples

    def _drop_torn_line(self, name: str) -> None:
        """A run that was killed may have left half a line, which no checkpoint covers."""
        path = self.path / name
        if path.exists():
            data = path.read_bytes()
            replace_file(path, data[: data.rfind(b"\n") + 1])

    def _read(self, name: str, parse: Callable[[str], list[_Row]]) -> list[_Row]:
        path = self.path / name
        try:
            return parse(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ElmanError(f"there is no {name} in {str(self.path)!r}: give a run directory of elman train") from None
        except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
            raise ElmanError(f"{str(path)!r} cannot be read as {name} ({error}): restore it or train again") from error

    def _try(self, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            raise ElmanError(
                f"cannot write in {str(self.path)!r} ({error.strerror}): make room or choose another --out"
            ) from error


def _metrics_lines(metrics: Iterable[Metrics]) -> str:
    lines = StringIO()
    csv.writer(lines, lineterminator="\n").writerows(asdict(row).values() for row in metrics)
    return lines.getvalue()


def _sample_lines(samples: Iterable[Sample]) -> str:
    # Escapes keep a line one line, whatever its text holds, and lone surrogates writable.
    return "".join(json.dumps(asdict(sample)) + "\n" for sample in samples)


def _metrics(row: dict[str, str]) -> Metrics:
    return Metrics(
        int(row["update"]),
        int(row["epoch"]),
        float(row["smooth_loss"]),
        float(row["loss"]),
        float(row["validation_loss"]) if row["validation_loss"] else None,
        float(row["seconds"]),
        float(row["chars_per_second"]),
    )


def finite_or_none(value: float) -> float | None:
    """Return a number that JSON can hold."""
    return value if math.isfinite(value) else None
