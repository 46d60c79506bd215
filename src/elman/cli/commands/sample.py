"""The commands that use a trained network: to write text and to score it."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from elman.cli.app import app
from elman.cli.parameters import Corpus, Encoding, Json, Run
from elman.cli.training_options import whole_number
from elman.config import flag
from elman.errors import ElmanError

if TYPE_CHECKING:
    from elman.inference.model import GenerationOptions


@app.command
def sample(
    run: Run,
    /,
    *,
    length: Annotated[int, Parameter(converter=whole_number, help="Characters to write, at most.")] = 1000,
    prime: Annotated[str, Parameter(help="Text that the network reads first; it is written before what follows.")] = "",
    temperature: Annotated[float, Parameter(help="Below 1 likelier, above 1 wilder; 0 takes the likeliest.")] = 1.0,
    top_k: Annotated[
        int, Parameter(converter=whole_number, help="Draw among the k likeliest characters; 0 among all.")
    ] = 0,
    top_p: Annotated[float, Parameter(help="Draw among the likeliest that reach this probability.")] = 1.0,
    min_p: Annotated[
        float, Parameter(help="Draw among those that have this share of the likeliest's probability; 0 among all.")
    ] = 0.0,
    stop: Annotated[str, Parameter(help="End before this string would be written.")] = "",
    random_state: Annotated[
        int | None, Parameter(converter=whole_number, help="Seed: the same one gives the same text again.")
    ] = None,
    count: Annotated[
        int,
        Parameter(converter=whole_number, help="Texts, drawn side by side with this seed and those after it."),
    ] = 1,
    beam: Annotated[
        int | None,
        Parameter(converter=whole_number, help="Instead of drawing, search for the likeliest text, so many at a time."),
    ] = None,
) -> int:
    """Write text as it is drawn. Of several texts, each begins behind a line that counts it."""
    from elman.cli.display import visible
    from elman.runs.run import load

    drawing: GenerationOptions = {
        "prompt": prime, "temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p, "stop": stop,
        "seed": random_state,
    }  # fmt: skip
    if beam is not None:
        _refuse_beside_beam({**drawing, "random_state": random_state, "count": count})
    model = load(run)
    show = visible if sys.stdout.isatty() else str  # a terminal might obey what a text says
    if count != 1:
        for n, text in enumerate(model.samples(count, length, **drawing), 1):
            sys.stdout.write(f"--- {n} of {count} ---\n{show(prime + text)}\n")
        return 0
    pieces = model.stream(length, **drawing) if beam is None else model.beam(beam, length, prompt=prime, stop=stop)
    sys.stdout.write(show(prime))
    for piece in pieces:
        sys.stdout.write(show(piece))
        sys.stdout.flush()
    sys.stdout.write("\n")
    return 0


def _refuse_beside_beam(given: dict[str, Any]) -> None:
    """A search draws nothing, so what says how to draw would be without effect."""
    plain = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "random_state": None, "count": 1}
    for name, default in plain.items():
        if given[name] != default:
            raise ElmanError(f"--beam searches and does not draw, and {flag(name)} came beside it: leave one out")


@app.command(name="eval")
def evaluate(
    run: Run,
    corpus: Corpus,
    /,
    *,
    adapt: Annotated[bool, Parameter(negative="", help="Go on learning from what has been read.")] = False,
    encoding: Encoding = "utf-8",
    as_json: Json = False,
) -> int:
    """Score a text: how well the network predicts it.

    A character that the network does not know costs what docs/score.md says.
    """
    from elman.cli.display import show_figures
    from elman.inference.dynamic_evaluation import score_dynamic
    from elman.inference.score import check_finite, score
    from elman.runs.records import finite_or_none
    from elman.runs.run import load
    from elman.text import read_corpus, with_unknown

    model = load(run)
    text = read_corpus(corpus, encoding=encoding, alphabet=with_unknown(model.alphabet))
    network = (model.engine, model.parameters, model.h)
    static = score(*network, text.indices)
    found = score_dynamic(*network, text.indices) if adapt else static
    check_finite([static.nats, found.nats])
    figures: dict[str, Any] = {
        "chars": found.chars,
        "nats_per_char": found.nats_per_char,
        "bits_per_char": found.bits_per_char,
        "perplexity": finite_or_none(found.perplexity),
    }
    if adapt:
        figures["nats_per_char_without_adapt"] = static.nats_per_char
    if found.unknown:
        figures["unknown_chars"] = found.unknown
    if as_json:
        print(json.dumps(figures))
    else:
        show_figures(figures)
    return 0
