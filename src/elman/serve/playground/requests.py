"""Parsing of playground requests. Arguments shared with completions have the same names and limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from elman.errors import shorten
from elman.network import architecture
from elman.network.sampling import list_sampling_options
from elman.serve.api.completion_request import (
    CompletionRequest,
    are_indices,
    parse_completion_request,
    parse_model,
    parse_string,
    reject_unknown,
)
from elman.serve.generation.served_model import ServedModel
from elman.serve.http.errors import APIError
from elman.serve.settings import Settings

MAX_UNITS = 256
"""Maximum number of units to report at a time."""
SHARED_ARGUMENTS = (
    "model",
    "prompt",
    "max_tokens",
    "length",
    *(option.name for option in list_sampling_options()),
    "seed",
)
"""Arguments of a completion request that the playground takes, too."""


@dataclass(frozen=True)
class WriteRequest:
    """A request to generate text.

    Parameters
    ----------
    completion : CompletionRequest
        Model, prompt, length, sampling parameters and seed.
    written : str
        Text generated after the prompt before.
    units : tuple of int
        Units to report.
    """

    completion: CompletionRequest
    written: str
    units: tuple[int, ...]


@dataclass(frozen=True)
class ReadRequest:
    """A request to read a text.

    Parameters
    ----------
    model : str, optional
    text : str
    units : tuple of int
        Units to report.
    """

    model: str | None
    text: str
    units: tuple[int, ...]


def parse_write_request(body: dict[str, Any], settings: Settings) -> WriteRequest:
    """Parse the body of a request to generate text.

    Raises
    ------
    APIError
        400, naming the argument that is unknown, missing or invalid.
    """
    reject_unknown(body, (*SHARED_ARGUMENTS, "written", "units"))
    prompt, written = (_parse_optional_string(body, name) for name in ("prompt", "written"))
    shared = {name: body[name] for name in SHARED_ARGUMENTS if name in body}
    completion = parse_completion_request(shared | {"prompt": prompt}, settings)
    request = WriteRequest(completion, written, _parse_units(body))
    characters = len(prompt) + len(written) + completion.max_tokens
    if characters > settings.max_characters:
        message = f"the text would have {characters} characters (limit: {settings.max_characters})"
        raise APIError(400, message, "request_too_large", "max_tokens")
    return request


def parse_read_request(body: dict[str, Any], settings: Settings) -> ReadRequest:
    """Parse the body of a request to read a text.

    Raises
    ------
    APIError
        400, naming the argument that is unknown, missing or invalid.
    """
    reject_unknown(body, ("model", "text", "units"))
    model, text = parse_model("model", body.get("model")), parse_string("text", body.get("text"))
    if not 0 < len(text) <= settings.max_tokens:
        message = f"text must have 1 to {settings.max_tokens} characters (got {len(text)})"
        raise APIError(400, message, "invalid_value", "text")
    return ReadRequest(model, text, _parse_units(body))


def check_units(units: tuple[int, ...], served: ServedModel) -> None:
    """Check that a model has the units.

    Raises
    ------
    APIError
        400 if it does not.
    """
    D = architecture(served.model.parameters).recurrent_size
    if invalid := [unit for unit in units if unit >= D]:
        message = f"units must be from 0 to {D - 1} for this model (got {shorten(invalid[0])})"
        raise APIError(400, message, "invalid_value", "units")


def _parse_optional_string(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    return "" if value is None else parse_string(name, value)


def _parse_units(body: dict[str, Any]) -> tuple[int, ...]:
    value = body.get("units")
    value = [] if value is None else value
    if not isinstance(value, list) or len(value) > MAX_UNITS or (value and not are_indices(value)):
        message = f"units must be a list of up to {MAX_UNITS} non-negative integers"
        raise APIError(400, message, "invalid_value", "units")
    return tuple(int(unit) for unit in value)
