"""What the playground asks for, checked argument by argument; what it shares with completions has the same names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from elman.network import architecture
from elman.serve.api.completion_request import Asked, are_indices, asked, check_names, string
from elman.serve.generation.served_model import Served
from elman.serve.http.errors import Refusal
from elman.serve.settings import Settings

MAX_UNITS = 256
"""Units that are watched at a time."""
DRAWING = ("model", "prompt", "max_tokens", "temperature", "top_k", "top_p", "min_p", "seed")
"""What is asked for as it is of completions."""


@dataclass(frozen=True)
class Wanted:
    """A text to write.

    Parameters
    ----------
    asked : Asked
        Which model, behind which prompt, how long, how drawn.
    written : str
        What was written behind the prompt before.
    units : tuple of int
        Which to watch.
    """

    asked: Asked
    written: str
    units: tuple[int, ...]


def wanted(body: dict[str, Any], settings: Settings) -> Wanted:
    """Return what a body asks to be written.

    Raises
    ------
    Refusal
        400, naming the argument that is unknown, missing or out of its range.
    """
    check_names(body, (*DRAWING, "written", "units"))
    prompt, written = (_string_or_none(body, name) or "" for name in ("prompt", "written"))
    completion = asked({name: body[name] for name in DRAWING if name in body} | {"prompt": prompt}, settings)
    found = Wanted(completion, written, _units(body))
    characters = len(prompt) + len(written) + completion.max_tokens
    if characters > settings.max_characters:
        message = (
            f"a text may have {settings.max_characters} characters at most, those to be written among them, and this"
            f" one would have {characters}: ask for less"
        )
        raise Refusal(400, message, "request_too_large", "max_tokens")
    return found


def to_read(body: dict[str, Any], settings: Settings) -> tuple[str, str, tuple[int, ...]]:
    """Return the model, the text and the units that a body asks to be read and watched.

    Raises
    ------
    Refusal
        400, naming the argument that is unknown, missing or out of its range.
    """
    check_names(body, ("model", "text", "units"))
    model, text = (string(name, body.get(name)) for name in ("model", "text"))
    if not 0 < len(text) <= settings.max_tokens:
        message = f"text must have 1 to {settings.max_tokens} characters, and {len(text)} came: give another"
        raise Refusal(400, message, "invalid_value", "text")
    return model, text, _units(body)


def check_units(units: tuple[int, ...], served: Served) -> None:
    """Refuse units that a model does not have.

    Raises
    ------
    Refusal
        400 if there is one.
    """
    D = architecture(served.model.parameters).state_size
    if beyond := [unit for unit in units if unit >= D]:
        message = f"the model has {D} units, counted from 0, and {beyond[0]} was asked for: ask for others"
        raise Refusal(400, message, "invalid_value", "units")


def _string_or_none(body: dict[str, Any], name: str) -> str | None:
    value = body.get(name)
    return None if value is None else string(name, value)


def _units(body: dict[str, Any]) -> tuple[int, ...]:
    value = body.get("units")
    value = [] if value is None else value
    if not isinstance(value, list) or len(value) > MAX_UNITS or (value and not are_indices(value)):
        message = f"units must be a list of up to {MAX_UNITS} whole numbers of 0 or more: give another"
        raise Refusal(400, message, "invalid_value", "units")
    return tuple(int(unit) for unit in value)
