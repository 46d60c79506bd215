"""Progress of an unfinished report in ``results.json``, from which it is resumed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elman.errors import ElmanError, quote
from elman.report.curve_stats import PhaseSummary
from elman.runs.records import finite_or_none
from elman.storage.atomic import replace_file
from elman.training.gradcheck import MAX_RELATIVE_ERROR, GradientCheck

RESULTS = "results.json"


@dataclass(frozen=True)
class ReportProgress:
    """Progress of an unfinished report.

    Parameters
    ----------
    checks : tuple of GradientCheck
        Completed experiments of the gradient check.
    check_seconds : float
        Their duration.
    short : PhaseSummary or None
        Outcome of the first training phase; the run directory does not contain its exact minimum.
    seconds : float
        Duration of all calls so far.
    """

    checks: tuple[GradientCheck, ...] = ()
    check_seconds: float = 0.0
    short: PhaseSummary | None = None
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return the content of ``results.json`` of an unfinished report."""
        return {
            "finished": False,
            "gradient_check": check_dict(self.checks),
            "short": self.short.as_dict() if self.short else None,
            "times": {"gradient_check_seconds": self.check_seconds, "whole_seconds": self.seconds},
        }


def load_progress(out: Path) -> ReportProgress:
    """Load the progress of an unfinished report.

    Raises
    ------
    ElmanError
        If there is no ``results.json``, or it cannot be read.
    """
    path = out / RESULTS
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        return ReportProgress(
            checks=checks_from(saved["gradient_check"]),
            check_seconds=float(saved["times"]["gradient_check_seconds"]),
            short=None if saved["short"] is None else PhaseSummary(**saved["short"]),
            seconds=float(saved["times"]["whole_seconds"]),
        )
    except FileNotFoundError:
        raise ElmanError(f"no report in {quote(out)} to resume: remove --resume") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ElmanError(
            f"{quote(path)} cannot be read as the results of a report ({error}): restore it or choose another --out"
        ) from error


def save_results(out: Path, results: Mapping[str, Any]) -> None:
    """Write ``results.json``, creating its directory if necessary.

    Raises
    ------
    ElmanError
        If the system does not permit it.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ElmanError(
            f"cannot create the directory {quote(out)} ({error.strerror}): choose another --out"
        ) from error
    replace_file(out / RESULTS, (json.dumps(results, indent=1, allow_nan=False) + "\n").encode())


def check_dict(checks: Sequence[GradientCheck]) -> dict[str, Any]:
    """Return the gradient check for JSON; a NaN error is null."""
    experiments = [check.as_dict() for check in checks]
    for experiment in experiments:
        errors = experiment["relative_error"]
        experiment["relative_error"] = {name: finite_or_none(error) for name, error in errors.items()}
    return {"experiments": experiments, "passed": all(check.passed for check in checks), "limit": MAX_RELATIVE_ERROR}


def checks_from(saved: Mapping[str, Any]) -> tuple[GradientCheck, ...]:
    """Return the gradient check that `check_dict` converted."""
    nan = float("nan")
    return tuple(
        GradientCheck(
            experiment["points"],
            experiment["hidden_size"],
            experiment["seq_length"],
            {name: nan if error is None else error for name, error in experiment["relative_error"].items()},
        )
        for experiment in saved["experiments"]
    )
