"""Parameters that several commands share, how their values are parsed, and the training options of `elman.Config`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

from cyclopts import Group, Parameter, Token

from elman.cli.usage_errors import suggest
from elman.config import Config, choices_of, make_config
from elman.errors import ElmanError, flag
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
        raise ElmanError(f"{tokens[0].keyword} must be an integer (got {text!r})") from None


def parse_port(hint: Any, tokens: Sequence[Token]) -> int:
    """Parse the number of a port, or 0 for a free one.

    Raises
    ------
    ElmanError
        If it is not in that range.
    """
    number = parse_integer(hint, tokens)
    if not 0 <= number <= MAX_PORT:
        raise ElmanError(f"{tokens[0].keyword} must be from 0 to {MAX_PORT} (got {number})")
    return number


def parse_corpus(hint: Any, tokens: Sequence[Token]) -> str:
    """Parse a corpus, which may be - for standard input, but is not anything else that looks like an option.

    Raises
    ------
    ElmanError
        If it looks like an option.
    """
    text = tokens[0].value
    if text.startswith("-") and text != "-":
        name = text.partition("=")[0]
        raise ElmanError(f"unknown option {name}; {suggest(name, [flag(each.name) for each in fields(Config)])}")
    return text


def require_corpus(corpus: Sequence[str]) -> list[str]:
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


def parse_out(hint: Any, tokens: Sequence[Token]) -> Path:
    """Parse the path of an output; an empty one would be the current directory.

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
        raise ElmanError(f"{tokens[0].keyword} must not be empty (got {text!r})")
    return text


Integer = Annotated[int, Parameter(converter=parse_integer)]
OptionalInteger = Annotated[int | None, Parameter(converter=parse_integer)]
Port = Annotated[int, Parameter(converter=parse_port)]
Flag = Annotated[bool, Parameter(negative="")]
Out = Annotated[Path, Parameter(name=["--out", "-o"], converter=parse_out)]

CORPUS_HELP = (
    "Text file (also gzip, bzip2, xz, zstd), directory, quoted glob pattern, - for standard input, or a built-in text:"
    " python-docs, shakespeare."
)
Corpus = Annotated[str, Parameter(help=CORPUS_HELP, allow_leading_hyphen=True, converter=parse_corpus)]
Corpora = Annotated[Corpus, Parameter(help=f"{CORPUS_HELP} Several are joined.")]
"""The type of each of several texts, ``*corpus: Corpora``."""
Run = Annotated[Path, Parameter(help="Run directory written by elman train, or a checkpoint file.")]
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
                raise ElmanError(f"--out would replace an input file (got {str(out)!r})")


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
    converter = parse_integer if hint in (int, int | None) else None
    parameter = Parameter(help=help, group=_GROUP, show_default=lambda _: shown, negative="", converter=converter)
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
