"""The commands, one module per command, their nonzero exit codes, and how their results are printed."""

import json
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

CHECK_FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130

STARTED: ContextVar[float | None] = ContextVar("STARTED", default=None)  # start of the command, by `time.monotonic`


def print_results(results: dict[str, Any], as_json: bool, show: Callable[[dict[str, Any]], None]) -> None:
    """Print results as JSON or with a function."""
    if as_json:
        print(json.dumps(results))
    else:
        show(results)
