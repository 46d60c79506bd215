"""The dashboard of runs: its application, whose API the page polls, and serving it during training."""

from __future__ import annotations

import os
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from elman.apps.dashboard.runs import DashboardRun, LiveRun, RunSource
from elman.apps.serve.middleware import check_access
from elman.apps.serve.requests import read_json
from elman.apps.serve.responses import EXCEPTION_HANDLERS, APIError, json_response
from elman.apps.serve.server import listen, run_in_thread
from elman.apps.serve.settings import Settings
from elman.errors import ElmanError, format_count, shorten
from elman.formats.web import STATIC, page_routes

HOST = "127.0.0.1"
CLOSE_TIMEOUT = 5.0  # seconds that the server waits after training for open dashboards to fetch the last data


def create_dashboard(runs: Sequence[RunSource], live: LiveRun | None = None) -> ASGIApp:
    """Return the application that displays runs; `live` is the run in training among them."""
    if find_spec("plotly") is None:  # its import would take seconds
        raise ElmanError("the dashboard requires Plotly: pip install 'elman[serve]'")
    endpoints = RunEndpoints(runs, live)
    routes = [
        Mount(f"{STATIC}/plotly", StaticFiles(packages=[("plotly", "package_data")])),
        *page_routes("dashboard", Path(__file__).parent / "static"),
        Route("/api/runs", endpoints.list_runs),
        Route("/api/runs/{number}", endpoints.get_run),
        Route("/api/runs/{number}/histograms", endpoints.histograms),
        Route("/api/end", endpoints.end),
        endpoints.command_route("/api/stop", lambda run: run.stop_requested),
        endpoints.command_route("/api/sample", lambda run: run.sample_requested),
    ]
    app = Starlette(routes=routes, exception_handlers=EXCEPTION_HANDLERS)
    app.router.redirect_slashes = False
    return check_access(app, Settings())


class RunEndpoints:
    """Endpoints of the displayed runs, which are numbered."""

    def __init__(self, runs: Sequence[RunSource], live: LiveRun | None) -> None:
        self.runs, self.live = runs, live

    def list_runs(self, _: Request) -> Response:
        """``GET /api/runs``: the runs by name."""
        return json_response({"runs": [{"name": run.name, "live": run is self.live} for run in self.runs]})

    def get_run(self, request: Request) -> Response:
        """``GET /api/runs/N?version=…``: the status, and all other data unless the client has this version of it."""
        run = self._find_run(request)
        status = run.status()  # first: if it reports that the run has ended, the history below is complete
        history = run.history
        found = {"version": history.version, "status": status}
        if request.query_params.get("version") != found["version"]:
            found |= {"about": run.about()} | history.as_dict()
        return json_response(found)

    def histograms(self, request: Request) -> Response:
        """``GET /api/runs/N/histograms``: histograms of the weights and of the hidden states."""
        return json_response({"histograms": self._find_run(request).histograms()})

    async def end(self, _: Request) -> Response:
        """``GET /api/end``: an event at the end of training; the server runs on until its subscribers disconnect."""
        headers = {"cache-control": "no-store"}
        return StreamingResponse(self._get_live_run().subscribe(), media_type="text/event-stream", headers=headers)

    def command_route(self, path: str, flag: Callable[[LiveRun], threading.Event]) -> Route:
        """Return a route that sets a flag of the run in training, which acts on it at its next step."""

        async def command(request: Request) -> Response:
            await read_json(request, Settings())  # a form of another site cannot send it
            flag(self._get_live_run()).set()
            return json_response({"requested": True})

        return Route(path, command, methods=["POST"])

    def _get_live_run(self) -> LiveRun:
        if self.live is None:
            message = "no run is in training in this process; use the dashboard of elman train --live"
            raise APIError(409, message, "not_live")
        return self.live

    def _find_run(self, request: Request) -> RunSource:
        number, runs = request.path_params["number"], {str(n): run for n, run in enumerate(self.runs)}
        if number not in runs:
            count = format_count(len(runs), "run")
            raise APIError(404, f"run {shorten(number)} not found ({count}, counted from 0)", "no_such_run")
        return runs[number]


@contextmanager
def serve_dashboard(name: str, port: int, others: Sequence[Path]) -> Iterator[tuple[LiveRun, str]]:
    """Serve the dashboard of a training run for the duration of the block; yields its callback and its URL."""
    # Port 0 picks a free one. `others` are run directories to compare with.
    live = LiveRun(name)
    app = create_dashboard([live, *map(DashboardRun, others)], live)
    with run_in_thread(app, listen(HOST, port, "live_port")) as address:
        try:
            yield live, address
        except ElmanError as error:
            live.finish(None, str(error))
            raise
        finally:
            with suppress(KeyboardInterrupt):  # the user does not want to wait for the dashboards
                live.close(CLOSE_TIMEOUT)


def open_browser(address: str) -> None:
    """Open an address in the default browser, unless ``ELMAN_NO_BROWSER`` is set or there is no display."""
    display = sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if display and not os.environ.get("ELMAN_NO_BROWSER"):
        # In a thread, because some browsers block the caller until they are closed.
        threading.Thread(target=webbrowser.open, args=(address,), name="elman-browser", daemon=True).start()
