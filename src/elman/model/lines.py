"""Rejection sampling of lines: limits on their length, no repeated lines, no lines of the training text.

A line that does not meet these conditions is rejected as a whole, and another line is drawn. The accepted lines have
exactly the model's distribution under the conditions. Forbidding the line feed before a minimum length would change
the distribution: a beginning that usually is a complete line would be continued as often as any other beginning.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from elman.errors import ElmanError, check_range, format_count, option
from elman.options import Option

Model = Any  # `elman.model.model.Model`: its module imports this one

BATCH = 256  # lines drawn at a time: few enough to appear at once, many enough to share the cost of a call
MAX_REJECTED = 10_000  # consecutive rejected lines after which drawing stops


_OF_LINES = "(models of lines)."
LINE_OPTIONS = (
    Option("min_length", int, 0, f"Draw lines of fewer characters again, prompt included {_OF_LINES}"),
    Option("max_length", int | None, None, f"Draw lines of more characters again, prompt included {_OF_LINES}"),
    Option("unique", bool, False, f"Draw repeated lines again {_OF_LINES}"),
    Option("new_only", bool, False, f"Draw lines of the training text again {_OF_LINES}"),
)
"""The options of ``elman sample``, of `elman.Model.samples` and of HTTP requests."""


class LineLimits(NamedTuple):
    """Which lines are kept."""

    min_length: int = 0
    max_length: int | None = None
    unique: bool = False
    new_only: bool = False

    @classmethod
    def take(cls, options: dict[str, Any]) -> LineLimits | None:
        """Remove the fields from the options, and `check` them."""
        return cls(**{each.name: options.pop(each.name, each.default) for each in LINE_OPTIONS}).check()

    def check(self) -> LineLimits | None:
        """Check the range of the fields; return the limits, or None if they reject nothing."""
        check_range("min_length", self.min_length, 0)
        check_range("max_length", 1 if self.max_length is None else self.max_length, 1)
        if self.max_length is not None and self.min_length > self.max_length:
            given = f"(got {self.min_length} and {self.max_length})"
            raise ElmanError(f"{option.min_length} must be at most {option.max_length} {given}")
        return self if self.names else None

    @property
    def names(self) -> list[str]:
        """The names of the options that reject lines."""
        return [each.name for each in LINE_OPTIONS if getattr(self, each.name) != each.default]


class LineFilter:
    """Decides which lines that begin with a prompt are kept, and remembers the kept lines."""

    def __init__(self, model: Model, prompt: str, limits: LineLimits) -> None:
        self.model, self.limits, self.kept = model, limits, set[str]()
        self.prefix, longest = prompt.rpartition("\n")[2], limits.max_length
        if not model.is_of_lines:
            remedy = f"train with {option.lines:True}, or limit a text by {option.length}"
            raise ElmanError(f"{option[limits.names[0]]} requires a model of independent lines: {remedy}")
        if limits.new_only and model.masker is not None:  # the hashes are of lines without masks
            masked = f"the training text of a model with {option.mask}"
            raise ElmanError(f"{option.new_only} cannot compare samples with {masked}")
        if limits.new_only:
            model.in_training_text("")  # raises an error if the training lines are not known
        if longest is not None and len(self.prefix) > longest:
            raise ElmanError(f"the prompt is longer than {option.max_length:{longest}} (got {len(self.prefix)})")

    def limit(self, length: int) -> int:
        """Return how many characters to draw: with a maximum length, just enough to show that a line is too long.

        Raises `ElmanError` if no line ends within `length` characters after the minimum length.
        """
        shortest, longest = self.limits.min_length, self.limits.max_length
        if shortest and len(self.prefix) + length <= shortest:  # the last character is the line feed
            reached = f"a prompt of {len(self.prefix):,} and {length:,} generated characters"
            raise ElmanError(f"{option.min_length} must be less than the length of {reached} (got {shortest:,})")
        return length if longest is None else min(length, longest - len(self.prefix) + 1)

    def fits(self, text: str) -> bool:
        """Return whether a line that has ended after `text` may be kept, whatever the other lines are."""
        line, longest = self.prefix + text, self.limits.max_length
        fits = self.limits.min_length <= len(line) and (longest is None or len(line) <= longest)
        return fits and not (self.limits.new_only and self.model.in_training_text(line))

    def add(self, text: str) -> bool:
        """Return whether a line that fits is kept, and remember it."""
        line = self.prefix + text
        if self.limits.unique and line in self.kept:
            return False
        self.kept.add(line)
        return True

    def failure(self, found: int, count: int, drawn: str) -> str:
        """Return the error that too few of the drawn lines were accepted."""
        names = " and ".join(option[name] for name in self.limits.names)
        return (
            f"found {found:,} of {format_count(count, 'line')}, {drawn}: relax {names}, or raise {option.temperature}"
        )


def draw_lines(
    model: Model, count: int, length: int, limits: LineLimits, seed: int | None, options: Mapping[str, Any]
) -> Iterator[tuple[int, str]]:
    """Return the first lines within the limits, each with its seed: `seed` or one of the following seeds.

    A text that has not ended after `length` characters is no line. The other options are described in `Model.samples`.
    """
    keep = LineFilter(model, options.get("prompt", ""), limits)
    model.stream(0, seed=seed, **options)  # raises errors in the options now, and not when the first line is drawn
    return _draw(keep, count, keep.limit(length), secrets.randbelow(2**31) if seed is None else seed, options)


def _draw(
    keep: LineFilter, count: int, length: int, seed: int, options: Mapping[str, Any]
) -> Iterator[tuple[int, str]]:
    found = rejected = 0
    for first in itertools.count(seed, BATCH):
        for own_seed, text in enumerate(keep.model.samples(BATCH, length, seed=first, **options), first):
            if len(text) < length and keep.fits(text) and keep.add(text):
                yield own_seed, text
                found, rejected = found + 1, 0
                if found == count:
                    return
            elif (rejected := rejected + 1) == MAX_REJECTED:
                raise ElmanError(keep.failure(found, count, f"then rejected {MAX_REJECTED:,} in a row"))
