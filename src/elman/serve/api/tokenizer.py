"""The characters of a model by their indices: the endpoints through which evaluation harnesses cut text themselves.

They are those that vLLM has, which lm-eval looks for: ``GET /tokenizer_info``, ``POST /tokenize`` and
``POST /detokenize``. Where several models are served, the request names one. A long text is gone through off the event
loop, on which others' texts are to go out meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from elman.serve.api.completion_request import are_indices, check_names, string
from elman.serve.generation.served_model import Served, find
from elman.serve.http.errors import Refusal, as_json
from elman.serve.http.request_body import read_json
from elman.serve.settings import Settings


@dataclass(frozen=True)
class Tokens:
    """The endpoints."""

    served: dict[str, Served]
    settings: Settings

    async def tokenizer_info(self, request: Request) -> Response:
        """``GET /tokenizer_info``: what stands before a text, and that nothing ends one."""
        served = self._which(request.query_params.get("model"))
        first = served.model.alphabet.decode(served.first())
        known = {"tokenizer_class": "characters", "vocab_size": len(served.model.alphabet)}
        return as_json(known | {"bos_token": first, "eos_token": None, "pad_token": None})

    async def tokenize(self, request: Request) -> Response:
        """``POST /tokenize``: the index of every character."""
        body = await self._read(request, "prompt", "add_special_tokens")
        if not isinstance(body.get("add_special_tokens"), bool | None):
            message = "add_special_tokens must be true or false (there are none): give one of them, or leave it out"
            raise Refusal(400, message, "invalid_value", "add_special_tokens")
        prompt, served = string("prompt", body.get("prompt")), self._which(body.get("model"))

        def answer() -> Response:
            found = served.encoded(prompt).tolist()
            return as_json({"tokens": found, "count": len(found), "max_model_len": self.settings.max_characters})

        return await run_in_threadpool(answer)

    async def detokenize(self, request: Request) -> Response:
        """``POST /detokenize``: the characters of indices."""
        body = await self._read(request, "tokens")
        tokens = body.get("tokens")
        if not isinstance(tokens, list) or (tokens and not are_indices(tokens)):
            raise Refusal(400, "tokens must be a list of indices of characters: give one", "invalid_value", "tokens")
        served = self._which(body.get("model"))

        def answer() -> Response:
            characters = served.encoded([int(token) for token in tokens], "tokens")
            return as_json({"prompt": served.model.alphabet.decode(characters)})

        return await run_in_threadpool(answer)

    async def _read(self, request: Request, *arguments: str) -> dict[str, Any]:
        body = await read_json(request, self.settings)
        check_names(body, {"model", *arguments})
        return body

    def _which(self, name: Any) -> Served:
        if name is None and len(self.served) == 1:
            return next(iter(self.served.values()))
        if not isinstance(name, str):
            raise Refusal(400, "several models are served: name one as model", "invalid_value", "model")
        return find(self.served, name)
