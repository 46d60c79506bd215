"""Responses: JSON, and errors in the format of the OpenAI API."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from typing_extensions import TypedDict  # Pydantic accepts the standard library's only from Python 3.12 on

from elman.errors import shorten

JSON = "application/json"
BATCH_ITEMS = 1000  # items of an iterator that are serialized in one call, in about a millisecond
CHUNK_BYTES = 1 << 16  # minimum size of a chunk of a large response


class ErrorInfo(TypedDict):
    """The error of a request."""

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
        self, status: int, message: str, code: str, param: str | None = None, headers: Mapping[str, str] | None = None
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


def shutdown_error() -> APIError:
    """Return the error of a request that is ended by the shutdown of the server."""
    return APIError(503, "the server is shutting down; retry later", "shutting_down")


def json_response(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON response, encoded by `dump_json`."""
    return Response(dump_json(content), status, headers, JSON)


def dump_json(content: Any) -> bytes:
    """Serialize content as JSON in ASCII, because text may contain lone surrogates, which UTF-8 cannot encode."""
    # An iterator becomes an array.
    return json.dumps(content, allow_nan=False, separators=(",", ":"), default=list).encode("ascii")


def encode_json(content: object) -> Iterator[bytes]:
    """Serialize content as `dump_json` does, in short pieces: the encoder holds the interpreter's lock."""
    # The values of a dictionary and the items of a list are serialized one by one, the items of an iterator in batches.
    if isinstance(content, dict):
        items = (chain([dump_json(key), b":"], encode_json(value)) for key, value in content.items())
        yield from _enclose(b"{", items, b"}")
    elif isinstance(content, list):
        yield from _enclose(b"[", map(encode_json, content), b"]")
    elif isinstance(content, Iterator):
        batches = iter(lambda: [*islice(content, BATCH_ITEMS)], [])
        yield from _enclose(b"[", ([dump_json(batch)[1:-1]] for batch in batches), b"]")
    else:
        yield dump_json(content)


def _enclose(start: bytes, items: Iterable[Iterable[bytes]], end: bytes) -> Iterator[bytes]:
    yield start
    for n, item in enumerate(items):
        yield b"," if n else b""
        yield from item
    yield end


def join_pieces(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Join pieces to chunks of at least `CHUNK_BYTES`, except for the last chunk."""
    chunk = bytearray()
    for piece in pieces:
        chunk += piece
        if len(chunk) >= CHUNK_BYTES:
            yield bytes(chunk)
            chunk.clear()
    yield bytes(chunk)


def _handle(request: Request, error: Exception) -> Response:
    """Answer after an exception. An unexpected one is in the server's log, and Uvicorn then closes the connection."""
    match error:
        case APIError():
            return error.response()
        case HTTPException():  # Starlette's own, such as 404 and 405
            message = f"{request.method} {shorten(request.url.path)}: {error.detail}"
            code = error.detail.lower().replace(" ", "_")
            return APIError(error.status_code, message, code, headers=error.headers).response()
        case ClientDisconnect():  # the client left while it sent its body: nobody reads the response
            message = "the request body is incomplete: the client disconnected"
            return APIError(400, message, "client_disconnected").response()
    headers = {"connection": "close"}
    return APIError(500, "internal server error; see the server's log", "internal_error", headers=headers).response()


_HANDLED: tuple[Any, ...] = (APIError, HTTPException, ClientDisconnect, Exception)
EXCEPTION_HANDLERS = dict.fromkeys(_HANDLED, _handle)  # exception handlers of the applications, by exception type
