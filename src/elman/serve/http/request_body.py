"""The body of a request: JSON, not too long, and not too slow in coming."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NoReturn

from starlette.requests import Request

from elman.serve.http.errors import JSON, Refusal
from elman.serve.settings import Settings

_PATIENCE = 16
"""Times the limit that is read, and thrown away, of a body that is too long: a client that is cut off while it sends
does not see why."""


async def read_json(request: Request, settings: Settings) -> dict[str, Any]:
    """Return the JSON object that a request brings.

    Raises
    ------
    Refusal
        400 if it is none, 408 if it takes too long, 413 if it is too long, 415 if it is called something else. The
        last keeps forms of other sites out: without permission, a browser sends no JSON across sites.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != JSON:
        message = f"the body must be JSON, and {kind or 'nothing'!r} came as its type: send Content-Type: {JSON}"
        raise Refusal(415, message, "unsupported_media_type")
    try:
        async with asyncio.timeout(settings.body_seconds):
            body = await _read(request, settings.max_body)
    except TimeoutError:
        message = f"the body did not come within {settings.body_seconds:g} seconds: send it again"
        raise Refusal(408, message, "request_timeout") from None
    return _parsed(body)


async def _read(request: Request, limit: int) -> bytes:
    body, size = bytearray(), 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= limit:
            body += chunk
        elif size > _PATIENCE * limit:
            break
    if size > limit:
        message = f"the body may have {limit} bytes at most, and more came: send less"
        raise Refusal(413, message, "request_too_large", headers={"connection": "close"})
    return bytes(body)


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        message = f"the body must be JSON, and it cannot be read as that ({error}): correct it"
        raise Refusal(400, message, "invalid_json") from None
    if not isinstance(found, dict):
        message = f"the body must be a JSON object, and a {type(found).__name__} came: send {{...}}"
        raise Refusal(400, message, "invalid_json")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
