"""``elman eval``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

from cyclopts import Parameter

from elman.cli.parameters import ANY_CASE, Corpora, Encoding, Json, OptionalInteger, OptionalRun, require_corpus
from elman.config import Adapt, CodecAdapt
from elman.errors import ElmanError

if TYPE_CHECKING:
    from elman.inference import Model, Score


def evaluate(
    run: OptionalRun = None,
    /,
    *corpus: Corpora,
    adapt: Annotated[
        bool | CodecAdapt | None,
        ANY_CASE,
        Parameter(negative="", metavar="CHOICE"),
        Parameter(
            help="Adapt to the text just scored (the saved model does not change): weights, the value if none is given,"
            " keeps training (dynamic evaluation); counts keeps counting for the n-gram prior; both combines them;"
            " mixture, bitwise and all are the models of elman compress, whose cross-entropy is the length of the code."
        ),
    ] = None,
    window: Annotated[
        OptionalInteger,
        Parameter(
            help="Read windows of so many characters, each from a state of zeros, as nanoGPT does with this block size;"
            " by default the complete text is read, its state carried through it."
        ),
    ] = None,
    encoding: Encoding = "utf-8",
    as_json: Json = False,
) -> int:
    """Evaluate a model on a text: cross-entropy in nats and bits per character, and perplexity.

    Unknown characters cost about 36 bits each; with mixture, bitwise and all what the codec takes for them.
    """
    from elman.cli.display import show_metrics
    from elman.cli.inputs import load_model, split_run
    from elman.inference.adaptation import check_adapt
    from elman.inference.score import check_finite
    from elman.runs.records import finite_or_none

    adapt = "weights" if adapt is True else adapt or None
    if adapt and window is not None:
        raise ElmanError("cannot combine --window with --adapt: every window starts from the same model")
    path, texts = split_run(run, corpus)
    if path is None:
        require_corpus(texts)  # before the built-in model is reported
    model = load_model(path, quiet=as_json)
    check_adapt(model.parameters, adapt)
    if adapt is None or adapt in get_args(Adapt):
        static, result = _score(model, require_corpus(texts), encoding, adapt, window, quiet=as_json)
    else:
        static, result = _score_code_length(model, require_corpus(texts), encoding, adapt, quiet=as_json)
    check_finite([static.nats, result.nats])
    metrics: dict[str, Any] = {
        "chars": result.chars,
        "nats_per_char": result.nats_per_char,
        "bits_per_char": result.bits_per_char,
        "perplexity": finite_or_none(result.perplexity),
    }
    if window is not None:
        metrics["window"] = window
    if adapt:
        metrics["nats_per_char_without_adapt"] = static.nats_per_char
    if result.unknown:
        metrics["unknown_chars"] = result.unknown
    if as_json:
        print(json.dumps(metrics))
    else:
        show_metrics(metrics)
    return 0


def _score(
    model: Model,
    texts: Sequence[str | Path],
    encoding: str,
    adapt: CodecAdapt | None,
    window: int | None,
    *,
    quiet: bool,
) -> tuple[Score, Score]:
    """Return the scores of a text without adaptation, and with it; show the progress."""
    from elman.cli.display import show_progress
    from elman.inference.adaptation import score_adapting
    from elman.inference.score import score, score_windows
    from elman.text import read_corpus, with_unknown

    text = read_corpus(texts, encoding=encoding, alphabet=with_unknown(model.alphabet), lines=model.is_of_lines)
    indices, network = model.arrange(text.indices), (model.engine, model.parameters, model.h)
    if window is not None:
        static = score_windows(model.engine, model.parameters, indices, window)
    else:
        static = score(*network, indices)
    if adapt is None:
        return static, static
    with show_progress("scoring", 1.0, quiet=quiet) as show:
        return static, score_adapting(*network, indices, adapt, show)


def _score_code_length(
    model: Model, texts: Sequence[str | Path], encoding: str, adapt: CodecAdapt, *, quiet: bool
) -> tuple[Score, Score]:
    """Return the scores of a text without adaptation, and by the codec, with its progress."""
    from elman.cli.display import show_progress
    from elman.compression.code_length import score_code_length
    from elman.inference.score import score
    from elman.text import read_chunks, with_unknown

    text = "".join(read_chunks(texts, encoding=encoding))
    with show_progress("scoring", 1.0, quiet=quiet) as show:
        result = score_code_length(model, text, adapt, on_progress=show)
    return score(model.engine, model.parameters, model.h, with_unknown(model.alphabet).encode(text)), result
