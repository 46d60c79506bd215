"""Code that commands share: parameters and their parsers, the options of `elman.Config`, and reading texts and runs.

A parser raises `ValueError` with the end of a sentence, such as ``must be an integer``; the option begins the sentence.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import make_dataclass
from functools import cache
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_args, get_origin

from cyclopts import ArgumentCollection, CoercionError, Group, Parameter, Token, UnknownOptionError

from elman.config import FOLLOW_TEXT, choices_of, help_of, list_types, make_config
from elman.errors import FLAGS, ElmanError, quote
from elman.recipe import DEFAULT_PRESET, PRESETS, list_presets
from elman.storage import exists, is_directory, is_file, real_path

if TYPE_CHECKING:
    from elman.model import Model
    from elman.text import Corpus as Text
    from elman.text import TextFile as RecordedFile
    from elman.text.reading import JoinedText
    from elman.text.sources import TextInput

Command = TypeVar("Command", bound=Callable[..., int])
T = TypeVar("T")


def join_descriptions(command: Command) -> Command:
    """Join the lines of each parameter's description in a command's docstring: Cyclopts would keep the line breaks."""
    blocks = re.compile(r"^    .+(?:\n    .+)*", re.MULTILINE)
    command.__doc__ = blocks.sub(lambda match: f"    {' '.join(match[0].split())}", cleandoc(command.__doc__ or ""))
    return command


def parse_integer(hint: Any, tokens: Sequence[Token]) -> int:
    """Parse an integer; Cyclopts would read 2.5 as 2."""
    try:
        return int(tokens[0].value)
    except ValueError:
        has_too_many = tokens[0].value.lstrip("+-").isdecimal()  # for Python to convert
        raise ValueError(f"must be an integer{' of fewer digits' if has_too_many else ''}") from None


def parse_number(hint: Any, tokens: Sequence[Token]) -> float:
    """Parse a number; Cyclopts would read ``none`` as an option that was not passed."""
    try:
        return float(tokens[0].value)
    except ValueError:
        raise ValueError("must be a number") from None


def parse_port(hint: Any, tokens: Sequence[Token]) -> int:
    """Parse the number of a port, or 0 for a free one."""
    if not 0 <= (port := parse_integer(hint, tokens)) <= 65_535:
        raise ValueError("must be from 0 to 65535")
    return port


def parse_choice(hint: Any, tokens: Sequence[Token]) -> str:
    """Parse one of the choices of a `Literal`, in upper or lower case."""
    choices = [choice for choice in flatten_hint(hint) if isinstance(choice, str)]
    by_lower = {choice.lower(): choice for choice in choices}
    if (name := tokens[0].value.lower()) not in by_lower:
        raise CoercionError(token=tokens[0], target_type=Literal[tuple(choices)])  # type: ignore[arg-type]
    return by_lower[name]


def flatten_hint(hint: Any) -> list[Any]:
    """Return the types and choices in a type hint."""
    return [hint] if not get_args(hint) else [each for argument in get_args(hint) for each in flatten_hint(argument)]


def parse_corpus(hint: Any, tokens: Sequence[Token]) -> str:
    """Parse a corpus; - is standard input, and any other name that begins with a hyphen must be an existing file."""
    text = parse_not_empty(hint, tokens)
    if text.startswith("-") and text != "-" and not os.path.lexists(text):
        raise UnknownOptionError(token=tokens[0], argument_collection=ArgumentCollection())  # type: ignore[no-untyped-call]
    return text


def require_corpus(corpus: Sequence[str | Path]) -> list[str | Path]:
    """Return the texts of a command line, which must name at least one."""
    if not corpus:
        raise ElmanError("missing required argument CORPUS (a text file, a directory, - or a built-in text)")
    return list(corpus)


def parse_not_empty(hint: Any, tokens: Sequence[Token]) -> str:
    """Parse a text, which must not be empty or white space."""
    if not tokens[0].value.strip():
        raise ValueError("must not be empty")
    return tokens[0].value


Integer = Annotated[int, Parameter(converter=parse_integer)]
OptionalInteger = Annotated[int | None, Parameter(converter=parse_integer)]
OptionalNumber = Annotated[float | None, Parameter(converter=parse_number)]
Port = Annotated[int, Parameter(converter=parse_port)]
ANY_CASE = Parameter(converter=parse_choice)  # of a `Literal`
# The names of the entries of a registry are in lower case.
Name = Annotated[str, Parameter(converter=lambda _, tokens: tokens[0].value.lower())]
Names = Annotated[
    list[str] | None, Parameter(converter=lambda _, tokens: [token.value.lower() for token in tokens], negative="")
]
Flag = Annotated[bool, Parameter(negative="", show_default=False)]
Out = Annotated[Path, Parameter(name=["--out", "-o"])]

CORPUS_HELP = (
    "Text file (also gzip, bzip2, xz, zstd), directory, quoted glob pattern, - for standard input, or built-in text:"
    " python-docs, shakespeare."
)
TextFile = Annotated[
    str | Path,  # always a string; for a Path, the shell completes file names
    Parameter(allow_leading_hyphen=True, converter=parse_corpus),
]
Corpus = Annotated[TextFile, Parameter(help=CORPUS_HELP)]
Corpora = Annotated[Corpus, Parameter(help=f"{CORPUS_HELP} Several are joined.")]
"""The type of each of several texts, ``*corpus: Corpora``."""
RUN_HELP = "Run directory, checkpoint file, or hf://OWNER/NAME on the Hugging Face Hub."
Run = Annotated[Path, Parameter(help=RUN_HELP)]
BY_DEFAULT_BUILTIN = "By default builtin, the built-in model."
OptionalRun = Annotated[
    str | Path | None,  # a string, like a Corpus: a Path would turn ./shakespeare into the name of a built-in text
    Parameter(help=f"{RUN_HELP} {BY_DEFAULT_BUILTIN}", converter=parse_corpus),
]
"""RUN of a command in which it may be left out before the texts, see `split_run`."""
OptionalRuns = Annotated[Path, Parameter(help=f"{RUN_HELP} {BY_DEFAULT_BUILTIN}")]
"""The type of each of several runs, ``*runs: OptionalRuns``."""
Quiet = Annotated[Flag, Parameter(name=["--quiet", "-q"], help="Show no progress.")]
Json = Annotated[Flag, Parameter("--json", help="Print the results as JSON.")]
Encoding = Annotated[str, Parameter(help="Encoding of the text.")]
KeepCrlf = Annotated[Flag, Parameter(help=help_of("keep_crlf"))]
Field = Annotated[str, Parameter(help="Field of JSON Lines, CSV or TSV to read.")]


def check_not_input(out: Path, *inputs: Path) -> None:
    """Check that an output file is not an input and not a file of a run that is an input."""
    from elman.runs.directory import FILES

    for path in inputs:
        run = path.parent if path.name in FILES else path
        for file in (path, *(run / name for name in FILES)):
            with suppress(OSError, ValueError):  # a path that does not exist, or cannot
                if out.samefile(file):
                    raise ElmanError(f"--out would replace an input file (got {quote(out)})")


SAMPLING = "Parameters"  # the group of the sampling options in the help


def _optional(
    name: str, hint: Any, default: Any, help: str, group: Group | str, is_shown: bool = True
) -> tuple[str, Any, Any]:
    """Return a field that is None unless the option is passed: presets and resumed runs may have other defaults."""
    shown = "none" if default in (None, "") else str(default)
    kinds: dict[Any, Any] = {
        int: parse_integer, int | None: parse_integer, float: parse_number, float | None: parse_number,
    }  # fmt: skip
    converter = parse_choice if get_origin(hint) is Literal else kinds.get(hint)
    negative = None if hint is bool and group != SAMPLING else ""  # --no-lines, but no --empty-log, no --no-unique
    parameter = Parameter(
        help=help, group=group, show=is_shown, show_default=lambda _: shown, negative=negative, converter=converter
    )
    return (name, Annotated[hint | None, parameter], None)


HELP_ALL = "--help-all"
"""Shows the help of a command with all options; ``--help`` shows only the most important ones."""
COMMON = frozenset(
    {"cell", "hidden_size", "layers", "learning_rate", "dropout", "epochs", "max_updates", "max_seconds", "validation",
     "patience", "seed", "lines", "mask", "field", "min_count"}
)  # fmt: skip
"""The settings that ``--help`` shows."""
shows_all = False
"""Whether `HELP_ALL` was passed. `elman.cli.frame` sets it before it imports a command, whose parameters depend on
it."""


def create_options(preset: str, without: Collection[str] = (), shown: Collection[str] = COMMON) -> Any:
    """Return a class with an optional attribute for every setting except some; its help has a preset's defaults."""
    about = f"The defaults are the settings of the preset {preset}. {HELP_ALL} shows all settings."
    group = Group("Training", help=about, sort_key=5)
    options = []
    for name, default in vars(make_config(preset)).items():
        if name not in without:
            hint = Literal[choices] if (choices := choices_of(name)) else list_types()[name]
            is_shown = shows_all or name in shown
            default = "as the text looks" if name in FOLLOW_TEXT and PRESETS[preset].looks else default
            options.append(_optional(name, hint, default, help_of(name).format_map(FLAGS), group, is_shown))
    return _make_dataclass("Options", options)


