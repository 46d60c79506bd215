"""The names of all fields in the requests and responses of an OpenAPI document."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

ALTERNATIVES = ("anyOf", "oneOf", "allOf", "prefixItems")


def operations(document: dict[str, Any]) -> dict[str, dict[str, list[str]]]:
    """Return, for every operation such as ``POST /tokenize``, the fields of its request and of each response.

    A field is given by its path, such as ``choices[].text``. The parts of an operation are its request, its response
    by media type, and its errors, whose statuses are a part of their own.
    """
    return {
        f"{method.upper()} {path}": {name: sorted(fields) for name, fields in _parts(document, operation).items()}
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def _parts(document: dict[str, Any], operation: dict[str, Any]) -> dict[str, set[str]]:
    parts: defaultdict[str, set[str]] = defaultdict(set)
    for media_type, schema in _contents(operation.get("requestBody", {})):
        parts[f"request {media_type}"] |= set(_fields(document, schema, ""))
    for status, response in operation["responses"].items():
        for media_type, schema in _contents(_resolve(document, response)):
            is_error = int(status) >= 400
            parts["errors" if is_error else f"response {media_type}"] |= set(_fields(document, schema, ""))
            if is_error:
                parts["error statuses"].add(status)
    return parts


def _contents(value: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for media_type, content in value.get("content", {}).items():
        yield media_type, content.get("schema", {})


def _fields(document: dict[str, Any], schema: dict[str, Any], path: str) -> Iterator[str]:
    schema = _resolve(document, schema)
    for name, of_field in schema.get("properties", {}).items():
        field = f"{path}.{name}" if path else name
        yield field
        yield from _fields(document, of_field, field)
    for keyword in ALTERNATIVES:
        for alternative in schema.get(keyword, []):
            yield from _fields(document, alternative, path)
    if "items" in schema:
        yield from _fields(document, schema["items"], f"{path}[]")
    if "contentSchema" in schema:
        yield from _fields(document, schema["contentSchema"], path)


def _resolve(document: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    """Follow a reference such as ``#/components/schemas/Error``."""
    while "$ref" in value:
        reference: str = value["$ref"]
        value = document
        for name in reference.removeprefix("#/").split("/"):
            value = value[name]
    return value
