"""Loggers, which write the metrics and samples of a run. `LOGGERS` is the registry of all of them.

Every run has ``metrics.csv`` and ``samples.jsonl``; the others are for other tools and are named by ``--log``. All are
kept alike: what is appended is on the disk before the checkpoint that covers it, and on resume `MetricsLogger.rewind`
drops what no checkpoint covers and adds what is missing, because the run went without the logger for a while.

A logger is added by a class in a module of its own and a line in `LOGGERS`; the command line, its help and the
docstring of `elman.train` follow.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from elman.errors import ElmanError, join_alternatives, quote
from elman.runs.loggers.base import CsvLogger, JsonlLogger, MetricsLogger, SamplesLogger
from elman.runs.loggers.tensorboard import TensorBoardLogger
from elman.runs.loggers.wandb import WandbLogger

LOGGERS: dict[str, type[MetricsLogger]] = {
    "csv": CsvLogger,
    "samples": SamplesLogger,
    "jsonl": JsonlLogger,
    "tensorboard": TensorBoardLogger,
    "wandb": WandbLogger,
}
"""The loggers by name; those that are always on come first, and are written first."""


def optional_loggers() -> dict[str, type[MetricsLogger]]:
    """Return the loggers that ``--log`` can name."""
    return {name: logger for name, logger in LOGGERS.items() if not logger.always_on}


def open_loggers(directory: Path, names: Sequence[str] = (), *, resume: bool = False) -> list[MetricsLogger]:
    """Return the loggers of a run: those that are always on, those named and, on resume, those whose files exist.

    Raises
    ------
    ElmanError
        If there is no such logger, or its library is not installed.
    """
    optional = optional_loggers()
    for name in names:
        if name not in optional:
            raise ElmanError(f"--log must be {join_alternatives([*optional])} (got {quote(name)})")
    always = [name for name, logger in LOGGERS.items() if logger.always_on]
    # Unlike Path.exists, this treats a path that the system refuses to inspect as nonexistent.
    existing = [name for name, logger in optional.items() if resume and os.path.exists(directory / logger.target)]  # noqa: PTH110
    return [LOGGERS[name](directory) for name in dict.fromkeys([*always, *names, *existing])]


def logger_help() -> str:
    """Return the help of ``--log``: one line per optional logger."""
    lines = (f"* {name}: {_describe(logger)}." for name, logger in optional_loggers().items())
    return "Also log the metrics for other tools. Repeatable.\n\n" + "\n".join(lines)


def _describe(logger: type[MetricsLogger]) -> str:
    needs = f"; needs elman[{logger.extra}]" if logger.extra else ""
    return f"{logger.help}, in OUT/{logger.target}{needs}"
