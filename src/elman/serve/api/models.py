"""What is served: the list of the models, and whether the server is well."""

from __future__ import annotations

import time
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from elman.serve.generation.served_model import Served, find
from elman.serve.http.errors import as_json


class Models:
    """The endpoints."""

    def __init__(self, served: dict[str, Served]) -> None:
        self.served, self.created = served, int(time.time())

    async def models(self, _: Request) -> Response:
        """``GET /v1/models``."""
        return as_json({"object": "list", "data": [self._about(name) for name in self.served]})

    async def model(self, request: Request) -> Response:
        """``GET /v1/models/{name}``."""
        return as_json(self._about(find(self.served, request.path_params["name"]).name))

    async def health(self, _: Request) -> Response:
        """``GET /health``."""
        return as_json({"status": "ok"})

    def _about(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": self.created, "owned_by": "elman"}
