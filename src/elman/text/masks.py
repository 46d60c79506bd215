"""Masks: volatile parts of lines, such as numbers, become one circled letter each, which logs do not contain.

The patterns of `MASKS` are matched in a time that is linear in the length of a line. The regular expression of a user,
which a model may contain, too, may need an exponential time. It is matched in another process, which is killed after a
time limit: languages without backtracking, such as RE2's, lack lookarounds, and their ``\\w`` is different.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, groupby
from typing import NamedTuple

from elman.errors import ElmanError, option, quote
from elman.text.lines import LineHashes, complete_lines, hash_texts

_MONTH = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_CLOCK = r"\d\d[:.]\d\d[:.]\d\d"
_ZONE = r"(?:Z| ?[+-]\d\d:?\d\d)?"


class Mask(NamedTuple):
    """A symbol, the pattern that it replaces, and its description."""

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
"""Masks by name, in the order in which they are tried at each character; ``all`` stands for all of them."""

REGEX_SYMBOL = "Ⓡ"  # replaces the matches of `mask_regex`
_INLINE_FLAGS = re.compile(r"\A(?:\(\?[aimsux]+\))+")
"""The inline flags of a regular expression, which are allowed at its beginning only."""

_SYMBOLS: dict[str | None, str] = {f"_mask_{name}": mask.symbol for name, mask in MASKS.items()}

_SECONDS = 15.0  # time limit per `_CHARS` characters; a usual expression needs milliseconds
_CHARS = 1 << 18
_PROGRAM = """
import json, re, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal, for the process that waits
regex, pattern, lines = json.load(sys.stdin)
try:
    re.compile(regex)
    find = re.compile(pattern).finditer
    json.dump([[(*match.span(), match.lastgroup) for match in find(line)] for line in lines], sys.stdout)
except (re.error, RecursionError, OverflowError) as error:
    json.dump(str(error), sys.stdout)
"""
_Found = list[tuple[int, int, str | None]]  # the start, the end and the name of every match in a line


@dataclass(frozen=True)
class Masker:
    """Replaces the matches of masks in a line.

    Examples
    --------
    >>> masker = Masker("timestamps,numbers", "user [a-z]+")
    >>> masker.mask_text("2026-03-01 12:30:00 sshd[4711]: session of user anna")
    'Ⓣ sshd[Ⓝ]: session of Ⓡ'
    """

    names: str = ""  # names of `MASKS`, separated by commas; ``all`` for all; or empty
    regex: str = ""  # a regular expression that is tried before them; or empty

    def __post_init__(self) -> None:
        given = {name.strip().lower() for name in self.names.split(",") if name.strip()}
        if unknown := sorted(given - {*MASKS, "all"}):
            raise ElmanError(f"unknown mask {quote(unknown[0])}; choose from {', '.join(MASKS)}, all")
        object.__setattr__(self, "names", ",".join(name for name in MASKS if {name, "all"} & given))
        if self.regex:
            _check(self.regex, self._pattern)

    def __str__(self) -> str:
        given = {"mask": self.names, "mask_regex": self.regex and quote(self.regex)}
        return " ".join(f"{option[name]:{value}}" for name, value in given.items() if value)

    @property
    def _masks(self) -> dict[str, Mask]:
        return {name: MASKS[name] for name in self.names.split(",") if name}

    @property
    def _pattern(self) -> str:
        # The user's expression comes first and in no group, so that its numbered references stay valid.
        regex, rest = self.regex, _INLINE_FLAGS.sub("", self.regex)
        flags = "".join(sorted(set(regex.removesuffix(rest)) - set("(?)")))
        end = "\n" if "x" in flags else ""  # it ends a comment
        own = [f"(?{flags}:{rest}{end})"] if regex else []
        return "|".join(own + [f"(?P<_mask_{name}>{mask.pattern})" for name, mask in self._masks.items()])

    def mask_lines(self, lines: Sequence[str]) -> list[MaskedLine]:
        """Return lines with every match replaced by a symbol."""
        if not self.regex:
            find = re.compile(self._pattern).finditer
            return [_replace(line, [(*match.span(), match.lastgroup) for match in find(line)]) for line in lines]
        chars = accumulate(map(len, lines))
        parts = [list(part) for _, part in groupby(lines, lambda _: next(chars) // _CHARS)]
        found = [each for part in parts for each in _find(self.regex, self._pattern, part)]
        return list(map(_replace, lines, found))

    def mask_text(self, text: str) -> str:
        """Return a text with its lines masked."""
        return "\n".join(line.text for line in self.mask_lines(text.split("\n")))

    def mask_chunks(self, chunks: Iterable[str], hashes: list[LineHashes]) -> Iterator[str]:
        """Yield a text with its lines masked; append the hashes of its unmasked lines, except empty ones."""
        for block in complete_lines(chunks):
            hashes.append(hash_texts(filter(None, block.split("\n"))))
            yield self.mask_text(block)

    def legend(self) -> dict[str, str]:
        """Return what each symbol stands for."""
        own = {REGEX_SYMBOL: f"matches of {self.regex}"} if self.regex else {}
        masks = self._masks.items()
        return own | {mask.symbol: f"{name}: {mask.description}".replace("`", "") for name, mask in masks}


def describe_symbols(legend: dict[str, str]) -> dict[str, tuple[str, str]]:
    """Return how pages show the symbols of a legend: a letter and words each, as few fonts have circled letters."""
    return {symbol: (unicodedata.normalize("NFKC", symbol), text) for symbol, text in legend.items()}


def _find(regex: str, pattern: str, lines: Sequence[str]) -> list[_Found]:
    """Return the matches of a pattern that contains a user's expression, found in another process."""
    command, sent = [sys.executable, "-I", "-S", "-c", _PROGRAM], json.dumps([regex, pattern, lines]).encode()
    seconds = _SECONDS * max(1, sum(map(len, lines)) / _CHARS)  # a line may be long
    try:
        done = subprocess.run(command, input=sent, capture_output=True, timeout=seconds, check=False)
        found: str | list[_Found] = json.loads(done.stdout or f'"its process ended with {done.returncode}"')
    except subprocess.TimeoutExpired:
        raise ElmanError(
            f"{option.mask_regex} takes more than {seconds:.3g} seconds for a few lines (got {quote(regex)}): simplify"
            " it; nested repetitions, as in (a+)+, take exponential time"
        ) from None
    if isinstance(found, str):
        raise ElmanError(f"{option.mask_regex} is not a regular expression ({found}; got {quote(regex)})")
    return found


@cache
def _check(regex: str, pattern: str) -> None:
    """Check that an expression is valid."""
    _find(regex, pattern, [])


def _replace(line: str, found: _Found) -> MaskedLine:
    """Return a line with its matches, except for empty ones, replaced by symbols."""
    parts, matches, last = list[str](), list[tuple[int, int]](), 0
    for start, end, name in found:
        if start < end:
            parts += line[last:start], _SYMBOLS.get(name, REGEX_SYMBOL)
            matches.append((start, end))
            last = end
    return MaskedLine("".join([*parts, line[last:]]), matches)


class MaskedLine(NamedTuple):
    """A line in which each match, from a start to an end, was replaced by one symbol."""

    text: str
    matches: list[tuple[int, int]]

    def find_original(self, column: int) -> int:
        """Return the column, from 0, of the unmasked line at which a character of the masked text begins."""
        for start, end in self.matches:
            if start >= column:
                break
            column += end - start - 1
        return column
