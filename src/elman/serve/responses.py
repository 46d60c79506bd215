"""Responses: JSON, and errors in the format of the OpenAI API."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from typing_extensions import TypedDict  # Pydantic does not accept that of the standard library before Python 3.12

from elman.errors import shorten

JSON = "application/json"


class ErrorInfo(TypedDict):
    """What is wrong with a request."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorResponse(TypedDict):
    """The body of an error, and the last line or event of a stream that fails."""

    error: ErrorInfo


class APIError(Exception):
    """An error response: a message of one line, a machine-readable code, and the name of the invalid argument."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param, self.headers = status, message, code, param, headers

    def body(self) -> ErrorResponse:
        """Return the response body."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        kind = "rate_limit_error" if self.status == 429 else kind
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> Response:
        """Return the error as a response."""
        return json_response(self.body(), self.status, self.headers)


def json_response(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON response, encoded by `dump_json`."""
    return Response(dump_json(content), status, headers, JSON)


def dump_json(content: Any) -> bytes:
    """Serialize content as JSON in ASCII, since text may contain lone surrogates, which UTF-8 cannot encode."""
    return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


def _handle_api_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, APIError)
    return error.response()


def _handle_http_exception(request: Request, error: Exception) -> Response:
    """Convert Starlette's own errors, such as 404 and 405, to the format of the API."""
    assert isinstance(error, HTTPException)
    message = f"{request.method} {shorten(request.url.path)}: {error.detail}"
    code = error.detail.lower().replace(" ", "_")
    return APIError(error.status_code, message, code, headers=error.headers).response()


def _handle_disconnect(_: Request, __: Exception) -> Response:
    """Answer a client that disconnected while sending its body; nobody reads the response."""
    return APIError(400, "the request body is incomplete: the client disconnected", "client_disconnected").response()


def _handle_exception(_: Request, __: Exception) -> Response:
    """Answer after an unexpected exception, which is in the server's log.

    Uvicorn closes the connection afterwards, which the response must announce.
    """
    headers = {"connection": "close"}
    return APIError(500, "internal server error; see the server's log", "internal_error", headers=headers).response()


EXCEPTION_HANDLERS: dict[Any, Callable[[Request, Exception], Response]] = {
    APIError: _handle_api_error,
    HTTPException: _handle_http_exception,
    ClientDisconnect: _handle_disconnect,
    Exception: _handle_exception,
}
"""Exception handlers of the applications, by exception type."""
