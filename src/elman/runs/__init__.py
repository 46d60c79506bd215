"""Runs on disk: directory, records, checkpoint, loggers. The package is also the function `elman.runs`."""

from __future__ import annotations

import os
import sys
from types import ModuleType
from typing import Any


class _CallableModule(ModuleType):
    """The package, which can be called: importing any of its modules sets ``elman.runs`` to it, not to a function."""

    def __call__(self, *directories: str | os.PathLike[str]) -> list[dict[str, Any]]:
        """Return a row for every run in directories, see `elman.runs.saved_runs.runs`."""
        from elman.runs.saved_runs import runs

        return runs(*directories)


sys.modules[__name__].__class__ = _CallableModule
