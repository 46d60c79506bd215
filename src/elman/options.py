"""Options of the command line and of Python: documentation of ``**options``, and suggestions for unknown names."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar, get_args

from elman.errors import ARGUMENTS, check_type

P = ParamSpec("P")
R = TypeVar("R")

PLACEHOLDER = "OPTIONS"  # the line of a docstring that the descriptions replace


class Option(NamedTuple):
    """A keyword argument. `choices` are its allowed values; empty if they are not listed."""

    name: str
    hint: Any
    default: Any
    help: str  # a template, in which ``{lines:True}`` names an option; see `elman.errors`
    choices: tuple[str, ...] = ()

    def describe(self, indent: str) -> str:
        """Return the description of the option for a docstring."""
        kind = " or ".join(f'"{choice}"' for choice in self.choices) or " or ".join(_name_types(self.hint))
        lines = textwrap.wrap(self.help.format_map(ARGUMENTS), 100)
        return f"\n{indent}    ".join([f"{self.name} : {kind}, default {self.default!r}", *lines])

    def check(self, value: Any) -> None:
        """Check the type of a value; raise an `ElmanError` if it is wrong."""
        check_type(self.name, value, " | ".join(_name_types(self.hint)))


def document_options(options: Iterable[Option]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that shows the options in place of ``**options`` and of `PLACEHOLDER`.

    Type checkers read ``**options: Unpack[…]``; ``help()`` and the completion of notebooks read the added options.
    """
    options = tuple(options)

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)
        own = [each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD]
        added = [
            inspect.Parameter(each.name, inspect.Parameter.KEYWORD_ONLY, default=each.default, annotation=each.hint)
            for each in options
            if each.name not in signature.parameters
        ]
        function.__signature__ = signature.replace(parameters=own + added)  # type: ignore[attr-defined]
        if function.__doc__:  # Python removes docstrings under -OO
            before, _, after = function.__doc__.partition(PLACEHOLDER)
            indent = before[before.rfind("\n") + 1 :]
            function.__doc__ = before + f"\n{indent}".join(each.describe(indent) for each in options) + after
        return function

    return decorate


def _name_types(hint: Any) -> list[str]:
    kinds = get_args(hint) or (hint,)
    return ["None" if kind is type(None) else getattr(kind, "__name__", repr(kind)) for kind in kinds]


SIMILARITY = 0.75  # similarity of two spellings from which one is suggested for the other


@cache
def read_synonyms() -> dict[str, str]:
    """Return the option for each name in ``synonyms.toml``."""
    import tomllib  # needed only for an unknown name

    text = Path(__file__).with_name("synonyms.toml").read_text("utf-8")
    return {name: option for option, names in tomllib.loads(text).items() for name in names.split()}


def suggest_option(name: str, options: Iterable[str]) -> str | None:
    """Return the option that an unknown name most likely means, or None.

    Examples
    --------
    >>> suggest_option("lr", ["learning_rate", "layers"]), suggest_option("Hiden-size", ["hidden_size", "seed"])
    ('learning_rate', 'hidden_size')
    """
    options, key = list(options), name.lower().replace("-", "_")
    if (meant := read_synonyms().get(key)) in options:
        return meant
    return next(iter(get_close_matches(key, options, 1, SIMILARITY)), None)
