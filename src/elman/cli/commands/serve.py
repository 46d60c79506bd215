"""``elman serve``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from elman.cli.parameters import BY_DEFAULT_BUILTIN, Integer, Port
from elman.errors import ElmanError, require_extra, shorten


def serve(
    *runs: Annotated[
        Path, Parameter(help=f"Run directories; each directory's name becomes the model's name. {BY_DEFAULT_BUILTIN}")
    ],
    host: Annotated[
        str, Parameter(help="Address to bind to; one that other machines can reach requires --api-key.")
    ] = "127.0.0.1",
    port: Annotated[Port, Parameter(help="Port to bind to; 0 picks a free one.")] = 8000,
    api_key: Annotated[
        str | None,
        Parameter(
            env_var="ELMAN_API_KEY",
            help="API key that clients must send. Prefer the environment variable: other users can see command lines.",
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        Parameter(negative="", help="Additional Host header to accept, such as that of a reverse proxy. Repeatable."),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        Parameter(
            negative="", help="Origin whose pages may use the server (CORS), such as http://localhost:3000. Repeatable."
        ),
    ] = None,
    max_tokens: Annotated[
        Integer, Parameter(help="Maximum max_tokens of a completion (a token is a character).")
    ] = 10_000,
    max_characters: Annotated[
        Integer, Parameter(help="Maximum characters per request: prompts (n times with echo) plus all to be generated.")
    ] = 100_000,
    max_batch_size: Annotated[
        Integer, Parameter(help="Maximum number of sequences that a model generates concurrently.")
    ] = 64,
    max_queued_requests: Annotated[
        Integer, Parameter(help="Maximum number of queued requests; further ones get status 429.")
    ] = 1000,
    shutdown_timeout: Annotated[
        float, Parameter(help="Seconds that running requests get to finish at shutdown.")
    ] = 30.0,
) -> int:
    """Serve models over HTTP: an OpenAI-compatible completions API and a web playground."""
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
        requests = "1 request" if in_flight == 1 else f"{in_flight} requests"
        print(f"shutting down; waiting for {requests} (press Ctrl-C again to stop at once)", flush=True)
