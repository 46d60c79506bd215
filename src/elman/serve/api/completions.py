"""``/v1/completions``: from a request to a generation job, and the response."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from elman.engine.protocol import Indices
from elman.errors import ElmanError, shorten
from elman.inference.adaptation import check_adapt
from elman.inference.generate import StopSequenceFilter
from elman.serve.api.completion_request import SEED, CompletionRequest, Prompt, parse_completion_request
from elman.serve.api.completion_response import CompletionResponse
from elman.serve.api.metrics import Metrics
from elman.serve.generation.job import GenerationJob
from elman.serve.generation.prompt_counts import PromptCounts
from elman.serve.generation.sequence import Sequence, SequenceDelta
from elman.serve.generation.served_model import ServedModel, get_model
from elman.serve.http.errors import APIError, ClientDisconnected
from elman.serve.http.request_body import read_json
from elman.serve.http.responses import JSON, dump_json
from elman.serve.http.streaming import on_disconnect, stream, with_send_timeout
from elman.serve.settings import Settings

EVENTS = "text/event-stream"
DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, eq=False)
class Completions:
    """The endpoint, an ASGI application."""

    models: dict[str, ServedModel]
    settings: Settings
    metrics: Metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; if the client disconnects, its sequences are cancelled."""
        request = parse_completion_request(await read_json(Request(scope, receive), self.settings), self.settings)
        served = get_model(self.models, request.model)
        _check_adapt(served, request)
        prompts = encode_prompts(served, request)
        characters, lengths = served.model.alphabet.characters, [len(prompt) for prompt in prompts]
        response = CompletionResponse(served.name, characters, lengths, request.n, request.echo)
        with served.admit(), self.metrics.track_request(served.name, scope, response) as timer:
            job = create_job(served, request, prompts)
            served.batcher.submit(job)
            try:
                with on_disconnect(receive, lambda: job.fail(ClientDisconnected())):
                    async with aclosing(timer.observe_first(job.deltas())) as deltas:
                        if request.stream:
                            events = _events(deltas, response, request.include_usage)
                            send_in_time = with_send_timeout(send, self.settings.send_timeout)
                            await stream(events, f"{EVENTS}; charset=utf-8", send_in_time, _error_event)
                        else:
                            body = await _full_body(deltas, response)
                            await Response(body, media_type=JSON)(scope, receive, send)
            except ClientDisconnected:
                timer.count_disconnect()
            finally:
                job.fail(ClientDisconnected())


async def _full_body(batches: AsyncGenerator[list[SequenceDelta]], response: CompletionResponse) -> bytes:
    deltas = [delta async for batch in batches for delta in batch]
    if any(delta.logprobs for delta in deltas):  # a long list must not block the event loop
        return await run_in_threadpool(lambda: dump_json(response.full_response(deltas)))
    return dump_json(response.full_response(deltas))


async def _events(
    batches: AsyncGenerator[list[SequenceDelta]], response: CompletionResponse, include_usage: bool
) -> AsyncGenerator[bytes]:
    """Yield server-sent events."""
    no_usage: dict[str, Any] = {"usage": None} if include_usage else {}
    async for deltas in batches:
        yield b"".join(_event(chunk | no_usage) for chunk in response.chunks(deltas))
    yield (_event(response.usage_chunk()) if include_usage else b"") + DONE


def _error_event(error: APIError) -> bytes:
    return _event(error.body())


def _event(content: dict[str, Any]) -> bytes:
    return b"data: " + dump_json(content) + b"\n\n"


def _check_adapt(served: ServedModel, request: CompletionRequest) -> None:
    """Raise an `APIError` if a prompt is to be counted, but the model has no prior."""
    try:
        check_adapt(served.model.parameters, "counts" if request.adapt else None)
    except ElmanError as error:
        raise APIError(400, str(error), "invalid_value", "adapt") from None


def create_job(served: ServedModel, request: CompletionRequest, prompts: list[Indices]) -> GenerationJob:
    """Return the job of a request, to be submitted to the model's batcher.

    With a seed, the sequences are those that `Model.samples` generates with that seed.

    Parameters
    ----------
    served : ServedModel
    request : CompletionRequest
    prompts : list of ndarray
        Its prompts as indices, from `encode_prompts`.
    """
    repeated = [number for number in range(len(prompts)) for _ in range(request.n)]
    sequences = [
        _create_sequence(served, request, index, request.prompts[number], prompts[number])
        for index, number in enumerate(repeated)
    ]
    return GenerationJob(sequences, served.batcher.wake)


def _create_sequence(
    served: ServedModel, request: CompletionRequest, index: int, prompt: Prompt, indices: Indices
) -> Sequence:
    alphabet = served.model.alphabet
    return Sequence(
        index=index,
        alphabet=alphabet,
        prompt=indices if len(indices) else served.start_indices(),
        echo="" if not request.echo else prompt if isinstance(prompt, str) else alphabet.decode(indices),
        h=served.model.h,
        remaining=request.max_tokens,
        sampling=request.sampling,
        generator=create_generator(request.seed, index),
        stops=StopSequenceFilter((*request.stops, "\n") if served.model.is_of_lines else request.stops),
        num_logprobs=request.logprobs,
        counts=PromptCounts(served.model) if request.adapt else None,
    )


def create_generator(seed: int | None, index: int = 0) -> np.random.Generator:
    """Return the random generator of the sequence at a position within its request."""
    # A negative seed is mapped to a positive one, which NumPy requires.
    return np.random.default_rng(None if seed is None else seed % (2 * SEED) + index)


def encode_prompts(served: ServedModel, request: CompletionRequest) -> list[Indices]:
    """Return every prompt of a request as indices (P,).

    Raises
    ------
    APIError
        400 if a prompt contains an unknown character.
    """
    return [encode(served, prompt) for prompt in request.prompts]


def encode(served: ServedModel, prompt: Prompt, param: str = "prompt") -> Indices:
    """Return a text, or a list of indices, as an array of indices.

    Raises
    ------
    APIError
        400, naming the argument `param`, if the text contains an unknown character or an index is out of range.
    """
    alphabet = served.model.alphabet
    if isinstance(prompt, str):
        try:
            return alphabet.encode(prompt)
        except ElmanError as error:
            raise APIError(400, str(error), "unknown_character", param) from None
    if invalid := [index for index in prompt if index >= len(alphabet)]:
        index = shorten(invalid[0])
        message = f"{index} is not the index of a character; the model has {len(alphabet)}, counted from 0"
        raise APIError(400, message, "unknown_character", param)
    return np.array(prompt, alphabet.dtype)
