"""Settings of a server, checked: accepted hosts and origins, the API key, limits and timeouts."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from elman.errors import ElmanError, check_range, option, quote, shorten

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
MINIMA = {"max_tokens": 1, "max_batch_size": 1, "max_queued_requests": 0}
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?/?")
MAX_PORT = 65_535
_DEFAULT_PORTS = {"http": 80, "https": 443}  # scheme -> port that browsers leave out
ABORT = "elman.abort"
"""Extension of an ASGI scope: a function that drops the connection, and what is not sent yet."""


@dataclass(frozen=True)
class Settings:
    """Access rules and limits of a server.

    A request with a ``Host`` that is not accepted is rejected. This prevents DNS rebinding, in which a web page points
    its own host name at this machine. A web page cannot rebind an address.
    """

    hosts: tuple[str, ...] = LOOPBACK_NAMES  # accepted host names, without a port
    any_address: bool = False  # whether every numerical IP address is accepted as well
    origins: tuple[str, ...] = ()  # origins of pages of other sites that may send requests and read responses (CORS)
    api_key: str | None = None  # key that clients must send
    max_tokens: int = 10_000  # maximum characters to generate for one sequence
    max_characters: int = 100_000  # of one request: its prompts, n times with echo, and the characters to generate
    max_body: int = 1 << 20  # bytes of a request body
    max_batch_size: int = 64  # sequences that one model generates concurrently
    max_queued_requests: int = 1000  # requests that may wait, in addition to `max_batch_size` running ones
    body_timeout: float = 30.0  # seconds within which a request body must be received
    send_timeout: float = 30.0  # seconds that a client may stop reading before it counts as disconnected


def create_settings(
    host: str, api_key: str | None, allow_host: Sequence[str] = (), allow_origin: Sequence[str] = (), **limits: int
) -> Settings:
    """Return the settings of a server at an address, from the options of ``elman serve``."""
    api_key = api_key or None
    if api_key is None and not is_loopback(host):
        required = f"{option.api_key} (or ELMAN_API_KEY)"
        raise ElmanError(f"{option.host:{quote(host)}} can be reached by other machines and requires {required}")
    if api_key is not None and not (api_key.isascii() and api_key.isprintable() and " " not in api_key):
        raise ElmanError(f"{option.api_key} must be printable ASCII without spaces, to fit into an HTTP header")
    address = as_address(host)
    any_address = address is not None and address.is_unspecified
    own = socket.gethostname() if any_address else host
    loopback = LOOPBACK_NAMES if any_address or is_loopback(host) else ()
    hosts = (*loopback, own.lower(), *map(_parse_allowed_host, allow_host))
    settings = Settings(hosts, any_address, tuple(map(parse_origin, allow_origin)), api_key, **limits)
    for name, minimum in MINIMA.items():
        check_range(name, getattr(settings, name), minimum)
    if settings.max_characters < settings.max_tokens:
        given = f"(got {shorten(settings.max_characters)} and {settings.max_tokens})"
        raise ElmanError(f"{option.max_characters} must be at least {option.max_tokens} {given}")
    return settings


def _parse_allowed_host(name: str) -> str:
    host = name.lower() if as_address(name) else parse_host(name)
    if host is None:
        raise ElmanError(f"{option.allow_host} must be a host name or an IP address (got {quote(name)})")
    return host


def parse_host(host: str) -> str | None:
    """Return the host name of a ``Host`` header, without its port, or None if the header is invalid."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises ValueError if it is not a number
    except ValueError:
        return None
    is_host = parts.netloc == host and parts.username is None and not re.search(r"\s", host)
    return parts.hostname.rstrip(".") if is_host and parts.hostname else None


def parse_origin(origin: str) -> str:
    """Return an additional origin as browsers send it, such as ``https://example.org``."""
    match = _ORIGIN.fullmatch(origin.lower())
    if match is None or int(match[3] or 0) > MAX_PORT:
        examples = "https://example.org or http://localhost:3000"
        raise ElmanError(f"{option.allow_origin} must be an origin such as {examples} (got {quote(origin)})")
    scheme, host, port = match.groups()
    shown = f":{port}" if port and int(port) != _DEFAULT_PORTS.get(scheme) else ""
    return f"{scheme}://{host}{shown}"


def as_address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Parse a numerical IP address; return None for any other name."""
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Return whether an address can be reached from this machine only."""
    address = as_address(host)
    return host == "localhost" or (address is not None and address.is_loopback)
