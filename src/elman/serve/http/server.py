"""An application on a port of this machine, until a signal ends it or the one who started it."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from elman.errors import ElmanError
from elman.serve.http.access import as_address
from elman.serve.http.graceful_shutdown import Doors

BACKLOG = 2048
"""Connections that may wait to be accepted."""
KEEP_ALIVE = 30
"""Seconds that a connection may stay open between requests; longer than clients keep theirs, so that they close it."""
LAST_SECONDS = 1
"""How long what is still running when time is up may take to end."""


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches an address."""
    address = as_address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def listen(host: str, port: int, option: str = "--port") -> socket.socket:
    """Return a socket that listens; clients that come before it is served wait. Port 0 is one that is free.

    `option` is what the port was given by.

    Raises
    ------
    ElmanError
        If the address is not this machine's, or the port is taken or not allowed.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
    except (OSError, OverflowError) as error:
        raise ElmanError(f"--host must be an address of this machine, and {host!r} is none ({error})") from None
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise _refused(host, port, error, option) from None
    return listening


def _refused(host: str, port: int, error: OSError, option: str) -> ElmanError:
    if error.errno == errno.EADDRINUSE:
        return ElmanError(f"port {port} of {host} is taken: give another {option}, or {option} 0 for one that is free")
    if error.errno in (errno.EACCES, errno.EPERM):
        return ElmanError(f"port {port} may not be used ({error.strerror}): give {option} above 1023")
    return ElmanError(f"cannot listen at {host}, port {port} ({error.strerror}): give another --host or {option}")


def address_of(listening: socket.socket) -> str:
    """Return where a browser on this machine finds it."""
    host, port = listening.getsockname()[:2]
    if (found := as_address(host)) is not None and found.is_unspecified:
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(
    app: ASGIApp,
    listening: socket.socket,
    *,
    seconds: float,
    started: Callable[[str], None],
    closing: Callable[[int], None],
) -> int | None:
    """Serve an application until a signal ends it, and return its number.

    Parameters
    ----------
    app : ASGI application
    listening : socket
        What `listen` gave; it is closed at the end.
    seconds : float
        How long requests that are being answered may go on after the signal. A second signal ends them.
    started : callable
        Told the address.
    closing : callable
        Told how many requests are being answered when the signal comes.
    """
    server = _server(app)
    doors = Doors(app, seconds, lambda: setattr(server, "should_exit", True), closing)
    server.config.app = doors
    started(address_of(listening))
    server.run([listening])
    return doors.closed_by


@contextmanager
def in_background(app: ASGIApp, listening: socket.socket) -> Iterator[str]:
    """Serve an application in a thread of its own while the block lasts; gives its address."""
    server = _server(app)
    thread = threading.Thread(target=server.run, args=([listening],), name="elman-server", daemon=True)
    thread.start()
    try:
        yield address_of(listening)
    finally:
        server.should_exit = True
        thread.join()


def _server(app: ASGIApp) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            app,
            interface="asgi3",
            lifespan="on",
            ws="none",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=LAST_SECONDS,
        )
    )
