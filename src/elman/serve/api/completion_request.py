"""What a request for completions asks for, checked argument by argument."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from elman.network import SamplingParams
from elman.serve.http.errors import Refusal
from elman.serve.settings import Settings

MAX_PROMPTS, MAX_N, MAX_LOGPROBS, MAX_STOPS, MAX_STOP, MAX_TEMPERATURE = 128, 16, 5, 16, 200, 2
LENGTH = 16
"""Characters that are written where nothing is said."""
SEED = 2**63
LEAST_TOP_P = 1e-300
"""Stands for a top_p of 0, which leaves the likeliest character alone."""

Prompt = str | list[int]


@dataclass(frozen=True)
class Asked:
    """A request for completions."""

    model: str
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


def asked(body: dict[str, Any], settings: Settings) -> Asked:
    """Return what a body asks for.

    Raises
    ------
    Refusal
        400, naming the argument that is unknown, missing or out of its range.
    """
    check_names(body, ARGUMENTS)
    found = {name: check(name, body.get(name), settings) for name, check in ARGUMENTS.items()}
    top_p = max(found["top_p"], LEAST_TOP_P)
    wanted = Asked(
        sampling=SamplingParams(found["temperature"], found["top_k"], top_p, found["min_p"]),
        model=found["model"],
        prompts=found["prompt"],
        include_usage=found["stream_options"],
        stops=found["stop"],
        **{name: found[name] for name in ("max_tokens", "n", "stream", "echo", "logprobs", "seed")},
    )
    characters = sum(len(prompt) + wanted.n * wanted.max_tokens for prompt in wanted.prompts)
    if characters > settings.max_characters:
        message = (
            f"a request may take {settings.max_characters} characters at most, its prompts and all that is to be"
            f" written, and this one asks for {characters}: ask for less at a time"
        )
        raise Refusal(400, message, "request_too_large", "max_tokens")
    return wanted


def check_names(body: dict[str, Any], known: Collection[str]) -> None:
    """Refuse an argument that is not known."""
    if unknown := sorted(set(body) - set(known)):
        message = f"{unknown[0]!r} is not an argument here: leave it out, or correct its name"
        raise Refusal(400, message, "unknown_parameter", unknown[0])


def string(name: str, value: Any) -> str:
    """Return an argument that is a string; another is refused."""
    if not isinstance(value, str):
        raise _refused(name, "a string", value)
    return value


def derive_seed(seed: int | None, index: int = 0) -> int | None:
    """Return what the generator of one of several texts begins with, never below 0, or None where none was given."""
    return None if seed is None else seed % (2 * SEED) + index


def _refused(name: str, needed: str, value: object) -> Refusal:
    if value is None:
        return Refusal(400, f"{name} is missing: it must be {needed}", "invalid_value", name)
    came = repr(value)
    came = came if len(came) <= 60 else f"{came[:60]}…"
    return Refusal(400, f"{name} must be {needed}, and {came} came: give another", "invalid_value", name)


Check = Callable[[str, Any, Settings], Any]


def _whole(default: int | None, least: int, most: int | None = None) -> Check:
    """A whole number; JSON knows 3.0 as one too."""

    def check(name: str, value: Any, settings: Settings) -> int | None:
        largest = settings.max_tokens if name == "max_tokens" else most
        if value is None:
            return default if default is None or largest is None else min(default, largest)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or value < least or (largest or value) < value:
            limit = f"from {least} to {largest}" if largest is not None else f"of {least} or more"
            raise _refused(name, f"a whole number {limit}", value)
        return value

    return check


def _number(default: float, least: float, most: float) -> Check:
    def check(name: str, value: Any, _: Settings) -> float:
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise _refused(name, f"a number from {least:g} to {most:g}", value)
        return float(value)

    return check


def _flag(name: str, value: Any, _: Settings) -> bool:
    if not isinstance(value, bool | None):
        raise _refused(name, "true or false", value)
    return bool(value)


def _string(name: str, value: Any, _: Settings) -> str:
    return string(name, value)


def _label(name: str, value: Any, _: Settings) -> None:
    """Say nothing of what only the sender has a use for."""
    if value is not None:
        string(name, value)


def _nothing(*harmless: object) -> Check:
    """What no character model can do, unless it is asked for nothing."""

    def check(name: str, value: Any, _: Settings) -> None:
        if value is not None and (isinstance(value, bool) or value not in harmless):
            raise Refusal(400, f"{name} is not supported: leave it out", "invalid_value", name)

    return check


def _stops(name: str, value: Any, _: Settings) -> tuple[str, ...]:
    stops = [] if value is None else [value] if isinstance(value, str) else value
    fits = isinstance(stops, list) and len(stops) <= MAX_STOPS
    if not fits or not all(isinstance(stop, str) and 0 < len(stop) <= MAX_STOP for stop in stops):
        needed = f"a string of 1 to {MAX_STOP} characters, or a list of up to {MAX_STOPS} of them"
        raise _refused(name, needed, value)
    return tuple(stops)


def _prompts(name: str, value: Any, _: Settings) -> tuple[Prompt, ...]:
    """One prompt or several, each a string or the indices of its characters; left out, one that is empty."""
    several = isinstance(value, list) and not are_indices(value)
    prompts = value if several else ["" if value is None else value]
    if 0 < len(prompts) <= MAX_PROMPTS and all(isinstance(p, str) or are_indices(p) for p in prompts):
        return tuple(p if isinstance(p, str) else [int(index) for index in p] for p in prompts)
    needed = f"a string, the indices of characters, or a list of up to {MAX_PROMPTS} of either"
    raise _refused(name, needed, value)


def are_indices(value: Any) -> bool:
    """Whether a value is a list of whole numbers of 0 or more, and not empty."""
    return isinstance(value, list) and bool(value) and all(_is_index(index) for index in value)


def _is_index(value: Any) -> bool:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return (whole or (isinstance(value, float) and value.is_integer())) and value >= 0


def _usage(name: str, value: Any, _: Settings) -> bool:
    """Whether the counts are to come behind a stream."""
    fits = value is None or (isinstance(value, dict) and set(value) <= {"include_usage"})
    if not fits or not isinstance(wanted := (value or {}).get("include_usage"), bool | None):
        raise _refused(name, '{"include_usage": true} or left out', value)
    return bool(wanted)


ARGUMENTS: dict[str, Check] = {
    "model": _string,
    "prompt": _prompts,
    "max_tokens": _whole(LENGTH, 0),
    "n": _whole(1, 1, MAX_N),
    "stream": _flag,
    "stream_options": _usage,
    "echo": _flag,
    "logprobs": _whole(None, 0, MAX_LOGPROBS),
    "stop": _stops,
    "seed": _whole(None, -SEED, SEED - 1),
    "temperature": _number(1.0, 0, MAX_TEMPERATURE),
    "top_p": _number(1.0, 0, 1),
    "top_k": _whole(0, 0),
    "min_p": _number(0.0, 0, 1),
    "user": _label,
    "best_of": _nothing(1),
    "presence_penalty": _nothing(0),
    "frequency_penalty": _nothing(0),
    "logit_bias": _nothing({}),
    "suffix": _nothing(""),
}
"""Every argument of the protocol, and those that Elman adds (top_k, min_p); one that is null is left out."""
