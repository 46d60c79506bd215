"""The OpenAPI document: what may be asked, and what comes back."""

from __future__ import annotations

from typing import Any

import elman
from elman.serve.asking import MAX_LOGPROBS, MAX_N, MAX_PROMPTS, MAX_STOP, MAX_STOPS, SEED
from elman.serve.settings import Settings

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_ERRORS = {
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
_ALWAYS = (401, 403, 503)
_WITH_BODY = (400, *_ALWAYS, 404, 408, 413, 415, 429, 500)


def document(models: dict[str, int], settings: Settings) -> Schema:
    """Return the document of a server that serves models, each by its name and the size of its alphabet."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Elman",
            "version": elman.__version__,
            "description": "Character models behind the OpenAI completions protocol. A token is a character.",
        },
        "paths": _paths(),
        "components": {
            "schemas": _schemas(models, settings),
            "responses": {f"Error{status}": _error(says) for status, says in _ERRORS.items()},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"key": []}] if settings.api_key else [],
    }


def _paths() -> Schema:
    name = {"name": "name", "in": "path", "required": True, "schema": _ref("ModelName")}
    model = {"name": "model", "in": "query", "schema": _ref("ModelName")}
    says = "Server-sent events: completions that hold what a text has grown by; then [DONE]."
    stream = {"text/event-stream": {"schema": {"description": says}}}
    return {
        "/v1/completions": {"post": _post("Complete prompts.", "CompletionRequest", "Completion", stream)},
        "/v1/models": {"get": _get("List the models.", "ModelList")},
        "/v1/models/{name}": {"get": _get("Describe a model.", "Model", 404) | {"parameters": [name]}},
        "/tokenizer_info": {
            "get": _get("Tell how a model cuts text.", "TokenizerInfo", 400, 404) | {"parameters": [model]}
        },
        "/tokenize": {"post": _post("Give the indices of characters.", "TokenizeRequest", "Tokens")},
        "/detokenize": {"post": _post("Give the characters of indices.", "DetokenizeRequest", "Detokenized")},
        "/health": {"get": _get("Tell whether the server is well.", "Health") | {"security": []}},
        "/metrics": {
            "get": {
                "summary": "Give figures to Prometheus.",
                "responses": {"200": _content("Figures.", {"text/plain": {"schema": _TEXT}})} | _refusals(*_ALWAYS),
            }
        },
        "/openapi.json": {"get": _get("Give this document.", "Anything")},
    }


def _get(summary: str, answer: str, *errors: int) -> Schema:
    return {"summary": summary, "responses": {"200": _json(summary, answer)} | _refusals(*_ALWAYS, *errors)}


def _post(summary: str, asked: str, answer: str, others: Schema | None = None) -> Schema:
    answered = _content(summary, {"application/json": {"schema": _ref(answer)}} | (others or {}))
    return {
        "summary": summary,
        "requestBody": {"required": True} | {"content": {"application/json": {"schema": _ref(asked)}}},
        "responses": {"200": answered} | _refusals(*_WITH_BODY),
    }


def _content(says: str, content: Schema) -> Schema:
    return {"description": says, "content": content}


def _json(says: str, schema: str) -> Schema:
    return _content(says, {"application/json": {"schema": _ref(schema)}})


def _error(says: str) -> Schema:
    return _json(says, "Error")


def _refusals(*statuses: int) -> Schema:
    return {str(status): {"$ref": f"#/components/responses/Error{status}"} for status in statuses}


def _ref(schema: str) -> Schema:
    return {"$ref": f"#/components/schemas/{schema}"}


def _object(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    """An object that has no other properties than these."""
    properties = required | (optional or {})
    return {"type": "object", "required": [*required], "properties": properties, "additionalProperties": False}


def _or_null(schema: Schema, says: str = "") -> Schema:
    described = {"description": says} if says else {}
    return {"anyOf": [schema, {"type": "null"}]} | described


def _list(schema: Schema, **limits: int) -> Schema:
    return {"type": "array", "items": schema} | limits


def _whole(least: int, most: int | None = None) -> Schema:
    return {"type": "integer", "minimum": least} | ({} if most is None else {"maximum": most})


def _number(least: float, most: float) -> Schema:
    return {"type": "number", "minimum": least, "maximum": most}


def _schemas(models: dict[str, int], settings: Settings) -> dict[str, Schema]:
    return _asked(models, settings) | _answered()


def _asked(models: dict[str, int], settings: Settings) -> dict[str, Schema]:
    """The bodies of requests."""
    index = _whole(0, max(models.values()) - 1)
    indices = _list(index, minItems=1)
    prompt = {"anyOf": [_TEXT, indices, _list({"anyOf": [_TEXT, indices]}, minItems=1, maxItems=MAX_PROMPTS)]}
    stop = {"type": "string", "minLength": 1, "maxLength": MAX_STOP}
    flag = _or_null({"type": "boolean"})
    usage = _object({}, {"include_usage": flag})
    optional = {
        "prompt": _or_null(prompt, "Text, the indices of its characters, or several of either."),
        "max_tokens": _or_null(_whole(0, settings.max_tokens), "Characters to write, at most; 16 if left out."),
        "n": _or_null(_whole(1, MAX_N), "Texts for each prompt."),
        "stream": flag,
        "stream_options": _or_null(usage),
        "echo": _or_null({"type": "boolean"}, "Give the prompt back before what follows it."),
        "logprobs": _or_null(_whole(0, MAX_LOGPROBS), "How many of the likeliest characters to list at every place."),
        "stop": _or_null({"anyOf": [stop, _list(stop, maxItems=MAX_STOPS)]}, "End before one of these."),
        "seed": _or_null(_whole(-SEED, SEED - 1), "The same one gives the same text again."),
        "temperature": _or_null(_number(0, 2), "0 always takes the likeliest character."),
        "top_p": _or_null(_number(0, 1), "Draw among the likeliest that reach this probability."),
        "top_k": _or_null(_COUNT, "Draw among the k likeliest; 0 among all. Not in OpenAI's protocol."),
        "min_p": _or_null(_number(0, 1), "Draw among those so likely beside the likeliest. Not in OpenAI's protocol."),
        "user": _or_null(_TEXT),
        "best_of": {"enum": [1, None], "description": "Not supported otherwise."},
        "presence_penalty": {"enum": [0, None], "description": "Not supported otherwise."},
        "frequency_penalty": {"enum": [0, None], "description": "Not supported otherwise."},
        "logit_bias": _or_null({"type": "object", "maxProperties": 0}, "Not supported otherwise."),
        "suffix": {"type": "null", "description": "Not supported."},
    }
    model = {"model": _or_null(_ref("ModelName"))}
    return {
        "ModelName": {"type": "string", "enum": [*models]},
        "CompletionRequest": _object({"model": _ref("ModelName")}, optional),
        "TokenizeRequest": _object({"prompt": _TEXT}, model | {"add_special_tokens": flag}),
        "DetokenizeRequest": _object({"tokens": _list(index)}, model),
    }


def _answered() -> dict[str, Schema]:
    """The bodies of answers."""
    listed = _or_null({"type": "object", "additionalProperties": {"type": "number"}})
    logprobs = _object(
        {
            "tokens": _list(_TEXT),
            "token_logprobs": _list(_or_null({"type": "number"})),
            "top_logprobs": _list(listed),
            "text_offset": _list(_COUNT),
        }
    )
    choice = _object(
        {
            "index": _COUNT,
            "text": _TEXT,
            "logprobs": _or_null(logprobs),
            "finish_reason": {"enum": ["stop", "length"]},
        }
    )
    usage = _object({"prompt_tokens": _COUNT, "completion_tokens": _COUNT, "total_tokens": _COUNT})
    about = {"id": _TEXT, "created": _COUNT}
    return {
        "Completion": _object(
            about | {"object": {"const": "text_completion"}, "model": _TEXT, "choices": _list(choice), "usage": usage}
        ),
        "Model": _object(about | {"object": {"const": "model"}, "owned_by": _TEXT}),
        "ModelList": _object({"object": {"const": "list"}, "data": _list(_ref("Model"))}),
        "TokenizerInfo": _object(
            {
                "tokenizer_class": _TEXT,
                "vocab_size": _COUNT,
                "bos_token": _TEXT,
                "eos_token": {"type": "null"},
                "pad_token": {"type": "null"},
            }
        ),
        "Tokens": _object({"tokens": _list(_COUNT), "count": _COUNT, "max_model_len": _COUNT}),
        "Detokenized": _object({"prompt": _TEXT}),
        "Health": _object({"status": {"const": "ok"}}),
        "Anything": {"type": "object"},
        "Error": _object(
            {
                "error": _object(
                    {"message": _TEXT, "type": _TEXT, "param": _or_null(_TEXT), "code": _or_null(_TEXT)},
                )
            }
        ),
    }
