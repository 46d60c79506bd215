"""The dashboard's application: its page, and the API that it polls."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Route

from elman.errors import ElmanError, quote
from elman.network.cells import CELLS
from elman.serve.http.access import AccessMiddleware
from elman.serve.http.errors import EXCEPTION_HANDLERS, APIError
from elman.serve.http.request_body import read_json
from elman.serve.http.responses import STATIC, json_response, page_routes
from elman.serve.live.history import ClientCursor, RunSource
from elman.serve.live.live_run import LiveRun
from elman.serve.settings import Settings
from elman.storage.untrusted import require_int

PLOTLY = f"{STATIC}/plotly.min.js"
CURSOR_QUERY = ("rows", "scores", "samples")
"""Names of the fields of `ClientCursor` in the query string, in their order."""


def create_live_app(runs: Sequence[RunSource], live: LiveRun | None = None) -> Starlette:
    """Return the application that displays runs.

    Parameters
    ----------
    runs : sequence of RunSource
    live : LiveRun, optional
        The one of them that is in training, and so can be stopped and asked for a sample.

    Raises
    ------
    ElmanError
        If Plotly is not installed.
    """
    endpoints, settings = RunEndpoints(runs, live), Settings()
    app = Starlette(
        routes=[
            *page_routes("elman.serve.live"),
            Route(PLOTLY, _file_endpoint(_find_plotly())),
            Route("/api/runs", endpoints.list_runs),
            Route("/api/runs/{number}", endpoints.get_run),
            Route("/api/runs/{number}/between", endpoints.between),
            Route("/api/runs/{number}/histograms", endpoints.histograms),
            Route("/api/end", endpoints.end),
            endpoints.command_route("/api/stop", lambda run: run.stop_requested, settings),
            endpoints.command_route("/api/sample", lambda run: run.sample_requested, settings),
        ],
        middleware=[Middleware(AccessMiddleware, settings=settings)],
        exception_handlers=EXCEPTION_HANDLERS,
    )
    app.router.redirect_slashes = False
    return app


class RunEndpoints:
    """Endpoints of the displayed runs, which are numbered. Responses do not depend on the client.

    Parameters
    ----------
    runs : sequence of RunSource
    live : LiveRun or None
    """

    def __init__(self, runs: Sequence[RunSource], live: LiveRun | None) -> None:
        self.runs, self.live = runs, live

    def list_runs(self, _: Request) -> Response:
        """``GET /api/runs``: the runs by name."""
        runs = [{"name": run.name, "live": run is self.live} for run in self.runs]
        return _uncached({"runs": runs})

    def get_run(self, request: Request) -> Response:
        """``GET /api/runs/N?rows=…&scores=…&samples=…``: the status, and the data that the client lacks."""
        run, cursor = self._find_run(request), ClientCursor(*(_parse_count(request, name, 0) for name in CURSOR_QUERY))
        status = run.status()  # first: if it reports that the run has ended, the history below is complete
        new = run.history.since(cursor)
        # The client needs the run's settings when it sees a new session.
        about = {} if request.query_params.get("session") == new["session"] else {"about": _add_title(run.about())}
        return _uncached(new | about | {"status": status})

    def between(self, request: Request) -> Response:
        """``GET /api/runs/N/between?first=…&last=…``: the curves from one update to another."""
        first, last = _parse_count(request, "first"), _parse_count(request, "last")
        return _uncached(self._find_run(request).history.between(first, last))

    def histograms(self, request: Request) -> Response:
        """``GET /api/runs/N/histograms``: histograms of the weights and of the hidden states."""
        return _uncached({"histograms": self._find_run(request).histograms()})

    async def end(self, _: Request) -> Response:
        """``GET /api/end``: an event at the end of training; the server runs on until its subscribers disconnect."""
        headers = {"cache-control": "no-store"}
        events = self._get_live_run().end_event.subscribe()
        return StreamingResponse(events, media_type="text/event-stream", headers=headers)

    def command_route(self, path: str, flag: Callable[[LiveRun], threading.Event], settings: Settings) -> Route:
        """Return a route that sets a flag of the run in training, which acts on it at its next step."""

        async def command(request: Request) -> Response:
            await read_json(request, settings)  # which a form of another site cannot send
            flag(self._get_live_run()).set()
            return _uncached({"asked": True})

        return Route(path, command, methods=["POST"])

    def _get_live_run(self) -> LiveRun:
        if self.live is None:
            message = "no run is in training in this process; use the dashboard of elman train --live"
            raise APIError(409, message, "not_live")
        return self.live

    def _find_run(self, request: Request) -> RunSource:
        number = request.path_params["number"]
        run = dict(zip(map(str, range(len(self.runs))), self.runs, strict=True)).get(number)
        if run is None:
            raise APIError(404, f"run {quote(number)} not found ({len(self.runs)} runs, counted from 0)", "no_such_run")
        return run


def _add_title(about: dict[str, Any]) -> dict[str, Any]:
    """Return the contents of ``run.json`` with the title of the cell."""
    return about and about | {"cell_title": CELLS[about["config"]["cell"]].title}


def _parse_count(request: Request, name: str, default: int | None = None) -> int:
    value = request.query_params.get(name, default)
    try:
        return require_int(int(value if value is not None else ""), name)
    except ValueError:
        raise APIError(
            400, f"{name} must be a non-negative integer (got {quote(value)})", "invalid_number", name
        ) from None


def _uncached(content: Any) -> Response:
    return json_response(content, headers={"cache-control": "no-store"})


def _find_plotly() -> Path:
    """Return Plotly's JavaScript file from the installed package, whose import would take seconds."""
    package = find_spec("plotly")
    locations = package.submodule_search_locations if package is not None else None
    path = Path(locations[0], "package_data", "plotly.min.js") if locations else Path()
    if not path.is_file():
        raise ElmanError("the dashboard requires Plotly: pip install 'elman[serve]'")
    return path


def _file_endpoint(path: Path) -> Callable[[Request], Any]:
    async def send(_: Request) -> Response:
        return FileResponse(path, media_type="text/javascript", headers={"cache-control": "max-age=3600"})

    return send
