"""``elman explain``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from elman.cli import (
    Corpora,
    Encoding,
    Field,
    Json,
    OptionalInteger,
    Out,
    Run,
    check_not_input,
    print_results,
    require_corpus,
)
from elman.errors import check_range

GROUP = "Use"


def explain(
    run: Run,
    /,
    *corpus: Corpora,
    out: Out,
    units: OptionalInteger = None,
    encoding: Encoding = "utf-8",
    field: Field = "",
    as_json: Json = False,
) -> int:
    """Write an HTML page that colours a text by surprisal or by the activation of a hidden unit.

    Parameters
    ----------
    out
        HTML file to write.
    units
        Number of hidden units in the page; by default as many as fit in eight million activations.
    """
    from elman.apps.explain.page import ExplainPage, format_unit, render_page
    from elman.cli import report_newlines, show_metrics, warn_of_records
    from elman.model import load
    from elman.storage import write_output
    from elman.text import read_corpus

    if units is not None:
        check_range("units", units, 1)
    check_not_input(out, run)
    model = load(run)
    reading: dict[str, Any] = {"alphabet": model.alphabet, "lines": model.is_of_lines, "extend": True}
    text = read_corpus(require_corpus(corpus), encoding=encoding, field=field, **reading)
    warn_of_records(text.files, field)
    report_newlines(text)
    check_not_input(out, *(Path(file.path) for file in text.files))
    page = ExplainPage.from_corpus(model, text)
    html = render_page(page, units).encode()
    write_output(out, html)
    metrics = page.as_dict() | {"units_in_page": len(page.select_columns(units)), "bytes": len(html)}

    def show(metrics: dict[str, Any]) -> None:
        read = {"characters read": len(page.explanation.indices), "characters predicted": metrics["chars"]}
        omitted = ("chars", "ngram", "features")
        show_metrics(read | {name: value for name, value in metrics.items() if name not in omitted})
        if page.explanation.prior is not None:
            means, show_unit = metrics["ngram"], "{:.4f} nats/char".format
            rows = {"order": means["order"], "mean matched order": f"{means['mean_matched_order']:.2f} characters"}
            rows["counting alone"] = show_unit(means["nats_per_char"])
            for part, name in (("counting", "counting"), ("the network", "network")):
                rows[f"gain of {part} over a uniform guess"] = show_unit(means[f"{name}_nats_per_char"])
            print("\nn-gram prior:")
            show_metrics(rows)
        best = {probe.feature.name: probe.best[0] for probe in page.probes if probe.best}
        names = [format_unit(unit, page.network) for unit in page.explanation.units]
        print()
        show_metrics({n: f"{s.score:.2f} by {names[s.unit]} (baseline {s.baseline:.2f})" for n, s in best.items()})
        print(f"\npage: {out}")

    print_results(metrics, as_json, show)
    return 0
