"""Parsing and validation of completion requests, argument by argument."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from elman.errors import quote, shorten
from elman.network import SamplingParams
from elman.network.sampling import SamplingOption, list_sampling_options
from elman.serve.http.errors import APIError
from elman.serve.settings import Settings

MAX_PROMPTS, MAX_N, MAX_LOGPROBS, MAX_STOPS, MAX_STOP = 128, 16, 5, 16, 200
DEFAULT_MAX_TOKENS = 16
"""Characters to generate if the request does not say."""
SEED = 2**63
ADAPT = "counts"
"""What of a model may adapt to a prompt, see `elman.inference.adaptation`."""

Prompt = str | list[int]


@dataclass(frozen=True)
class CompletionRequest:
    """A validated request for completions."""

    model: str | None
    prompts: tuple[Prompt, ...]
    max_tokens: int
    n: int
    stream: bool
    include_usage: bool
    echo: bool
    logprobs: int | None
    stops: tuple[str, ...]
    seed: int | None
    sampling: SamplingParams
    adapt: bool
    """Whether the n-gram prior counts the prompt."""


def parse_completion_request(body: dict[str, Any], settings: Settings) -> CompletionRequest:
    """Parse the body of a request for completions.

    Raises
    ------
    APIError
        400, naming the argument that is unknown, missing or invalid.
    """
    reject_unknown(body, ARGUMENTS)
    if "max_tokens" in body and "length" in body:
        message = "max_tokens and length are the same argument; pass only one of them"
        raise APIError(400, message, "invalid_value", "length")
    name = "length" if "length" in body else "max_tokens"
    max_tokens = ARGUMENTS[name](name, body.get(name), settings)
    values = {name: check(name, body.get(name), settings) for name, check in ARGUMENTS.items()}
    request = CompletionRequest(
        sampling=SamplingParams(**{option.name: values[option.name] for option in list_sampling_options()}),
        model=values["model"],
        prompts=values["prompt"],
        max_tokens=max_tokens,
        include_usage=values["stream_options"],
        stops=values["stop"],
        **{name: values[name] for name in ("n", "stream", "echo", "logprobs", "seed", "adapt")},
    )
    characters = sum(len(prompt) + request.n * request.max_tokens for prompt in request.prompts)
    if characters > settings.max_characters:
        message = f"the request asks for {characters} characters, prompts included (limit: {settings.max_characters})"
        raise APIError(400, message, "request_too_large", "max_tokens")
    return request


def reject_unknown(body: dict[str, Any], arguments: Collection[str]) -> None:
    """Raise an `APIError` if a request has an argument that is not one of these."""
    if unknown := sorted(set(body) - set(arguments)):
        raise APIError(400, f"unknown argument {quote(unknown[0])}", "unknown_parameter", shorten(unknown[0]))


def parse_string(name: str, value: Any) -> str:
    """Return an argument that must be a string."""
    if not isinstance(value, str):
        raise _invalid_value(name, "a string", value)
    return value


def _invalid_value(name: str, expected: str, value: object) -> APIError:
    if value is None:
        return APIError(400, f"missing required argument {name}: it must be {expected}", "invalid_value", name)
    return APIError(400, f"{name} must be {expected} (got {quote(value)})", "invalid_value", name)


Check = Callable[[str, Any, Settings], Any]
"""Validates a value, given the argument's name, and returns it; None stands for an argument that is left out."""


def _integer(default: int | None, minimum: int, maximum: int | None = None, *, limited: bool = False) -> Check:
    """Return the check of an integer, `limited` by the server's max_tokens; 3.0 is an integer in JSON."""

    def check(name: str, value: Any, settings: Settings) -> int | None:
        largest = settings.max_tokens if limited else maximum
        if value is None:
            return default if default is None or largest is None else min(default, largest)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or value < minimum or (largest or value) < value:
            limits = f"from {minimum} to {largest}" if largest is not None else f"of at least {minimum}"
            raise _invalid_value(name, f"an integer {limits}", value)
        return value

    return check


def _number(default: float, minimum: float, maximum: float | None) -> Check:
    def check(name: str, value: Any, _: Settings) -> float:
        if value is None:
            return default
        largest = sys.float_info.max if maximum is None else maximum
        if isinstance(value, bool) or not isinstance(value, int | float) or not minimum <= value <= largest:
            limits = f"of at least {minimum:g}" if maximum is None else f"from {minimum:g} to {maximum:g}"
            raise _invalid_value(name, f"a number {limits}", value)
        return float(value)

    return check


