"""``elman explain``."""

from __future__ import annotations

from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from elman.cli import (
    COLORS,
    Corpora,
    Encoding,
    Field,
    Json,
    OptionalInteger,
    Run,
    check_not_input,
    color_text,
    number_text,
    print_results,
    require_corpus,
    shows_colors,
)
from elman.errors import ElmanError, check_range, quote

if TYPE_CHECKING:
    from elman.apps.explain.page import ExplainPage
    from elman.model import Model

GROUP = "Use"


def explain(
    run: Run,
    /,
    *corpus: Corpora,
    text: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    out: Annotated[Path | None, Parameter(name=["--out", "-o"])] = None,
    units: OptionalInteger = None,
    encoding: Encoding = "utf-8",
    field: Field = "",
    as_json: Json = False,
) -> int:
    """Colour a text by surprisal in the terminal, or with --out write a page that also has hidden units' activations.

    Parameters
    ----------
    text
        Text to explain, such as a line of a log, instead of CORPUS.
    out
        HTML file to write.
    units
        Number of hidden units in the page; by default as many as fit in eight million activations.
    """
    from elman.apps.explain.page import explain, format_unit, render_page
    from elman.cli import show_metrics
    from elman.model import load
    from elman.storage import write_output

    if units is not None:
        check_range("units", units, 1)
    if out is not None:
        check_not_input(out, run)
    model = load(run)
    page = _read_page(model, require_corpus(corpus), out, encoding, field) if text is None else explain(text, model)
    if out is None:
        print_results(page.as_dict(), as_json, lambda _: _print_text(page))
        return 0
    html = render_page(page, units).encode()
    write_output(out, html)
    metrics = page.as_dict() | {"units_in_page": len(page.select_columns(units)), "bytes": len(html)}

    def show(metrics: dict[str, Any]) -> None:
        read = {"characters read": len(page.explanation.indices), "characters predicted": metrics["chars"]}
        omitted = ("chars", "ngram", "features")
        show_metrics(read | {name: value for name, value in metrics.items() if name not in omitted})
        if page.explanation.prior is not None:
            means, show_unit = metrics["ngram"], "{:.4f} nats/char".format
            rows = {"order": means["order"], "mean matched length": f"{means['mean_matched_length']:.2f} characters"}
            rows["a uniform guess"] = show_unit(means["uniform_nats_per_char"])
            rows["counting alone"] = show_unit(means["nats_per_char"])
            for part, name in (("counting", "counting"), ("the network", "network")):
                rows[f"gain of {part} over a uniform guess"] = show_unit(means[f"{name}_nats_per_char"])
            print("\nn-gram prior:")
            show_metrics(rows)
        found = ((probe.feature.name, probe.best[0]) for probe in page.probes if probe.best)
        best = {name: score for name, score in found if score.score > score.baseline}
        names = [format_unit(unit, page.network) for unit in page.explanation.units]
        print()
        show_metrics({n: f"{s.score:.2f} by {names[s.unit]} (baseline {s.baseline:.2f})" for n, s in best.items()})
        print(f"\npage: {out}")

    print_results(metrics, as_json, show)
    return 0


def _read_page(model: Model, corpus: list[str | Path], out: Path | None, encoding: str, field: str) -> ExplainPage:
    from elman.apps.explain.page import ExplainPage
    from elman.cli import report_newlines, warn_of_records
    from elman.storage import exists
    from elman.text import read_corpus

    name = str(corpus[0])
    if len(corpus) == 1 and " " in name and not (exists(name) or glob(name, recursive=True)):  # noqa: PTH207
        raise ElmanError(f"there is no file {quote(name)}: pass a text itself with --text")
    read = read_corpus(
        corpus, encoding=encoding, field=field, alphabet=model.alphabet, lines=model.is_of_lines, extend=True
    )
    warn_of_records(read.files, field)
    report_newlines(read)
    if out is not None:
        check_not_input(out, *(Path(file.path) for file in read.files))
    return ExplainPage.from_corpus(model, read)


def _print_text(page: ExplainPage) -> None:
    """Print the text with the surprisal of every character; masked characters have the surprisal of their symbol."""
    import numpy as np

    from elman.text import visible

    text, found = page.alphabet.decode(page.explanation.indices), page.explanation
    parts = [visible(page.replaced.get(n, character)).replace("\t", "→") for n, character in enumerate(text)]
    bits, start = np.repeat(found.surprisal, [len(part) for part in parts]), 0
    for line in "".join(parts).split("\n"):
        if line:
            print((color_text if shows_colors() else number_text)(line, bits[start : start + len(line) + 1]))
        start += len(line) + 1
    least = [least for least, _ in reversed(COLORS)]
    scale = color_text("".join(map(str, least)), least) if shows_colors() else "the digits, from 2 on; 9 is 9 or more"
    print(f"\nbits of surprisal: {scale}; mean {found.bits_per_char:.2f}")
    if unknown := page.alphabet.characters[page.network.K :]:
        print(f"never seen in training: {visible(unknown)}")
