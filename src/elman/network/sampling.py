"""Sampling the next character from the distribution of the output layer.

K  size of the alphabet

Temperature is applied first. The filters then exclude unlikely characters, one after the other, in the order of the
fields of `SamplingParams`; the remaining probabilities are renormalized. A character is sampled by inverting the
cumulative distribution at a number uniform in [0, 1).

A field of `SamplingParams` is an option of ``elman sample``, a keyword argument of `elman.Model.sample`, an argument of
HTTP requests and an input of the playground's form; all of them get its help, range and default from here. Where a
person reads the text, the temperature is 0.7: at 1, the errors of a small model add up from word to word.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from math import inf
from typing import Any, TypedDict, get_type_hints

import numpy as np
from numpy.typing import NDArray

from elman.errors import MAX_INT, check_number, check_range
from elman.network.output import softmax
from elman.network.parameters import Array
from elman.options import suggest_option

Probabilities = NDArray[np.float64]

Filter = Callable[[Probabilities, Any], None]
"""Excludes characters: sets their probabilities to 0.

Its arguments are the probabilities (K,) in descending order and the value of its option. Equal probabilities are in the
order of the alphabet; characters that earlier filters excluded have probability 0, and the others are not renormalized:
their sum may be less than 1. The compiled engine compiles it, so that it may only call NumPy functions that Numba
supports.
"""


def filter_top_k(p: Probabilities, top_k: int) -> None:
    """Keep the first `top_k` characters."""
    p[top_k:] = 0


def filter_top_p(p: Probabilities, top_p: float) -> None:
    """Keep the first characters until their sum reaches `top_p` of the total (Holtzman et al., 2020)."""
    sums = np.cumsum(p)
    p[np.searchsorted(sums, top_p * sums[-1]) + 1 :] = 0


def filter_min_p(p: Probabilities, min_p: float) -> None:
    """Exclude characters below `min_p` times the largest probability (Nguyen et al., 2024)."""
    p[p < min_p * p.max()] = 0


def filter_typical_p(p: Probabilities, typical_p: float) -> None:
    """Keep the characters whose surprisal is nearest to the entropy until their sum reaches `typical_p` of the total.

    Locally typical sampling (Meister et al., 2023). Distances are compared in units of 1e-6 nats, so that rounding does
    not decide; among equal distances the more probable character comes first.
    """
    kept = np.flatnonzero(p)
    q = p[kept] / p.sum()
    surprisal = -np.log(q)
    distances = np.rint(1e6 * np.abs(surprisal - np.sum(q * surprisal)))
    nearest = np.argsort(distances, kind="mergesort")  # stable
    last = np.searchsorted(np.cumsum(q[nearest]), typical_p)
    p[kept[nearest[last + 1 :]]] = 0


@dataclass(frozen=True)
class SamplingOption:
    """The description of a field of `SamplingParams`."""

    name: str
    type: type[int] | type[float]
    default: float  # has no effect
    help: str
    label: str  # of its input in a form
    example: float  # has an effect on most distributions, for the comparison of engines
    usual: float | None = None  # the value when a text is generated for a person; the default if it is None
    filter: Filter | None = None  # None for temperature and the weight of the prior
    minimum: float = 0
    maximum: float = inf  # infinity is never part of the range; `MAX_INT` for an integer
    exclusive: bool = False  # whether the range excludes `minimum`, except in HTTP requests: OpenAI allows a top_p of 0
    request_limit: float = inf  # a lower maximum in HTTP requests and in the form
    step: float = 1  # of its input in a form

    @property
    def start(self) -> float:
        """The value when a text is generated for a person; HTTP requests have the default."""
        return self.default if self.usual is None else self.usual

    @property
    def request_maximum(self) -> float:
        """The maximum in HTTP requests."""
        return min(self.maximum, self.request_limit)

    def check(self, value: Any) -> None:
        """Check that a value is in the range; raise an `ElmanError` if it is not."""
        if self.type is int:
            check_range(self.name, value, int(self.minimum), int(self.maximum))
        else:
            check_number(self.name, value, self._describe_range(), self._is_in_range)

    def _is_in_range(self, value: float) -> bool:
        above_minimum = value > self.minimum if self.exclusive else value >= self.minimum
        return above_minimum and value <= self.maximum and value < inf

    def _describe_range(self) -> str:
        if self.maximum == inf:
            return f"{'above' if self.exclusive else 'at least'} {self.minimum:g} and finite"
        if self.exclusive:
            return f"above {self.minimum:g} and at most {self.maximum:g}"
        return f"from {self.minimum:g} to {self.maximum:g}"


def _option(default: float, help: str, **description: Any) -> Any:
    """Return a field, described by the arguments of `SamplingOption`."""
    return field(default=default, metadata={"help": help, **description})


@dataclass(frozen=True)
class SamplingParams:
    """How a character is sampled from logits. The defaults sample from the model's own distribution.

    The fields with a filter are applied in this order. `ngram_weight` enters the logits, see
    `elman.network.output`.

    Examples
    --------
    >>> import numpy as np
    >>> o = np.log([0.5, 0.3, 0.2])
    >>> SamplingParams(top_k=2).probabilities(o).round(3).tolist()
    [0.625, 0.375, 0.0]
    >>> SamplingParams().sample(o, 0.6)
    1
    """

    temperature: float = _option(
        1.0, "Sampling temperature: below 1 more predictable, above 1 more varied, 0 greedy.",
        label="Temperature", example=0.7, usual=0.7, request_limit=2, step=0.05,
    )  # fmt: skip
    top_k: int = _option(
        0, "Keep the k most likely characters; 0 turns it off.", label="Top-k", example=3, filter=filter_top_k,
        maximum=MAX_INT,
    )  # fmt: skip
    top_p: float = _option(
        1.0, "Nucleus sampling: keep the most likely characters that together reach this probability; 1 turns it off.",
        label="Top-p", example=0.8, filter=filter_top_p, exclusive=True, maximum=1, step=0.05,
    )  # fmt: skip
    min_p: float = _option(
        0.0, "Exclude characters below this fraction of the highest probability; 0 turns it off.",
        label="Min-p", example=0.1, filter=filter_min_p, maximum=1, step=0.01,
    )  # fmt: skip
    typical_p: float = _option(
        1.0, "Locally typical sampling: keep the characters whose surprisal is nearest to the entropy, until they reach"
        " this probability; 1 turns it off.",
        label="Typical-p", example=0.5, filter=filter_typical_p, exclusive=True, maximum=1, step=0.05,
    )  # fmt: skip
    ngram_weight: float = _option(
        1.0, "Weight of the n-gram prior relative to training; below 1, less of the training text is copied.",
        label="N-gram weight", example=0.5, maximum=1, step=0.05,
    )  # fmt: skip

    def probabilities(self, o: Array) -> Probabilities:
        """Return the distribution (K,) that is sampled from, given logits o (K,)."""
        o = np.asarray(o, np.float64)
        if self.temperature == 0:
            return np.asarray(np.arange(len(o)) == o.argmax(), np.float64)
        with np.errstate(over="ignore"):  # a tiny temperature sends all but the largest to -infinity
            p = np.asarray(softmax((o - o.max()) / self.temperature), np.float64)
        descending = np.argsort(-o, kind="stable")
        remaining = p[descending]
        for each in list_sampling_options():
            value = getattr(self, each.name)
            if each.filter and value != each.default:
                each.filter(remaining, value)
        p[descending] = remaining
        return np.asarray(p / p.sum(), np.float64)

    def sample(self, o: Array, uniform: float) -> int:
        """Return the first character whose cumulative probability exceeds `uniform`, a number in [0, 1)."""
        cumulative = np.cumsum(self.probabilities(o))
        index = np.searchsorted(cumulative, uniform * cumulative[-1], "right")
        return int(min(index, len(o) - 1))  # out of range only if a logit is NaN


class SamplingOptions(TypedDict, total=False):
    """The fields of `SamplingParams`, for type checkers."""

    temperature: float
    top_k: int
    top_p: float
    min_p: float
    typical_p: float
    ngram_weight: float


@cache
def list_sampling_options() -> tuple[SamplingOption, ...]:
    """Return the description of every field of `SamplingParams`, in their order."""
    types = get_type_hints(SamplingParams)
    return tuple(
        SamplingOption(f.name, types[f.name], getattr(SamplingParams, f.name), **f.metadata)
        for f in fields(SamplingParams)
    )


def create_sampling_params(options: Mapping[str, Any]) -> SamplingParams:
    """Return the sampling parameters of these options; options that are not passed have the values for a person.

    Raises
    ------
    ElmanError
        If a value is out of its range.
    TypeError
        If there is no option of that name.
    """
    for name in options:
        if name not in SamplingOptions.__annotations__:
            near = suggest_option(name, [*SamplingOptions.__annotations__, "count", "length", "prompt", "seed", "stop"])
            raise TypeError(f"unknown sampling option {name!r}; {f'did you mean {near}?' if near else 'see help()'}")
    usual: dict[str, Any] = {each.name: each.start for each in list_sampling_options()}
    sampling = SamplingParams(**usual | {**options})
    for each in list_sampling_options():
        each.check(getattr(sampling, each.name))
    return sampling