def _make_dataclass(name: str, options: list[tuple[str, Any, Any]]) -> Any:
    # Cyclopts would treat classes of the module `types` as built-in ones.
    return make_dataclass(name, options, frozen=True, namespace={"__module__": __name__})


if TYPE_CHECKING:
    PRESET_HELP: str

    class Options:
        """One optional attribute for every field of `Config`."""

    class SweepOptions(Options):
        """The attributes of `Options`."""

    class SamplingOptions:
        """One optional attribute for every field of `elman.network.SamplingParams` and `elman.model.LineLimits`."""

    class ExportOptions:
        """One optional attribute for every option of `elman.export`."""


@cache
def __getattr__(name: str) -> Any:
    """Create options that take long to create, for the commands that have them."""
    if name == "PRESET_HELP":
        return f"Hyperparameter preset. Options you pass override it.\n\n{list_presets()}"
    if name == "Options":  # looks for the engines of installed packages
        return create_options(DEFAULT_PRESET)
    if name == "SweepOptions":  # the options of `elman train`, whose help shows them
        return create_options(DEFAULT_PRESET, shown=())
    if name == "SamplingOptions":  # needs NumPy
        from elman.model.lines import LINE_OPTIONS
        from elman.network.sampling import list_sampling_options

        described = [(each.name, each.type, each.start, each.help) for each in list_sampling_options()]
        described += [(each.name, each.hint, each.default, each.help) for each in LINE_OPTIONS]
        options = [_optional(*each, SAMPLING) for each in described]
        return _make_dataclass("SamplingOptions", options)
    if name == "ExportOptions":  # needs NumPy, and looks for the formats of installed packages
        from elman.formats import list_export_options

        options = []
        for each in list_export_options():
            hint = Flag if each.hint is bool else Integer if int in get_args(each.hint) else each.hint
            parameter = Parameter(help=each.help.format_map(FLAGS), show_default=False)
            options.append((each.name, Annotated[hint | None, parameter], None))
        return _make_dataclass("ExportOptions", options)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def passed_options(options: Options | SamplingOptions | ExportOptions | None) -> dict[str, Any]:
    """Return the options that were passed."""
    return {name: value for name, value in vars(options).items() if value is not None} if options else {}


