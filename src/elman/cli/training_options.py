"""The training options, generated from `elman.Config`: one option per field, with its help and its default."""

from __future__ import annotations

from dataclasses import fields, make_dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

from cyclopts import Group, Parameter

from elman.cli.parameters import parse_integer
from elman.config import Config, choices_of, make_config
from elman.presets import DEFAULT_PRESET, list_presets

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
