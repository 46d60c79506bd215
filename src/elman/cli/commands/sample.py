"""``elman sample``: generating texts and printing them, as text while they are sampled, or as JSON."""

from __future__ import annotations

import json
import re
import secrets
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from elman.cli import parameters
from elman.cli.parameters import (
    ANY_CASE,
    Encoding,
    Flag,
    Integer,
    OptionalInteger,
    OptionalRuns,
    TextFile,
    join_descriptions,
    load_model,
    passed_options,
    report_newlines,
    reporting_newlines,
)
from elman.errors import ElmanError, flag, format_count, quote

if TYPE_CHECKING:
    from elman.model import Model
    from elman.model.lines import LineLimits
    from elman.text import Alphabet

# Cyclopts would split the value of an environment variable at spaces.
STOP = Parameter(allow_leading_hyphen=True, negative="", env_var_split=lambda _, value, delimiter=None: [value])
MAX_PROMPT = 10_000_000  # maximum characters of a prompt in a file
_ESCAPES = {r"\n": "\n", r"\r": "\r", r"\t": "\t"}


@join_descriptions
def sample(
    *runs: OptionalRuns,
    prompt: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    prompt_file: TextFile | None = None,
    interactive: Annotated[Flag, Parameter(name=["--interactive", "-i"])] = False,
    no_echo: Flag = False,
    length: Integer = 1000,
    options: Annotated[parameters.SamplingOptions | None, Parameter(name="*")] = None,
    stop: Annotated[list[str] | None, STOP] = None,
    seed: OptionalInteger = None,
    count: Annotated[Integer, Parameter(name=["--count", "-n"])] = 1,
    beam: OptionalInteger = None,
    adapt: Annotated[Literal["counts"] | None, ANY_CASE] = None,
    copied_from: TextFile | None = None,
    encoding: Encoding = "utf-8",
    quiet: Annotated[Flag, Parameter(name=["--quiet", "-q"])] = False,
    as_json: Annotated[Flag, Parameter("--json")] = False,
) -> int:
    r"""Generate text from models, printed as it is sampled.

    A model of independent lines (--lines) prints one line per sample, and marks those that are in the training text.

    Parameters
    ----------
    prompt
        Text to continue, or - for standard input without its last line feed. \n, \r and \t are escapes, unless the
        model's text contains backslashes.
    prompt_file
        File with the prompt, including its last line feed unless it would end an independent line; - for standard
        input.
    interactive
        Read prompts from the terminal or standard input, one per line.
    no_echo
        Do not print the prompt.
    length
        Maximum number of characters to generate.
    stop
        Stop sequence, which is not printed. Repeatable.
    seed
        Random seed; by default one is drawn and reported.
    count
        Samples per prompt, generated as one batch; sample n uses seed + n - 1.
    beam
        Use beam search of this width instead of sampling.
    adapt
        counts: the n-gram prior also counts the prompt.
    copied_from
        Report how much of each sample occurs in this text (a file, - or a built-in text).
    quiet
        Report neither the drawn seed nor the use of the built-in model.
    as_json
        Print one JSON object per sample.
    """
    from elman.model.lines import LineLimits
    from elman.model.loading import BUILTIN, hub_name

    sampling = passed_options(options)
    given = [*sampling] + ["seed"] * (seed is not None) + ["count"] * (count != 1)
    if beam is not None and given:
        raise ElmanError(f"cannot combine --beam with {flag(given[0])}: beam search does not sample")
    _check_sources(prompt, prompt_file, interactive, copied_from)
    names = {run: hub_name(run) or str(run) for run in runs}
    models = {run: load_model(run, quiet=quiet or as_json) for run in names or (None,)}
    named = [(names[run], models[run]) for run in runs] or [(BUILTIN, models[None])]
    limits = LineLimits.take(sampling)
    generation = Generation(named, length, count, beam, limits, stop or [], {"adapt": adapt} | sampling)
    # Carriage returns are kept if every model knows them.
    alphabet = min((model.alphabet for _, model in named), key=lambda each: "\r" in each.characters)
    report_copying = None if copied_from is None else _prepare_copying(copied_from, encoding, alphabet)

    def show(sample: Sample) -> None:
        text = print_json(sample) if as_json else print_text(sample, echo=not no_echo)
        if report_copying is not None:
            report_copying(text)

    drawn = seed is None and beam is None
    if drawn:
        seed = secrets.randbelow(2**31)
    if (file := "-" if prompt == "-" else prompt_file) is not None:
        prompt = _read_prompt(file, encoding, alphabet)
        if prompt_file is None or any(model.is_of_lines for _, model in named):
            prompt = prompt.removesuffix("\n")  # `echo` adds a line feed, which would end the line to continue
    begun = iter(()) if interactive else generation.begin(prompt or "", seed)
    if drawn and sampling.get("temperature") != 0 and not (quiet or as_json):
        print(f"seed: {seed} (repeat with --seed {seed})", file=sys.stderr)
    for each in begun:
        show(each)
    if interactive:
        _sample_lines(generation, seed, show)
    return 0


