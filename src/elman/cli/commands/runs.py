"""``elman runs``."""

from __future__ import annotations

import json
import sys
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
    from elman.runs import saved_runs

    if not directories:
        raise ElmanError("elman runs requires at least one directory")
    rows = saved_runs.runs(directories)
    if as_json:
        print(json.dumps({"runs": rows}))
        return 0
    show_runs(rows)
    for row in rows:
        if row["error"]:
            print(f"warning: {row['error']}", file=sys.stderr)
    return 0
