"""The command that scores a text a line at a time."""

from __future__ import annotations

import heapq
import json
import re
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from elman.cli.app import app
from elman.cli.parameters import Corpus, Encoding, Run
from elman.cli.training_options import whole_number
from elman.errors import ElmanError

if TYPE_CHECKING:
    from elman.inference.score_lines import Line

COLUMNS = ("line", "chars", "nats_per_char", "bits_per_char", "worst_column", "worst_char", "worst_nats", "text")

_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_ESCAPED = re.compile(r"[\\\t\n\r]")


@app.command
def score(
    run: Run,
    file: Corpus = "-",
    /,
    *,
    worst: Annotated[
        int | None,
        Parameter(
            converter=whole_number,
            help="Only so many lines, those of the highest mean nats a character, at the end of the text.",
        ),
    ] = None,
    context: Annotated[
        bool, Parameter(negative="", help="Read every line as the next of one text, and not on its own; slower.")
    ] = False,
    encoding: Encoding = "utf-8",
    as_json: Annotated[bool, Parameter("--json", negative="", help="Print a line of JSON for each.")] = False,
) -> int:
    """Score a text a line at a time: how surprising each is, and where most. A line that has come is scored at once."""
    from elman.cli.display import visible
    from elman.inference.score_lines import score_lines
    from elman.runs.run import load
    from elman.text import read_chunks

    if worst is not None and worst < 1:
        raise ElmanError(f"--worst must be 1 or more, and {worst} came: give another")
    show = visible if sys.stdout.isatty() else str  # a terminal might obey what a text says
    write = _json if as_json else tsv_row
    blocks = score_lines(load(run), read_chunks(file, encoding=encoding), carry_state=context)
    if not as_json:
        print("\t".join(COLUMNS), flush=True)
    for lines in blocks if worst is None else [_most_surprising(worst, blocks)]:
        sys.stdout.write(show("".join(map(write, lines))))
        sys.stdout.flush()
    return 0


def _most_surprising(count: int, blocks: Iterable[list[Line]]) -> list[Line]:
    """Return so many lines with the highest loss a character; of equal ones, those that come first."""
    lines = (line for block in blocks for line in block if line.chars)
    return heapq.nsmallest(count, lines, key=lambda line: (-line.nats_per_char, line.number))


def tsv_row(line: Line) -> str:
    """Return one row; tabs, ends of lines and backslashes in it are written \\t, \\n, \\r and \\\\."""
    text = _escaped(line.text)
    if not line.chars:
        return f"{line.number}\t0\t\t\t\t\t\t{text}\n"
    figures = f"{line.number}\t{line.chars}\t{line.nats_per_char:.4f}\t{line.bits_per_char:.4f}"
    return f"{figures}\t{line.worst_column}\t{_escaped(line.worst_char)}\t{line.worst_nats:.4f}\t{text}\n"


def _escaped(text: str) -> str:
    """Return a text that is one field of one row."""
    return _ESCAPED.sub(lambda found: _ESCAPES[found[0]], text)


def _json(line: Line) -> str:
    """Return one object; what is not there, as no character was predicted, is null."""
    figures: tuple[object, ...] = (None,) * 5
    if line.chars:
        worst = (line.worst_column, line.worst_char, line.worst_nats)
        figures = (line.nats_per_char, line.bits_per_char, *worst)
    row = dict(zip(COLUMNS, (line.number, line.chars, *figures, line.text), strict=True))
    return json.dumps(row, ensure_ascii=False) + "\n"
