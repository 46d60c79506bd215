"""The kind of a text, found from a sample of its lines, and the settings that follow.

`KINDS` are tried in order; a text is of the first kind that has an alternative with all its evidence in range. Settings
follow only from overwhelming evidence; weaker evidence suggests them. A setting that a person passes is not changed.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from elman.errors import option, shorten
from elman.storage.files import is_file, require_str
from elman.text.corpus import Corpus
from elman.text.formats import COMPRESSED, find_record_format
from elman.text.masks import MASKS
from elman.text.unknown import count_characters

PIECES, PIECE = 20, 4_000
"""Pieces of a text that are looked at, and their characters; reading them needs milliseconds."""
LARGE_ALPHABET, KEPT = 1_000, 0.99
"""Distinct characters from which on rare ones are replaced, and the fraction of the text that remains unchanged."""
FIELD_SHARE, FIELD_WORDS, LINE_WORDS = 0.5, 3.0, 100.0
"""Share of the characters of records, and words per value, above which a field is trained on alone; words per value up
to which a value is a line."""
MIN_ROWS, HEAD = 5, 80_000
"""Rows needed to tell CSV from a text with commas, and characters at the beginning that are read as records."""
STAMP_WITHIN, STAMPED = 80, 0.7
"""Characters at the beginning of a line in which a time stamp counts, and the fraction of such lines of a log."""

_STAMP = re.compile(rf"{MASKS['timestamps'].pattern}|^[\[(<]?\d\d:\d\d\b|^\[ *\d+\.\d{{6}}\]")
"""A time stamp; at the start of a line also without seconds, or as the seconds since the system was started."""
_WORD = re.compile(r"[\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]|[^\s\u2e80-\u9fff\uf900-\ufaff]+")
"""A word: characters up to white space; in Chinese and Japanese one character, which means about as much."""
_SENTENCE_END = re.compile(r"[.,;:!?…。，！？；：、।॥؟،۔]['\"”’»）)」』]?$")
_LOG = re.compile(r"\.log$")
_CODE = re.compile(
    r"\.(?:bash|cc?|cfg|cpp|cs|css|go|h|hpp|html?|ini|ipynb|java|jl|jsx?|json|kt|lua|m|php|pl|pm|py[ix]?|r|rb|rs"
    r"|scala|sh|sql|swift|tex|toml|tsx?|vue|xml|ya?ml)$"
)
_PLAIN = re.compile(r"\.(?:md|rst|adoc|org|srt|pgn|abc|mbox)$")
"""Suffixes of logs; of source code, configurations and pages; and of running text with marks."""
_CODE_END = re.compile(r"[;{]$|^\s*[)}\]]+$")
_SYMBOL = re.compile(r"[{}\[\]()<>;=_#/\\\"'*&|+]")


@dataclass(frozen=True)
class Evidence:
    """Measurements of lines: unless a field says otherwise, the fraction of the lines that are not empty."""

    lines: int
    """The number of lines in the sample."""
    distinct: float
    empty: float
    """The fraction of all lines that are empty."""
    indented: float
    words: float
    """Words per line."""
    most_words: float
    """Words that nine tenths of the lines have at most."""
    sentence_ends: float
    """Lines that end with a punctuation mark of sentences or verses."""
    code_ends: float
    """Lines that end with a semicolon or an opening brace, or close one."""
    symbols: float
    """The fraction of the characters that are brackets, operators or quotation marks."""
    same_start: float
    """Lines that begin with one of the five most frequent first words."""
    time_stamps: float
    """The fraction of the unindented lines that have a time stamp: the lines of a stack trace are indented."""
    objects: float
    """Lines that are JSON objects."""
    columns: float
    """The fraction of the first rows, read as CSV or TSV, that have as many values as the first row has names."""
    spread: float = 0.0
    """The standard deviation of their lengths, relative to the mean: verses are about as long as one another."""
    named: str = ""
    """The kind that the suffix of the file implies; empty if none."""


Ranges = dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Kind:
    """How to recognize, name and train on a kind of text."""

    title: str
    alternatives: tuple[Ranges, ...]
    """The ranges of its evidence."""
    reason: str = ""
    """The words that describe the evidence to a person."""
    settings: dict[str, Any] = field(default_factory=dict)
    """The settings of `elman.Config` that follow."""


_ENTRIES: Ranges = {"lines": (50, math.inf), "indented": (0, 0.03), "code_ends": (0, 0.1), "sentence_ends": (0, 0.15)}
_SHORT: Ranges = {"distinct": (0.6, 1), "words": (0, 4.5), "most_words": (0, 8)}
_TITLES: Ranges = {"distinct": (0.9, 1), "words": (0, 8), "most_words": (0, 13), "sentence_ends": (0, 0.03)}
_TITLES |= {"spread": (0.2, math.inf)}
_LIST = "{distinct:.0%} of its lines are distinct, with {words:.1f} words on average"

KINDS = {
    "records": Kind(
        "records",
        ({"objects": (0.95, 1)}, {"columns": (0.95, 1), "empty": (0, 0.02)}),
        "with the fields {fields}",
        {"lines": True},
    ),
    "log": Kind(
        "a log",
        ({"lines": (20, math.inf), "time_stamps": (STAMPED, 1)},),
        "{time_stamps:.0%} of its lines have a time stamp",
        {"lines": True, "mask": "timestamps,uuids,ips,hex,numbers"},  # a request is unusual by its path
    ),
    "code": Kind(
        "source code",
        (
            {"indented": (0.2, 1), "symbols": (0.065, 1)},
            {"code_ends": (0.25, 1), "symbols": (0.03, 1)},
        ),
    ),
    "list": Kind(
        "a list",
        (
            # A few words without punctuation, such as names; or titles, which are longer. Empty lines are between
            # stanzas and paragraphs, or after every entry.
            *(
                {**_ENTRIES, **entry, "empty": empty}
                for entry in (_SHORT, _TITLES)
                for empty in ((0, 0.02), (0.45, 0.55))
            ),
            # Chess games and commands have a similar beginning.
            {**_ENTRIES, "distinct": (0.6, 1), "empty": (0, 0.02), "same_start": (0.6, 1)},
        ),
        _LIST,
        {"lines": True},
    ),
    "lines": Kind("a list, perhaps", ({**_ENTRIES, "empty": (0, 0.02), "words": (0, 12)},), _LIST),
    "text": Kind("running text", ({},)),
}
"""Kinds by name, in the order in which they are tried."""


@dataclass(frozen=True)
class TextKind:
    """The kind of one text."""

    name: str
    """A key of `KINDS`."""
    evidence: Evidence
    settings: dict[str, Any]
    """The settings that follow from it."""
    fields: tuple[str, ...] = ()
    """The fields of records."""

    @classmethod
    def parse(cls, value: Any) -> TextKind:
        """Parse the value in ``run.json``."""
        return cls(
            require_str(value["name"], "name"),
            Evidence(**value["evidence"]),
            dict(value["settings"]),
            tuple(value["fields"]),
        )


def look(corpus: Corpus, passed: Mapping[str, Any]) -> TextKind:
    """Return the kind of a text that was read as it is, or of the values of a field that was passed.

    The values of a field that was passed are lines of the corpus, unless they are read as running text in any case.
    The result does not contain settings that were `passed`.
    """
    is_reread = bool(corpus.files) and all(is_file(Path(file.path)) for file in corpus.files)  # a pipe is read once
    path = corpus.files[0].path if len(corpus.files) == 1 else ""
    has_field = bool(passed.get("field"))
    head = corpus.alphabet.decode(corpus.indices[:HEAD]).split("\n")
    rows = [] if has_field else read_rows(head, find_record_format(path))
    evidence = measure(sample_lines(corpus), rows, path)
    name = "records" if has_field else find_kind(evidence)
    settings, fields = dict(KINDS[name].settings), tuple(rows[0]) if name == "records" and rows else ()
    words = evidence.words
    if fields and path and is_reread and (chosen := choose_field(rows)):
        settings["field"], words = chosen
    if name == "records" and words > LINE_WORDS and (is_reread or not has_field):
        del settings["lines"]
    masks = passed.keys() & {"mask", "mask_regex"} or passed.get("lines") is False
    settings = {key: value for key, value in settings.items() if not (key in passed or (key == "mask" and masks))}
    return TextKind("text" if name == "lines" and "lines" in passed else name, evidence, settings, fields)


def find_named(path: str) -> str:
    """Return the kind that the suffix of a file implies; empty if none."""
    patterns, name = {"log": _LOG, "code": _CODE, "text": _PLAIN}, COMPRESSED.sub("", path.lower())
    named = (kind for kind, pattern in patterns.items() if pattern.search(name))
    return "records" if find_record_format(path) else next(named, "")


def find_kind(evidence: Evidence) -> str:
    """Return the kind that the file name implies, or the first with all evidence of an alternative in range."""
    found = asdict(evidence)
    return evidence.named or next(
        name
        for name, kind in KINDS.items()
        for ranges in kind.alternatives
        if all(low <= found[key] <= high for key, (low, high) in ranges.items())
    )


def describe_kind(kind: TextKind, corpus: Corpus) -> str:
    """Return what kind a text looks like, and the settings that follow or are suggested; empty if there are none."""
    rule = KINDS[kind.name]
    reason = rule.reason.format(**asdict(kind.evidence), fields=shorten(", ".join(kind.fields)))
    if (kind.name == "records" and not kind.fields) or (kind.name == "log" and kind.evidence.time_stamps < STAMPED):
        reason = "by the suffix of its name"
    looks = f"{corpus.label} looks like {rule.title} ({reason})"
    chosen = [format(option[name], str(value)) for name, value in kind.settings.items() if name != "min_count"]
    if chosen:
        field = f"; {option.field:NAME} reads {'another' if 'field' in kind.settings else 'one'} field"
        other = f"{option.lines:False} for running text{field if kind.name == 'records' else ''}"
        return f"{looks}: trained with {' '.join(chosen)} ({other})"
    return f"{looks}: {option.lines:True} trains on independent lines" if kind.name == "lines" else ""


def describe_min_count(kind: TextKind, corpus: Corpus) -> str:
    """Return how much of a text with a large alphabet was replaced; empty if nothing was."""
    if "min_count" not in kind.settings:
        return ""
    share = count_characters(corpus)[-1] / len(corpus.indices)
    rare = f"characters that occur fewer than {kind.settings['min_count']} times, {share:.2%} of the text"
    return f"{rare}, are replaced by one unknown symbol ({option.min_count:1} keeps them)"


def sample_lines(corpus: Corpus) -> list[str]:
    """Return the complete lines in evenly spread pieces of a text."""
    indices, N = corpus.indices, len(corpus.indices)
    size = N if N <= PIECES * PIECE else PIECE
    found = list[str]()
    for start in range(0, N - size + 1, max(1, (N - size) // (PIECES - 1))):
        lines = corpus.alphabet.decode(indices[start : start + size]).split("\n")
        found += [line.rstrip("\r") for line in lines[start > 0 : len(lines) - (start + size < N)]]
    return found


def read_rows(lines: Sequence[str], suffix: str) -> list[dict[str, Any]]:
    """Return the records at the beginning of a text, JSON Lines, CSV or TSV; none if it has no records.

    `suffix` is the format that the suffix of the file implies. Without it, CSV has three columns or more, because the
    lines of a list may all contain a comma.
    """
    if (first := next(filter(str.strip, lines), "")).startswith("{"):
        return [_parse_object(line) or {} for line in lines if line.strip()] if _parse_object(first) else []
    for name, delimiter, columns in (("CSV", ",", 3), ("TSV", "\t", 2)):
        if suffix not in ("", name):
            continue
        try:
            rows = [row for row in csv.reader(lines, delimiter=delimiter) if row][:-1]  # the last may be cut
        except csv.Error:
            continue
        names = rows[0] if rows else []
        if len(rows) >= MIN_ROWS and len(names) >= (2 if suffix else columns) and all(map(str.strip, names)):
            return [dict(zip(names, row, strict=False)) if len(row) == len(names) else {} for row in rows[1:]]
    return []


def _parse_object(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line) if line.startswith("{") else None
    except (RecursionError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def measure(lines: Sequence[str], rows: Sequence[dict[str, Any]] = (), path: str = "") -> Evidence:
    """Return the evidence of lines, of the records at the beginning of the text, and of the name of its file."""
    filled = [line for line in lines if line.strip()]
    flush, n = [line for line in filled if not line[0].isspace()], max(1, len(filled))

    def share(holds: Callable[[str], object]) -> float:
        return sum(map(bool, map(holds, filled))) / n

    words = [len(_WORD.findall(line)) for line in filled]
    starts = Counter(line.split(maxsplit=1)[0] for line in filled).most_common(5)
    lengths = [*map(len, filled)]
    chars = max(1, sum(lengths))
    return Evidence(
        lines=len(filled),
        distinct=len(set(filled)) / n,
        empty=1 - len(filled) / max(1, len(lines)),
        indented=1 - len(flush) / n,
        words=sum(words) / n,
        most_words=sorted(words)[9 * len(words) // 10] if words else 0,
        sentence_ends=share(lambda line: _SENTENCE_END.search(line.rstrip())),
        code_ends=share(lambda line: _CODE_END.search(line.rstrip())),
        symbols=sum(len(_SYMBOL.findall(line)) for line in filled) / chars,
        same_start=sum(count for _, count in starts) / n,
        time_stamps=sum(bool(_STAMP.search(line[:STAMP_WITHIN])) for line in flush) / max(1, len(flush)),
        objects=share(_parse_object),
        columns=sum(map(bool, rows)) / max(1, len(rows)),
        spread=float(np.std(lengths or [0]) * n / chars),
        named=find_named(path),
    )


def choose_field(rows: Sequence[dict[str, Any]]) -> tuple[str, float] | None:
    """Return the field that has most of the text of records, and its words per value; None if there is none."""
    chars, words = Counter[str](), Counter[str]()
    for row in rows:
        for name, value in row.items():
            chars[name] += len(str(value))
            words[name] += len(_WORD.findall(value)) if isinstance(value, str) else 0
    name, most = chars.most_common(1)[0] if chars else ("", 0)
    mean = words[name] / max(1, len(rows))
    return (name, mean) if most >= FIELD_SHARE * chars.total() and mean >= FIELD_WORDS else None


def choose_min_count(corpus: Corpus) -> int:
    """Return the count below which a character of a large alphabet is replaced; 0 if none is."""
    if len(corpus.alphabet) < LARGE_ALPHABET or corpus.alphabet.has_unknown:
        return 0
    counts = np.sort(count_characters(corpus))
    rare = int(np.searchsorted(np.cumsum(counts), (1 - KEPT) * counts.sum(), "right"))
    return int(counts[rare]) if counts[rare] > 1 else 0
