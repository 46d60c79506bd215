"""The playground's part of the OpenAPI document; `docs/reference/http_api.md` describes the same in words."""

from __future__ import annotations

from collections.abc import Iterable

from elman.network import Architecture
from elman.network.cells import CELLS
from elman.serve.openapi.schema import (
    COUNT,
    ERRORS_ALWAYS,
    ERRORS_OF_QUEUE,
    FLAG,
    ONE_LENGTH,
    PROBABILITY,
    TEXT,
    Schema,
    array_schema,
    body,
    integer_schema,
    nullable,
    object_schema,
    operation,
    ref,
    tuple_schema,
)
from elman.serve.playground.endpoints import LINES
from elman.serve.playground.inspection import NUM_ALTERNATIVES
from elman.serve.playground.requests import MAX_UNITS, SHARED_ARGUMENTS
from elman.serve.settings import Settings

_CHARACTER: Schema = {"type": "string", "minLength": 1, "maxLength": 1}
_POSITIVE: Schema = {"type": "integer", "minimum": 1}


def playground_paths() -> Schema:
    """Return the paths of the playground."""
    models = operation("Describe the models of the playground.", body(ref("PlayModels")), ERRORS_ALWAYS)
    write, read = "Generate text and inspect every character.", "Read a text and inspect every character."
    return {
        "/api/models": {"get": models},
        "/api/play": {"post": operation(write, body(ref("WritingLine"), LINES), ERRORS_OF_QUEUE, "PlayRequest")},
        "/api/read": {"post": operation(read, body(ref("ReadingLine"), LINES), ERRORS_OF_QUEUE, "ReadRequest")},
    }


def playground_requests(
    required: dict[str, Schema],
    optional: dict[str, Schema],
    arguments: dict[str, Schema],
    networks: Iterable[Architecture],
    settings: Settings,
) -> dict[str, Schema]:
    """Return the schemas of requests; `arguments` are those of completions, without the model."""
    last = max(network.recurrent_size for network in networks) - 1
    indices = array_schema(integer_schema(0, last), maxItems=MAX_UNITS)
    units = {"units": nullable(indices, "Indices into the model's state: units to report at every character.")}
    text = TEXT | {"minLength": 1, "maxLength": settings.max_tokens}
    prompt = f"The prompt; at most {settings.max_characters} characters together with all generated text."
    written = "Text generated after the prompt before; the random numbers of its characters are skipped."
    own = {"prompt": nullable(TEXT, prompt), "written": nullable(TEXT, written)}
    shared = {name: arguments[name] for name in SHARED_ARGUMENTS if name not in ("model", "prompt")}
    return {
        "PlayRequest": object_schema(required, optional | own | shared | units) | ONE_LENGTH,
        "ReadRequest": object_schema(required | {"text": text}, optional | units),
    }


def playground_responses() -> dict[str, Schema]:
    """Return the schemas of responses."""
    parts = {vector.part: vector.name for spec in CELLS.values() for vector in spec.state}
    name = {"enum": [*parts.values()]}
    group = object_schema({"layer": _POSITIVE, "part": {"enum": [*parts]}, "name": name, "count": _POSITIVE})
    model = object_schema(
        {
            "id": ref("ModelName"),
            "cell": {"enum": [*CELLS]},
            "cell_title": {"enum": [spec.title for spec in CELLS.values()]},
            "layers": _POSITIVE,
            "hidden_size": _POSITIVE,
            "characters": array_schema(_CHARACTER, minItems=1),
            "folds": FLAG,
            "first": _CHARACTER,
            "units": array_schema(group),
        }
    )
    number = {"type": "number"}
    option = object_schema(
        {
            "name": TEXT,
            "label": TEXT,
            "help": TEXT,
            "default": number,
            "minimum": number,
            "maximum": number,
            "step": number,
        }
    )
    limits = object_schema({"length": COUNT, "read": COUNT, "request": COUNT, "units": COUNT})
    bits_per_char = nullable({"type": "number", "minimum": 0})
    return {
        "PlayModels": object_schema(
            {"models": array_schema(model), "limits": limits, "sampling": array_schema(option)}
        ),
        "Part": _chunk(),
        "WritingLine": _line(object_schema({"written": COUNT})),
        "ReadingLine": _line(object_schema({"read": COUNT, "bits_per_char": bits_per_char})),
    }


def _line(end: Schema) -> Schema:
    """Describe one line; OpenAPI 3.1 cannot describe a stream of them."""
    description = "A stream of these lines: chunks of the text, then the end, or an error if it fails."
    return {"description": description, "anyOf": [ref("Part"), object_schema({"end": end}), ref("Error")]}


def _chunk() -> Schema:
    chance = nullable(PROBABILITY, "Sampling probability; null if the character was not sampled.")
    alternative = tuple_schema(_CHARACTER, PROBABILITY, chance)
    character = object_schema(
        {
            "character": _CHARACTER,
            "probability": nullable(PROBABILITY, "The model's probability; null for the first character of a text."),
            "bits": nullable({"type": "number", "minimum": 0}, "Surprisal in bits."),
            "chance": chance,
            "likeliest": array_schema(alternative, maxItems=NUM_ALTERNATIVES)
            | {"description": "The most likely characters: character, probability, sampling probability."},
        }
    )
    encoding = "One byte per character and unit: a byte c is the activation d·|d| with d = (c − 127)/127."
    units = TEXT | {"contentEncoding": "base64", "description": encoding}
    return object_schema({"characters": array_schema(character), "units": units})
