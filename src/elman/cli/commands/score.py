"""``elman score``."""

from __future__ import annotations

import heapq
import json
import re
import sys
from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from elman.cli.parameters import Corpora, Encoding, Field, Flag, OptionalInteger, OptionalRun
from elman.errors import ElmanError, shorten

if TYPE_CHECKING:
    from elman.inference.score_lines import Line

COLUMNS = ("line", "chars", "nats_per_char", "bits_per_char", "worst_column", "worst_char", "worst_nats", "text")

_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_ESCAPED = re.compile(r"[\\\t\n\r]")


def score(
    run: OptionalRun = None,
    /,
    *corpus: Corpora,
    worst: Annotated[
        OptionalInteger,
        Parameter(
            help="Print only this many lines, those with the highest loss per character, once the entire text is read."
        ),
    ] = None,
    carry_state: Annotated[
        Flag,
        Parameter(help="Carry the hidden state from line to line instead of scoring each line alone (slower)."),
    ] = False,
    encoding: Encoding = "utf-8",
    field: Field = "",
    as_json: Annotated[Flag, Parameter("--json", help="Print one JSON object per line of text.")] = False,
) -> int:
    """Score a text line by line: mean loss, and the most surprising character.

    Reads pipes; a line is scored as soon as it arrives.
    """
    from elman.cli.display import visible
    from elman.cli.inputs import load_model, split_run
    from elman.inference.score_lines import score_lines
    from elman.text import read_chunks

    if worst is not None and worst < 1:
        raise ElmanError(f"--worst must be at least 1 (got {shorten(worst)})")
    show = visible if sys.stdout.isatty() else str  # a terminal might interpret control characters
    format_line = format_json if as_json else format_tsv
    path, texts = split_run(run, corpus)
    model = load_model(path, quiet=as_json)
    blocks = score_lines(
        model, read_chunks(texts or "-", encoding=encoding, field=field, lines=True), carry_state=carry_state
    )
    if worst is not None:
        blocks = iter([_select_worst(worst, blocks)])
    first = next(blocks, [])  # an error comes before the header
    if not as_json:
        print("\t".join(COLUMNS), flush=True)
    for lines in chain([first], blocks):
        sys.stdout.write(show("".join(map(format_line, lines))))
        sys.stdout.flush()
    return 0


def _select_worst(count: int, blocks: Iterable[list[Line]]) -> list[Line]:
    """Return the lines with the highest loss per character; among equals, the first."""
    lines = (line for block in blocks for line in block if line.chars)
    return heapq.nsmallest(count, lines, key=lambda line: (-line.nats_per_char, line.number))


def format_tsv(line: Line) -> str:
    """Return a tab-separated row; tabs, line ends and backslashes in it are written \\t, \\n, \\r and \\\\."""
    text = _escape(line.text)
    if not line.chars:
        return f"{line.number}\t0\t\t\t\t\t\t{text}\n"
    metrics = f"{line.number}\t{line.chars}\t{line.nats_per_char:.4f}\t{line.bits_per_char:.4f}"
    return f"{metrics}\t{line.worst_column}\t{_escape(line.worst_char)}\t{line.worst_nats:.4f}\t{text}\n"


def _escape(text: str) -> str:
    return _ESCAPED.sub(lambda match: _ESCAPES[match[0]], text)


def format_json(line: Line) -> str:
    """Return a JSON object; its metrics are null if no character of the line was predicted."""
    metrics: tuple[object, ...] = (None,) * 5
    if line.chars:
        worst = (line.worst_column, line.worst_char, line.worst_nats)
        metrics = (line.nats_per_char, line.bits_per_char, *worst)
    row = dict(zip(COLUMNS, (line.number, line.chars, *metrics, line.text), strict=True))
    return json.dumps(row, ensure_ascii=False) + "\n"
