"""Running an ASGI application on a socket of this machine, in the foreground or in a thread."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from elman.errors import ElmanError, quote
from elman.serve.http.access import as_address
from elman.serve.http.graceful_shutdown import GracefulShutdownMiddleware

BACKLOG = 2048
"""Connections that may wait to be accepted."""
KEEP_ALIVE = 30
"""Seconds that an idle connection stays open; longer than clients keep theirs, so that they close it first."""
CANCEL_TIMEOUT = 1
"""Seconds that requests get to end once they are cancelled."""


def is_loopback(host: str) -> bool:
    """Return whether an address can be reached from this machine only."""
    address = as_address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def listen(host: str, port: int, option: str = "--port") -> socket.socket:
    """Return a listening socket; connections wait until an application is served on it.

    Parameters
    ----------
    host : str
    port : int
        0 picks a free port.
    option : str
        The command-line option of the port, for error messages.

    Raises
    ------
    ElmanError
        If the address does not belong to this machine, or the port is in use or not permitted.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
    except (OSError, OverflowError) as error:
        raise ElmanError(f"--host {quote(host)} is not an address of this machine ({error})") from None
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise _bind_error(host, port, error, option) from None
    return listening


def _bind_error(host: str, port: int, error: OSError, option: str) -> ElmanError:
    if error.errno == errno.EADDRINUSE:
        return ElmanError(f"port {port} of {host} is already in use; {option} 0 picks a free one")
    if error.errno in (errno.EACCES, errno.EPERM):
        return ElmanError(f"no permission to listen on port {port} ({error.strerror}); use {option} above 1023")
    return ElmanError(f"cannot listen on {host}, port {port} ({error.strerror}); change --host or {option}")


def address_of(listening: socket.socket) -> str:
    """Return the URL at which a browser on this machine reaches a socket."""
    host, port = listening.getsockname()[:2]
    if (address := as_address(host)) is not None and address.is_unspecified:
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(
    app: ASGIApp,
    listening: socket.socket,
    *,
    shutdown_timeout: float,
    on_start: Callable[[str], None],
    on_shutdown: Callable[[int], None],
) -> int | None:
    """Serve an application until a signal stops it, and return the number of the signal.

    Parameters
    ----------
    app : ASGI application
    listening : socket
        From `listen`; closed at the end.
    shutdown_timeout : float
        Seconds that requests in flight get to finish after the signal. A second signal ends them at once.
    on_start : callable
        Called with the URL of the server.
    on_shutdown : callable
        Called with the number of requests in flight when the signal arrives.
    """
    server = _create_server(app)
    shutdown = GracefulShutdownMiddleware(
        app, shutdown_timeout, lambda: setattr(server, "should_exit", True), on_shutdown
    )
    server.config.app = shutdown
    on_start(address_of(listening))
    server.run([listening])
    return shutdown.signal


@contextmanager
def run_in_thread(app: ASGIApp, listening: socket.socket) -> Iterator[str]:
    """Serve an application in a thread for the duration of the block; yields the URL of the server."""
    server = _create_server(app)
    thread = threading.Thread(target=server.run, args=([listening],), name="elman-server", daemon=True)
    thread.start()
    try:
        yield address_of(listening)
    finally:
        server.should_exit = True
        thread.join()


def _create_server(app: ASGIApp) -> uvicorn.Server:
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
            timeout_graceful_shutdown=CANCEL_TIMEOUT,
        )
    )
