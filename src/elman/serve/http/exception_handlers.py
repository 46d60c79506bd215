"""What is answered where a request comes to nothing: refused, not there, broken off, or a fault of the server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from elman.serve.http.access import HEADERS
from elman.serve.http.errors import Refusal


def _refused(_: Request, refusal: Exception) -> Response:
    assert isinstance(refusal, Refusal)
    return refusal.response()


def _not_there(request: Request, error: Exception) -> Response:
    """Say what Starlette finds in the shape of the protocol."""
    assert isinstance(error, HTTPException)
    message, code = f"{request.method} {request.url.path}: {error.detail}", error.detail.lower().replace(" ", "_")
    return Refusal(error.status_code, message, code, headers=error.headers).response()


def _gone(_: Request, __: Exception) -> Response:
    """Answer a client that left while it sent; nobody reads it."""
    return Refusal(400, "the body did not come whole", "client_left").response()


def _broken(_: Request, __: Exception) -> Response:
    """Answer when the fault is the server's, whose log tells it. Uvicorn closes the connection, which is to be said."""
    headers = HEADERS | {"connection": "close"}
    return Refusal(500, "the server has failed: see its log", "internal_error", headers=headers).response()


HANDLERS: dict[Any, Callable[[Request, Exception], Response]] = {
    Refusal: _refused,
    HTTPException: _not_there,
    ClientDisconnect: _gone,
    Exception: _broken,
}
"""By what was raised."""
