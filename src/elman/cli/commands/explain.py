"""The command that shows what goes on in a network while it reads a text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from elman.cli.app import app
from elman.cli.parameters import Corpus, Encoding, Json, Run, refuse_to_replace
from elman.cli.training_options import whole_number
from elman.errors import ElmanError


@app.command
def explain(
    run: Run,
    corpus: Corpus,
    /,
    *,
    out: Annotated[Path, Parameter(help="The page to write, one HTML file that needs nothing else.")],
    units: Annotated[
        int | None,
        Parameter(
            converter=whole_number,
            help="Hidden units whose activations the page holds; by default as many as make eight million activations.",
        ),
    ] = None,
    encoding: Encoding = "utf-8",
    as_json: Json = False,
) -> int:
    """Write a page on which every character of a text is coloured by its surprise, or by what a hidden unit did.

    A character that the network does not know costs what docs/score.md says.
    """
    from elman.cli.display import show_figures
    from elman.report.explain_page.page import ExplainPage, format_unit, render_page
    from elman.runs.run import load
    from elman.storage.atomic import replace_file
    from elman.text import read_corpus

    if units is not None and units < 1:
        raise ElmanError(f"--units must be 1 or more, and {units} came: give another, or leave it out")
    refuse_to_replace(out, run, Path(corpus))
    model = load(run)
    text = read_corpus(corpus, encoding=encoding, alphabet=model.alphabet, extend=True)
    explained = ExplainPage.from_corpus(model, text)
    page = render_page(explained, units).encode()
    replace_file(out, page)
    figures = explained.as_dict() | {"units_in_page": len(explained.select_columns(units)), "bytes": len(page)}
    if as_json:
        print(json.dumps(figures))
        return 0
    best = {found.feature.name: found.best[0] for found in explained.probes if found.best}
    show_figures({name: figure for name, figure in figures.items() if name != "things"})
    print()
    show_figures(
        {
            name: f"{one.score:.2f} by {format_unit(explained.explanation.units[one.unit], explained.network)}"
            f" (baseline {one.baseline:.2f})"
            for name, one in best.items()
        }
    )
    print(f"\nthe page: {out}")
    return 0
