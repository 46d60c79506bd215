"""Running an ASGI application on a socket of this machine, in the foreground or in a thread."""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from elman.apps.serve.settings import ABORT, as_address
from elman.errors import ElmanError, option, quote
from elman.machine import HANGUP

BACKLOG = 2048  # connections that may wait to be accepted
SEND_BUFFER = 1 << 17
"""Bytes that the system buffers for a client that does not read, by default megabytes; accepted sockets inherit it."""
KEEP_ALIVE = 30
"""Seconds that an idle connection stays open; longer than clients keep theirs, so that they close it first."""
CANCEL_TIMEOUT = 1
"""Seconds that requests get to finish at the end of a server in a thread, and to report an error when a server ends."""


def listen(host: str, port: int, name: str = "port") -> socket.socket:
    """Return a listening socket; connections wait until an application is served on it."""
    # Port 0 picks a free one. `name` is the option of the port, for the error if it cannot be used.
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
    except (OSError, OverflowError) as error:
        raise ElmanError(f"{option.host:{quote(host)}} is not an address of this machine ({error})") from None
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            message = f"port {port} of {host} is already in use; {option[name]:0} picks a free one"
        elif error.errno in (errno.EACCES, errno.EPERM):
            message = f"no permission to listen on port {port} ({error.strerror}); use {option[name]} above 1023"
        else:
            message = f"cannot listen on {host}, port {port} ({error.strerror}); change {option.host} or {option[name]}"
        raise ElmanError(message) from None
    return listening


def address_of(listening: socket.socket) -> str:
    """Return the URL at which a browser on this machine reaches a socket."""
    host, port = listening.getsockname()[:2]
    if (address := as_address(host)) is not None and address.is_unspecified:
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(app: ASGIApp, listening: socket.socket, shutdown_timeout: float, on_shutdown: Callable[[int], None]) -> None:
    """Serve an application until SIGTERM or SIGHUP, or until SIGINT, which raises `KeyboardInterrupt` afterwards."""
    # `on_shutdown` is called with the number of requests in flight when the signal arrives; they get `shutdown_timeout`
    # seconds to finish. A second SIGINT ends them at once.
    signal.signal(signal.SIGTERM, lambda *_: None)  # Uvicorn raises the signal again once it has shut down
    server = _Server(_create_config(app, shutdown_timeout), on_shutdown)
    if HANGUP is not None and signal.getsignal(HANGUP) is not signal.SIG_IGN:  # nohup ignores it
        signal.signal(HANGUP, server.handle_exit)
    server.run([listening])


@contextmanager
def run_in_thread(app: ASGIApp, listening: socket.socket) -> Iterator[str]:
    """Serve an application in a thread for the duration of the block; yields the URL of the server."""
    server = uvicorn.Server(_create_config(app, CANCEL_TIMEOUT))
    thread = threading.Thread(target=server.run, args=([listening],), name="elman-server", daemon=True)
    thread.start()
    try:
        yield address_of(listening)
    finally:
        server.should_exit = True
        thread.join()
        listening.close()  # some versions of Uvicorn leave it open if they end before they have started


class _Server(uvicorn.Server):
    """Uvicorn with a callback for the number of requests that its graceful shutdown waits for."""

    def __init__(self, config: uvicorn.Config, on_shutdown: Callable[[int], None]) -> None:
        super().__init__(config)
        self.on_shutdown = on_shutdown

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin the shutdown; on a second signal, close the connections that it waits for."""
        if self.should_exit:
            for connection in self.server_state.connections:
                connection.transport.abort()
        else:
            super().handle_exit(sig, frame)
            if sig != HANGUP:  # after a hangup nobody reads the message
                self.on_shutdown(len(self.server_state.tasks))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Shut down; requests that are cancelled at the timeout still send their error."""
        await super().shutdown(sockets)
        if self.server_state.tasks and not self.force_exit:
            await asyncio.wait(self.server_state.tasks, timeout=CANCEL_TIMEOUT)


def _create_config(app: ASGIApp, shutdown_timeout: float) -> uvicorn.Config:
    for name in ("uvicorn.error", "asyncio"):
        logging.getLogger(name).addFilter(_is_error)
    return uvicorn.Config(
        _with_abort(app), interface="asgi3", lifespan="on", ws="none", log_config=None, access_log=False,
        proxy_headers=False, server_header=False, backlog=BACKLOG, timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=shutdown_timeout,  # type: ignore[arg-type]  # passed to asyncio.wait_for
    )  # fmt: skip


def _with_abort(app: ASGIApp) -> ASGIApp:
    """Give an application the extension `ABORT` of its scope, which drops the connection and what is not sent yet.

    Uvicorn closes a connection only once the client has read everything.
    """

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            abort = send.__self__.transport.abort  # type: ignore[attr-defined]  # of Uvicorn's RequestResponseCycle
            scope["extensions"] = scope.get("extensions", {}) | {ABORT: abort}
        await app(scope, receive, send)

    return call


def _is_error(record: logging.LogRecord) -> bool:
    """Return whether a log record is not the traceback of a request that is cancelled at the timeout or malformed."""
    kind = type(record.exc_info[1]).__name__ if record.exc_info else ""
    return kind not in ("CancelledError", "LocalProtocolError")  # the latter is from h11, a dependency of Uvicorn