def _check_sources(
    prompt: str | None, prompt_file: str | Path | None, interactive: bool, copied_from: str | Path | None
) -> None:
    """Check that there is only one source of prompts, and that standard input is read for only one purpose."""
    options = {"--prompt": prompt, "--prompt-file": prompt_file, "--interactive": "-" if interactive else None}
    sources = [name for name, value in options.items() if value is not None]
    if len(sources) > 1:
        raise ElmanError(f"cannot combine {' with '.join(sources)}: pass one of them")
    if copied_from == "-" and "-" in options.values():
        raise ElmanError(f"{sources[0]} and --copied-from cannot both read standard input")


def _read_prompt(file: str | Path, encoding: str, alphabet: Alphabet) -> str:
    from elman.text import JoinedText

    prompt = ""
    for chunk in reporting_newlines(JoinedText(file, encoding=encoding, alphabet=alphabet)):
        prompt += chunk
        if len(prompt) > MAX_PROMPT:
            raise ElmanError(f"a prompt may have at most {MAX_PROMPT:,} characters: pass the end of {quote(file)}")
    return prompt


@dataclass(frozen=True)
class Sample:
    """A text that is being generated."""

    name: str  # the run of the model, as named on the command line
    model: Model
    header: str  # distinguishes it from the command's other samples; empty if there are none
    seed: int | None
    prompt: str
    length: int  # the maximum
    chunks: Iterator[str]  # the text, without the prompt

    def in_training_text(self, text: str) -> bool | None:
        """Return whether a model of independent lines was trained on the last line; None if that is not known."""
        # The hashes are of unmasked lines, and a text that was cut off is not a line.
        if self.model.line_hashes is None or self.model.masker is not None or len(text) >= self.length:
            return None
        return self.model.in_training_text((self.prompt + text).rpartition("\n")[2])


@dataclass(frozen=True)
class Generation:
    """The options of ``elman sample`` for every prompt and every model; see `elman.Model.stream`."""

    models: list[tuple[str, Model]]
    length: int
    count: int
    beam: int | None
    limits: LineLimits | None
    stop: list[str]
    options: dict[str, Any]

    def begin(self, prompt: str, seed: int | None) -> Iterator[Sample]:
        """Return the samples of a prompt, model by model; errors in the prompt are raised now."""
        begun, several = [], len(self.models) > 1
        for name, model in self.models:
            text = interpret_escapes(prompt, model.alphabet)
            try:
                begun.append((name, model, text, self._generate(model, text, seed)))
            except ElmanError as error:
                raise ElmanError(f"{name}: {error}" if several else str(error)) from None
        return (
            Sample(name, model, self._header(name, model, n), own_seed, text, self.length, chunks)
            for name, model, text, streams in begun
            for n, (own_seed, chunks) in enumerate(streams, 1)
        )

    def _header(self, name: str, model: Model, n: int) -> str:
        number = f"{n} of {self.count}" if self.count > 1 and not model.is_of_lines else ""
        return ", ".join(filter(None, [name if len(self.models) > 1 else "", number]))

    def _generate(self, model: Model, prompt: str, seed: int | None) -> Iterable[tuple[int | None, Iterator[str]]]:
        """Return the seed and the text, in chunks, of every sample."""
        stop = [interpret_escapes(each, model.alphabet) for each in self.stop]
        options = self.options | {"prompt": prompt, "stop": stop}
        if self.beam is not None:
            return [(None, model.beam(self.beam, self.length, **options))]
        if self.limits is not None:
            from elman.model.lines import draw_lines

            lines = draw_lines(model, self.count, self.length, self.limits, seed, options)
            return ((own_seed, iter([text])) for own_seed, text in lines)
        if self.count == 1:
            return [(seed, model.stream(self.length, seed=seed, **options))]
        texts = model.samples(self.count, self.length, seed=seed, **options)
        return [(None if seed is None else seed + n, iter([text])) for n, text in enumerate(texts)]


