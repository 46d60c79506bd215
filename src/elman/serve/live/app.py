"""The page that shows runs, one of them perhaps in training, and the little that it asks of the server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Route

from elman.errors import ElmanError
from elman.serve.http.access import Guard
from elman.serve.http.assets import STATIC, page_routes
from elman.serve.http.errors import Refusal, as_json
from elman.serve.http.exception_handlers import HANDLERS
from elman.serve.http.request_body import read_json
from elman.serve.live.history import Known, Shown
from elman.serve.live.live_run import LiveRun
from elman.serve.settings import Settings
from elman.storage.untrusted import require_int

PLOTLY = f"{STATIC}/plotly.min.js"


def create_live_app(runs: Sequence[Shown], live: LiveRun | None = None) -> Starlette:
    """Return the application that shows runs.

    Parameters
    ----------
    runs : sequence of Shown
    live : LiveRun, optional
        The one of them that can be stopped and asked for a text.

    Raises
    ------
    ElmanError
        If Plotly is not installed.
    """
    board, settings = Board(runs, live), Settings()
    app = Starlette(
        routes=[
            *page_routes("elman.serve.live"),
            Route(PLOTLY, _file(_plotly())),
            Route("/api/runs", board.all),
            Route("/api/runs/{number}", board.one),
            Route("/api/runs/{number}/between", board.between),
            Route("/api/runs/{number}/histograms", board.histograms),
            Route("/api/end", board.end),
            Route("/api/stop", board.wish("stop", settings), methods=["POST"]),
            Route("/api/sample", board.wish("sample_asked", settings), methods=["POST"]),
        ],
        middleware=[Middleware(Guard, settings=settings, is_public=lambda _: True)],
        exception_handlers=HANDLERS,
    )
    app.router.redirect_slashes = False
    return app


class Board:
    """The runs that are shown, by their numbers. What is answered holds nothing about who asks.

    Parameters
    ----------
    runs : sequence of Shown
    live : LiveRun or None
    """

    def __init__(self, runs: Sequence[Shown], live: LiveRun | None) -> None:
        self.runs, self.live = runs, live

    def all(self, _: Request) -> Response:
        """``GET /api/runs``: what there is."""
        runs = [{"name": run.name, "live": run is self.live} for run in self.runs]
        return _fresh({"runs": runs})

    def one(self, request: Request) -> Response:
        """``GET /api/runs/N?rows=…&scores=…&samples=…``: where it stands, and what is new beyond so much."""
        run, known = self._run(request), Known(*(_number(request, name, 0) for name in Known._fields))
        status = run.status()  # first: when that says that the run is over, what follows is all of it
        news = run.progress.since(known)
        # The page asks what the run is when it meets a session that it does not know.
        about = {} if request.query_params.get("session") == news["session"] else {"about": run.about()}
        return _fresh(news | about | {"status": status})

    def between(self, request: Request) -> Response:
        """``GET /api/runs/N/between?first=…&last=…``: the curves from one update to another."""
        first, last = _number(request, "first"), _number(request, "last")
        return _fresh(self._run(request).progress.between(first, last))

    def histograms(self, request: Request) -> Response:
        """``GET /api/runs/N/histograms``: of the weights and of the hidden states."""
        return _fresh({"histograms": self._run(request).histograms()})

    async def end(self, _: Request) -> Response:
        """``GET /api/end``: an event at the end of the training, and the server stays until who asked leaves."""
        headers = {"cache-control": "no-store"}
        return StreamingResponse(self._training().farewell.hold(), media_type="text/event-stream", headers=headers)

    def wish(self, name: str, settings: Settings) -> Callable[[Request], Any]:
        """Return what answers ``POST /api/stop`` or ``/api/sample``: the training hears of it at its next step."""

        async def wish(request: Request) -> Response:
            await read_json(request, settings)  # which no form of another site can send
            getattr(self._training(), name).set()
            return _fresh({"asked": True})

        return wish

    def _training(self) -> LiveRun:
        if self.live is None:
            raise Refusal(409, "no run is in training here: its own page, by elman train --live, can do so", "not_live")
        return self.live

    def _run(self, request: Request) -> Shown:
        number = request.path_params["number"]
        found = dict(zip(map(str, range(len(self.runs))), self.runs, strict=True)).get(number)
        if found is None:
            raise Refusal(404, f"there are {len(self.runs)} runs, counted from 0, and {number!r} came", "no_such_run")
        return found


def _number(request: Request, name: str, default: int | None = None) -> int:
    given = request.query_params.get(name, default)
    try:
        return require_int(int(given if given is not None else ""), name)
    except ValueError:
        raise Refusal(400, f"{name} must be a count, and {given!r} came", "invalid_number", name) from None


def _fresh(content: Any) -> Response:
    return as_json(content, headers={"cache-control": "no-store"})


def _plotly() -> Path:
    """Return the file of Plotly's that holds all a page needs; to import the package takes seconds."""
    package = find_spec("plotly")
    folder = package.submodule_search_locations if package is not None else None
    path = Path(folder[0], "package_data", "plotly.min.js") if folder else Path()
    if not path.is_file():
        raise ElmanError("the page draws with Plotly, and it is not installed: pip install 'elman[serve]'")
    return path


def _file(path: Path) -> Callable[[Request], Any]:
    async def send(_: Request) -> Response:
        return FileResponse(path, media_type="text/javascript", headers={"cache-control": "max-age=3600"})

    return send
