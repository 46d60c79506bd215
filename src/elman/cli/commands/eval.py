"""``elman eval``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from cyclopts import Parameter

from elman.cli.commands import print_results
from elman.cli.parameters import (
    Corpora,
    Encoding,
    Field,
    Json,
    OptionalInteger,
    OptionalRun,
    join_descriptions,
    parse_choice,
    require_corpus,
)
from elman.errors import ElmanError


def _adapt_parameter() -> Parameter:
    # Derived from the registry when this command is parsed: the registry requires NumPy.
    from elman.model.adaptation import ADAPTATIONS

    kinds = "; ".join(f"{name}: {adaptation.help}" for name, adaptation in ADAPTATIONS.items())
    return Parameter(
        help=f"Adapt to the text just scored. {kinds}.",
        converter=lambda _, tokens: parse_choice(Literal[tuple(ADAPTATIONS)], tokens),
    )


@join_descriptions
def evaluate(
    run: OptionalRun = None,
    /,
    *corpus: Corpora,
    adapt: Annotated[str | None, _adapt_parameter()] = None,
    window: OptionalInteger = None,
    encoding: Encoding = "utf-8",
    field: Field = "",
    as_json: Json = False,
) -> int:
    """Evaluate a model on a text: cross-entropy in nats and bits per character, and perplexity.

    Parameters
    ----------
    window
        Evaluate windows of this many characters, each from a zero state; by default the state is carried through the
        text.
    """
    import numpy as np

    from elman.cli.display import show_metrics, show_progress
    from elman.cli.parameters import load_model, report_newlines, split_run, warn_of_records
    from elman.model.adaptation import ADAPTATIONS, check_adapt, score_adapting
    from elman.model.score import check_finite, score, score_windows
    from elman.runs.history import finite_or_none
    from elman.text import Alphabet, read_corpus

    if adapt is not None and window is not None:
        raise ElmanError("cannot combine --window with --adapt: every window starts from the same model")
    path, texts = split_run(run, corpus)
    sources = require_corpus(texts)  # checked before the use of the built-in model is reported
    model = load_model(path, quiet=as_json)
    if adapt is not None:
        check_adapt(model.parameters, adapt)
    score_chunks = ADAPTATIONS[adapt].score_chunks if adapt else None
    # A code length depends on the unknown characters, so the unknown symbol does not replace them.
    keeps_unknown = score_chunks is not None and model.alphabet.has_unknown
    alphabet = Alphabet(model.alphabet.characters) if keeps_unknown else model.alphabet
    reading: dict[str, Any] = {"encoding": encoding, "field": field, "lines": model.is_of_lines}
    text = read_corpus(sources, alphabet=alphabet, extend=True, masker=model.masker, **reading)
    warn_of_records(text.files, field)
    report_newlines(text)
    indices = np.minimum(text.indices, len(alphabet) - 1) if keeps_unknown else model.arrange(text.indices)
    network = model.engine, model.parameters, model.state
    static = score(*network, indices) if window is None else score_windows(*network[:2], indices, window)
    result = static
    if adapt is not None:
        with show_progress("scoring", 1.0, quiet=as_json) as show:
            if score_chunks:
                result = score_chunks(model.alphabet, model.parameters, text.chunks, show)
            else:
                result = score_adapting(*network, indices, adapt, show)
    check_finite([static.nats, result.nats])
    metrics: dict[str, Any] = {name: getattr(result, name) for name in ("chars", "nats_per_char", "bits_per_char")}
    metrics |= {"perplexity": finite_or_none(result.perplexity)} | ({} if window is None else {"window": window})
    metrics |= {"nats_per_char_without_adapt": static.nats_per_char} if adapt is not None else {}
    metrics |= {"unknown_chars": result.unknown} if result.unknown else {}
    print_results(metrics, as_json, show_metrics)
    return 0