def interpret_escapes(text: str, alphabet: Alphabet) -> str:
    r"""Return a text with escapes such as ``\n`` replaced; if the alphabet has the backslash, the text is unchanged."""
    if "\\" in alphabet.characters:
        return text
    return re.sub(r"\\[nrt]", lambda match: _ESCAPES[match[0]], text)


def print_text(sample: Sample, echo: bool) -> str:
    """Print a sample while it is generated, below its header and, if `echo`, after its prompt; return its text."""
    from elman.text import visible

    show = visible if sys.stdout.isatty() else str  # a terminal might interpret control characters
    header = f"--- {show(sample.header)} ---\n" if sample.header else ""
    sys.stdout.write(header + (show(sample.prompt) if echo else ""))
    text = ""
    for chunk in sample.chunks:
        print(show(chunk), end="", flush=True)
        text += chunk
    sys.stdout.write("\tin training text\n" if sample.in_training_text(text) else "\n")
    return text


def print_json(sample: Sample) -> str:
    """Print a complete sample as one line of JSON; return its text."""
    text = "".join(sample.chunks)
    # A text is shorter than its maximum length only if a stop sequence or the end of an independent line ended it.
    reason, known = "stop" if len(text) < sample.length else "length", sample.in_training_text(text)
    row = {"model": sample.name, "seed": sample.seed, "prompt": sample.prompt, "text": text, "finish_reason": reason}
    row |= {} if known is None else {"in_training_text": known}
    print(json.dumps(row, ensure_ascii=False), flush=True)
    return text


def _sample_lines(generation: Generation, seed: int | None, show: Callable[[Sample], None]) -> None:
    """Print the samples for every line that is entered; the seeds continue from prompt to prompt.

    In a terminal an invalid prompt is reported, and Ctrl-C ends the text that is being printed.
    """
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


def is_terminal() -> bool:
    """Whether standard input and output are a terminal."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()


def read_lines() -> Iterator[str]:
    """Yield the lines that are entered in the terminal, or the lines of standard input, without their ends."""
    from elman.text import open_standard_input

    if is_terminal():
        with suppress(ImportError):  # Windows has no readline: its console edits lines
            import readline  # noqa: F401 (its import lets `input` edit lines and recall them)
        with suppress(EOFError):  # Ctrl-D
            while True:
                yield input("> ")
        print()
        return
    for number, line in enumerate(open_standard_input(), 1):
        try:
            yield line.decode("utf-8").removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            raise ElmanError(f"line {number} of standard input is not UTF-8") from None


def _prepare_copying(copied_from: str | Path, encoding: str, alphabet: Alphabet) -> Callable[[str], None]:
    """Read a text; return a function that reports how much of a sample occurs in it."""
    from elman.text import read_corpus
    from elman.text.copying import RUN, measure_copying

    source = read_corpus(copied_from, encoding=encoding, alphabet=alphabet, extend=True)
    report_newlines(source)

    def report(text: str) -> None:
        sys.stdout.flush()
        run, share = measure_copying(text, source.chunks())
        longest = f"the longest run has {format_count(len(run), 'character')}{run and ': ' + quote(run)}"
        print(f"copied: {share:.1%} of the runs of {RUN} characters; {longest}", file=sys.stderr)

    return report
