"""Training options, built from the configuration: its fields, their help and their defaults."""

from __future__ import annotations

from dataclasses import fields, make_dataclass
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

from cyclopts import Group, Parameter

from elman.experiment.config import Config

_GROUP = Group("Training", sort_key=5)


def _optional(name: str, hint: Any, default: Any, help: str) -> tuple[str, Any, Any]:
    """An option that is None unless it was given: a preset or a resumed run may hold another default."""
    shown = "none" if default is None else str(default)
    parameter = Parameter(help=help, group=_GROUP, show_default=lambda _: shown, negative="")
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
