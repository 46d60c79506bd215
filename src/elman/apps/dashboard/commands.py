"""``elman view``, and the live dashboard of ``elman train``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from elman.cli import Port, read_runs
from elman.errors import require_extra

if TYPE_CHECKING:
    from elman.apps.dashboard.runs import LiveRun
    from elman.training import TrainingCallback

GROUP = "Train"
SHUTDOWN_TIMEOUT = 1  # seconds that requests of an open page get to finish


def view(*runs: Path, port: Port = 0) -> int:
    """Compare runs on a dashboard in the browser: loss curves, samples, weights.

    Parameters
    ----------
    runs
        Run directories, or directories that contain some.
    port
        Port of the dashboard; 0 picks a free one.
    """
    with require_extra("serve"):
        from elman.apps.dashboard.runs import DashboardRun
        from elman.apps.dashboard.server import HOST, create_dashboard, open_browser
        from elman.apps.serve.server import address_of, listen, run

    application = create_dashboard(read_runs(runs, DashboardRun))
    listening = listen(HOST, port)
    address = address_of(listening)
    print(f"dashboard of {', '.join(map(str, runs))} at {address} (press Ctrl-C to stop)", flush=True)
    open_browser(address)
    run(application, listening, SHUTDOWN_TIMEOUT, lambda _: None)
    return 0


@contextmanager
def open_dashboard(name: str, port: int, others: Sequence[Path]) -> Iterator[tuple[LiveRun, list[TrainingCallback]]]:
    """Serve the dashboard of a training run; yield the displayed run, and the callbacks that it requires."""
    with require_extra("serve"):
        from elman.apps.dashboard.server import open_browser, serve_dashboard
    from elman.training import TrainingCallback

    class OpenBrowser(TrainingCallback):
        def on_compile(self) -> None:
            """Open the dashboard now that the options and the text are valid and training starts."""
            print(f"dashboard: {address}", file=sys.stderr, flush=True)
            open_browser(address)

    with serve_dashboard(name, port, others) as (live, address):
        yield live, [OpenBrowser(), live]
