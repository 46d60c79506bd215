"""Looking at runs in a browser: the command for those in directories, and the page beside a training."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from elman.cli.app import INTERRUPTED, app
from elman.cli.training_options import port_number
from elman.errors import ElmanError, require_extra

if TYPE_CHECKING:
    from elman.cli.display import TrainingDisplay
    from elman.runs.run import Run
    from elman.training.callbacks import TrainingCallback


@app.command
def view(
    *runs: Annotated[Path, Parameter(help="Run directories that elman train wrote; they may still be in training.")],
    port: Annotated[int, Parameter(converter=port_number, help="Port of the page; 0 takes one that is free.")] = 0,
) -> int:
    """Show runs in a browser, laid over one another: their curves, their texts, their weights."""
    with require_extra("serve"):
        from elman.serve.http.server import listen, run
        from elman.serve.live.app import create_live_app
        from elman.serve.live.server import HOST, open_browser
        from elman.serve.live.stored_run import StoredRun

    if not runs:
        raise ElmanError("elman view needs at least one run directory: name those to show")
    application = create_live_app([StoredRun(path) for path in runs])

    def started(address: str) -> None:
        print(f"showing {', '.join(map(str, runs))} at {address} (Ctrl-C ends)", flush=True)
        open_browser(address)

    ended_by = run(application, listen(HOST, port), shutdown_timeout=1, on_start=started, on_shutdown=lambda _: None)
    return INTERRUPTED if ended_by == signal.SIGINT else 0


def train_with_live_page(
    training: Callable[[TrainingCallback], Run], display: TrainingDisplay, name: str, port: int, others: Sequence[Path]
) -> Run:
    """Carry out a training while a page shows it; a display on the terminal, which is entered here, is told as well."""
    with require_extra("serve"):
        from elman.serve.live.server import open_browser, serve_live_page
    from elman.training.callbacks import CallbackList, NullCallback

    class Opening(NullCallback):
        def on_compile(self) -> None:
            """Open the page: whatever was given does, and training begins."""
            print(f"the page of this run: {address}", file=sys.stderr, flush=True)
            open_browser(address)

    with serve_live_page(name, port, others) as (live, address):
        with display:  # which lets go before the pages fetch the last: there is nothing more to stop and save
            run = training(CallbackList(Opening(), display, live))
        live.finish(run)
    return run
