"""One field of the records of JSON Lines, CSV and TSV: the text that a file contains, without what surrounds it.

Every record becomes its field's value and a line feed. In a text of independent lines, a line end within a value
becomes a space, so that every record is one line. Records without the field, or with an empty one, are skipped.
"""

from __future__ import annotations

import csv
import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from typing import Any

from elman.errors import ElmanError, quote, shorten
from elman.text.formats import find_record_format
from elman.text.lines import complete_lines

_LINE_ENDS = re.compile(r"[\r\n]+")
_LONGEST_VALUE = 1 << 30
"""Characters of a value of CSV; the default of the standard library, 128 KiB, is less than an article may have."""

Rows = Iterator[dict[str, Any]]


def _read_json_lines(lines: Iterator[str], label: str) -> Rows:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            raise ElmanError(f"line {number:,} of {label} is not JSON (got {shorten(line.strip())})") from None
        if not isinstance(record, dict):
            raise ElmanError(f"line {number:,} of {label} is not a JSON object (got {shorten(line.strip())})")
        yield record


def _read_csv(lines: Iterator[str], label: str, delimiter: str = ",") -> Rows:
    csv.field_size_limit(_LONGEST_VALUE)
    rows = csv.DictReader(lines, delimiter=delimiter, strict=True)  # a quote that is not closed is an error
    try:
        yield from rows
    except csv.Error as error:
        raise ElmanError(f"line {rows.reader.line_num:,} of {label} is not CSV ({error})") from None


READERS: dict[str, Callable[[Iterator[str], str], Rows]] = {
    "JSON Lines": _read_json_lines,
    "CSV": _read_csv,
    "TSV": partial(_read_csv, delimiter="\t"),
}
"""Format -> a function that yields the records; it is passed the lines, and the file in error messages."""


def extract_field(chunks: Iterable[str], field: str, path: str, label: str, *, lines: bool = False) -> Iterator[str]:
    """Yield the values of a field in chunks: of a pipe, whatever has arrived.

    The suffix of `path` says which format the file has. Text without one, as of a pipe, is JSON Lines if it begins with
    a brace, otherwise CSV. `label` names the file in errors. With `lines`, every record becomes one line.
    """
    pending: deque[str] = deque()
    waiting = _split_lines(iter(chunks), pending)
    first = next(filter(str.strip, waiting), "")
    kind = find_record_format(path) or ("JSON Lines" if first.lstrip().startswith("{") else "CSV")
    names: dict[str, None] = {}
    values: list[str] = []
    is_found = False
    for record in READERS[kind](chain([first], waiting), label):
        if field in record:
            is_found = True
            values.append(_format_value(record[field], field, label, lines))
        elif not is_found:
            names |= dict.fromkeys(map(str, record))
        if not pending:
            yield "".join(values)
            values.clear()
    yield "".join(values)
    if not is_found:
        known = f"its fields are {shorten(', '.join(names))}" if names else "it has no record"
        raise ElmanError(f"no record of {label} has the field {quote(field)}: {known}")


def _split_lines(chunks: Iterator[str], pending: deque[str]) -> Iterator[str]:
    """Yield the lines of a text, with their ends; `pending` holds those that have arrived and are not yielded yet."""
    for block in complete_lines(chunks):
        pending.extend(line + "\n" for line in block[:-1].split("\n"))
        while pending:
            yield pending.popleft()


def _format_value(value: Any, field: str, label: str, lines: bool) -> str:
    """Return a value as text, with a line feed; empty if there is none."""
    if isinstance(value, list | dict):
        kind = "a list" if isinstance(value, list) else "an object"
        raise ElmanError(f"the field {quote(field)} of {label} must be text (got {kind}: {shorten(json.dumps(value))})")
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value)
    text = " ".join(filter(None, map(str.strip, _LINE_ENDS.split(text)))) if lines else text
    if not text:
        return ""
    # JSON may escape half of a surrogate pair, which no encoding of text can represent.
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text if text.endswith("\n") else f"{text}\n"
