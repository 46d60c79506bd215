"""Reading a JSON request body within limits of size and time."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NoReturn

from starlette.requests import Request

from elman.errors import quote
from elman.serve.http.errors import APIError
from elman.serve.http.responses import JSON
from elman.serve.settings import Settings

_DISCARD_FACTOR = 16
"""Multiple of the size limit up to which a body that is too large is read and discarded: a client whose connection is
closed while it is still sending does not see the error."""


async def read_json(request: Request, settings: Settings) -> dict[str, Any]:
    """Read the JSON object in the body of a request.

    Raises
    ------
    APIError
        400 if the body is not a JSON object, 408 if it takes too long, 413 if it is too large, 415 if its declared
        type is not JSON. The last rejects HTML forms of other sites: browsers do not send JSON across sites without
        permission.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != JSON:
        message = f"Content-Type must be {JSON} (got {quote(kind) if kind else 'none'})"
        raise APIError(415, message, "unsupported_media_type")
    try:
        async with asyncio.timeout(settings.body_timeout):
            body = await _read(request, settings.max_body)
    except TimeoutError:
        message = f"the request body was not received within {settings.body_timeout:g} seconds"
        raise APIError(408, message, "request_timeout") from None
    return _parse_object(body)


async def _read(request: Request, limit: int) -> bytes:
    body, size = bytearray(), 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= limit:
            body += chunk
        elif size > _DISCARD_FACTOR * limit:
            break
    if size > limit:
        message = f"the request body is larger than {limit} bytes"
        raise APIError(413, message, "request_too_large", headers={"connection": "close"})
    return bytes(body)


def _parse_object(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body.decode("utf-8"), parse_constant=_reject_constant)
    except (ValueError, RecursionError) as error:
        raise APIError(400, f"the request body is not valid JSON ({error})", "invalid_json") from None
    if not isinstance(content, dict):
        message = f"the request body must be a JSON object (got {type(content).__name__})"
        raise APIError(400, message, "invalid_json")
    return content


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not valid JSON")
