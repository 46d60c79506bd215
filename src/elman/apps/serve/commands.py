"""``elman serve``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from elman.apps.serve.settings import Settings, create_settings
from elman.cli import Integer, Port
from elman.errors import check_number, format_count, require_extra

GROUP = "Use"


def serve(
    *runs: Path,
    host: str = "127.0.0.1",
    port: Port = 8000,
    api_key: Annotated[str | None, Parameter(env_var="ELMAN_API_KEY")] = None,
    allow_host: Annotated[list[str] | None, Parameter(negative="")] = None,
    allow_origin: Annotated[list[str] | None, Parameter(negative="")] = None,
    max_tokens: Integer = Settings.max_tokens,
    max_characters: Integer = Settings.max_characters,
    max_batch_size: Integer = Settings.max_batch_size,
    max_queued_requests: Integer = Settings.max_queued_requests,
    shutdown_timeout: float = 30.0,
) -> int:
    """Serve models over HTTP: an OpenAI-compatible completions API and a web playground.

    Parameters
    ----------
    runs
        Run directories, model files or hf://OWNER/NAME, which name the models. By default builtin, the built-in model.
    host
        Address to bind to; an address that other machines can reach requires --api-key.
    port
        Port to bind to; 0 picks a free one.
    api_key
        API key that clients must send. Prefer the variable: other users can see command lines.
    allow_host
        Additional Host header to accept, such as a reverse proxy's. Repeatable.
    allow_origin
        Origin whose pages may use the server (CORS), such as http://localhost:3000. Repeatable.
    max_tokens
        Maximum max_tokens of a completion (a token is a character).
    max_characters
        Maximum characters per request: prompts (n times with echo) plus the characters to generate.
    max_batch_size
        Maximum number of sequences that a model generates concurrently.
    max_queued_requests
        Maximum number of requests in flight in addition to `--max-batch-size`; further requests get status 429.
    shutdown_timeout
        Seconds that running requests get to finish at shutdown.
    """
    with require_extra("serve"):
        from elman.apps.serve.app import create_app
        from elman.apps.serve.models import load_models
        from elman.apps.serve.server import address_of, listen, run
    finite = "a finite number of at least 0"
    check_number("shutdown_timeout", shutdown_timeout, finite, lambda seconds: 0 <= seconds < math.inf)
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
