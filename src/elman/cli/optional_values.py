"""Options whose value may be left out, which Cyclopts does not have."""

from __future__ import annotations

from typing import NamedTuple, get_args

from elman.config import CodecAdapt


class OptionalValue(NamedTuple):
    """The values of an option; an argument after it that is none of them is not its value."""

    values: tuple[str, ...]
    implied: str
    """The value where it is left out."""


OPTIONAL_VALUES = {
    "compress": {"--adapt": OptionalValue(get_args(CodecAdapt), "weights")},
}
"""Command -> option -> its values."""


def add_implied_values(arguments: list[str]) -> list[str]:
    """Return the arguments of a command line with the values that were left out.

    Examples
    --------
    >>> add_implied_values(["compress", "--adapt", "text"])
    ['compress', '--adapt=weights', 'text']
    >>> add_implied_values(["compress", "text", "--adapt", "counts"])
    ['compress', 'text', '--adapt', 'counts']
    """
    options = OPTIONAL_VALUES.get(arguments[0], {}) if arguments else {}
    end = arguments.index("--") if "--" in arguments else len(arguments)
    following = [*arguments[1:end], ""][:end]
    return [_complete(*pair, options) for pair in zip(arguments[:end], following, strict=True)] + arguments[end:]


def _complete(argument: str, following: str, options: dict[str, OptionalValue]) -> str:
    option = options.get(argument)
    return argument if option is None or following.lower() in option.values else f"{argument}={option.implied}"
