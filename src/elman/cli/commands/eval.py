"""``elman eval``."""

from __future__ import annotations

import json
from typing import Annotated, Any

from cyclopts import Parameter

from elman.cli.parameters import Corpus, Encoding, Flag, Json, Run


def evaluate(
    run: Run,
    corpus: Corpus,
    /,
    *,
    adapt: Annotated[
        Flag,
        Parameter(help="Dynamic evaluation: keep training on the text just scored (the saved model does not change)."),
    ] = False,
    encoding: Encoding = "utf-8",
    as_json: Json = False,
) -> int:
    """Evaluate a model on a text: cross-entropy in nats and bits per character, and perplexity.

    Unknown characters cost about 36 bits each.
    """
    from elman.cli.display import show_metrics
    from elman.inference.dynamic_evaluation import score_dynamic
    from elman.inference.score import check_finite, score
    from elman.runs.records import finite_or_none
    from elman.runs.run import load
    from elman.text import read_corpus, with_unknown

    model = load(run)
    text = read_corpus(corpus, encoding=encoding, alphabet=with_unknown(model.alphabet))
    network = (model.engine, model.parameters, model.h)
    static = score(*network, text.indices)
    result = score_dynamic(*network, text.indices) if adapt else static
    check_finite([static.nats, result.nats])
    metrics: dict[str, Any] = {
        "chars": result.chars,
        "nats_per_char": result.nats_per_char,
        "bits_per_char": result.bits_per_char,
        "perplexity": finite_or_none(result.perplexity),
    }
    if adapt:
        metrics["nats_per_char_without_adapt"] = static.nats_per_char
    if result.unknown:
        metrics["unknown_chars"] = result.unknown
    if as_json:
        print(json.dumps(metrics))
    else:
        show_metrics(metrics)
    return 0
