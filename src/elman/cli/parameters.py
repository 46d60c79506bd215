"""Parameters that several commands share, how their values are parsed, and the training options of `elman.Config`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin, get_type_hints

from cyclopts import Group, Parameter, Token

from elman.cli.usage_errors import UnknownOption, describe_choice, name_option
from elman.config import Config, choices_of, make_config
from elman.errors import ElmanError, quote, shorten
from elman.presets import DEFAULT_PRESET, list_presets

MAX_PORT = 65_535


def parse_integer(hint: Any, tokens: Sequence[Token]) -> int:
    """Parse an integer; Cyclopts would take 2.5 for 2.

    Raises
    ------
    ElmanError
        If it is not an integer.
    """
    text = tokens[0].value
    try:
        return int(text)
    except ValueError:
        raise ElmanError(f"{name_option(tokens[0])} must be an integer (got {quote(text)})") from None


def parse_port(hint: Any, tokens: Sequence[Token]) -> int:
    """Parse the number of a port, or 0 for a free one.

    Raises
    ------
    ElmanError
        If it is not in that range.
    """
    number = parse_integer(hint, tokens)
    if not 0 <= number <= MAX_PORT:
        raise ElmanError(f"{name_option(tokens[0])} must be from 0 to {MAX_PORT} (got {shorten(number)})")
    return number


def parse_choice(hint: Any, tokens: Sequence[Token]) -> str:
    """Parse one of the choices of a `Literal`, in upper or lower case.

    Raises
    ------
    ElmanError
        If it is none of them.
    """
    text, choices = tokens[0].value, [choice for choice in _flatten(hint) if isinstance(choice, str)]
    by_lower = {choice.lower(): choice for choice in choices}
    if text.lower() not in by_lower:
        raise ElmanError(describe_choice(name_option(tokens[0]), text, choices))
    return by_lower[text.lower()]


def _flatten(hint: Any) -> list[Any]:
    """Return the arguments of a type, and theirs."""
    return [hint] if not get_args(hint) else [each for argument in get_args(hint) for each in _flatten(argument)]


def parse_name(hint: Any, tokens: Sequence[Token]) -> str:
    """Parse the name of an entry of a registry, all of which are in lower case."""
    return tokens[0].value.lower()


def parse_names(hint: Any, tokens: Sequence[Token]) -> list[str]:
    """Parse names as `parse_name` does."""
    return [token.value.lower() for token in tokens]


def parse_text(hint: Any, tokens: Sequence[Token]) -> str:
    """Parse a text, which may begin with a hyphen, but is not what looks like the next option.

    Raises
    ------
    ElmanError
        If it looks like an option.
    """
    text = tokens[0].value
    if tokens[0].source == "cli" and re.fullmatch("-[a-zA-Z]|--[a-z][a-z-]+(=.*)?", text):
        raise ElmanError(f"{tokens[0].keyword} requires a value (got the option {quote(text)})")
    return text


def parse_number_or_text(hint: Any, tokens: Sequence[Token]) -> float | str:
    """Parse a number, or else a text as `parse_text` does."""
    text = parse_text(hint, tokens)
    try:
        return float(text)
    except ValueError:
        return text


def parse_path(hint: Any, tokens: Sequence[Token]) -> Path:
    """Parse the path of a file, or - for standard input, as `parse_text` does."""
    return Path(parse_text(hint, tokens))


def parse_texts(hint: Any, tokens: Sequence[Token]) -> list[str]:
    """Parse texts as `parse_text` does."""
    return [parse_text(hint, [token]) for token in tokens]


def keep_spaces(hint: Any, value: str, delimiter: str | None = None) -> list[str]:
    """Return the value of an environment variable as a single one; Cyclopts would split it at spaces."""
    return [value]


def parse_corpus(hint: Any, tokens: Sequence[Token]) -> str:
    """Parse a corpus, which may be - for standard input, but is not anything else that looks like an option.

    Raises
    ------
    UnknownOption
        If it looks like an option.
    """
    text = tokens[0].value
    if text.startswith("-") and text != "-":
        raise UnknownOption(text.partition("=")[0])
    return text


def require_corpus(corpus: Sequence[str | Path]) -> list[str | Path]:
    """Return the texts of a command line that must name one.

    Raises
    ------
    ElmanError
        If it names none.
    """
    if not corpus:
        raise ElmanError(
            f"missing required argument CORPUS ({CORPUS_HELP[:1].lower()}{CORPUS_HELP[1:].partition(':')[0]})"
        )
    return list(corpus)


def parse_nonempty_path(hint: Any, tokens: Sequence[Token]) -> Path:
    """Parse a path; an empty one would be the current directory.

    Raises
    ------
    ElmanError
        If it is empty.
    """
    return Path(parse_not_empty(hint, tokens))


def parse_not_empty(hint: Any, tokens: Sequence[Token]) -> str:
    """Parse text.

    Raises
    ------
    ElmanError
        If it is empty or consists of white space.
    """
    text = tokens[0].value
    if not text.strip():
        raise ElmanError(f"{name_option(tokens[0])} must not be empty (got {text!r})")
    return text


Integer = Annotated[int, Parameter(converter=parse_integer)]
OptionalInteger = Annotated[int | None, Parameter(converter=parse_integer)]
Port = Annotated[int, Parameter(converter=parse_port)]
ANY_CASE = Parameter(converter=parse_choice)
"""Of a `Literal`."""
Name = Annotated[str, Parameter(converter=parse_name)]
Names = Annotated[list[str] | None, Parameter(converter=parse_names, negative="")]
OptionalFile = Annotated[Path | None, Parameter(converter=parse_path, allow_leading_hyphen=True)]
OptionalText = Annotated[str | None, Parameter(converter=parse_text, allow_leading_hyphen=True)]
Texts = Annotated[
    list[str] | None,
    Parameter(converter=parse_texts, allow_leading_hyphen=True, negative="", env_var_split=keep_spaces),
]
Flag = Annotated[bool, Parameter(negative="")]
Out = Annotated[Path, Parameter(name=["--out", "-o"], converter=parse_nonempty_path)]

CORPUS_HELP = (
    "Text file (also gzip, bzip2, xz, zstd), directory, quoted glob pattern, - for standard input, or a built-in text:"
    " python-docs, shakespeare."
)
Corpus = Annotated[
    str | Path,  # always a string; the shell completes the names of files for a Path
    Parameter(help=CORPUS_HELP, allow_leading_hyphen=True, converter=parse_corpus),
]
Corpora = Annotated[Corpus, Parameter(help=f"{CORPUS_HELP} Several are joined.")]
"""The type of each of several texts, ``*corpus: Corpora``."""
RUN_HELP = "Run directory written by elman train, or a checkpoint file."
Run = Annotated[Path, Parameter(help=RUN_HELP)]
BY_DEFAULT_BUILTIN = "By default the built-in model, whose name is builtin."
OptionalRun = Annotated[Path | None, Parameter(help=f"{RUN_HELP} {BY_DEFAULT_BUILTIN}")]
"""Of a command whose RUN may be left out before the texts, see `elman.cli.default_model`."""
OptionalRuns = Annotated[Path, Parameter(help=f"{RUN_HELP} {BY_DEFAULT_BUILTIN}")]
"""The type of each of several runs, ``*runs: OptionalRuns``."""
Quiet = Annotated[Flag, Parameter(name=["--quiet", "-q"], help="Show no progress.")]
Json = Annotated[Flag, Parameter("--json", help="Print the results as JSON.")]
Encoding = Annotated[str, Parameter(help="Encoding of the text.")]


def check_not_input(out: Path, *inputs: Path) -> None:
    """Check that an output file is neither one of the inputs nor a file of a run that is one of them.

    Raises
    ------
    ElmanError
        If it is.
    """
    from elman.runs.directory import FILES

    for path in inputs:
        run = path.parent if path.name in FILES else path
        for file in (path, *(run / name for name in FILES)):
            if _same_file(out, file):
                raise ElmanError(f"--out would replace an input file (got {quote(out)})")


def _same_file(first: Path, second: Path) -> bool:
    try:
        return first.samefile(second)
    except (OSError, ValueError):  # one of them does not exist, or cannot
        return False


PRESET_HELP = f"Hyperparameter preset. Options you pass override it.\n\n{list_presets()}"

_GROUP = Group("Training", help=f"The defaults are those of the preset {DEFAULT_PRESET}.", sort_key=5)


def _optional(name: str, hint: Any, default: Any, help: str) -> tuple[str, Any, Any]:
    """Return a field that is None unless the option is passed: a preset or a resumed run may have another default."""
    shown = "none" if default is None else str(default)
    converters = {int: parse_integer, int | None: parse_integer, float | str: parse_number_or_text}
    converter = parse_choice if get_origin(hint) is Literal else converters.get(hint)
    parameter = Parameter(
        help=help,
        group=_GROUP,
        show_default=lambda _: shown,
        negative="",
        converter=converter,
        allow_leading_hyphen=hint == float | str,
    )
    return (name, Annotated[hint | None, parameter], None)


def _create_options() -> Any:
    defaults = make_config(DEFAULT_PRESET)
    hints = {
        name: Literal[choices] if (choices := choices_of(name)) else hint
        for name, hint in get_type_hints(Config).items()
    }
    return make_dataclass(
        "Options",
        [_optional(f.name, hints[f.name], getattr(defaults, f.name), f.metadata["help"]) for f in fields(Config)],
        frozen=True,
        namespace={"__module__": __name__},  # Cyclopts takes the classes of the module `types` for built-in ones
    )


if TYPE_CHECKING:

    class Options:
        """One optional attribute for every field of `Config`."""

else:
    Options = _create_options()


NO_OPTIONS = Options()


def passed_options(options: Options) -> dict[str, Any]:
    """Return the options that were passed."""
    return {name: value for name, value in vars(options).items() if value is not None}
