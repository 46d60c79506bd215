"""The page beside a training, or on its own: a server on a port of this machine, and a browser that opens it."""

from __future__ import annotations

import os
import sys
import threading
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from elman.errors import ElmanError
from elman.serve.http.server import in_background, listen
from elman.serve.live.app import create_live_app
from elman.serve.live.live_run import LiveRun
from elman.serve.live.stored_run import KeptRun

HOST = "127.0.0.1"
LAST_SECONDS = 5.0
"""That the server waits, once training is over, for the open pages to fetch what they lack."""


@contextmanager
def beside_training(name: str, port: int, others: Sequence[Path]) -> Iterator[tuple[LiveRun, str]]:
    """Serve the page of a training while the block lasts; gives its watcher, and the address.

    Parameters
    ----------
    name : str
        Of the run.
    port : int
        0 takes one that is free.
    others : sequence of Path
        Directories of runs that are shown with it.

    Raises
    ------
    ElmanError
        If the port is taken, another run cannot be read, or Plotly is not installed.
    """
    live = LiveRun(name)
    app = create_live_app([live, *map(KeptRun, others)], live)
    with in_background(app, listen(HOST, port, "--live-port")) as address:
        try:
            yield live, address
        except ElmanError as error:
            live.ended(None, str(error))
            raise
        finally:
            with suppress(KeyboardInterrupt):  # of whom the pages take too long
                live.close(LAST_SECONDS)


def open_browser(address: str) -> None:
    """Open the page in the person's browser, unless ``ELMAN_NO_BROWSER`` is set or there is no display."""
    display = sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if display and not os.environ.get("ELMAN_NO_BROWSER"):
        # Some browsers keep the caller waiting until they are closed.
        threading.Thread(target=webbrowser.open, args=(address,), name="elman-browser", daemon=True).start()
