"""TOML files of options."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from elman.errors import ElmanError, quote, report_system_errors
from elman.storage.untrusted import read_regular_file

MAX_OPTIONS = 1 << 20
"""Bytes of a file of options."""


def read_toml(path: Path) -> dict[str, Any]:
    """Return the contents of a TOML file, or raise an `ElmanError`."""
    try:
        with report_system_errors(f"read {quote(path)}"):
            return tomllib.loads(read_regular_file(path, MAX_OPTIONS).decode("utf-8-sig"))
    except ValueError as error:  # not UTF-8, or not TOML
        raise ElmanError(f"{quote(path)} is not a TOML file ({error})") from None
    except RecursionError:
        raise ElmanError(f"{quote(path)} is not a TOML file of options (it is nested too deeply)") from None
