"""The words that the OpenAPI document is written in: schemas, operations, refusals."""

from __future__ import annotations

from typing import Any

from elman.serve.http.errors import JSON

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}
FLAG: Schema = {"type": "boolean"}
PROBABILITY: Schema = {"type": "number", "minimum": 0, "maximum": 1}

REFUSALS = {
    400: "An argument is unknown, missing or out of its range, or a character is not among the model's.",
    401: "The API key is missing or wrong.",
    403: "The request comes under a name that is not served, or from a page of another site.",
    404: "There is no such model.",
    408: "The body takes too long.",
    413: "The body is too long.",
    415: "The body is not called JSON.",
    429: "Too many requests wait already.",
    500: "The server has failed.",
    503: "The server is ending.",
}
OPEN = (403, 500, 503)
"""What may come where no key is asked for."""
ALWAYS = (401, *OPEN)
OF_BODY = (400, 404, 408, 413, 415, *ALWAYS)
"""What may come of a body in which a model may be named."""
OF_QUEUE = (429, *OF_BODY)
"""What may come where a place in the queue is needed as well."""


def operation(summary: str, content: Schema, statuses: tuple[int, ...], asked: str | None = None) -> Schema:
    """Return what is done at a path.

    Parameters
    ----------
    summary : str
    content : dict
        What comes back, by its media type, each as `body` says it.
    statuses : tuple of int
        Those of its refusals.
    asked : str, optional
        The schema of the body that it takes.
    """
    refused = {str(status): {"$ref": f"#/components/responses/Error{status}"} for status in statuses}
    taken = {"requestBody": {"required": True, "content": body(ref(asked))}} if asked else {}
    return {"summary": summary} | taken | {"responses": {"200": _response(summary, content)} | refused}


def refusals() -> Schema:
    """Return the responses that `operation` refers to."""
    return {f"Error{status}": _response(says, body(ref("Error"))) for status, says in REFUSALS.items()}


def body(schema: Schema, kind: str = JSON) -> Schema:
    """Return a body by its media type."""
    return {kind: {"schema": schema}}


def _response(says: str, content: Schema) -> Schema:
    return {"description": says, "content": content}


def ref(schema: str) -> Schema:
    """Return what stands for a schema of the document."""
    return {"$ref": f"#/components/schemas/{schema}"}


def an_object(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    """Return the schema of an object that has no other properties than these."""
    properties = required | (optional or {})
    return {"type": "object", "required": [*required], "properties": properties, "additionalProperties": False}


def or_null(schema: Schema, says: str = "") -> Schema:
    """Return the schema of what may be null."""
    described = {"description": says} if says else {}
    return {"anyOf": [schema, {"type": "null"}]} | described


def a_list(schema: Schema, **limits: int) -> Schema:
    """Return the schema of a list of things of one kind."""
    return {"type": "array", "items": schema} | limits


def a_tuple(*schemas: Schema) -> Schema:
    """Return the schema of a list of so many things, each of its kind."""
    count = len(schemas)
    return {"type": "array", "prefixItems": [*schemas], "minItems": count, "maxItems": count}


def whole(least: int, most: int) -> Schema:
    """Return the schema of a whole number."""
    return {"type": "integer", "minimum": least, "maximum": most}
