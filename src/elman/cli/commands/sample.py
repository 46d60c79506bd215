"""``elman sample``."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from elman.cli import sampling_options
from elman.cli.parameters import (
    ANY_CASE,
    Corpus,
    Flag,
    Integer,
    OptionalFile,
    OptionalInteger,
    OptionalRuns,
    OptionalText,
    Texts,
)
from elman.errors import ElmanError, flag, quote

if TYPE_CHECKING:
    from elman.cli.generation import Generation, Report, Sample
    from elman.inference import Model
    from elman.inference.copying import Copying


def sample(
    *runs: OptionalRuns,
    prompt: Annotated[
        OptionalText,
        Parameter(
            help="Prompt: text to continue, or - for standard input. It is printed before the continuation. \\n and \\t"
            " are a line feed and a tab, unless the model's text contains backslashes."
        ),
    ] = None,
    prompt_file: Annotated[
        OptionalFile,
        Parameter(help="File with the prompt: all of it, its last line feed included; - for standard input."),
    ] = None,
    interactive: Annotated[
        Flag,
        Parameter(
            name=["--interactive", "-i"],
            help="Ask for prompts in the terminal, or read one from every line of standard input, until its end.",
        ),
    ] = False,
    no_echo: Annotated[Flag, Parameter(help="Do not print the prompt.")] = False,
    length: Annotated[Integer, Parameter(help="Maximum number of characters to generate.")] = 1000,
    options: Annotated[sampling_options.Options | None, Parameter(name="*")] = None,
    stop: Annotated[
        Texts, Parameter(help="Stop when this string would be generated; it is not printed. Repeatable.")
    ] = None,
    seed: Annotated[
        OptionalInteger,
        Parameter(help="Random seed, for reproducible output. Without one, a seed is drawn and reported."),
    ] = None,
    count: Annotated[
        Integer,
        Parameter(
            name=["--count", "-n"],
            help="Number of samples per prompt, generated as one batch; sample n uses seed + n - 1.",
        ),
    ] = 1,
    beam: Annotated[OptionalInteger, Parameter(help="Use beam search of this width instead of sampling.")] = None,
    adapt: Annotated[
        Literal["counts"] | None,
        ANY_CASE,
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
    quiet: Annotated[Flag, Parameter(name=["--quiet", "-q"], help="Do not report the seed that was drawn.")] = False,
    as_json: Annotated[
        Flag,
        Parameter("--json", help="Print one JSON object per sample: model, seed, prompt, text, finish_reason."),
    ] = False,
) -> int:
    """Generate text from trained models, or from the built-in one, printed as it is sampled.

    With --count or several runs, each sample has a header such as "--- n of N ---". Those of --count are printed
    complete. A model of independent lines (--lines) prints a line per sample without a header; a tab and "in training
    text" follow a line that it was trained on.
    """
    from elman.cli.default_model import load_model
    from elman.cli.generation import Generation, NamedModel, print_json, print_text
    from elman.runs.models import BUILTIN

    sampling = sampling_options.passed_options(options)
    if beam is not None:
        _check_no_sampling(sampling, seed=seed, count=count)
    _check_sources(prompt, prompt_file, interactive, copied_from)
    models = {str(run or BUILTIN): load_model(run, quiet=quiet or as_json) for run in runs or (None,)}
    source = None if copied_from is None else _read_text(copied_from)
    reports = {
        name: _copying_report(model, source) if copied or source is not None else _no_report
        for name, model in models.items()
    }
    generation = Generation(
        [NamedModel(name, models[name], reports[name]) for name in map(str, runs or (BUILTIN,))],
        length,
        count,
        stop or [],
        adapt or False,
        sampling,
        beam,
    )
    show = partial(print_json, length=length) if as_json else partial(print_text, echo=not no_echo)
    drawn = seed is None and beam is None
    if drawn:
        seed = secrets.randbelow(2**31)
    begun = [] if interactive else generation.begin(_read_prompt(prompt, prompt_file), seed)
    if drawn and sampling.get("temperature") != 0 and not (quiet or as_json):
        print(f"seed: {seed} (repeat with --seed {seed})", file=sys.stderr)
    for each in begun:
        show(each)
    if interactive:
        _sample_lines(generation, seed, show)
    return 0


def _check_no_sampling(sampling: Mapping[str, object], seed: int | None, count: int) -> None:
    """Reject what beam search would ignore."""
    given = [*sampling, *(["seed"] if seed is not None else []), *(["count"] if count != 1 else [])]
    if given:
        raise ElmanError(f"cannot combine --beam with {flag(given[0])}: beam search does not sample")


def _check_sources(
    prompt: str | None, prompt_file: Path | None, interactive: bool, copied_from: str | Path | None
) -> None:
    """Check that there is one source of prompts, and that standard input is read for one purpose only."""
    file, lines = None if prompt_file is None else str(prompt_file), "-" if interactive else None
    options = {"--prompt": prompt, "--prompt-file": file, "--interactive": lines}
    sources = [name for name, value in options.items() if value is not None]
    if len(sources) > 1:
        raise ElmanError(f"cannot combine {' with '.join(sources)}: pass one of them")
    if copied_from == "-" and "-" in options.values():
        raise ElmanError(f"{sources[0]} and --copied-from cannot both read standard input")


def _read_prompt(prompt: str | None, prompt_file: Path | None) -> str:
    from elman.cli.prompts import read_prompt

    source = Path("-") if prompt == "-" else prompt_file
    return prompt or "" if source is None else read_prompt(source)


def _sample_lines(generation: Generation, seed: int | None, show: Callable[[Sample], None]) -> None:
    """Print the samples of every line that is entered; the seeds continue from prompt to prompt.

    In a terminal an invalid prompt is reported, and Ctrl-C ends the text that is being printed.
    """
    from elman.cli.prompts import is_terminal, read_lines

    in_terminal = is_terminal()
    for prompt in read_lines():
        try:
            for each in generation.begin(prompt, seed):
                show(each)
        except ElmanError as error:
            if not in_terminal:
                raise
            print(f"error: {error}", file=sys.stderr)
        except KeyboardInterrupt:
            if not in_terminal:
                raise
            print()
        if seed is not None:
            seed += generation.count


def _read_text(corpus: str | Path) -> str:
    from elman.text import read_chunks

    return "".join(read_chunks(corpus))


def _no_report(text: str) -> None:
    """Report nothing."""


def _copying_report(model: Model, source: str | None) -> Report:
    """Return a function that reports on standard error how much of a text is copied from the training text."""
    model.measure_copying("", source)  # an error comes before the text

    def report(text: str) -> None:
        sys.stdout.flush()
        print(_format_copying(model.measure_copying(text, source)), file=sys.stderr)

    return report


def _format_copying(copying: Copying) -> str:
    from elman.inference.copying import RUN

    run = copying.longest_run
    shown = f": {quote(run)}" if run else ""
    return (
        f"copied: {copying.copied_share:.1%} of the runs of {RUN} characters;"
        f" the longest run has {len(run):,} character{'' if len(run) == 1 else 's'}{shown}"
    )
