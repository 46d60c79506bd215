"""``elman serve``, ``elman view``, and the live dashboard of ``elman train``."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from elman.cli.parameters import Integer, Port
from elman.errors import ElmanError, format_count, require_extra, shorten

if TYPE_CHECKING:
    from elman.serve.dashboard_runs import LiveRun
    from elman.training.callbacks import TrainingCallback

SHUTDOWN_TIMEOUT = 1
"""Seconds that requests of an open page get to finish."""


def serve(
    *runs: Path,
    host: str = "127.0.0.1",
    port: Port = 8000,
    api_key: Annotated[str | None, Parameter(env_var="ELMAN_API_KEY")] = None,
    allow_host: Annotated[list[str] | None, Parameter(negative="")] = None,
    allow_origin: Annotated[list[str] | None, Parameter(negative="")] = None,
    max_tokens: Integer = 10_000,
    max_characters: Integer = 100_000,
    max_batch_size: Integer = 64,
    max_queued_requests: Integer = 1000,
    shutdown_timeout: float = 30.0,
) -> int:
    """Serve models over HTTP: an OpenAI-compatible completions API and a web playground.

    Parameters
    ----------
    runs
        Run directories, model files or hf://OWNER/NAME, which name the models. By default builtin, the built-in model.
    host
        Address to bind to; one that other machines can reach requires --api-key.
    port
        Port to bind to; 0 picks a free one.
    api_key
        API key that clients must send. Prefer the variable: other users can see command lines.
    allow_host
        Additional Host header to accept, such as that of a reverse proxy. Repeatable.
    allow_origin
        Origin whose pages may use the server (CORS), such as http://localhost:3000. Repeatable.
    max_tokens
        Maximum max_tokens of a completion (a token is a character).
    max_characters
        Maximum characters per request: prompts (n times with echo) plus all to be generated.
    max_batch_size
        Maximum number of sequences that a model generates concurrently.
    max_queued_requests
        Maximum number of queued requests; further ones get status 429.
    shutdown_timeout
        Seconds that running requests get to finish at shutdown.
    """
    with require_extra("serve"):
        from elman.serve.app import create_app
        from elman.serve.models import load_models
        from elman.serve.server import address_of, listen, run
        from elman.serve.settings import create_settings
    if not 0 <= shutdown_timeout < math.inf:
        raise ElmanError(f"--shutdown-timeout must be a finite number of at least 0 (got {shorten(shutdown_timeout)})")
    limits = {"max_tokens": max_tokens, "max_characters": max_characters}
    limits |= {"max_batch_size": max_batch_size, "max_queued_requests": max_queued_requests}
    settings = create_settings(host, api_key, allow_host or [], allow_origin or [], **limits)
    models = load_models(runs)
    listening = listen(host, port)
    application, address = create_app(models, settings), address_of(listening)
    print(f"serving {', '.join(models)} at {address} (API at {address}/v1; press Ctrl-C to stop)", flush=True)
    run(application, listening, shutdown_timeout, _announce_shutdown)
    return 0


def _announce_shutdown(in_flight: int) -> None:
    if in_flight:
        requests = format_count(in_flight, "request")
        print(f"shutting down; waiting for {requests} (press Ctrl-C again to stop at once)", flush=True)


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
        from elman.serve.dashboard import HOST, create_dashboard, open_browser
        from elman.serve.dashboard_runs import DashboardRun
        from elman.serve.server import address_of, listen, run
    from elman.cli.inputs import read_runs

    application = create_dashboard(read_runs(runs, DashboardRun))
    listening = listen(HOST, port)
    address = address_of(listening)
    print(f"dashboard of {', '.join(map(str, runs))} at {address} (press Ctrl-C to stop)", flush=True)
    open_browser(address)
    run(application, listening, SHUTDOWN_TIMEOUT, lambda _: None)
    return 0


@contextmanager
def open_dashboard(name: str, port: int, others: Sequence[Path]) -> Iterator[tuple[LiveRun, list[TrainingCallback]]]:
    """Serve the dashboard of a training; yield the run on it, and the callbacks that it requires."""
    with require_extra("serve"):
        from elman.serve.dashboard import open_browser, serve_dashboard
    from elman.training.callbacks import TrainingCallback

    class OpenBrowser(TrainingCallback):
        def on_compile(self) -> None:
            """Open the dashboard: the options and the text are valid, and training starts."""
            print(f"dashboard: {address}", file=sys.stderr, flush=True)
            open_browser(address)

    with serve_dashboard(name, port, others) as (live, address):
        yield live, [OpenBrowser(), live]
