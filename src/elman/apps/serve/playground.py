"""The playground's endpoints: an API that reports more about every character than completions do.

Responses are streamed as lines of JSON, each with a chunk of the text; `docs/reference/http_api.md` describes them.
"""

from __future__ import annotations

import base64
import math
from collections.abc import AsyncGenerator, Callable
from typing import Annotated, NotRequired

import numpy as np
from pydantic import Field, with_config
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp
from typing_extensions import TypedDict

from elman.apps.explain.explanation import is_cell_state, quantize_states
from elman.apps.serve.completions import check_logprobs, create_generator
from elman.apps.serve.models import ServedModel, Server, get_server
from elman.apps.serve.requests import MAX_UNITS, PlayRequest, ReadRequest, read_body
from elman.apps.serve.responses import APIError, ErrorResponse, dump_json, json_response
from elman.apps.serve.sequence import GenerationJob, Prompt, Sequence, SequenceDelta
from elman.apps.serve.streaming import StreamedResponse
from elman.engine import Indices
from elman.errors import shorten
from elman.formats.page import describe_for_playground
from elman.model import CharLogprobs, StopSequenceFilter
from elman.network import SamplingParams, list_sampling_fields

LINES = "application/x-ndjson"
NUM_ALTERNATIVES = 5
"""The most likely characters that are reported at every position."""
DOCUMENTED = with_config(use_attribute_docstrings=True)
"""Lets the docstrings of fields be their descriptions in the OpenAPI document."""


class UnitGroup(TypedDict):
    """Consecutive units of the state: a state vector of a layer."""

    layer: int
    part: str
    name: str
    count: int


@DOCUMENTED
class PlayModel(TypedDict):
    """A model of the playground."""

    id: str
    cell: str
    cell_title: str
    layers: int
    hidden_size: int
    characters: list[str]
    has_unknown: bool
    """Whether unknown characters are read as the last character."""
    first: str
    """The character that is read in place of an empty prompt."""
    symbols: dict[str, tuple[str, str]]
    """The symbols of masks: a letter and words for each."""
    units: list[UnitGroup]


class Limits(TypedDict):
    """Limits of the playground's requests: the most characters to generate, to read, and in total; the most units."""

    length: int
    read: int
    request: int
    units: int


class SamplingField(TypedDict):
    """A sampling option, as an input of a form."""

    name: str
    label: str
    help: str
    default: float
    minimum: float
    maximum: float
    step: float


class PlayModels(TypedDict):
    """The response of ``GET /api/models``."""

    models: list[PlayModel]
    limits: Limits
    sampling: list[SamplingField]


Probability = Annotated[float, Field(ge=0, le=1)]


@DOCUMENTED
class Character(TypedDict):
    """What the network computed at a character."""

    character: str
    probability: Probability | None
    """The model's probability; null for the first character of a text."""
    bits: float | None
    """Surprisal in bits."""
    sampling_probability: Probability | None
    """Null if the character was not sampled."""
    alternatives: list[tuple[str, Probability, Probability | None]]
    """The most likely characters: character, probability, sampling probability."""


@DOCUMENTED
class InspectedText(TypedDict):
    """A line of a stream: a chunk of the text."""

    characters: list[Character]
    units: str
    """One byte per character and unit, in base64: a byte c is the activation d·|d| with d = (c − 127)/127; of a cell
    state, its tanh."""


class End(TypedDict):
    """What a stream has generated, or what it has read and its mean surprisal: null for a single character."""

    generated: NotRequired[int]
    read: NotRequired[int]
    bits_per_char: NotRequired[float | None]


class StreamEnd(TypedDict):
    """The last line of a stream."""

    end: End


Line = InspectedText | StreamEnd | ErrorResponse
"""A line of the playground's streams."""


async def describe_playground(request: Request) -> Response:
    """Describe the models of the playground, the limits of requests and the sampling options."""
    server = get_server(request)
    length, total = server.settings.max_tokens, server.settings.max_characters
    described = {
        "models": [describe_for_playground(name, each.model) for name, each in server.models.items()],
        "limits": {"length": length, "read": length, "request": total, "units": MAX_UNITS},
        "sampling": list_sampling_fields(),
    }
    return json_response(described)


async def play(request: Request) -> ASGIApp:
    """Generate text and inspect every character."""
    server = get_server(request)
    body = await read_body(request, PlayRequest)
    characters = len(body.prompt) + len(body.generated) + body.max_tokens
    if characters > (limit := server.settings.max_characters):
        message = f"the text would have {characters} characters (limit: {limit})"
        raise APIError(400, message, "request_too_large", "max_tokens")
    served = server.get_model(body.model)
    prompt, generated = served.encode(body.prompt), served.encode(body.generated, "generated")
    text = np.concatenate([prompt if len(prompt) else served.start_indices(), generated])
    # Not reported: what is read in place of an empty prompt; and what the client knows, which is all but the last
    # character that was generated, as that may have been replaced.
    unreported = len(text) - (1 if len(generated) else len(prompt))
    generator = create_generator(body.seed)
    generator.random(len(generated))
    inspector = TextInspector(served, body.units, text, unreported)
    job = inspector.create_job(len(prompt) + len(generated), body.max_tokens, body.sampling, generator)
    return _stream(server, inspector, job, lambda: {"generated": body.max_tokens})