# --- Reading the text and the model, also if none is named, and the runs in directories ---


def choose_corpus() -> str | None:
    """Return ``-`` if a text is piped to standard input, otherwise None; a pipe without data is an error."""
    from elman.text.sources import PIPE_SECONDS, inspect_standard_input

    kind = inspect_standard_input()
    if kind == "ended pipe":
        raise ElmanError("standard input is a pipe without data: name a text, or redirect /dev/null")
    if kind == "silent pipe":
        remedy = "name a text, or pass - to wait for it"
        raise ElmanError(f"standard input is a pipe that delivered nothing in {PIPE_SECONDS:.0f} s: {remedy}")
    return "-" if kind == "text" else None


def split_run(run: str | Path | None, corpus: Sequence[str | Path]) -> tuple[Path | None, list[str | Path]]:
    """Return the run, if there is one, and the texts of a command whose RUN may be left out.

    RUN is left out if the first argument is a text file, ``-`` or a built-in text; otherwise it must exist.
    """
    from elman.model.loading import hub_name, is_builtin

    if run is None or _is_text(str(run)):
        return None, [*([] if run is None else [run]), *corpus]
    run = Path(run)
    if not (hub_name(run) or exists(run) or is_builtin(run)):
        remedy = "pass a run directory written by elman train, a text file, or both"
        raise ElmanError(f"there is no checkpoint {quote(run)}, and no text of this name: {remedy}")
    return run, list(corpus)


def _is_text(name: str) -> bool:
    from elman.storage.tensors import is_named_or_begins_like_tensors
    from elman.text.sources import is_builtin

    if not is_file(name):
        return name == "-" or (is_builtin(name) and not exists(name))
    return not is_named_or_begins_like_tensors(Path(name))


def load_model(run: Path | None, *, quiet: bool) -> Model:
    """Load the model of a run, or the built-in model, which is reported on standard error unless `quiet`."""
    from elman.model.loading import load, load_builtin

    if run is not None:
        return load(run)
    if not quiet:
        print("using the built-in model, because no run is given", file=sys.stderr)
    return load_builtin()


def warn_of_records(files: Iterable[RecordedFile | TextInput], field: str) -> None:
    """Warn of files of records that are read without a field, as `elman train` does."""
    from elman.runs.texts import suggest_field

    if hint := suggest_field([each.path for each in files], field):
        print(f"warning: {hint}", file=sys.stderr)


def report_newlines(text: Text | JoinedText) -> bool:
    """Return whether a text had line ends that the model does not know, and report it on standard error."""
    from elman.text.formats import describe_newlines

    if text.newlines_translated:
        print(f"{describe_newlines(text.newlines_translated)}: the model does not know \\r", file=sys.stderr)
    return bool(text.newlines_translated)


def reporting_newlines(text: JoinedText) -> Iterator[str]:
    """Yield a text, and report line ends that the model does not know when the first one is read."""
    is_reported = False
    for chunk in text:
        is_reported = is_reported or report_newlines(text)
        yield chunk


def read_runs(paths: Sequence[Path], read: Callable[[Path, str], T]) -> list[T]:
    """Read the runs in directories by `read`, which gets their unique names; warn of runs that cannot be read."""
    from elman.training.saved_runs import find_runs

    if not paths:
        raise ElmanError("missing required argument RUNS (run directories, or directories that contain some)")
    found = dict.fromkeys(run for path in paths for run in (find_runs(path) if is_directory(path) else []) or [path])
    counts, results = Counter(real_path(path).name for path in found), []
    for path in found:
        try:
            results.append(read(path, real_path(path).name if counts[real_path(path).name] == 1 else str(path)))
        except ElmanError as error:
            if path in paths:
                raise
            print(f"warning: {error}", file=sys.stderr)
    return results
