"""Keyword arguments that a function passes on, as its signature and its docstring show them.

Type checkers read ``**options: Unpack[…]``. Python itself shows only ``**options``: `document_options` adds what
``help()`` and the completion of notebooks read.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, ParamSpec, TypeVar, get_args

from elman.errors import as_arguments

P = ParamSpec("P")
R = TypeVar("R")

PLACEHOLDER = "OPTIONS"
"""The line of a docstring that the descriptions replace."""


class Option(NamedTuple):
    """A keyword argument.

    Parameters
    ----------
    name : str
    hint : type
    default : object
    help : str
        As on the command line: the options in it are replaced by arguments.
    choices : tuple of str
        The values it may have; empty if they are not listed.
    """

    name: str
    hint: Any
    default: Any
    help: str
    choices: tuple[str, ...] = ()

    def describe(self, indent: str) -> str:
        """Return its description for a docstring."""
        kind = " or ".join(f'"{choice}"' for choice in self.choices) or _name_type(self.hint)
        lines = textwrap.wrap(as_arguments(self.help), 100)
        return f"\n{indent}    ".join([f"{self.name} : {kind}, default {self.default!r}", *lines])


def document_options(options: Iterable[Option]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that shows the options in place of ``**options`` and of `PLACEHOLDER`."""
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
            function.__doc__ = _fill(function.__doc__, options)
        return function

    return decorate


def _fill(docstring: str, options: Iterable[Option]) -> str:
    before, _, after = docstring.partition(PLACEHOLDER)
    indent = before[before.rfind("\n") + 1 :]
    return before + f"\n{indent}".join(option.describe(indent) for option in options) + after


def _name_type(hint: Any) -> str:
    """Return the name of a type, or of each member of a union."""
    kinds = get_args(hint) or (hint,)
    return " or ".join("None" if kind is type(None) else getattr(kind, "__name__", repr(kind)) for kind in kinds)
