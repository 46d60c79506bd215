"""``elman sample``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from elman.cli.parameters import Integer, OptionalInteger, Run
from elman.config import flag
from elman.errors import ElmanError

if TYPE_CHECKING:
    from elman.inference.model import GenerationOptions


def sample(
    run: Run,
    /,
    *,
    prompt: Annotated[str, Parameter(help="Prompt: text to continue. It is printed before the continuation.")] = "",
    length: Annotated[Integer, Parameter(help="Maximum number of characters to generate.")] = 1000,
    temperature: Annotated[
        float,
        Parameter(help="Sampling temperature: below 1 more predictable, above 1 more varied, 0 greedy."),
    ] = 1.0,
    top_k: Annotated[Integer, Parameter(help="Sample from the k most likely characters only; 0 turns it off.")] = 0,
    top_p: Annotated[
        float,
        Parameter(
            help="Nucleus sampling: sample from the most likely characters that together reach this probability; 1"
            " turns it off."
        ),
    ] = 1.0,
    min_p: Annotated[
        float,
        Parameter(
            help="Exclude characters less likely than this fraction of the most likely one's probability; 0 turns it"
            " off."
        ),
    ] = 0.0,
    stop: Annotated[str, Parameter(help="Stop when this string would be generated; it is not printed.")] = "",
    seed: Annotated[OptionalInteger, Parameter(help="Random seed, for reproducible output.")] = None,
    count: Annotated[
        Integer, Parameter(help="Number of samples, generated as one batch; sample n uses seed + n - 1.")
    ] = 1,
    beam: Annotated[OptionalInteger, Parameter(help="Use beam search of this width instead of sampling.")] = None,
) -> int:
    """Generate text from a trained model, printed as it is sampled.

    With --count, samples are printed complete, each under a "--- n of N ---" header.
    """
    from elman.cli.display import visible
    from elman.runs.run import load

    options: GenerationOptions = {
        "prompt": prompt, "temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p, "stop": stop,
        "seed": seed,
    }  # fmt: skip
    if beam is not None:
        _check_no_sampling_options(
            temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, seed=seed, count=count
        )
    model = load(run)
    show = visible if sys.stdout.isatty() else str  # a terminal might obey what a text contains
    if count != 1:
        for n, text in enumerate(model.samples(count, length, **options), 1):
            sys.stdout.write(f"--- {n} of {count} ---\n{show(prompt + text)}\n")
        return 0
    chunks = model.stream(length, **options) if beam is None else model.beam(beam, length, prompt=prompt, stop=stop)
    sys.stdout.write(show(prompt))
    for chunk in chunks:
        sys.stdout.write(show(chunk))
        sys.stdout.flush()
    sys.stdout.write("\n")
    return 0


def _check_no_sampling_options(**options: Any) -> None:
    """Refuse what beam search would ignore."""
    defaults = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "seed": None, "count": 1}
    for name, default in defaults.items():
        if options[name] != default:
            raise ElmanError(f"cannot combine --beam with {flag(name)}: beam search does not sample")