def _sampling_check(option: SamplingOption) -> Check:
    """Return the check of a sampling option."""
    maximum = option.request_maximum
    if option.type is int:
        return _integer(int(option.default), int(option.minimum), None if maximum is None else int(maximum))
    return _number(option.default, option.minimum, maximum)


def _flag(name: str, value: Any, _: Settings) -> bool:
    if not isinstance(value, bool | None):
        raise _invalid_value(name, "true or false", value)
    return bool(value)


def _adapt(name: str, value: Any, _: Settings) -> bool:
    """Return whether the prompt is to be counted."""
    if value not in (None, ADAPT):
        raise _invalid_value(name, f"{ADAPT!r} or left out", value)
    return value is not None


def parse_model(name: str, value: Any, _: Settings | None = None) -> str | None:
    """Return the name of a model; None if it is left out, which a server of one model allows."""
    return None if value is None else parse_string(name, value)


def _ignored_string(name: str, value: Any, _: Settings) -> None:
    """Check a string that has no effect."""
    if value is not None:
        parse_string(name, value)


def _unsupported(*neutral: object) -> Check:
    """Return the check of an argument that a character model does not support, except for values without effect."""

    def check(name: str, value: Any, _: Settings) -> None:
        if value is not None and (isinstance(value, bool) or value not in neutral):
            raise APIError(400, f"{name} is not supported", "invalid_value", name)

    return check


def _stops(name: str, value: Any, _: Settings) -> tuple[str, ...]:
    stops = [] if value is None else [value] if isinstance(value, str) else value
    is_list = isinstance(stops, list) and len(stops) <= MAX_STOPS
    if not is_list or not all(isinstance(stop, str) and 0 < len(stop) <= MAX_STOP for stop in stops):
        expected = f"a string of 1 to {MAX_STOP} characters, or a list of up to {MAX_STOPS} such strings"
        raise _invalid_value(name, expected, value)
    return tuple(stops)


def _prompts(name: str, value: Any, _: Settings) -> tuple[Prompt, ...]:
    """Check one or several prompts, each a string or a list of character indices; the default is one empty prompt."""
    is_several = isinstance(value, list) and not are_indices(value)
    prompts = value if is_several else ["" if value is None else value]
    if 0 < len(prompts) <= MAX_PROMPTS and all(isinstance(p, str) or are_indices(p) for p in prompts):
        return tuple(p if isinstance(p, str) else [int(index) for index in p] for p in prompts)
    expected = f"a string, a list of character indices, or a list of up to {MAX_PROMPTS} of either"
    raise _invalid_value(name, expected, value)


def are_indices(value: Any) -> bool:
    """Return whether a value is a non-empty list of non-negative integers."""
    return isinstance(value, list) and bool(value) and all(_is_index(index) for index in value)


def _is_index(value: Any) -> bool:
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    return (is_integer or (isinstance(value, float) and value.is_integer())) and value >= 0


def _stream_options(name: str, value: Any, _: Settings) -> bool:
    """Return whether usage is to be sent at the end of a stream."""
    is_known = value is None or (isinstance(value, dict) and set(value) <= {"include_usage"})
    if not is_known or not isinstance(include_usage := (value or {}).get("include_usage"), bool | None):
        raise _invalid_value(name, '{"include_usage": true} or left out', value)
    return bool(include_usage)


ARGUMENTS: dict[str, Check] = {
    "model": parse_model,
    "prompt": _prompts,
    "max_tokens": _integer(DEFAULT_MAX_TOKENS, 0, limited=True),
    "length": _integer(DEFAULT_MAX_TOKENS, 0, limited=True),
    "n": _integer(1, 1, MAX_N),
    "stream": _flag,
    "stream_options": _stream_options,
    "echo": _flag,
    "logprobs": _integer(None, 0, MAX_LOGPROBS),
    "stop": _stops,
    "seed": _integer(None, -SEED, SEED - 1),
    **{option.name: _sampling_check(option) for option in list_sampling_options()},
    "adapt": _adapt,
    "user": _ignored_string,
    "best_of": _unsupported(1),
    "presence_penalty": _unsupported(0),
    "frequency_penalty": _unsupported(0),
    "logit_bias": _unsupported({}),
    "suffix": _unsupported(""),
}
"""Every argument of the OpenAI API, and those that Elman adds: the other sampling options, adapt, and length, an alias
of max_tokens. Null counts as left out."""
