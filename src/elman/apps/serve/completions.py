"""``/v1/completions``: from a request to a generation job, and the response.

K  size of the alphabet
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Iterable, Iterator
from itertools import groupby, islice
from operator import attrgetter
from typing import Annotated, Literal, NotRequired

import numpy as np
from pydantic import Field, Json
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.requests import Request
from starlette.types import ASGIApp
from typing_extensions import TypedDict

from elman.apps.serve.models import ServedModel, get_server
from elman.apps.serve.requests import SEED, CompletionRequest, read_body
from elman.apps.serve.responses import JSON, APIError, ErrorResponse, dump_json, encode_json, join_pieces
from elman.apps.serve.sequence import (
    CharLogprobs,
    Finish,
    GenerationJob,
    LineDraws,
    Prompt,
    Sequence,
    SequenceDelta,
    concatenate_logprobs,
)
from elman.apps.serve.streaming import StreamedResponse
from elman.engine import Indices
from elman.errors import ElmanError, command_line
from elman.model import LineFilter, StopSequenceFilter, check_finite

EVENTS = "text/event-stream"
DONE = b"data: [DONE]\n\n"
MAX_DELTAS, MAX_DELTAS_WITH_LOGPROBS = 16, 2  # deltas whose events are encoded at a time, in some milliseconds
MIN_LOGPROB = -9999.0  # represents the logarithm of 0, which JSON cannot represent


class Logprobs(TypedDict):
    """Log-probabilities of the characters of a text."""

    tokens: Iterable[str]
    token_logprobs: Iterable[float | None]
    top_logprobs: Iterable[dict[str, float] | None]
    text_offset: Iterable[int]


class Choice(TypedDict):
    """A sequence, or the part of it in a chunk of a stream."""

    index: int
    text: str
    logprobs: Logprobs | None
    finish_reason: Annotated[Finish | None, Field(description="Null until the last chunk of a stream.")]


class Usage(TypedDict):
    """Characters of prompts and generated text."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Completion(TypedDict):
    """The response of ``POST /v1/completions``, or a chunk of its stream."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: NotRequired[Usage | None]


class CompletionEvent(TypedDict):
    """A server-sent event of a stream; the last one is not JSON."""

    data: Json[Completion | ErrorResponse] | Literal["[DONE]"]


async def complete(request: Request) -> ASGIApp:
    """Complete prompts."""
    server = get_server(request)
    body = await read_body(request, CompletionRequest)
    served = server.get_model(body.model)
    # The work, the memory and the length of the response, including log-probabilities, are proportional to it.
    copies = body.n if body.echo else 1
    characters = sum(copies * len(prompt) + body.n * body.max_tokens for prompt in body.prompts)
    if characters > (limit := server.settings.max_characters):
        those = "the characters of the prompts, n times with echo, and the characters to generate"
        message = f"the request asks for {characters} characters: {those} (limit: {limit}, --max-characters)"
        raise APIError(400, message, "request_too_large", "max_tokens")
    ngrams = served.model.parameters.ngrams
    if body.adapt and (ngrams is None or ngrams.terms is not None):
        message = f"adapt requires a model with n-gram counts, which {served.name} does not have"
        raise APIError(400, message, "invalid_value", "adapt")
    prompts = [served.encode(prompt) for prompt in body.prompts]
    try:
        with command_line(False):  # the arguments of the API have the same names as in Python
            job = create_job(served, body, prompts)
    except ElmanError as error:  # in the limits of lines
        raise APIError(400, str(error), "invalid_value") from None
    builder = CompletionBuilder(served, body, job, [len(prompt) for prompt in prompts])
    if body.stream:
        chunks, media_type = builder.events(), f"{EVENTS}; charset=utf-8"
        return StreamedResponse(server, served, job, chunks, media_type, lambda error: _event(error.body()))
    return StreamedResponse(server, served, job, builder.whole(), JSON, None)


def _event(content: object) -> bytes:
    return b"data: " + dump_json(content) + b"\n\n"


def create_job(served: ServedModel, body: CompletionRequest, prompts: list[Indices]) -> GenerationJob:
    """Return the job of a request; `prompts` has its prompts as indices."""
    # With a seed, the sequences are those that `Model.samples` generates with that seed.
    model, sequences = served.model, list[Sequence]()
    # NumPy requires a seed that is not negative.
    seed, limits = None if body.seed is None else body.seed % (2 * SEED), body.limits
    for prompt, indices in zip(body.prompts, prompts, strict=True):
        echo = "" if not body.echo else prompt if isinstance(prompt, str) else model.alphabet.decode(indices)
        indices = indices if len(indices) else model.alphabet.encode(model.alphabet.start_char)
        shared, length, draws = Prompt(indices, echo, is_counted=bool(body.adapt)), body.max_tokens, None
        if limits is not None:
            text = prompt if isinstance(prompt, str) else model.alphabet.decode(indices)
            keep = LineFilter(model, text, limits)
            first, most = len(sequences), served.settings.max_characters // len(prompts)
            draws = LineDraws(keep, first, body.n, None if seed is None else seed + first, most)
            length = keep.limit(length)
        sequences += (
            Sequence(
                index, shared, model.alphabet, model.state, length, body.sampling,
                generator=np.random.default_rng(None if seed is None else seed + index),
                stops=StopSequenceFilter((*body.stops, "\n") if model.is_of_lines else body.stops),
                num_logprobs=body.logprobs, draws=draws, number=number,
            )
            for number, index in enumerate(range(len(sequences), len(sequences) + body.n))
        )  # fmt: skip
    return GenerationJob(sequences, served.batcher.wake, sum(map(len, prompts)))  # a prompt counts once


class CompletionBuilder:
    """Builds completion objects of the OpenAI API from the deltas of sequences, and counts the generated characters."""

    # `lengths` are the lengths of the prompts.

    def __init__(self, served: ServedModel, body: CompletionRequest, job: GenerationJob, lengths: list[int]) -> None:
        self.model, self.body, self.job, self.lengths = served.name, body, job, lengths
        self.characters = served.model.alphabet.characters
        self.id, self.created = f"cmpl-{secrets.token_hex(12)}", int(time.time())
        self._offsets: dict[int, int] = {}

    async def whole(self) -> AsyncGenerator[bytes]:
        """Yield the body of a response with all sequences."""
        deltas = [delta async for batch in self.job.deltas() for delta in self._receive(batch)]
        # In a thread, because the log-probabilities of a long text would block the event loop.
        completion = await run_in_threadpool(lambda: self._completion([*self._choices(deltas)], usage=True))
        async for chunk in iterate_in_threadpool(join_pieces(encode_json(completion))):
            yield chunk

    async def events(self) -> AsyncGenerator[bytes]:
        """Yield server-sent events: a chunk for each sequence that has grown; at the end the usage, if requested."""
        usage = None if self.body.stream_options.include_usage else False
        size = MAX_DELTAS if self.body.logprobs is None else MAX_DELTAS_WITH_LOGPROBS
        async for arrived in self.job.deltas():
            deltas = iter(self._receive(arrived))
            while group := [*islice(deltas, size)]:
                yield b"".join(_event(self._completion([choice], usage)) for choice in self._choices(group))
                await asyncio.sleep(0)  # other requests are answered in between
        yield (b"" if usage is False else _event(self._completion([], usage=True))) + DONE

    def _receive(self, deltas: list[SequenceDelta]) -> list[SequenceDelta]:
        """Return deltas, checked and their generated characters counted."""
        for delta in deltas:
            self.job.generated += 0 if delta.is_prompt else len(delta.text)
            try:
                check_finite(() if delta.logprobs is None else delta.logprobs.top_logprobs)
            except ElmanError as error:
                raise APIError(500, str(error), "not_finite") from None
        return deltas

    def _completion(self, choices: list[Choice], usage: bool | None) -> Completion:
        """Return a completion with the usage, with null in its place, or without it if `usage` is False."""
        completion = Completion(
            id=self.id, object="text_completion", created=self.created, model=self.model, choices=choices
        )
        if usage is not False:
            read, written = self.job.read, self.job.generated
            total = Usage(prompt_tokens=read, completion_tokens=written, total_tokens=read + written)
            completion["usage"] = total if usage else None
        return completion

    def _choices(self, deltas: Iterable[SequenceDelta]) -> Iterator[Choice]:
        """Yield a choice for every sequence, ordered by index, from all of its deltas."""
        by_index = attrgetter("index")
        for index, group in groupby(sorted(deltas, key=by_index), by_index):
            parts = [*group]
            text = "".join(delta.text for delta in parts)
            known = [delta.logprobs for delta in parts if delta.logprobs is not None]
            logprobs = self._logprobs(index, text, concatenate_logprobs(known)) if known else None
            yield {"index": index, "text": text, "logprobs": logprobs, "finish_reason": parts[-1].finish}

    def _logprobs(self, index: int, text: str, char_logprobs: CharLogprobs) -> Logprobs:
        start = self._offsets.get(index, 0 if self.body.echo else self.lengths[index // self.body.n])
        self._offsets[index] = start + len(text)
        log_probabilities = char_logprobs.logprobs.tolist()
        token_logprobs = [None if log_p != log_p else max(log_p, MIN_LOGPROB) for log_p in log_probabilities]

        def list_likely() -> Iterator[dict[str, float] | None]:
            """Yield the most likely characters of every position, and the actual one; None where nothing precedes."""
            top = zip(char_logprobs.top.tolist(), char_logprobs.top_logprobs.tolist(), strict=True)
            for character, log_p, (indices, values) in zip(text, token_logprobs, top, strict=True):
                likely = {self.characters[k]: max(value, MIN_LOGPROB) for k, value in zip(indices, values, strict=True)}
                yield None if log_p is None else likely | {character: log_p}

        # Iterators, which `encode_json` reads in batches.
        offsets = iter(range(start, start + len(text)))
        rows = iter(text), iter(token_logprobs)
        return Logprobs(tokens=rows[0], token_logprobs=rows[1], top_logprobs=list_likely(), text_offset=offsets)
