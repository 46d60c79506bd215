"""The protocol of loggers, and the file operations that several of them share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

from elman.config import Config
from elman.runs.records import Metrics, Sample
from elman.storage.untrusted import parse_strict_json, require_bounded_ints, require_regular_file

RUN_JSON = "run.json"
"""The metadata of a run; it is written before the loggers of the run are started."""


class MetricsLogger(Protocol):
    """Writes the metrics and the samples of a run in one format.

    A logger is started by `rewind`, which makes it agree with the checkpoint, and then receives new records by
    `append`, always before the checkpoint that covers them is written. When `append` returns, the records must survive
    a power loss, as far as the logger writes the files itself. An `OSError` becomes the one-line error that names the
    directory.

    Parameters
    ----------
    directory : Path
        The directory of the run.
    """

    target: ClassVar[str]
    """The file or directory that it writes in the directory of the run; no two loggers share one."""
    help: ClassVar[str]
    """Its content for ``--help``: a phrase without a full stop."""
    extra: ClassVar[str] = ""
    """The optional dependency group that it needs, if any."""
    always_on: ClassVar[bool] = False
    """Whether every run has it; the others are named by ``--log``."""

    def __init__(self, directory: Path) -> None: ...

    @classmethod
    def remove(cls, directory: Path) -> None:
        """Remove the log of a run that is replaced, if there is one."""
        (directory / cls.target).unlink(missing_ok=True)

    def rewind(self, metrics: Sequence[Metrics], samples: Sequence[Sample]) -> None:
        """Contain exactly these records: drop later and partial ones, add missing ones. Of a new run there are none."""

    def append(self, metrics: Sequence[Metrics], samples: Sequence[Sample]) -> None:
        """Add records."""

    def close(self) -> None:
        """End the log: training has ended, or failed."""


def append_synced(path: Path, data: bytes) -> None:
    """Append to a file and sync it to the disk."""
    with path.open("ab") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def read_if_exists(path: Path) -> bytes:
    """Return the contents of a file; nothing if it does not exist."""
    return require_regular_file(path).read_bytes() if path.exists() else b""


def read_run_json(directory: Path) -> dict[str, Any]:
    """Return the metadata of the run: its config, alphabet, corpus, versions and machine."""
    metadata: dict[str, Any] = parse_strict_json(require_regular_file(directory / RUN_JSON).read_text("utf-8"))
    return metadata


def read_config(directory: Path) -> Config:
    """Return the settings of the run."""
    return Config(**require_bounded_ints(read_run_json(directory)["config"]))
