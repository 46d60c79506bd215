"""What a run leaves behind: rows of metrics, samples of text, and the directory that keeps them."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any, Protocol, TypeVar

from elman.config import Config
from elman.errors import ElmanError
from elman.runs.checkpoint import (
    Checkpoint,
    KeptNetwork,
    Network,
    load_checkpoint,
    save_checkpoint,
    save_imported,
    save_network,
)
from elman.runs.lock import LOCK, Writer, cannot_write
from elman.storage.atomic import PARTIAL_SUFFIX, replace_file
from elman.storage.untrusted import (
    parse_strict_json,
    require_bounded_ints,
    require_finite,
    require_int,
    require_regular_file,
    require_sha256,
    require_str,
    safe_message,
)
from elman.text import Alphabet


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Sample:
    """A line of ``samples.jsonl``: text written after `update` updates."""

    update: int
    smooth_loss: float | None
    text: str


class Log(Protocol):
    """Where the rows and the samples are written once more."""

    def rewind(self, metrics: Sequence[Metrics], samples: Sequence[Sample]) -> None:
        """Hold these and no others."""

    def append(self, metrics: Sequence[Metrics], rates: Sequence[float], samples: Sequence[Sample]) -> None:
        """Add rows, with the learning rate of each, and samples."""


@dataclass(frozen=True, eq=False)
class Beginning:
    """What a run begins from: its settings, the characters of its text, and which text it is."""

    config: Config
    alphabet: Alphabet
    corpus_sha256: str


CHECKPOINT, BEST = "checkpoint.safetensors", "best.safetensors"
METRICS, SAMPLES = "metrics.csv", "samples.jsonl"
_COLUMNS = tuple(column.name for column in fields(Metrics))
_RUN = "run.json"
FILES = (CHECKPOINT, BEST, METRICS, SAMPLES, _RUN)
"""What cannot be made again without the training; the names under which it stands in a run directory."""
_HEADER_LINE = ",".join(_COLUMNS) + "\n"
_T = TypeVar("_T")


class RunDirectory:
    """The files of one run. The checkpoint, the metrics and the samples in it belong together.

    Rows are written, and synced, before the checkpoint that covers them, and `rewind` takes away what no checkpoint
    covers. Who writes takes `writer` first; reading needs nothing. `logs` are written with the rows.
    """

    def __init__(self, path: Path, logs: Sequence[Log] = ()) -> None:
        self.path, self.logs = path, logs
        self.writer = Writer(path)

    @property
    def figure(self) -> Path:
        """Where the figure of the smooth loss stands."""
        return self.path / "smooth_loss.png"

    def holds_run(self) -> bool:
        """Whether there is a run in it."""
        # Unlike Path.exists, this takes what the system refuses to look at as what is not there.
        return os.path.exists(self.path / CHECKPOINT)  # noqa: PTH110

    def create(self, description: dict[str, Any], checkpoint: Checkpoint) -> None:
        """Begin a run.

        Raises
        ------
        ElmanError
            If the directory holds a run already, or cannot be written.
        """
        self._take_anew("go on by --resume, or choose another --out")
        self.describe(description)  # first: from here on, what is killed can be begun again from what is there
        replace_file(self.path / METRICS, _HEADER_LINE.encode())
        replace_file(self.path / SAMPLES, b"")
        self._rewind_logs([], [])
        self.save(checkpoint)  # last: only what has a checkpoint is a run

    def _take_anew(self, instead: str) -> None:
        """Become the writer where there is no run yet, and none that began meanwhile; or say what to do instead."""
        self._refuse_another(instead)
        self.writer.take()
        self._refuse_another(instead)

    def _refuse_another(self, instead: str) -> None:
        if self.holds_run():
            raise ElmanError(f"{str(self.path)!r} holds a run already: {instead}")
        if os.path.exists(self.path / BEST):  # noqa: PTH110 (as above)
            raise ElmanError(f"{str(self.path)!r} holds a network already: choose another --out")

    def keep(self, imported: KeptNetwork) -> None:
        """Put a network where there is no run; it is read as the best of one.

        Raises
        ------
        ElmanError
            If the directory holds a run or a network already, or cannot be written.
        """
        self._take_anew("choose another --out")
        save_imported(self.path / BEST, imported)

    def describe(self, description: dict[str, Any]) -> None:
        """Write ``run.json``."""
        text = json.dumps(description, indent=2) + "\n"
        replace_file(self.path / _RUN, text.encode())

    def append(self, metrics: Sequence[Metrics], rates: Sequence[float], samples: Sequence[Sample]) -> None:
        """Add rows to ``metrics.csv`` and lines to ``samples.jsonl``; to the logs the rows' learning rates as well."""

        def write() -> None:
            for name, lines in ((METRICS, _metrics_lines(metrics)), (SAMPLES, _sample_lines(samples))):
                with (self.path / name).open("a", encoding="utf-8", newline="") as file:
                    file.write(lines)
                    file.flush()
                    os.fsync(file.fileno())
            for log in self.logs:
                log.append(metrics, rates, samples)

        self.writer.check()
        self._try(write)

    def save(self, checkpoint: Checkpoint, kept: Network | None = None) -> None:
        """Replace the checkpoint, and beside it the network that is to be used in place of the last.

        The checkpoint holds that network as well, so whatever happens in between, it is whole by itself.
        """
        self.writer.check()
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
        return self._read(METRICS, lambda lines: parse_metrics(csv.DictReader(_whole(lines))))

    def samples(self) -> list[Sample]:
        """Return the lines of ``samples.jsonl``."""
        return self._read(SAMPLES, lambda lines: parse_samples(_whole(lines)))

    def beginning(self) -> Beginning:
        """Return what ``run.json`` says that a run begins from."""
        return self._read(_RUN, lambda lines: _beginning(parse_strict_json("".join(lines))))

    def description(self) -> dict[str, Any]:
        """Return all that ``run.json`` says."""
        described: dict[str, Any] = self._read(_RUN, lambda lines: parse_strict_json("".join(lines)))
        return described

    def was_begun(self) -> bool:
        """Whether a run was begun in it of which nothing but its beginning is known."""
        return os.path.isfile(self.path / _RUN)  # noqa: PTH113 (as in `holds_run`)

    def is_blank(self) -> bool:
        """Whether it is there and nothing is in it, or only what a process left that was killed at the very first."""
        try:
            return all(path.name == LOCK or path.suffix == PARTIAL_SUFFIX for path in self.path.iterdir())
        except OSError:
            return False

    def rewind(
        self, row_covered: Callable[[int], bool], sample_covered: Callable[[int], bool]
    ) -> tuple[list[Metrics], list[Sample]]:
        """Keep only what the checkpoint covers, told by the update; return it."""
        self._drop_torn_line(METRICS)
        self._drop_torn_line(SAMPLES)
        metrics = [row for row in self.metrics() if row_covered(row.update)]
        samples = [sample for sample in self.samples() if sample_covered(sample.update)]
        replace_file(self.path / METRICS, (_HEADER_LINE + _metrics_lines(metrics)).encode())
        replace_file(self.path / SAMPLES, _sample_lines(samples).encode())
        self._rewind_logs(metrics, samples)
        return metrics, samples

    def _rewind_logs(self, metrics: Sequence[Metrics], samples: Sequence[Sample]) -> None:
        for log in self.logs:
            self._try(partial(log.rewind, metrics, samples))

    def _drop_torn_line(self, name: str) -> None:
        """A run that was killed may have left half a line, which no checkpoint covers."""
        data = self._of_file(name, Path.read_bytes)
        replace_file(self.path / name, data[: data.rfind(b"\n") + 1])

    def _read(self, name: str, parse: Callable[[Iterable[str]], _T]) -> _T:
        def parsed(path: Path) -> _T:
            with path.open(encoding="utf-8") as lines:
                return parse(lines)

        return self._of_file(name, parsed)

    def _of_file(self, name: str, read: Callable[[Path], _T]) -> _T:
        path = self.path / name
        try:
            return read(require_regular_file(path))
        except FileNotFoundError:
            raise ElmanError(f"there is no {name} in {str(self.path)!r}: give a run directory of elman train") from None
        except (OSError, ElmanError, ValueError, KeyError, TypeError, ArithmeticError, csv.Error) as error:
            raise ElmanError(
                f"{str(path)!r} cannot be read as {name} ({safe_message(error)}): restore it or train again"
            ) from error

    def _try(self, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            raise cannot_write(self.path, error) from error


def _whole(lines: Iterable[str]) -> Iterator[str]:
    """Yield lines but for half a one at the end, which a run that was killed may have left."""
    return (line for line in lines if line.endswith("\n"))


def _metrics_lines(metrics: Iterable[Metrics]) -> str:
    lines = StringIO()
    csv.writer(lines, lineterminator="\n").writerows(asdict(row).values() for row in metrics)
    return lines.getvalue()


def _sample_lines(samples: Iterable[Sample]) -> str:
    # Escapes keep a line one line, whatever its text holds, and lone surrogates writable.
    return "".join(json.dumps(asdict(sample)) + "\n" for sample in samples)


def parse_metrics(rows: Iterable[dict[str, str]]) -> list[Metrics]:
    """Return rows read as text, by the names of their columns; one that is none raises one of many errors."""
    return [_metrics(row) for row in rows]


def parse_samples(lines: Iterable[str]) -> list[Sample]:
    """Return samples that are read as lines of JSON; a line that is none raises one of many errors."""
    return [_sample(parse_strict_json(line)) for line in lines]


def _metrics(row: dict[str, str]) -> Metrics:
    if None in row or None in row.values():
        raise ValueError("a row has not as many fields as the header")

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


def _sample(line: Any) -> Sample:
    update, smooth_loss, written = line["update"], line["smooth_loss"], line["text"]
    return Sample(
        require_int(update, "update"),
        None if smooth_loss is None else require_finite(smooth_loss, "smooth_loss"),
        require_str(written, "text"),
    )


def _beginning(described: Any) -> Beginning:
    config = Config(**require_bounded_ints(described["config"]))
    return Beginning(
        config,
        Alphabet(require_str(described["alphabet"], "alphabet"), has_unknown=config.rare > 0),
        require_sha256(described["corpus"]["sha256"]),
    )


def finite_or_none(value: float) -> float | None:
    """Return a number that JSON can hold."""
    return value if math.isfinite(value) else None
