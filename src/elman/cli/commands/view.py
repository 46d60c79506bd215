"""``elman view``, and the live dashboard of ``elman train``."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from elman.cli.commands import INTERRUPTED
from elman.cli.parameters import Port
from elman.errors import ElmanError, require_extra

if TYPE_CHECKING:
    from elman.cli.display import TrainingDisplay
    from elman.runs.run import Run
    from elman.training.callbacks import TrainingCallback


def view(
    *runs: Annotated[
        Path,
        Parameter(help="Run directories, of finished runs or of runs in training, or directories that contain some."),
    ],
    port: Annotated[Port, Parameter(help="Port of the dashboard; 0 picks a free one.")] = 0,
) -> int:
    """Compare runs on a dashboard in the browser: loss curves, samples, weights."""
    with require_extra("serve"):
        from elman.serve.http.server import listen, run
        from elman.serve.live.app import create_live_app
        from elman.serve.live.server import HOST, open_browser
        from elman.serve.live.stored_run import StoredRun
    from elman.cli.inputs import read_runs

    if not runs:
        raise ElmanError("elman view requires at least one run directory")
    application = create_live_app(read_runs(runs, StoredRun))

    def on_start(address: str) -> None:
        print(f"dashboard of {', '.join(map(str, runs))} at {address} (press Ctrl-C to stop)", flush=True)
        open_browser(address)

    ended_by = run(application, listen(HOST, port), shutdown_timeout=1, on_start=on_start, on_shutdown=lambda _: None)
    return INTERRUPTED if ended_by == signal.SIGINT else 0


def train_with_dashboard(
    training: Callable[[TrainingCallback], Run], display: TrainingDisplay, name: str, port: int, others: Sequence[Path]
) -> Run:
    """Train while the dashboard shows the run; the display on the terminal, which is entered here, follows it too."""
    with require_extra("serve"):
        from elman.serve.live.server import open_browser, serve_live_page
    from elman.training.callbacks import CallbackList, TrainingCallback

    class OpenBrowser(TrainingCallback):
        def on_compile(self) -> None:
            """Open the dashboard: the options and the text are valid, and training starts."""
            print(f"dashboard: {address}", file=sys.stderr, flush=True)
            open_browser(address)

    with serve_live_page(name, port, others) as (live, address):
        with display:  # it ends before the browsers fetch the last data, when there is nothing left to stop and save
            run = training(CallbackList(OpenBrowser(), display, live))
        live.finish(run)
    return run
