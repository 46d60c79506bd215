"""Loading models and validating the options of ``elman serve``."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from pathlib import Path

from elman.errors import ElmanError, quote, shorten
from elman.inference import Model
from elman.runs.models import BUILTIN, is_builtin, load, load_builtin
from elman.serve.http.access import as_address, host_name, parse_origin
from elman.serve.http.server import is_loopback
from elman.serve.settings import LOOPBACK_NAMES, Settings


def load_models(runs: Sequence[Path]) -> dict[str, Model]:
    """Load the models of run directories, named after the directories; a number makes a name unique where needed.

    Without a run, it is the built-in model.

    Raises
    ------
    ElmanError
        If one cannot be read.
    """
    if not runs:
        return {BUILTIN: load_builtin()}
    return dict(zip(make_unique(map(_model_name, runs)), map(load, runs), strict=True))


def _model_name(run: Path) -> str:
    if is_builtin(run):
        return BUILTIN
    path = run.resolve()
    name = path.name if path.is_dir() else path.parent.name
    # Bytes of a file name that are not UTF-8 become lone surrogates, which no client can send.
    return name.encode("utf-8", "backslashreplace").decode()


def make_unique(names: Iterable[str]) -> list[str]:
    """Number repeated names: the second ``novel`` becomes ``novel-2``."""
    unique: list[str] = []
    for name in names:
        candidates = (name if n == 1 else f"{name}-{n}" for n in range(1, len(unique) + 2))
        unique.append(next(candidate for candidate in candidates if candidate not in unique))
    return unique


def create_settings(
    host: str,
    api_key: str | None,
    allow_host: Sequence[str],
    allow_origin: Sequence[str] = (),
    *,
    max_tokens: int,
    max_characters: int,
    max_batch_size: int,
    max_queued_requests: int,
) -> Settings:
    """Return the settings of a server at an address.

    Raises
    ------
    ElmanError
        If other machines can reach the address and there is no key, or an option is invalid.
    """
    api_key = api_key or None
    if api_key is None and not is_loopback(host):
        raise ElmanError(
            f"--host {quote(host)} can be reached by other machines and requires --api-key (or ELMAN_API_KEY)"
        )
    if api_key is not None and not (api_key.isascii() and api_key.isprintable() and " " not in api_key):
        raise ElmanError("--api-key must be printable ASCII without spaces, to fit into an HTTP header")
    limits = (
        ("--max-tokens", max_tokens, 1),
        ("--max-batch-size", max_batch_size, 1),
        ("--max-queued-requests", max_queued_requests, 0),
    )
    for name, value, minimum in limits:
        if value < minimum:
            raise ElmanError(f"{name} must be at least {minimum} (got {shorten(value)})")
    if max_characters < max_tokens:
        raise ElmanError(
            f"--max-characters must be at least --max-tokens (got {shorten(max_characters)} and {max_tokens})"
        )
    names, any_address = _host_names(host)
    return Settings(
        hosts=(*names, *map(_parse_allowed_host, allow_host)),
        any_address=any_address,
        origins=tuple(map(_parse_allowed_origin, allow_origin)),
        api_key=api_key,
        max_tokens=max_tokens,
        max_characters=max_characters,
        max_batch_size=max_batch_size,
        max_queued_requests=max_queued_requests,
    )


def _parse_allowed_host(name: str) -> str:
    """Return an additional host name as it appears in requests, without its port."""
    host = name.lower() if as_address(name) else host_name(name)
    if host is None:
        raise ElmanError(f"--allow-host must be a host name or an IP address (got {quote(name)})")
    return host


def _parse_allowed_origin(origin: str) -> str:
    """Return an additional origin as it appears in requests."""
    parsed = parse_origin(origin)
    if parsed is None:
        raise ElmanError(
            f"--allow-origin must be an origin such as https://example.org or http://localhost:3000 (got"
            f" {quote(origin)})"
        )
    return parsed


def _host_names(host: str) -> tuple[tuple[str, ...], bool]:
    """Return the host names to accept for a bind address, and whether to accept every IP address."""
    address = as_address(host)
    if address is not None and address.is_unspecified:
        return (*LOOPBACK_NAMES, socket.gethostname().lower()), True
    if is_loopback(host):
        return (*LOOPBACK_NAMES, host.lower()), False
    return (host.lower(),), False
