"""Loggers, which write the metrics and samples of a run, and the registry of all of them, `LOGGERS`.

Every run has ``metrics.csv`` and ``samples.jsonl``; the other loggers are for other tools and are named by ``--log``. A
new logger needs a class in a module of its own and an entry point of `elman.loggers`; the command line, its help and
the docstring of `elman.train` then include it.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from pkgutil import resolve_name

from elman.errors import ElmanError, join_alternatives, option, quote
from elman.plugins import Registry
from elman.runs.history import COLUMNS, Metrics, Sample
from elman.storage.files import read_regular_file, replace_file

MANIFEST = "run.json"
"""The manifest of a run, which is written before the loggers of the run are started."""
MAX_RECORDS = 1 << 30
"""Size of a file of records in bytes."""
SCALARS = ("smooth_loss", "loss", "train_loss", "validation_loss", "chars_per_second", "learning_rate")
"""The metrics that other tools show."""


class MetricsLogger:
    """Writes the metrics and the samples of a run in one format to `path`, a file or directory in the run directory.

    `rewind` makes the log agree with the checkpoint. Then `append` adds new records, always before the checkpoint that
    covers them is written. When it returns, the records must survive a power loss, unless a library writes the files.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def remove(cls, path: Path) -> None:
        """Remove the log of a run that is replaced, if it exists; of a link, remove only the link."""
        path.unlink(missing_ok=True)

    def rewind(self, metrics: Sequence[Metrics], samples: Sequence[Sample]) -> None:
        """Drop later and partial records and add missing ones; the log then has exactly these, none for a new run."""

    def append(self, metrics: Sequence[Metrics], samples: Sequence[Sample]) -> None:
        """Add records."""

    def close(self) -> None:
        """End the log: training has ended, or failed."""


class TextLogger(MetricsLogger):
    """Writes a file of lines, synced after each append; a subclass formats the lines."""

    header = b""

    def lines(self, metrics: Sequence[Metrics], samples: Sequence[Sample]) -> bytes:
        """Return the lines of records."""
        raise NotImplementedError

    def rewind(self, metrics: Sequence[Metrics], samples: Sequence[Sample]) -> None:
        """Replace the file by the header and the lines of these records."""
        replace_file(self.path, self.header + self.lines(metrics, samples))

    def append(self, metrics: Sequence[Metrics], samples: Sequence[Sample]) -> None:
        """Add lines."""
        with self.path.open("ab") as file:
            file.write(self.lines(metrics, samples))
            file.flush()
            os.fsync(file.fileno())


class CsvLogger(TextLogger):
    """Writes ``metrics.csv``, from which a run's curve is read back."""

    header = (",".join(COLUMNS) + "\n").encode()

    def lines(self, metrics: Sequence[Metrics], samples: Sequence[Sample]) -> bytes:
        """Return a row for each row of metrics."""
        lines = StringIO()
        csv.writer(lines, lineterminator="\n").writerows([getattr(row, name) for name in COLUMNS] for row in metrics)
        return lines.getvalue().encode()


class SamplesLogger(TextLogger):
    """Writes ``samples.jsonl``, from which a run's samples are read back."""

    def lines(self, metrics: Sequence[Metrics], samples: Sequence[Sample]) -> bytes:
        """Return a JSON object for each sample."""
        return _json_lines(samples)


class JsonlLogger(TextLogger):
    """Writes one JSON object per row of ``metrics.csv``, with the same keys."""

    def lines(self, metrics: Sequence[Metrics], samples: Sequence[Sample]) -> bytes:
        """Return a JSON object for each row."""
        return _json_lines(metrics)


def _json_lines(records: Iterable[Metrics] | Iterable[Sample]) -> bytes:
    # JSON's escapes keep each record on one line, whatever its text contains, and make lone surrogates writable.
    return "".join(json.dumps(asdict(record)) + "\n" for record in records).encode("ascii")


def make_directory(path: Path) -> None:
    """Create the directory of a logger; a link there is replaced, as it may lead out of the run."""
    if path.is_symlink():
        path.unlink()
    path.mkdir(exist_ok=True)


def read_if_exists(path: Path) -> bytes:
    """Return the contents of a file; nothing if it does not exist."""
    return read_regular_file(path, MAX_RECORDS) if path.exists() else b""


def list_values(row: Metrics) -> dict[str, float]:
    """Return the known values of a row by name."""
    return {name: value for name in SCALARS if (value := getattr(row, name)) is not None}


def without_surrogates(text: str) -> str:
    """Return a text with escapes in place of lone surrogates, which no file can contain."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


@dataclass(frozen=True)
class LoggerSpec:
    """The entry of a logger, which is imported when it is used."""

    factory: str
    """The module and, after a colon, the class."""
    target: str
    """The file or directory that it writes in the directory of the run; no two loggers share one."""
    help: str
    """The content of the log for ``--help``: a phrase without a full stop."""
    extra: str = ""
    """The extra of the package that it needs, if any."""

    def load(self) -> type[MetricsLogger]:
        """Import the class."""
        return resolve_name(self.factory)  # type: ignore[no-any-return]


LOGGERS = Registry[LoggerSpec](
    "elman.loggers",
    {
        "csv": LoggerSpec(f"{__name__}:CsvLogger", "metrics.csv", "the metrics, one row each"),
        "samples": LoggerSpec(
            f"{__name__}:SamplesLogger", "samples.jsonl", "the generated samples, one JSON object each"
        ),
        "jsonl": LoggerSpec(f"{__name__}:JsonlLogger", "metrics.jsonl", "the metrics, one JSON object per row"),
    },
)
"""The loggers by name."""
ALWAYS_ON = ("csv", "samples")
"""The loggers of every run, which are written first; the others are named by ``--log``."""


def optional_loggers() -> dict[str, LoggerSpec]:
    """Return the loggers that ``--log`` can name."""
    return {name: logger for name, logger in LOGGERS.items() if name not in ALWAYS_ON}


def open_loggers(directory: Path, names: Sequence[str] = ()) -> list[MetricsLogger]:
    """Return the loggers of a run: the ones that are always on, and the named ones."""
    for name in names:
        if name in ALWAYS_ON or name not in LOGGERS:
            raise ElmanError(f"{option.log} must be {join_alternatives([*optional_loggers()])} (got {quote(name)})")
    used = [LOGGERS[name] for name in (*ALWAYS_ON, *names)]
    return [logger.load()(directory / logger.target) for logger in used]


def logger_help() -> str:
    """Return the help of ``--log``: one line per optional logger."""
    lines = [
        f"* {name}: {logger.help}, in OUT/{logger.target}{f'; needs elman[{logger.extra}]' if logger.extra else ''}."
        for name, logger in optional_loggers().items()
    ]
    return "Also log the metrics for other tools. Repeatable.\n\n" + "\n".join(lines)
