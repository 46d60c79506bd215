"""Masks: volatile parts of lines, such as numbers, become one circled letter each, which logs do not contain."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from elman.errors import ElmanError, option, quote
from elman.text.lines import LineHashes, complete_lines, hash_texts

_MONTH = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_CLOCK = r"\d\d[:.]\d\d[:.]\d\d"
_ZONE = r"(?:Z| ?[+-]\d\d:?\d\d)?"


class Mask(NamedTuple):
    """What one name stands for."""

    symbol: str
    pattern: str
    description: str


MASKS = {
    "timestamps": Mask(
        "Ⓣ",
        r"(?<![\w.])(?:"
        rf"\d{{4}}[-./]\d\d[-./]\d\d(?:[T -]{_CLOCK}(?:[.,]\d+)?{_ZONE})?"
        rf"|(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? )?{_MONTH} {{1,2}}\d{{1,2}} {_CLOCK}(?: \d{{4}})?"
        rf"|\d\d/(?:{_MONTH}|\d\d)/\d\d(?:\d\d)?[: ]{_CLOCK}{_ZONE}"
        r"|\d\d:\d\d:\d\d(?:[.,]\d+)?"
        r"|\d{6} \d{6}"
        r"|1\d{9}(?:\d{3})?"
        r")(?!\w)",
        "dates with or without a time, times, and seconds or milliseconds since 1970",
    ),
    "uuids": Mask("Ⓤ", r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b", "UUIDs"),
    "ips": Mask(
        "Ⓘ",
        r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]*\w)"
        r"|(?<![\w:])(?:(?:[0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}"
        r"|(?=[a-fA-F:]*\d)(?:[0-9a-fA-F]{1,4}:){1,6}(?::[0-9a-fA-F]{1,4}){1,6})(?![\w:])",
        "IPv4 and IPv6 addresses",
    ),
    "paths": Mask("Ⓟ", r"(?<![\w/])/[A-Za-z_.~][\w.@%+~-]*(?:/[\w.@%+~-]*)*", "absolute paths"),
    "hex": Mask(
        "Ⓗ",
        r"(?<![A-Za-z0-9])(?:0x[0-9a-fA-F]+|(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{8,})(?![A-Za-z0-9])",
        "hexadecimal numbers with `0x`, or of at least eight digits in lower case",
    ),
    "numbers": Mask("Ⓝ", r"(?:(?<![A-Za-z0-9])-)?\d+", "integers, also in names, such as the 7 of node7"),
}
"""By name, in the order in which they are tried at each character; ``all`` stands for all of them."""

REGEX_SYMBOL = "Ⓡ"
"""What replaces the matches of `mask_regex`."""
_INLINE_FLAGS = re.compile(r"\A(?:\(\?[aimsux]+\))+")
"""The inline flags of a regular expression, which are allowed at its beginning only."""

_SYMBOLS: dict[str | None, str] = {name: mask.symbol for name, mask in MASKS.items()}


@dataclass(frozen=True)
class Masker:
    """Replaces what masks match in a line.

    Examples
    --------
    >>> masker = Masker("timestamps,numbers", "user [a-z]+")
    >>> masker.mask("2026-03-01 12:30:00 sshd[4711]: session of user anna").text
    'Ⓣ sshd[Ⓝ]: session of Ⓡ'
    """

    names: str = ""
    """Names of `MASKS`, separated by commas; ``all`` for all; or empty."""
    regex: str = ""
    """A regular expression that is tried before them; or empty."""

    def __post_init__(self) -> None:
        given = {name.strip().lower() for name in self.names.split(",") if name.strip()}
        if unknown := sorted(given - {*MASKS, "all"}):
            raise ElmanError(f"unknown mask {quote(unknown[0])}; choose from {', '.join(MASKS)}, all")
        object.__setattr__(self, "names", ",".join(name for name in MASKS if {name, "all"} & given))
        _ = self._pattern

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        # The user's expression comes first and in no group, so that its numbered references stay valid.
        regex, rest = self.regex, _INLINE_FLAGS.sub("", self.regex)
        flags = "".join(sorted(set(regex.removesuffix(rest)) - set("(?)")))
        end = "\n" if "x" in flags else ""  # of a comment
        own = [f"(?{flags}:{rest}{end})"] if regex else []
        try:
            re.compile(regex)
            named = [f"(?P<{name}>{MASKS[name].pattern})" for name in self.names.split(",") if name]
            return re.compile("|".join(own + named))
        except (re.error, RecursionError, OverflowError) as error:
            raise ElmanError(f"{option.mask_regex} is not a regular expression ({error}; got {quote(regex)})") from None

    def mask(self, line: str) -> MaskedLine:
        """Return a line with every match replaced by a symbol."""
        matches: list[tuple[int, int]] = []

        def replace(match: re.Match[str]) -> str:
            start, end = match.span()
            if start == end:
                return ""
            matches.append((start, end))
            return _SYMBOLS.get(match.lastgroup, REGEX_SYMBOL)

        return MaskedLine(self._pattern.sub(replace, line), matches)

    def mask_text(self, text: str) -> str:
        """Return a text with its lines masked."""
        return "\n".join(self.mask(line).text for line in text.split("\n"))

    def find_replaced(self, text: str) -> dict[int, str]:
        """Return what the symbols replace when a text is masked, by their positions in the result."""
        replaced, offset = dict[int, str](), 0
        for line in text.split("\n"):
            masked = self.mask(line)
            for start, end in masked.matches:
                replaced[offset + start] = line[start:end]
                offset -= end - start - 1
            offset += len(line) + 1
        return replaced

    def legend(self) -> dict[str, str]:
        """Return what each symbol stands for."""
        own = {REGEX_SYMBOL: f"matches of {self.regex}"} if self.regex else {}
        masks = {name: MASKS[name] for name in self.names.split(",") if name}
        return own | {mask.symbol: f"{name}: {mask.description}".replace("`", "") for name, mask in masks.items()}


class MaskedLine(NamedTuple):
    """A line after its matches, from a start to an end each, were replaced by one symbol each."""

    text: str
    matches: list[tuple[int, int]]

    def find_original(self, column: int) -> int:
        """Return the column, from 0, at which a character of the text begins in the line before."""
        for start, end in self.matches:
            if start >= column:
                break
            column += end - start - 1
        return column


def mask_chunks(chunks: Iterable[str], masker: Masker, hashes: list[LineHashes]) -> Iterator[str]:
    """Yield a text with its lines masked; append the hashes of its lines before, without the empty ones, to a list."""
    for block in complete_lines(chunks):
        hashes.append(hash_texts(filter(None, block.split("\n"))))
        yield masker.mask_text(block)
