"""``GET /v1/models``, ``GET /v1/models/{name}`` and ``GET /health``."""

from __future__ import annotations

import time
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from elman.serve.generation.served_model import ServedModel, get_model
from elman.serve.http.responses import json_response


class Models:
    """The endpoints."""

    def __init__(self, models: dict[str, ServedModel]) -> None:
        self.by_name, self.created = models, int(time.time())

    async def models(self, _: Request) -> Response:
        """``GET /v1/models``."""
        return json_response({"object": "list", "data": [self._describe(name) for name in self.by_name]})

    async def model(self, request: Request) -> Response:
        """``GET /v1/models/{name}``."""
        return json_response(self._describe(get_model(self.by_name, request.path_params["name"]).name))

    async def health(self, _: Request) -> Response:
        """``GET /health``."""
        return json_response({"status": "ok"})

    def _describe(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": self.created, "owned_by": "elman"}
