"""``elman score``."""

from __future__ import annotations

import heapq
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter, Token

from elman.cli.parameters import (
    ANY_CASE,
    Corpora,
    Encoding,
    Field,
    Flag,
    OptionalInteger,
    OptionalRun,
    join_descriptions,
)
from elman.cli.surprisal import color_text, shows_colors
from elman.errors import ElmanError, check_range, quote

if TYPE_CHECKING:
    from elman.model import Model
    from elman.model.score_lines import Line

_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})

COLUMNS = ("chars", "nats_per_char", "worst_column", "worst_char", "worst_nats", "unknown", "text")
"""The columns, which are also the keys of a JSON object, after the columns for the line's number, its score, whether it
is above the limit, and the run that fits it best."""
MOSTLY = 0.5  # a warning is printed if a larger fraction of the scored lines are training lines
CHECKED_LINES = 1000  # it is printed after so many lines, or at the end of a shorter text


def parse_threshold(hint: Any, tokens: Sequence[Token]) -> str:
    """Parse a score, or a percentage of held-out lines."""
    text, number = tokens[0].value, -1.0
    with suppress(ValueError):
        number = float(text.removesuffix("%"))
    if not (0 <= number <= 100 if text.endswith("%") else 0 <= number < float("inf")):
        raise ValueError("must be a score, such as 8, or a percentage of held-out lines, such as 99%")
    return text


@join_descriptions
def score(
    run: OptionalRun = None,
    /,
    *corpus: Corpora,
    by: Annotated[Literal["worst5+mean", "worst5", "mean", "max", "sum"], ANY_CASE] = "worst5+mean",
    threshold: Annotated[str | None, Parameter(converter=parse_threshold)] = None,
    top: OptionalInteger = None,
    carry_state: Flag = False,
    against: Annotated[list[Path] | None, Parameter(negative="")] = None,
    encoding: Encoding = "utf-8",
    field: Field = "",
    as_json: Annotated[Flag, Parameter("--json")] = False,
) -> int:
    """Score a text line by line, and show where each line is most surprising.

    Without CORPUS, the text is standard input. A line of a pipe is scored as soon as it arrives.

    Parameters
    ----------
    by
        Score of a line: the mean of its five highest losses plus the mean of all, which suits short and long lines; the
        sum of the five; or the mean, maximum or sum of all.
    threshold
        Report whether each line scores above this number, or above this percentage of the lines held out in training,
        such as 99%. If one does, the exit code is 1.
    top
        Print only this many lines, those with the highest scores, at the end.
    carry_state
        Carry the hidden state from line to line (slower).
    against
        Another run, or a directory of runs; repeatable. Column run names the run that predicts a line best, by the mean
        over its characters, and column margin says by how many nats per character.
    as_json
        Print one JSON object per line of text.
    """
    from elman.cli.parameters import load_model, reporting_newlines, split_run, warn_of_records
    from elman.model.loading import BUILTIN
    from elman.model.score_lines import AGGREGATIONS, BlockScorer, find_threshold, score_lines
    from elman.text import JoinedText, visible

    if top is not None:
        check_range("top", top, 1)
    is_terminal = sys.stdout.isatty()
    show = visible if is_terminal else str  # a terminal might interpret control characters
    path, texts = split_run(run, corpus)
    model, aggregate, limit = load_model(path, quiet=as_json), AGGREGATIONS[by], None
    compare = prepare_comparison([path or Path(BUILTIN), *against]) if against else None
    scorer = BlockScorer(model, carry_state=False) if shows_colors() and not (as_json or carry_state) else None
    if threshold is not None:
        number = float(threshold.removesuffix("%"))
        limit = find_threshold(model, by, number / 100) if threshold.endswith("%") else number
    text = JoinedText(texts or ["-"], encoding=encoding, field=field, lines=True, alphabet=model.alphabet)
    warn_of_records(text.inputs, field)
    scored_blocks = score_lines(model, reporting_newlines(text), carry_state=carry_state)
    blocks = warn_of_training_lines(model, scored_blocks)
    if top is not None:
        scored = (line for block in blocks for line in block if line.chars)
        blocks = iter([heapq.nsmallest(top, scored, key=lambda line: (-aggregate(line), line.number))])
    is_above = False
    for n, lines in enumerate(chain([next(blocks, [])], blocks)):  # raises errors before the header
        fits: Iterable[dict[str, Any]] = repeat({}) if compare is None else compare(lines)
        rows = [describe_line(line, aggregate, limit, **fit) for line, fit in zip(lines, fits, strict=False)]
        is_above = is_above or any(row.get("above") for row in rows)
        if n == 0 and not as_json:
            added = ["above"] * (limit is not None) + ["run", "margin"] * (compare is not None)
            print("\t".join(["line", "score", *added, *COLUMNS]))
        for row in rows:
            bits = None if scorer is None else scorer.char_nats(row["text"]) / math.log(2)
            as_tsv = "" if as_json else format_tsv(row, show, bits, mark=is_terminal)
            sys.stdout.write(as_tsv or show(json.dumps(row, ensure_ascii=False) + "\n"))
        sys.stdout.flush()
    return int(is_above)


