"""The options of text generation, as `elman.inference.model.Model` takes them: types, documentation and ranges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any, Literal

from elman.errors import ElmanError, quote, shorten
from elman.network import SamplingParams
from elman.network.sampling import SamplingOptions, create_sampling_params, list_sampling_options
from elman.signatures import Option

SAMPLING_OPTIONS = tuple(Option(each.name, each.type, each.default, each.help) for each in list_sampling_options())
GENERATION_OPTIONS = (
    Option("prompt", str, "", "Text to continue; it is not part of the output."),
    Option("stop", str, "", "End before this string would be generated."),
    Option("seed", int | None, None, "The same seed gives the same text. Without one every call differs."),
    Option("adapt", bool | str, False, 'Whether the n-gram prior counts the prompt as well: False or "counts".'),
    *SAMPLING_OPTIONS,
)


class GenerationOptions(SamplingOptions, total=False):
    """Options of text generation; see `Model.stream`."""

    prompt: str
    stop: str | Sequence[str]
    seed: int | None
    adapt: Literal[False, "counts"]


def check_options(length: int, seed: int | None, options: Mapping[str, Any]) -> SamplingParams:
    """Return the sampling parameters, after checking the range of every option."""
    check_ranges(("--length", length, 0, None))
    sampling = create_sampling_params(options)
    if seed is not None:
        check_ranges(("--seed", seed, 0, None))
    return sampling


def check_ranges(*ranges: tuple[str, Any, int, int | None]) -> None:
    """Reject the first option that is no integer or out of its range: (name, value, minimum, maximum)."""
    for name, value, minimum, maximum in ranges:
        is_integer = isinstance(value, Integral)
        if not is_integer:
            raise ElmanError(f"{name} must be an integer (got {quote(value)})")
        if value < minimum or (maximum is not None and value > maximum):
            expected = f"at least {minimum}" if maximum is None else f"from {minimum} to {maximum:,}"
            raise ElmanError(f"{name} must be {expected} (got {shorten(value)})")
