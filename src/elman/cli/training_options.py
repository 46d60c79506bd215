"""Training options, built from the configuration: its fields, their help and their defaults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, make_dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

from cyclopts import Group, Parameter, Token

from elman.config import Config, flag
from elman.errors import ElmanError
from elman.presets import described

PRESET_HELP = f"Settings to begin from, which those that are given replace.\n\n{described()}"

_GROUP = Group("Training", sort_key=5)
LARGEST_PORT = 65_535


def whole_number(hint: Any, tokens: Sequence[Token]) -> int:
    """Read an integer as it is written; Cyclopts would take 2.5 for 2."""
    text = tokens[0].value
    try:
        return int(text)
    except ValueError:
        raise ElmanError(f'{tokens[0].keyword}: unable to convert "{text}" into int: give a whole number') from None


def port_number(hint: Any, tokens: Sequence[Token]) -> int:
    """Read the number of a port, or 0 for one that is free."""
    number = whole_number(hint, tokens)
    if not 0 <= number <= LARGEST_PORT:
        raise ElmanError(f"{tokens[0].keyword} must be from 0 to {LARGEST_PORT}, and {number} came: give another")
    return number


def corpus_name(hint: Any, tokens: Sequence[Token]) -> str:
    """Read a corpus, which may be - for standard input, and nothing else that looks like an option."""
    text = tokens[0].value
    if text.startswith("-") and text != "-":
        near = get_close_matches(text, [flag(setting.name) for setting in fields(Config)], 1)
        hint = f" Did you mean {near[0]}?" if near else " See --help for those there are."
        raise ElmanError(f"Unknown option: {text}.{hint}")
    return text


def _optional(name: str, hint: Any, default: Any, help: str) -> tuple[str, Any, Any]:
    """An option that is None unless it was given: a preset or a resumed run may hold another default."""
    shown = "none" if default is None else str(default)
    converter = whole_number if hint in (int, int | None) else None
    parameter = Parameter(help=help, group=_GROUP, show_default=lambda _: shown, negative="", converter=converter)
    return (name, Annotated[hint | None, parameter], None)


def _options_class() -> Any:
    hints = get_type_hints(Config)
    return make_dataclass(
        "Options",
        [_optional(f.name, hints[f.name], f.default, f.metadata["help"]) for f in fields(Config)],
        frozen=True,
        namespace={"__module__": __name__},  # Cyclopts takes what stands in `types` for a built-in
    )


if TYPE_CHECKING:

    class Options:
        """One optional attribute for every field of `Config`."""

else:
    Options = _options_class()


NONE_GIVEN = Options()


def given(options: Options) -> dict[str, Any]:
    """Return the options that were given."""
    return {name: value for name, value in vars(options).items() if value is not None}
