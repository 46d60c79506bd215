"""Options from the environment and from a file.

The command line comes first, then the variables ``ELMAN_<COMMAND>_<OPTION>``, then the file of ``--config``.
"""

from __future__ import annotations

import json
import os
import sys
import tomllib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, get_args

from cyclopts import App, Argument, ArgumentCollection, Token
from cyclopts.config import Env

from elman.cli.usage_errors import describe_type, suggest
from elman.errors import ElmanError, quote, shorten
from elman.option_names import suggest_option

_PREFIX = "ELMAN_"


def option_sources(path: Path | None, commands: Collection[str]) -> list[Callable[..., Any]]:
    """Return the sources of options other than the command line, for the ``config`` of a Cyclopts application.

    Parameters
    ----------
    path : Path, optional
        A TOML file with a table for each of some commands.
    commands : collection of str

    Raises
    ------
    ElmanError
        If the file cannot be read, or has a table of no command.
    """
    environment: list[Callable[..., Any]] = [_warn_of_unknown_variables, Env(_PREFIX, show=False)]
    return environment if path is None else [*environment, _FileOptions(path, _read_tables(path, commands))]


def _warn_of_unknown_variables(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Warn of variables that name no option of the command; they may be another program's."""
    prefix, options = f"{_PREFIX}{'_'.join(commands).upper()}_", _by_key(arguments)
    for variable in sorted(os.environ) if commands else ():
        name = variable.removeprefix(prefix).lower()
        if variable.startswith(prefix) and name not in options:
            near = suggest_option(name, options)
            hint = f"did you mean {prefix}{near.upper()}?" if near else "see --help"
            print(f"warning: {shorten(variable)} is ignored: {commands[0]} has no such option; {hint}", file=sys.stderr)


class _FileOptions:
    """The options in the tables of a file, as a source for Cyclopts.

    Parameters
    ----------
    path : Path
    tables : mapping
        Command -> option -> value.
    """

    def __init__(self, path: Path, tables: Mapping[str, Mapping[str, Any]]) -> None:
        self.path, self.tables = path, tables

    def __call__(self, app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
        """Set the options of a command that earlier sources have not set.

        Raises
        ------
        ElmanError
            If an option is unknown, or its value is of another type.
        """
        options = _by_key(arguments)
        for key, value in self.tables.get(" ".join(commands), {}).items():
            argument = options.get(key.replace("-", "_").lower())
            if argument is None:
                raise ElmanError(f"unknown option {shorten(key)} in {quote(self.path)}; {suggest(key, options)}")
            if not argument.tokens:
                for token in self._tokens(key, value, argument):
                    argument.append(token)

    def _tokens(self, key: str, value: Any, argument: Argument) -> list[Token]:
        _, is_list = argument.token_count()
        values = value if isinstance(value, list) and is_list else [value]
        if not all(_is_scalar(each, argument.hint) for each in values):
            shown = shorten(json.dumps(value, default=str, ensure_ascii=False))
            raise ElmanError(f"{key} in {quote(self.path)} must be {describe_type(argument.hint)} (got {shown})")
        return [
            Token(keyword=key, value=str(each), source=str(self.path), index=index) for index, each in enumerate(values)
        ]


def _is_scalar(value: Any, hint: Any) -> bool:
    """Whether a value is no list, table or date, and is true or false only where that is the type."""
    is_flag = bool in (hint, *get_args(hint))
    return isinstance(value, str | int | float) and (is_flag or not isinstance(value, bool))


def _by_key(arguments: ArgumentCollection) -> dict[str, Argument]:
    """Return the arguments of a command by their names, with underscores."""
    return {
        name.lstrip("-").replace("-", "_").lower(): each
        for each in arguments
        for name in each.names
        if not each.children
    }


def _read_tables(path: Path, commands: Collection[str]) -> dict[str, dict[str, Any]]:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ElmanError(f"cannot read {quote(path)} ({error.strerror})") from None
    except ValueError as error:  # not UTF-8, or not TOML
        raise ElmanError(f"{quote(path)} is not a TOML file ({error})") from None
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise ElmanError(f"{quote(name)} in {quote(path)} must be in the table of a command, such as [train]")
        if name not in commands:
            raise ElmanError(f"unknown command {quote(name)} in {quote(path)}; {suggest(name, commands)}")
    return tables
