"""From what a person gives, run directories and an address, to models with names and to settings."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from pathlib import Path

from elman.errors import ElmanError
from elman.inference import Model
from elman.runs.run import load
from elman.serve.http.access import as_address, host_name
from elman.serve.http.server import is_loopback
from elman.serve.settings import LOOPBACK_NAMES, Settings


def load_models(runs: Sequence[Path]) -> dict[str, Model]:
    """Return the models of run directories under the directories' names, which a number makes unique where needed.

    Raises
    ------
    ElmanError
        If there is none, or one cannot be read.
    """
    if not runs:
        raise ElmanError("elman serve needs at least one run directory: name those to serve")
    return dict(zip(unique(map(_name, runs)), map(load, runs), strict=True))


def _name(run: Path) -> str:
    whole = run.resolve()
    name = whole.name if whole.is_dir() else whole.parent.name
    # A name of bytes that are no text comes with halves of surrogate pairs, which no client can send.
    return name.encode("utf-8", "backslashreplace").decode()


def unique(names: Iterable[str]) -> list[str]:
    """Return names of which none is there twice: the second ``novel`` is ``novel-2``."""
    found: list[str] = []
    for name in names:
        several = (name if n == 1 else f"{name}-{n}" for n in range(1, len(found) + 2))
        found.append(next(one for one in several if one not in found))
    return found


def settings_for(
    host: str,
    api_key: str | None,
    allow_host: Sequence[str],
    *,
    max_tokens: int,
    max_characters: int,
    streams: int,
    queue: int,
) -> Settings:
    """Return the settings of a server at an address.

    Raises
    ------
    ElmanError
        If others reach the address and no key is given, or a number or the key is not what it should be.
    """
    api_key = api_key or None
    if api_key is None and not is_loopback(host):
        raise ElmanError(f"others may reach {host!r}: give --api-key (or ELMAN_API_KEY), or leave --host out")
    if api_key is not None and not (api_key.isascii() and api_key.isprintable() and " " not in api_key):
        raise ElmanError("--api-key must be ASCII without spaces, and another came: give one that fits a header")
    ranges = (
        ("--max-tokens", max_tokens, 1),
        ("--max-characters", max_characters, max_tokens),
        ("--streams", streams, 1),
        ("--queue", queue, 0),
    )
    for name, value, least in ranges:
        if value < least:
            raise ElmanError(f"{name} must be {least} or more, and {value} came: give another")
    names, any_address = _names(host)
    return Settings(
        hosts=(*names, *map(_allowed, allow_host)),
        any_address=any_address,
        api_key=api_key,
        max_tokens=max_tokens,
        max_characters=max_characters,
        streams=streams,
        queue=queue,
    )


def _allowed(name: str) -> str:
    """Return the name that is allowed, as it is found in a request; a port behind it is of no account."""
    found = name.lower() if as_address(name) else host_name(name)
    if found is None:
        raise ElmanError(f"--allow-host must be a name or an address, and {name!r} came: give one as in http://NAME/")
    return found


def _names(host: str) -> tuple[tuple[str, ...], bool]:
    """The names that a server at an address answers to, and whether every numerical address is one."""
    address = as_address(host)
    if address is not None and address.is_unspecified:
        return (*LOOPBACK_NAMES, socket.gethostname().lower()), True
    if is_loopback(host):
        return (*LOOPBACK_NAMES, host.lower()), False
    return (host.lower(),), False
