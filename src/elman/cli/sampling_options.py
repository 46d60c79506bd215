"""The sampling options, generated from `elman.network.SamplingParams`: one option per field, with its help and default.

They are generated when ``elman sample`` is parsed: `SamplingParams` requires NumPy, which ``elman --help`` does not
import.
"""

from __future__ import annotations

from dataclasses import make_dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from elman.cli.parameters import parse_integer

if TYPE_CHECKING:
    from elman.network.sampling import SamplingOption, SamplingOptions

    class Options:
        """One attribute for every field of `SamplingParams`."""


def __getattr__(name: str) -> Any:
    """Return `Options`."""
    if name != "Options":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _create_options()


@cache
def _create_options() -> Any:
    from elman.network.sampling import list_sampling_options

    return make_dataclass(
        "Options",
        [_create_field(option) for option in list_sampling_options()],
        frozen=True,
        namespace={"__module__": __name__},  # Cyclopts takes the classes of the module `types` for built-in ones
    )


def _create_field(option: SamplingOption) -> tuple[str, Any, float]:
    parameter = Parameter(help=option.help, converter=parse_integer if option.type is int else None)
    return (option.name, Annotated[option.type, parameter], option.default)


def passed_options(options: Options | None) -> SamplingOptions:
    """Return the options that differ from their defaults."""
    from elman.network.sampling import list_sampling_options

    values = {} if options is None else vars(options)
    defaults = {option.name: option.default for option in list_sampling_options()}
    return {name: value for name, value in values.items() if value != defaults[name]}  # type: ignore[return-value]
