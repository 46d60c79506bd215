"""The OpenAPI document of the server, with its models and limits."""

from __future__ import annotations

from elman._version import __version__
from elman.inference import Model
from elman.network import architecture
from elman.network.sampling import SamplingOption, list_sampling_options
from elman.serve.api.completion_request import (
    ADAPT,
    DEFAULT_MAX_TOKENS,
    MAX_LOGPROBS,
    MAX_N,
    MAX_PROMPTS,
    MAX_STOP,
    MAX_STOPS,
    SEED,
)
from elman.serve.api.completions import EVENTS
from elman.serve.openapi.playground import playground_paths, playground_requests, playground_responses
from elman.serve.openapi.schema import (
    COUNT,
    ERRORS_ALWAYS,
    ERRORS_OF_BODY,
    ERRORS_OF_QUEUE,
    ERRORS_WITHOUT_KEY,
    FLAG,
    ONE_LENGTH,
    TEXT,
    Schema,
    array_schema,
    body,
    error_responses,
    integer_schema,
    nullable,
    object_schema,
    operation,
    ref,
    unsupported_operation,
)
from elman.serve.settings import Settings

OPENAI_OPTIONS = ("temperature", "top_p")
"""The sampling options that OpenAI's API has."""


def create_document(models: dict[str, Model], settings: Settings) -> Schema:
    """Return the OpenAPI document of a server of these models."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Elman",
            "version": __version__,
            "description": "Character-level language models behind the OpenAI completions API. A token is a character.",
        },
        "paths": _paths() | playground_paths(),
        "components": {
            "schemas": _requests(models, settings) | _responses() | playground_responses(),
            "responses": error_responses(),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"key": []}] if settings.api_key else [],
    }


def _paths() -> Schema:
    name = {"name": "name", "in": "path", "required": True, "schema": ref("ModelName")}
    model = {"name": "model", "in": "query", "schema": ref("ModelName")}
    completion = body(ref("Completion")) | body(ref("CompletionEvent"), EVENTS)
    info = operation("Describe the tokenizer of a model.", body(ref("TokenizerInfo")), (400, 404, *ERRORS_ALWAYS))
    describe = operation("Describe a model.", body(ref("Model")), (404, *ERRORS_ALWAYS))
    health = operation("Check the server's health.", body(ref("Health")), ERRORS_WITHOUT_KEY)
    tokenize = operation("Convert text to character indices.", body(ref("Tokens")), ERRORS_OF_BODY, "TokenizeRequest")
    detokenize = operation(
        "Convert character indices to text.", body(ref("Detokenized")), ERRORS_OF_BODY, "DetokenizeRequest"
    )
    chat = unsupported_operation("Not supported: the models are no chat models.", (404, *ERRORS_ALWAYS))
    return {
        "/v1/chat/completions": {"get": chat, "post": chat},
        "/v1/completions": {"post": operation("Complete prompts.", completion, ERRORS_OF_QUEUE, "CompletionRequest")},
        "/v1/models": {"get": operation("List the models.", body(ref("ModelList")), ERRORS_ALWAYS)},
        "/v1/models/{name}": {"get": describe | {"parameters": [name]}},
        "/tokenizer_info": {"get": info | {"parameters": [model]}},
        "/tokenize": {"post": tokenize},
        "/detokenize": {"post": detokenize},
        "/health": {"get": health | {"security": []}},
        "/metrics": {"get": operation("Return Prometheus metrics.", body(TEXT, "text/plain"), ERRORS_ALWAYS)},
        "/openapi.json": {"get": operation("Return this document.", body({"type": "object"}), ERRORS_ALWAYS)},
    }


def _requests(models: dict[str, Model], settings: Settings) -> dict[str, Schema]:
    """Return the schemas of request bodies."""
    index = integer_schema(0, max(len(model.alphabet) for model in models.values()) - 1)
    arguments = _arguments(index, settings) | {"adapt": _adapt(models)}
    model = {"model": nullable(ref("ModelName"), "May be left out where there is one model.")}
    required, optional = ({"model": ref("ModelName")}, {}) if len(models) > 1 else ({}, model)
    networks = (architecture(each.parameters) for each in models.values())
    return {
        "ModelName": {"type": "string", "enum": [*models]},
        "CompletionRequest": object_schema(required, optional | arguments) | ONE_LENGTH,
        "TokenizeRequest": object_schema({"prompt": TEXT}, model | {"add_special_tokens": nullable(FLAG)}),
        "DetokenizeRequest": object_schema({"tokens": array_schema(index)}, model),
    } | playground_requests(required, optional, arguments, networks, settings)


def _arguments(index: Schema, settings: Settings) -> dict[str, Schema]:
    """Return the schemas of the arguments of completions, without the model."""
    indices = array_schema(index, minItems=1)
    prompts = array_schema({"anyOf": [TEXT, indices]}, minItems=1, maxItems=MAX_PROMPTS)
    prompt = (
        "Text, a list of character indices, or a list of several of either;"
        f" at most {settings.max_characters} characters together with everything to be generated."
    )
    stop = {"type": "string", "minLength": 1, "maxLength": MAX_STOP}
    max_tokens = f"Maximum number of characters to generate; default {min(DEFAULT_MAX_TOKENS, settings.max_tokens)}."
    unsupported = "Not supported with any other value."
    return {
        "prompt": nullable({"anyOf": [TEXT, indices, prompts]}, prompt),
        "max_tokens": nullable(integer_schema(0, settings.max_tokens), max_tokens),
        "length": nullable(integer_schema(0, settings.max_tokens), "Alias of max_tokens. Not in the OpenAI API."),
        "n": nullable(integer_schema(1, MAX_N), "Sequences per prompt."),
        "stream": nullable(FLAG, "Send server-sent events."),
        "stream_options": nullable(object_schema({}, {"include_usage": nullable(FLAG)})),
        "echo": nullable(FLAG, "Return the prompt before the generated text."),
        "logprobs": nullable(
            integer_schema(0, MAX_LOGPROBS), "Number of most likely characters to report at every position."
        ),
        "stop": nullable(
            {"anyOf": [stop, array_schema(stop, maxItems=MAX_STOPS)]},
            "Stop sequences; not returned. One with an unknown character has no effect.",
        ),
        "seed": nullable(integer_schema(-SEED, SEED - 1), "Random seed, for reproducible output."),
        **{option.name: _sampling_option(option) for option in list_sampling_options()},
        "user": nullable(TEXT, "Ignored."),
        "best_of": {"enum": [1, None], "description": unsupported},
        "presence_penalty": {"enum": [0, None], "description": unsupported},
        "frequency_penalty": {"enum": [0, None], "description": unsupported},
        "logit_bias": nullable({"type": "object", "maxProperties": 0}, unsupported),
        "suffix": {"enum": ["", None], "description": unsupported},
    }


def _adapt(models: dict[str, Model]) -> Schema:
    """Describe the argument `adapt`, which only models with an n-gram prior take."""
    values = [ADAPT] if any(model.parameters.ngrams for model in models.values()) else []
    text = "The model's n-gram prior, which it must have, counts the prompt too. Not in the OpenAI API."
    return {"enum": [*values, None], "description": text}


def _sampling_option(option: SamplingOption) -> Schema:
    maximum = {} if option.request_maximum is None else {"maximum": option.request_maximum}
    schema = {"type": "integer" if option.type is int else "number", "minimum": option.minimum} | maximum
    return nullable(schema, option.help if option.name in OPENAI_OPTIONS else f"{option.help} Not in the OpenAI API.")


def _responses() -> dict[str, Schema]:
    """Return the schemas of response bodies."""
    model: dict[str, Schema] = {"id": TEXT, "created": COUNT, "object": {"const": "model"}, "owned_by": TEXT}
    info: dict[str, Schema] = {"tokenizer_class": TEXT, "vocab_size": COUNT, "bos_token": TEXT}
    no_tokens: dict[str, Schema] = {"eos_token": {"type": "null"}, "pad_token": {"type": "null"}}
    error: dict[str, Schema] = {"message": TEXT, "type": TEXT, "param": nullable(TEXT), "code": nullable(TEXT)}
    return _completions() | {
        "Model": object_schema(model),
        "ModelList": object_schema({"object": {"const": "list"}, "data": array_schema(ref("Model"))}),
        "TokenizerInfo": object_schema(info | no_tokens),
        "Tokens": object_schema({"tokens": array_schema(COUNT), "count": COUNT, "max_model_len": COUNT}),
        "Detokenized": object_schema({"prompt": TEXT}),
        "Health": object_schema({"status": {"const": "ok"}}),
        "Error": object_schema({"error": object_schema(error)}),
    }


def _completions() -> dict[str, Schema]:
    """Return the schemas of completions, complete and streamed."""
    number = {"type": "number"}
    top_logprobs = nullable({"type": "object", "additionalProperties": number})
    logprobs = object_schema(
        {
            "tokens": array_schema(TEXT),
            "token_logprobs": array_schema(nullable(number)),
            "top_logprobs": array_schema(top_logprobs),
            "text_offset": array_schema(COUNT),
        }
    )
    choice: dict[str, Schema] = {"index": COUNT, "text": TEXT, "logprobs": nullable(logprobs)}
    finish: Schema = {"enum": ["stop", "length"]}
    usage = object_schema({"prompt_tokens": COUNT, "completion_tokens": COUNT, "total_tokens": COUNT})
    head: dict[str, Schema] = {"id": TEXT, "created": COUNT, "object": {"const": "text_completion"}, "model": TEXT}
    choices = array_schema(object_schema(choice | {"finish_reason": finish}))
    chunk_choices = array_schema(object_schema(choice | {"finish_reason": nullable(finish)}))
    return {
        "Completion": object_schema(head | {"choices": choices, "usage": usage}),
        "CompletionPart": object_schema(head | {"choices": chunk_choices}, {"usage": nullable(usage)}),
        "CompletionEvent": _event({"anyOf": [ref("CompletionPart"), ref("Error")]}),
    }


def _event(content: Schema) -> Schema:
    """Describe one server-sent event; OpenAPI 3.1 cannot describe a stream of them."""
    description = "A stream of these events, each with newly generated text; then [DONE], or an error if it fails."
    data = {"anyOf": [{"const": "[DONE]"}, {"contentMediaType": "application/json", "contentSchema": content}]}
    return {"description": description, "type": "object", "required": ["data"], "properties": {"data": TEXT | data}}
