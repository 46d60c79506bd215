"""The command that serves trained networks."""

from __future__ import annotations

import math
import signal
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from elman.cli.app import INTERRUPTED, app
from elman.cli.training_options import port_number, whole_number
from elman.errors import ElmanError, require_extra


@app.command
def serve(
    *runs: Annotated[Path, Parameter(help="Run directories that elman train wrote; their names become the models'.")],
    host: Annotated[str, Parameter(help="Address to listen at; one that others reach needs a key.")] = "127.0.0.1",
    port: Annotated[int, Parameter(converter=port_number, help="Port to listen at; 0 takes one that is free.")] = 8000,
    api_key: Annotated[
        str | None, Parameter(env_var="ELMAN_API_KEY", help="What clients must show; other users see a command line.")
    ] = None,
    allow_host: Annotated[
        list[str] | None, Parameter(negative="", help="Another name that the server answers to; may be repeated.")
    ] = None,
    max_tokens: Annotated[int, Parameter(converter=whole_number, help="Characters of one text, at most.")] = 10_000,
    max_characters: Annotated[
        int, Parameter(converter=whole_number, help="Characters of one request, at most: its prompts and its texts.")
    ] = 100_000,
    streams: Annotated[int, Parameter(converter=whole_number, help="Texts that a model writes at a time.")] = 64,
    queue: Annotated[int, Parameter(converter=whole_number, help="Requests that may wait for their turn.")] = 1000,
    drain: Annotated[float, Parameter(help="Seconds that requests may go on once the server is told to end.")] = 30.0,
) -> int:
    """Serve trained networks: a page to play on, and the OpenAI completions protocol for programs."""
    with require_extra("serve"):
        from elman.serve.api.startup import load_models, settings_for
        from elman.serve.app import create_app
        from elman.serve.http.server import listen, run
    if not 0 <= drain < math.inf:
        raise ElmanError(f"--drain must be a number of 0 or more, and {drain} came: give another")
    settings = settings_for(
        host,
        api_key,
        allow_host or [],
        max_tokens=max_tokens,
        max_characters=max_characters,
        max_batch_size=streams,
        max_queued_requests=queue,
    )
    models = load_models(runs)
    listening = listen(host, port)
    application = create_app(models, settings)
    ended_by = run(
        application,
        listening,
        shutdown_timeout=drain,
        on_start=lambda at: _started(at, [*models]),
        on_shutdown=_closing,
    )
    return INTERRUPTED if ended_by == signal.SIGINT else 0


def _started(address: str, models: list[str]) -> None:
    print(f"serving {', '.join(models)} at {address} (the protocol under {address}/v1; Ctrl-C ends)", flush=True)


def _closing(inside: int) -> None:
    if inside:
        print(f"ending; {inside} requests are still being answered (Ctrl-C again does not wait for them)", flush=True)
