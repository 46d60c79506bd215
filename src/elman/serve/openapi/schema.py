"""Helpers to build the OpenAPI document: JSON schemas, operations and error responses."""

from __future__ import annotations

from typing import Any

from elman.serve.http.responses import JSON

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}
FLAG: Schema = {"type": "boolean"}
PROBABILITY: Schema = {"type": "number", "minimum": 0, "maximum": 1}
ONE_LENGTH: Schema = {"not": {"required": ["max_tokens", "length"]}}
"""Added to a request: it may contain max_tokens or its alias length, not both."""

ERRORS = {
    400: "An argument is unknown, missing or invalid, or a character is not in the model's alphabet.",
    401: "The API key is missing or invalid.",
    403: "The Host header is not allowed, or the request comes from a page of another site.",
    404: "There is no such model.",
    408: "The request body was not received in time.",
    413: "The request body is too large.",
    415: "The Content-Type of the request body is not JSON.",
    429: "The queue is full.",
    500: "Internal server error.",
    503: "The server is shutting down.",
}
ERRORS_WITHOUT_KEY = (403, 500, 503)
"""Error statuses of an endpoint that requires no key."""
ERRORS_ALWAYS = (401, *ERRORS_WITHOUT_KEY)
ERRORS_OF_BODY = (400, 404, 408, 413, 415, *ERRORS_ALWAYS)
"""Error statuses of an endpoint with a request body that may name a model."""
ERRORS_OF_QUEUE = (429, *ERRORS_OF_BODY)
"""Error statuses of an endpoint that uses the queue as well."""


def operation(summary: str, content: Schema, errors: tuple[int, ...], request: str | None = None) -> Schema:
    """Return the description of an operation.

    Parameters
    ----------
    summary : str
    content : dict
        The content of the response by media type, from `body`.
    errors : tuple of int
        Statuses of the error responses.
    request : str, optional
        Name of the schema of the request body.
    """
    request_body = {"requestBody": {"required": True, "content": body(ref(request))}} if request else {}
    responses = {"200": _response(summary, content)} | _failures(errors)
    return {"summary": summary} | request_body | {"responses": responses}


def unsupported_operation(summary: str, errors: tuple[int, ...]) -> Schema:
    """Return the description of an operation that always fails, with one of these statuses."""
    return {"summary": summary, "responses": _failures(errors)}


def _failures(errors: tuple[int, ...]) -> Schema:
    return {str(status): {"$ref": f"#/components/responses/Error{status}"} for status in errors}


def error_responses() -> Schema:
    """Return the error responses that `operation` refers to."""
    return {f"Error{status}": _response(text, body(ref("Error"))) for status, text in ERRORS.items()}


def body(schema: Schema, media_type: str = JSON) -> Schema:
    """Return the description of a body."""
    return {media_type: {"schema": schema}}


def _response(description: str, content: Schema) -> Schema:
    return {"description": description, "content": content}


def ref(schema: str) -> Schema:
    """Return a reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{schema}"}


def object_schema(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    """Return the schema of an object with these properties and no others."""
    properties = required | (optional or {})
    return {"type": "object", "required": [*required], "properties": properties, "additionalProperties": False}


def nullable(schema: Schema, description: str = "") -> Schema:
    """Return the schema of a value or null."""
    described = {"description": description} if description else {}
    return {"anyOf": [schema, {"type": "null"}]} | described


def array_schema(schema: Schema, **limits: int) -> Schema:
    """Return the schema of an array whose items have the same schema."""
    return {"type": "array", "items": schema} | limits


def tuple_schema(*schemas: Schema) -> Schema:
    """Return the schema of an array of fixed length with one schema per item."""
    count = len(schemas)
    return {"type": "array", "prefixItems": [*schemas], "minItems": count, "maxItems": count}


def integer_schema(minimum: int, maximum: int) -> Schema:
    """Return the schema of an integer."""
    return {"type": "integer", "minimum": minimum, "maximum": maximum}
