"""``elman sample``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from elman.cli import sampling_options
from elman.cli.parameters import Corpus, Flag, Integer, OptionalInteger, Run
from elman.errors import ElmanError, flag

if TYPE_CHECKING:
    from elman.inference import Model
    from elman.inference.copying import Copying


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
    adapt: Annotated[
        Literal["counts"] | None,
        Parameter(help="counts: the n-gram prior counts the prompt too, so that the text follows a long one closely."),
    ] = None,
    copied: Annotated[
        Flag,
        Parameter(
            help="Report on standard error how much of the text is copied from the training text, which a model with"
            " an n-gram prior contains."
        ),
    ] = False,
    copied_from: Annotated[
        Corpus | None,
        Parameter(help="The same for the training text of any model: a file, - or a built-in text, as for training."),
    ] = None,
) -> int:
    """Generate text from a trained model, printed as it is sampled.

    With --count, samples are printed complete, each under a "--- n of N ---" header. A model of independent lines
    (--lines) prints a line per sample instead; a tab and "in training text" follow a line that it was trained on.
    """
    from elman.cli.display import visible
    from elman.runs.run import load

    sampling = sampling_options.passed_options(options)
    if beam is not None:
        _check_no_sampling(sampling, seed=seed, count=count)
    model = load(run)
    report = _copying_report(model, copied_from) if copied or copied_from is not None else _no_report
    show = visible if sys.stdout.isatty() else str  # a terminal might interpret control characters
    adapting = adapt or False
    if count != 1:
        texts = model.samples(count, length, prompt=prompt, stop=stop, seed=seed, adapt=adapting, **sampling)
        for n, text in enumerate(texts, 1):
            header = "" if model.is_of_lines else f"--- {n} of {count} ---\n"
            sys.stdout.write(f"{header}{show(prompt + text)}{_mark(model, prompt + text)}\n")
            report(text)
        return 0
    if beam is None:
        chunks = model.stream(length, prompt=prompt, stop=stop, seed=seed, adapt=adapting, **sampling)
    else:
        chunks = model.beam(beam, length, prompt=prompt, stop=stop, adapt=adapting)
    sys.stdout.write(show(prompt))
    text = "".join(_print_chunks(chunks, show))
    sys.stdout.write(f"{_mark(model, prompt + text)}\n")
    report(text)
    return 0


def _print_chunks(chunks: Iterator[str], show: Callable[[str], str]) -> Iterator[str]:
    """Print chunks as they arrive, and yield them."""
    for chunk in chunks:
        sys.stdout.write(show(chunk))
        sys.stdout.flush()
        yield chunk


def _mark(model: Model, text: str) -> str:
    """Return what follows a line that a model of independent lines was trained on."""
    is_known = model.line_hashes is not None and model.in_training_text(text.rpartition("\n")[2])
    return "\tin training text" if is_known else ""


def _check_no_sampling(sampling: Mapping[str, object], seed: int | None, count: int) -> None:
    """Reject what beam search would ignore."""
    given = [*sampling, *(["seed"] if seed is not None else []), *(["count"] if count != 1 else [])]
    if given:
        raise ElmanError(f"cannot combine --beam with {flag(given[0])}: beam search does not sample")


def _no_report(text: str) -> None:
    """Report nothing."""


def _copying_report(model: Model, corpus: str | None) -> Callable[[str], None]:
    """Return a function that reports on standard error how much of a text is copied from the training text."""
    from elman.text import read_chunks

    source = None if corpus is None else "".join(read_chunks(corpus))
    model.measure_copying("", source)  # an error comes before the text

    def report(text: str) -> None:
        sys.stdout.flush()
        print(_format_copying(model.measure_copying(text, source)), file=sys.stderr)

    return report


def _format_copying(copying: Copying) -> str:
    from elman.inference.copying import RUN

    run = copying.longest_run
    shown = f": {run[:60]!r}{'…' if len(run) > 60 else ''}" if run else ""
    return (
        f"copied: {copying.copied_share:.1%} of the runs of {RUN} characters;"
        f" the longest run has {len(run):,} character{'' if len(run) == 1 else 's'}{shown}"
    )