def warn_of_training_lines(model: Model, blocks: Iterable[list[Line]]) -> Iterator[list[Line]]:
    """Yield lines, and warn once if most of them are lines that the model was trained on."""
    from elman.text.lines import are_training_lines

    total, known, has_warned = 0, 0, model.line_hashes is None
    for block in chain(blocks, [None]):
        if not has_warned and block and model.line_hashes is not None:
            total += len(block)
            known += int(are_training_lines(model.line_hashes, [line.text for line in block]).sum())
        if not has_warned and (block is None or total >= CHECKED_LINES) and known > MOSTLY * total:
            has_warned, found = True, "the line is in the training text, so its score is too low"
            if total > 1:
                found = f"{known:,} of {total:,} lines are in the training text, so their scores are too low"
            print(f"warning: {found}: score other lines", file=sys.stderr)
        if block is not None:
            yield block


def prepare_comparison(runs: Sequence[Path]) -> Callable[[list[Line]], Iterator[dict[str, Any]]]:
    """Return a function that names the run that predicts each line best, and its margin over the second-best."""
    from elman.cli.parameters import read_runs
    from elman.model.loading import load
    from elman.model.score_lines import BlockScorer

    scorers = dict(read_runs(runs, lambda path, name: (name, BlockScorer(load(path), carry_state=False))))
    if len(scorers) < 2:
        raise ElmanError(f"--against must name a run different from {quote(runs[0])}")

    def compare(lines: list[Line]) -> Iterator[dict[str, Any]]:
        texts = [line.text for line in lines]
        for scored in zip(*(scorer.score_batch(texts) for scorer in scorers.values()), strict=True):
            (least, best), (next_least, _) = sorted(zip([line.nats_per_char for line in scored], scorers, strict=True))[
                :2
            ]
            yield {"run": best, "margin": next_least - least} if least == least else {"run": None, "margin": None}

    return compare


def describe_line(line: Line, aggregate: Callable[[Line], float], limit: float | None, **fit: Any) -> dict[str, Any]:
    """Return the columns of a line, with `fit` among them; metrics are None if no character of it was predicted."""
    score = aggregate(line) if line.chars else None
    above = {} if limit is None else {"above": score is not None and score > limit}
    columns = {name: getattr(line, name) if line.chars or name in ("chars", "text") else None for name in COLUMNS}
    return {"line": line.number, "score": score, **above, **fit, **columns}


def format_tsv(
    row: dict[str, Any], show: Callable[[str], str] = str, bits: Iterable[float] | None = None, *, mark: bool = False
) -> str:
    """Return a tab-separated row with escapes, the text coloured by its surprisal in `bits`.

    Without colours, the most surprising character is in reverse video if `mark`.
    """
    cells, at, text = [show(_format_cell(value)) for value in row.values()], row["worst_column"], row["text"]
    if bits is not None:
        cells[-1] = color_text(show(text).replace("\t", "→"), bits)
    elif mark and at:
        before, worst, after = (show(_format_cell(part)) for part in (text[: at - 1], text[at - 1 : at], text[at:]))
        cells[-1] = f"{before}\x1b[7m{worst or ' '}\x1b[0m{after}"
    return "\t".join(cells) + "\n"


def _format_cell(value: Any) -> str:
    if isinstance(value, str):
        return value.translate(_ESCAPES)
    if isinstance(value, float):
        return f"{value:.4f}"
    return "" if value is None else str(value).lower()
