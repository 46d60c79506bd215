"""The endpoints of the models and their tokenizers.

``/tokenizer_info``, ``/tokenize`` and ``/detokenize`` are those of vLLM, which lm-eval requests. A token is a
character, its number the index of the character. Where several models are served, the request names one. Long texts
are converted in a thread, so as not to block the event loop.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from elman.serve.api.completion_request import are_indices, parse_string, reject_unknown
from elman.serve.api.completions import encode
from elman.serve.generation.served_model import ServedModel, get_model
from elman.serve.http.errors import APIError
from elman.serve.http.request_body import read_json
from elman.serve.http.responses import json_response
from elman.serve.settings import Settings


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


@dataclass(frozen=True)
class Tokenizer:
    """The endpoints."""

    models: dict[str, ServedModel]
    settings: Settings

    async def tokenizer_info(self, request: Request) -> Response:
        """``GET /tokenizer_info``: the vocabulary size and the special tokens."""
        served = get_model(self.models, request.query_params.get("model"))
        start = served.model.alphabet.decode(served.start_indices())
        info = {"tokenizer_class": "characters", "vocab_size": len(served.model.alphabet)}
        return json_response(info | {"bos_token": start, "eos_token": None, "pad_token": None})

    async def tokenize(self, request: Request) -> Response:
        """``POST /tokenize``: text to character indices."""
        body = await self._read(request, "prompt", "add_special_tokens")
        if not isinstance(body.get("add_special_tokens"), bool | None):
            message = "add_special_tokens must be true or false (it has no effect: there are no special tokens)"
            raise APIError(400, message, "invalid_value", "add_special_tokens")
        prompt, served = parse_string("prompt", body.get("prompt")), get_model(self.models, body.get("model"))

        def response() -> Response:
            tokens = encode(served, prompt).tolist()
            return json_response(
                {"tokens": tokens, "count": len(tokens), "max_model_len": self.settings.max_characters}
            )

        return await run_in_threadpool(response)

    async def detokenize(self, request: Request) -> Response:
        """``POST /detokenize``: character indices to text."""
        body = await self._read(request, "tokens")
        tokens = body.get("tokens")
        if not isinstance(tokens, list) or (tokens and not are_indices(tokens)):
            raise APIError(400, "tokens must be a list of character indices", "invalid_value", "tokens")
        served = get_model(self.models, body.get("model"))

        def response() -> Response:
            indices = encode(served, [int(token) for token in tokens], "tokens")
            return json_response({"prompt": served.model.alphabet.decode(indices)})

        return await run_in_threadpool(response)

    async def _read(self, request: Request, *arguments: str) -> dict[str, Any]:
        body = await read_json(request, self.settings)
        reject_unknown(body, {"model", *arguments})
        return body