async def read(request: Request) -> ASGIApp:
    """Read a text and inspect every character."""
    server = get_server(request)
    body = await read_body(request, ReadRequest)
    served = server.get_model(body.model)
    text = served.encode(body.text, "text")
    inspector = TextInspector(served, body.units, text)
    job = inspector.create_job(len(text), 0, SamplingParams(), create_generator(None))

    def end() -> End:
        bits = inspector.nats / math.log(2) / (len(text) - 1) if len(text) > 1 else None
        return {"read": len(text), "bits_per_char": bits}

    return _stream(server, inspector, job, end)


def _stream(server: Server, inspector: TextInspector, job: GenerationJob, end: Callable[[], End]) -> ASGIApp:
    async def lines() -> AsyncGenerator[bytes]:
        async for deltas in job.deltas():
            for delta in deltas:
                if line := await run_in_threadpool(inspector.report, delta):
                    yield line
                job.generated += 0 if delta.is_prompt else len(delta.text) - bool(delta.finish)
        yield _line({"end": end()})

    return StreamedResponse(server, inspector.served, job, lines(), LINES, lambda error: _line(error.body()))


class TextInspector:
    """Reports what the network computes at every character of a text, from the deltas of its sequence.

    The activations of a sequence are one character behind its text. It therefore generates one character more than
    requested; the step that does so reads the last one requested.

    The `units` to report are indices into the state. The `text` (P,) to read has P >= 1 characters, of which the first
    `unreported` are not reported.
    """

    def __init__(self, served: ServedModel, units: list[int], text: Indices, unreported: int = 0) -> None:
        network = served.model.parameters.architecture
        if invalid := [unit for unit in units if unit >= network.state_size]:
            valid = f"be less than {network.state_size}" if network.state_size else "have at most 0 items"
            message = f"units must {valid} for {served.name} (got {shorten(invalid[0])})"
            raise APIError(400, message, "invalid_value", "units")
        self.served, self.text, self.units = served, text, np.array(units, np.intp)
        self.nats = 0.0  # surprisal of the text
        self._in_cell_state = is_cell_state(network)[self.units]
        self._unreported, self._received = unreported, 0
        self._pending: list[Character] = []  # without its activations: the last one received

    def create_job(
        self, read: int, max_tokens: int, sampling: SamplingParams, generator: np.random.Generator
    ) -> GenerationJob:
        """Return the job that reads the text and generates characters after it; `read` of the text are the client's."""
        model = self.served.model
        sequence = Sequence(
            index=0,
            prompt=Prompt(self.text, echo=model.alphabet.decode(self.text)),
            alphabet=model.alphabet,
            state=model.state,
            remaining=max_tokens + 1,
            sampling=sampling,
            generator=generator,
            stops=StopSequenceFilter(()),
            num_logprobs=NUM_ALTERNATIVES,
            units=self.units,
        )
        return GenerationJob([sequence], self.served.batcher.wake, read)

    def report(self, delta: SequenceDelta) -> bytes:
        """Return the line about the characters whose activations have arrived; empty if there are none to report."""
        assert delta.logprobs is not None
        check_logprobs(delta.logprobs)
        if delta.is_prompt:
            self.nats -= float(np.nansum(delta.logprobs.logprobs))
        first = max(0, self._unreported - self._received)
        self._received += len(delta.text)
        known = self._pending + [self._describe(delta, delta.logprobs, i) for i in range(first, len(delta.text))]
        reported, self._pending = known[:-1], known[-1:]
        if not reported or delta.activations is None:
            return b""
        codes = quantize_states(delta.activations[-len(reported) :], self._in_cell_state)
        return _line({"characters": reported, "units": base64.b64encode(codes.tobytes()).decode("ascii")})

    def _describe(self, delta: SequenceDelta, logprobs: CharLogprobs, i: int) -> Character:
        """Return what is reported about the i-th character of a delta."""
        log_p, likely, values = (array[i] for array in logprobs)
        if np.isnan(log_p):  # the first of a text
            return Character(
                character=delta.text[i], probability=None, bits=None, sampling_probability=None, alternatives=[]
            )
        sampling: list[float | None] = [None] * (1 + len(likely))
        if delta.sampling_probs is not None:
            sampling = [_round(p) for p in delta.sampling_probs[i].tolist()]
        characters = (self.served.model.alphabet.characters[k] for k in likely.tolist())
        probabilities = map(_round, np.exp(values).tolist())
        return Character(
            character=delta.text[i],
            probability=_round(np.exp(log_p)),
            bits=round(-float(log_p) / math.log(2), 3),
            sampling_probability=sampling[0],
            alternatives=[*zip(characters, probabilities, sampling[1:], strict=True)],
        )


def _round(probability: float) -> float:
    """Round to four significant digits, more than the page shows."""
    return float(f"{probability:.4g}")


def _line(content: object) -> bytes:
    return dump_json(content) + b"\n"
