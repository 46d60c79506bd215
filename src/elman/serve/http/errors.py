"""A request that is refused, in the shape that clients of the OpenAI protocol read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

JSON = "application/json"


class Left(Exception):
    """The client has gone."""


class Refusal(Exception):
    """Why a request is not answered, and what its sender may do.

    Parameters
    ----------
    status : int
        Of HTTP.
    message : str
        One line: what was needed, what came, what to do.
    code : str
        The same for programs.
    param : str, optional
        The argument that is at fault.
    headers : mapping, optional
        Sent with it.
    """

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

    def body(self) -> dict[str, Any]:
        """Return what is sent."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        kind = "rate_limit_error" if self.status == 429 else kind
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> Response:
        """Return it as an answer."""
        return as_json(self.body(), self.status, self.headers)


def as_json(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer in JSON. It is ASCII, as a text may hold half of a surrogate pair, which UTF-8 cannot."""
    return Response(dumped(content), status, headers, JSON)


def dumped(content: Any) -> bytes:
    """Return content as JSON in ASCII."""
    return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")
