"""``elman report``."""

from __future__ import annotations

import json
from typing import Annotated

from cyclopts import Parameter

from elman.cli.commands import INTERRUPTED
from elman.cli.parameters import Corpora, Encoding, Flag, Integer, Json, OptionalInteger, Out, Quiet


def report(
    *corpus: Corpora,
    out: Annotated[Out, Parameter(help="Directory for the report.")],
    epochs: Annotated[Integer, Parameter(help="Epochs of the first run.")] = 10,
    long_epochs: Annotated[Integer, Parameter(help="Total number of epochs; the long run continues the first.")] = 100,
    resume: Annotated[Flag, Parameter(help="Resume the report in --out.")] = False,
    encoding: Encoding = "utf-8",
    min_count: Annotated[
        OptionalInteger,
        Parameter(help="Replace characters that occur fewer than this many times by one unknown symbol."),
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Reproduce the reference experiment (the min-char-rnn recipe) and write an HTML report.

    Its losses are sums over a sequence of 25 characters, as min-char-rnn prints them. Without CORPUS, the text is piped
    standard input or else python-docs.
    """
    from elman.cli.display import TrainingDisplay, show_report
    from elman.cli.inputs import choose_corpus
    from elman.report import report
    from elman.runs.data import DEFAULT_TEXT

    with TrainingDisplay(quiet=quiet) as display:
        results = report(
            list(corpus) or choose_corpus() or DEFAULT_TEXT,
            out=out,
            epochs=epochs,
            long_epochs=long_epochs,
            resume=resume,
            callback=display,
            encoding=encoding,
            min_count=min_count,
        )
    if results is None:
        return INTERRUPTED
    if as_json:
        print(json.dumps(results))
    else:
        show_report(results, out)
    return 0
