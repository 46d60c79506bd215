"""The OpenAPI document: what may be asked, and what comes back."""

from __future__ import annotations

from elman._version import __version__
from elman.inference import Model
from elman.network import architecture
from elman.serve.api.completion_request import (
    LENGTH,
    MAX_LOGPROBS,
    MAX_N,
    MAX_PROMPTS,
    MAX_STOP,
    MAX_STOPS,
    MAX_TEMPERATURE,
    SEED,
)
from elman.serve.api.completions import EVENTS
from elman.serve.openapi.playground import play_answered, play_asked, play_paths
from elman.serve.openapi.schema import (
    ALWAYS,
    COUNT,
    FLAG,
    OF_BODY,
    OF_QUEUE,
    OPEN,
    PROBABILITY,
    TEXT,
    Schema,
    a_list,
    an_object,
    body,
    operation,
    or_null,
    ref,
    refusals,
    whole,
)
from elman.serve.settings import Settings


def document(models: dict[str, Model], settings: Settings) -> Schema:
    """Return the document of a server that serves models under their names."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Elman",
            "version": __version__,
            "description": "Character models behind the OpenAI completions protocol. A token is a character.",
        },
        "paths": _paths() | play_paths(),
        "components": {
            "schemas": _asked(models, settings) | _answered() | play_answered(),
            "responses": refusals(),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"key": []}] if settings.api_key else [],
    }


def _paths() -> Schema:
    name = {"name": "name", "in": "path", "required": True, "schema": ref("ModelName")}
    model = {"name": "model", "in": "query", "schema": ref("ModelName")}
    completed = body(ref("Completion")) | body(ref("CompletionEvent"), EVENTS)
    info = operation("Tell how a model cuts text.", body(ref("TokenizerInfo")), (400, 404, *ALWAYS))
    about = operation("Describe a model.", body(ref("Model")), (404, *ALWAYS))
    healthy = operation("Tell whether the server is well.", body(ref("Health")), OPEN)
    indices = operation("Give the indices of characters.", body(ref("Tokens")), OF_BODY, "TokenizeRequest")
    text = operation("Give the characters of indices.", body(ref("Detokenized")), OF_BODY, "DetokenizeRequest")
    return {
        "/v1/completions": {"post": operation("Complete prompts.", completed, OF_QUEUE, "CompletionRequest")},
        "/v1/models": {"get": operation("List the models.", body(ref("ModelList")), ALWAYS)},
        "/v1/models/{name}": {"get": about | {"parameters": [name]}},
        "/tokenizer_info": {"get": info | {"parameters": [model]}},
        "/tokenize": {"post": indices},
        "/detokenize": {"post": text},
        "/health": {"get": healthy | {"security": []}},
        "/metrics": {"get": operation("Give figures to Prometheus.", body(TEXT, "text/plain"), ALWAYS)},
        "/openapi.json": {"get": operation("Give this document.", body({"type": "object"}), ALWAYS)},
    }


def _asked(models: dict[str, Model], settings: Settings) -> dict[str, Schema]:
    """The bodies of requests."""
    index = whole(0, max(len(model.alphabet) for model in models.values()) - 1)
    arguments = _arguments(index, settings)
    model = {"model": or_null(ref("ModelName"))}
    return {
        "ModelName": {"type": "string", "enum": [*models]},
        "CompletionRequest": an_object({"model": ref("ModelName")}, arguments),
        "TokenizeRequest": an_object({"prompt": TEXT}, model | {"add_special_tokens": or_null(FLAG)}),
        "DetokenizeRequest": an_object({"tokens": a_list(index)}, model),
    } | play_asked(arguments, (architecture(one.parameters) for one in models.values()), settings)


def _arguments(index: Schema, settings: Settings) -> dict[str, Schema]:
    """The arguments of completions, but for the model."""
    indices = a_list(index, minItems=1)
    prompt = {"anyOf": [TEXT, indices, a_list({"anyOf": [TEXT, indices]}, minItems=1, maxItems=MAX_PROMPTS)]}
    begin = (
        "Text, the indices of its characters, or several of either;"
        f" {settings.max_characters} characters at most with all that is to be written."
    )
    stop = {"type": "string", "minLength": 1, "maxLength": MAX_STOP}
    length = f"Characters to write, at most; {min(LENGTH, settings.max_tokens)} if left out."
    temperature = {"type": "number", "minimum": 0, "maximum": MAX_TEMPERATURE}
    return {
        "prompt": or_null(prompt, begin),
        "max_tokens": or_null(whole(0, settings.max_tokens), length),
        "n": or_null(whole(1, MAX_N), "Texts for each prompt."),
        "stream": or_null(FLAG),
        "stream_options": or_null(an_object({}, {"include_usage": or_null(FLAG)})),
        "echo": or_null(FLAG, "Give the prompt back before what follows it."),
        "logprobs": or_null(whole(0, MAX_LOGPROBS), "How many of the likeliest characters to list at every place."),
        "stop": or_null({"anyOf": [stop, a_list(stop, maxItems=MAX_STOPS)]}, "End before one of these."),
        "seed": or_null(whole(-SEED, SEED - 1), "The same one gives the same text again."),
        "temperature": or_null(temperature, "0 always takes the likeliest character."),
        "top_p": or_null(PROBABILITY, "Draw among the likeliest that reach this probability."),
        "top_k": or_null(COUNT, "Draw among the k likeliest; 0 among all. Not in OpenAI's protocol."),
        "min_p": or_null(PROBABILITY, "Draw among those so likely beside the likeliest. Not in OpenAI's protocol."),
        "user": or_null(TEXT),
        "best_of": {"enum": [1, None], "description": "Not supported otherwise."},
        "presence_penalty": {"enum": [0, None], "description": "Not supported otherwise."},
        "frequency_penalty": {"enum": [0, None], "description": "Not supported otherwise."},
        "logit_bias": or_null({"type": "object", "maxProperties": 0}, "Not supported otherwise."),
        "suffix": {"enum": ["", None], "description": "Not supported otherwise."},
    }


def _answered() -> dict[str, Schema]:
    """The bodies of answers."""
    of_model: dict[str, Schema] = {"id": TEXT, "created": COUNT, "object": {"const": "model"}, "owned_by": TEXT}
    of_tokenizer: dict[str, Schema] = {"tokenizer_class": TEXT, "vocab_size": COUNT, "bos_token": TEXT}
    nothing: dict[str, Schema] = {"eos_token": {"type": "null"}, "pad_token": {"type": "null"}}
    error: dict[str, Schema] = {"message": TEXT, "type": TEXT, "param": or_null(TEXT), "code": or_null(TEXT)}
    return _completed() | {
        "Model": an_object(of_model),
        "ModelList": an_object({"object": {"const": "list"}, "data": a_list(ref("Model"))}),
        "TokenizerInfo": an_object(of_tokenizer | nothing),
        "Tokens": an_object({"tokens": a_list(COUNT), "count": COUNT, "max_model_len": COUNT}),
        "Detokenized": an_object({"prompt": TEXT}),
        "Health": an_object({"status": {"const": "ok"}}),
        "Error": an_object({"error": an_object(error)}),
    }


def _completed() -> dict[str, Schema]:
    """What completions answer, whole and as a stream."""
    number = {"type": "number"}
    listed = or_null({"type": "object", "additionalProperties": number})
    logprobs = an_object(
        {
            "tokens": a_list(TEXT),
            "token_logprobs": a_list(or_null(number)),
            "top_logprobs": a_list(listed),
            "text_offset": a_list(COUNT),
        }
    )
    grown: dict[str, Schema] = {"index": COUNT, "text": TEXT, "logprobs": or_null(logprobs)}
    finish: Schema = {"enum": ["stop", "length"]}
    usage = an_object({"prompt_tokens": COUNT, "completion_tokens": COUNT, "total_tokens": COUNT})
    about: dict[str, Schema] = {"id": TEXT, "created": COUNT, "object": {"const": "text_completion"}, "model": TEXT}
    whole_choices = a_list(an_object(grown | {"finish_reason": finish}))
    choices = a_list(an_object(grown | {"finish_reason": or_null(finish)}))
    return {
        "Completion": an_object(about | {"choices": whole_choices, "usage": usage}),
        "CompletionPart": an_object(about | {"choices": choices}, {"usage": or_null(usage)}),
        "CompletionEvent": _event({"anyOf": [ref("CompletionPart"), ref("Error")]}),
    }


def _event(content: Schema) -> Schema:
    """Describe one of the server-sent events; OpenAPI 3.1 has no word for all of them."""
    says = "The answer is events of this, what the texts have grown by; then [DONE], or an error if writing fails."
    data = {"anyOf": [{"const": "[DONE]"}, {"contentMediaType": "application/json", "contentSchema": content}]}
    return {"description": says, "type": "object", "required": ["data"], "properties": {"data": TEXT | data}}
