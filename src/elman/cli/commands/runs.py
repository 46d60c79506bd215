"""``elman runs``."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from elman.cli.parameters import Json
from elman.errors import ElmanError


def runs(
    *directories: Annotated[
        Path, Parameter(help="Directories that contain run directories, at any depth, or are run directories.")
    ],
    as_json: Json = False,
) -> int:
    """List runs: text, cell, size, updates, seconds, losses, why each stopped; the lowest validation loss first."""
    from elman.cli.display import show_runs
    from elman.runs.saved_runs import summarize_runs

    if not directories:
        raise ElmanError("elman runs requires at least one directory")
    summaries = summarize_runs(directories)
    if as_json:
        print(json.dumps({"runs": [asdict(summary) for summary in summaries]}))
        return 0
    show_runs(summaries)
    for summary in summaries:
        if summary.error:
            print(f"warning: {summary.error}", file=sys.stderr)
    return 0
