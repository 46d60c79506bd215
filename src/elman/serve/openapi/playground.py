"""The playground's part of the OpenAPI document: what its page asks, and what `docs/play.md` says in words."""

from __future__ import annotations

from collections.abc import Iterable

from elman.network import Architecture
from elman.network.model import CELLS
from elman.serve.openapi.schema import (
    ALWAYS,
    COUNT,
    FLAG,
    OF_QUEUE,
    PROBABILITY,
    TEXT,
    Schema,
    a_list,
    a_tuple,
    an_object,
    body,
    operation,
    or_null,
    ref,
    whole,
)
from elman.serve.playground.endpoints import LINES
from elman.serve.playground.inspection import LIKELIEST
from elman.serve.playground.requests import DRAWING, MAX_UNITS
from elman.serve.settings import Settings

_CHARACTER: Schema = {"type": "string", "minLength": 1, "maxLength": 1}
_ONE_OR_MORE: Schema = {"type": "integer", "minimum": 1}


def play_paths() -> Schema:
    """Return the paths of the playground."""
    writes, reads = "Write a text and tell of every character.", "Read a text and tell of every character."
    return {
        "/api/models": {"get": operation("Describe the models to play with.", body(ref("PlayModels")), ALWAYS)},
        "/api/play": {"post": operation(writes, body(ref("WritingLine"), LINES), OF_QUEUE, "PlayRequest")},
        "/api/read": {"post": operation(reads, body(ref("ReadingLine"), LINES), OF_QUEUE, "ReadRequest")},
    }


def play_asked(arguments: dict[str, Schema], networks: Iterable[Architecture], settings: Settings) -> Schema:
    """Return the schemas of what is asked for; `arguments` are those of completions."""
    last = max(network.state_size for network in networks) - 1
    says = "Numbers of the model's state that are told of at every character, counted from 0."
    units = {"units": or_null(a_list(whole(0, last), maxItems=MAX_UNITS), says)}
    text = TEXT | {"minLength": 1, "maxLength": settings.max_tokens}
    begin = f"What to begin with; {settings.max_characters} characters at most with all that is or was written."
    before = "What was written behind the prompt before; as many numbers of the seed are passed over."
    own = {"prompt": or_null(TEXT, begin), "written": or_null(TEXT, before)}
    model = {"model": ref("ModelName")}
    shared = {name: arguments[name] for name in DRAWING if name not in ("model", "prompt")}
    return {
        "PlayRequest": an_object(model, own | shared | units),
        "ReadRequest": an_object(model | {"text": text}, units),
    }


def play_answered() -> Schema:
    """Return the schemas of what comes back."""
    group = an_object({"layer": _ONE_OR_MORE, "part": {"enum": ["hidden", "memory"]}, "count": _ONE_OR_MORE})
    model = an_object(
        {
            "id": ref("ModelName"),
            "cell": {"enum": [*CELLS]},
            "layers": _ONE_OR_MORE,
            "hidden_size": _ONE_OR_MORE,
            "characters": a_list(_CHARACTER, minItems=1),
            "folds": FLAG,
            "first": _CHARACTER,
            "units": a_list(group),
        }
    )
    limits = an_object({"length": COUNT, "read": COUNT, "request": COUNT, "units": COUNT})
    return {
        "PlayModels": an_object({"models": a_list(model), "limits": limits}),
        "Part": _part(),
        "WritingLine": _line(an_object({"written": COUNT})),
        "ReadingLine": _line(an_object({"read": COUNT, "bits_per_char": or_null({"type": "number", "minimum": 0})})),
    }


def _line(end: Schema) -> Schema:
    """Describe one of the lines; OpenAPI 3.1 has no word for all of them."""
    says = "The answer is lines of this: parts of the text, then the end, or an error if the network's numbers fail."
    return {"description": says, "anyOf": [ref("Part"), an_object({"end": end}), ref("Error")]}


def _part() -> Schema:
    chance = or_null(PROBABILITY, "With what probability it was drawn; null where it was given.")
    listed = a_tuple(_CHARACTER, PROBABILITY, chance)
    bits = or_null({"type": "number", "minimum": 0}, "Surprise.")
    place = an_object(
        {
            "character": _CHARACTER,
            "probability": or_null(PROBABILITY, "The network's own; null where nothing came before."),
            "bits": bits,
            "chance": chance,
            "likeliest": a_list(listed, maxItems=LIKELIEST) | {"description": "Character, probability, chance."},
        }
    )
    codes = "One byte for each character and watched unit: c is the activation d·|d| with d = (c − 127)/127."
    units = TEXT | {"contentEncoding": "base64", "description": codes}
    return an_object({"characters": a_list(place), "units": units})
