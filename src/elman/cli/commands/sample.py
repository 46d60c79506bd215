"""``elman sample``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated

from cyclopts import Parameter

from elman.cli import sampling_options
from elman.cli.parameters import Integer, OptionalInteger, Run
from elman.errors import ElmanError, flag


def sample(
    run: Run,
    /,
    *,
    prompt: Annotated[str, Parameter(help="Prompt: text to continue. It is printed before the continuation.")] = "",
    length: Annotated[Integer, Parameter(help="Maximum number of characters to generate.")] = 1000,
    options: Annotated[sampling_options.Options | None, Parameter(name="*")] = None,
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

    sampling = sampling_options.passed_options(options)
    if beam is not None:
        _check_no_sampling(sampling, seed=seed, count=count)
    model = load(run)
    show = visible if sys.stdout.isatty() else str  # a terminal might interpret control characters
    if count != 1:
        for n, text in enumerate(model.samples(count, length, prompt=prompt, stop=stop, seed=seed, **sampling), 1):
            sys.stdout.write(f"--- {n} of {count} ---\n{show(prompt + text)}\n")
        return 0
    if beam is None:
        chunks = model.stream(length, prompt=prompt, stop=stop, seed=seed, **sampling)
    else:
        chunks = model.beam(beam, length, prompt=prompt, stop=stop)
    sys.stdout.write(show(prompt))
    for chunk in chunks:
        sys.stdout.write(show(chunk))
        sys.stdout.flush()
    sys.stdout.write("\n")
    return 0


def _check_no_sampling(sampling: Mapping[str, object], seed: int | None, count: int) -> None:
    """Reject what beam search would ignore."""
    given = [*sampling, *(["seed"] if seed is not None else []), *(["count"] if count != 1 else [])]
    if given:
        raise ElmanError(f"cannot combine --beam with {flag(given[0])}: beam search does not sample")
