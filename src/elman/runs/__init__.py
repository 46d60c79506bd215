"""Runs on disk: directory, records, checkpoint, lock, loggers, resume.

The package is also the function `elman.runs`, which lists the runs in directories.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType
from typing import Any


class _CallableModule(ModuleType):
    """The package, which can be called.

    Importing any of its modules sets the attribute ``runs`` of ``elman`` to the package, so that a function of that
    name cannot be stored there.
    """

    def __call__(self, *directories: str | os.PathLike[str]) -> list[dict[str, Any]]:
        """Return a row for every run in directories, see `elman.runs.saved_runs.runs`."""
        from elman.runs.saved_runs import runs

        return runs(*directories)


sys.modules[__name__].__class__ = _CallableModule
