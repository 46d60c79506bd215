"""Routes: endpoints, the OpenAPI document that describes them, and pages with their static files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import cleandoc
from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from elman._version import __version__
from elman.serve.responses import JSON, ErrorResponse
from elman.serve.settings import Settings
from elman.web import STATIC_FILES

STATIC = "/static"
"""URL path of the static files."""
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
PUBLIC_ERRORS = (403, 500, 503)
"""Error statuses of an endpoint that requires no key."""
ANY_ERRORS = (401, *PUBLIC_ERRORS)
BODY_ERRORS = (400, 404, 408, 413, 415, *ANY_ERRORS)
"""Error statuses of an endpoint with a request body that may name a model."""
QUEUE_ERRORS = (429, *BODY_ERRORS)
"""Error statuses of an endpoint that uses the queue as well."""

Schema = dict[str, Any]


@dataclass(frozen=True)
class Operation:
    """An endpoint, and its description in the OpenAPI document.

    Parameters
    ----------
    methods : tuple of str
    path : str
    endpoint : callable
        Its docstring is the summary.
    responses : mapping
        The type of the response by media type; empty if it always fails.
    errors : tuple of int
        Statuses of the error responses.
    body : type, optional
        The type of the request body.
    model_in : str, optional
        Where a parameter names a model: ``path`` or ``query``.
    """

    methods: tuple[str, ...]
    path: str
    endpoint: Any
    responses: Mapping[str, Any]
    errors: tuple[int, ...] = ANY_ERRORS
    body: type[BaseModel] | None = None
    model_in: str | None = None

    @property
    def summary(self) -> str:
        """What the endpoint does."""
        return cleandoc(self.endpoint.__doc__)

    def route(self) -> Route:
        """Return the route of the endpoint."""
        return Route(self.path, self.endpoint, methods=self.methods)


def page_routes(page: str) -> list[Route | Mount]:
    """Return the routes of a web page: its ``index.html`` at ``/``, and the static files, which all pages share."""

    async def index(_: Request) -> Response:
        return FileResponse(STATIC_FILES / page / "index.html")

    return [Route("/", index), Mount(STATIC, StaticFiles(directory=STATIC_FILES))]


def create_document(operations: Sequence[Operation], models: Sequence[str], settings: Settings) -> Schema:
    """Return the OpenAPI document of a server.

    Parameters
    ----------
    operations : sequence of Operation
    models : sequence of str
        Names of the models.
    settings : Settings
    """
    types = dict.fromkeys([ErrorResponse, *(each for operation in operations for each in _types(operation))])
    inputs: list[tuple[Any, Literal["validation"], TypeAdapter[Any]]] = [
        (each, "validation", TypeAdapter(each)) for each in types
    ]
    schemas, definitions = TypeAdapter.json_schemas(inputs, ref_template="#/components/schemas/{model}")
    schema_of = {each: schemas[each, "validation"] for each in types}
    paths: dict[str, Schema] = {}
    for operation in operations:
        described = _describe(operation, schema_of, models)
        paths[operation.path] = {method.lower(): described for method in operation.methods}
    error = _content({JSON: schema_of[ErrorResponse]})
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Elman",
            "version": __version__,
            "description": "Character-level language models behind the OpenAI completions API. A token is a character.",
        },
        "paths": paths,
        "components": {
            "schemas": definitions["$defs"],
            "responses": {f"Error{status}": {"description": text} | error for status, text in ERRORS.items()},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"key": []}] if settings.api_key else [],
    }


def _types(operation: Operation) -> list[Any]:
    return [*operation.responses.values(), *([operation.body] if operation.body else [])]


def _describe(operation: Operation, schema_of: Mapping[Any, Schema], models: Sequence[str]) -> Schema:
    described: Schema = {"summary": operation.summary}
    if operation.model_in:
        name = "name" if operation.model_in == "path" else "model"
        parameter = {"name": name, "in": operation.model_in, "required": operation.model_in == "path"}
        described["parameters"] = [parameter | {"schema": {"type": "string", "enum": [*models]}}]
    if operation.body:
        described["requestBody"] = {"required": True} | _content({JSON: schema_of[operation.body]})
    if operation.errors == PUBLIC_ERRORS:
        described["security"] = []
    content = {media_type: schema_of[each] for media_type, each in operation.responses.items()}
    responses: Schema = {"200": {"description": operation.summary} | _content(content)} if content else {}
    errors = {str(status): {"$ref": f"#/components/responses/Error{status}"} for status in operation.errors}
    return described | {"responses": responses | errors}


def _content(schemas: Mapping[str, Schema]) -> Schema:
    return {"content": {media_type: {"schema": schema} for media_type, schema in schemas.items()}}
