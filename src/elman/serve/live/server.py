"""Serving the dashboard during training, and opening it in a browser."""

from __future__ import annotations

import os
import sys
import threading
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from elman.errors import ElmanError
from elman.serve.http.server import listen, run_in_thread
from elman.serve.live.app import create_live_app
from elman.serve.live.live_run import LiveRun
from elman.serve.live.stored_run import StoredRun

HOST = "127.0.0.1"
CLOSE_TIMEOUT = 5.0
"""Seconds that the server waits after training for open dashboards to fetch the last data."""


@contextmanager
def serve_live_page(name: str, port: int, others: Sequence[Path]) -> Iterator[tuple[LiveRun, str]]:
    """Serve the dashboard of a training run for the duration of the block; yields its callback and its URL.

    Parameters
    ----------
    name : str
        Name of the run.
    port : int
        0 picks a free port.
    others : sequence of Path
        Run directories to compare with.

    Raises
    ------
    ElmanError
        If the port is in use, another run cannot be read, or Plotly is not installed.
    """
    live = LiveRun(name)
    app = create_live_app([live, *map(StoredRun, others)], live)
    with run_in_thread(app, listen(HOST, port, "--live-port")) as address:
        try:
            yield live, address
        except ElmanError as error:
            live.finish(None, str(error))
            raise
        finally:
            with suppress(KeyboardInterrupt):  # from a user who does not want to wait for the dashboards
                live.close(CLOSE_TIMEOUT)


def open_browser(address: str) -> None:
    """Open an address in the default browser, unless ``ELMAN_NO_BROWSER`` is set or there is no display."""
    display = sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if display and not os.environ.get("ELMAN_NO_BROWSER"):
        # In a thread, as some browsers block the caller until they are closed.
        threading.Thread(target=webbrowser.open, args=(address,), name="elman-browser", daemon=True).start()
