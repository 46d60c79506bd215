"""What a stopped report keeps in ``results.json``, apart from its run directory, so that it can go on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elman.errors import ElmanError
from elman.report.curve_stats import Part
from elman.report.results import check_dict, checks_from
from elman.storage.atomic import replace_file
from elman.training.gradcheck import GradientCheck

RESULTS = "results.json"


@dataclass(frozen=True)
class Kept:
    """What is known before the report is whole.

    Parameters
    ----------
    checks : tuple of GradientCheck
        The experiments of the gradient check that were done.
    check_seconds : float
        What they took.
    short : Part or None
        The end of the first training, whose exact minimum the run forgets as it goes on.
    seconds : float
        What all sittings so far took.
    """

    checks: tuple[GradientCheck, ...] = ()
    check_seconds: float = 0.0
    short: Part | None = None
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return what ``results.json`` says meanwhile."""
        return {
            "finished": False,
            "gradient_check": check_dict(self.checks),
            "short": self.short.as_dict() if self.short else None,
            "times": {"gradient_check_seconds": self.check_seconds, "whole_seconds": self.seconds},
        }


def load_kept(out: Path) -> Kept:
    """Return what the results in a folder say that a report can go on with.

    Raises
    ------
    ElmanError
        If there are none, or they cannot be read.
    """
    path = out / RESULTS
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        return Kept(
            checks=checks_from(saved["gradient_check"]),
            check_seconds=float(saved["times"]["gradient_check_seconds"]),
            short=None if saved["short"] is None else Part(**saved["short"]),
            seconds=float(saved["times"]["whole_seconds"]),
        )
    except FileNotFoundError:
        raise ElmanError(f"there is no report in {str(out)!r} to go on with: leave out --resume") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ElmanError(
            f"{str(path)!r} cannot be read as the results of a report ({error}): restore it or choose another --out"
        ) from error


def save_results(out: Path, results: Mapping[str, Any]) -> None:
    """Write ``results.json``, making its folder where there is none.

    Raises
    ------
    ElmanError
        If the system refuses.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ElmanError(f"cannot make the folder {str(out)!r} ({error.strerror}): choose another --out") from error
    replace_file(out / RESULTS, (json.dumps(results, indent=1, allow_nan=False) + "\n").encode())
