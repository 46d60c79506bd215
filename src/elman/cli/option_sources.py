"""Options from the environment and from a file.

The command line comes first, then the variables ``ELMAN_<COMMAND>_<OPTION>``, then the file of ``--config``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from cyclopts.config import Dict, Env

from elman.cli.usage_errors import suggest
from elman.errors import ElmanError, quote


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
        If the file cannot be read, or has a table of no command. Cyclopts reports unknown options.
    """
    environment = Env("ELMAN_", show=False)
    if path is None:
        return [environment]
    return [environment, Dict(_read_tables(path, commands), source=str(path))]


def _read_tables(path: Path, commands: Collection[str]) -> dict[str, dict[str, Any]]:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
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
