"""The built-in model, which commands use if they are given none.

Compressed files contain a model's fingerprint, so that the model of an earlier version can be found once there are
several.
"""

from __future__ import annotations

import os
from pathlib import Path

from elman.inference.network_file import SavedNetwork
from elman.runs.checkpoint import load_network
from elman.storage.builtin import MODELS, BuiltinModel, unpack_builtin

NAME = "builtin"
"""What stands for the newest built-in model where a run is expected."""


def read_builtin(model: BuiltinModel = MODELS[-1]) -> SavedNetwork:
    """Return a built-in model.

    Raises
    ------
    ElmanError
        If its file is missing or damaged.
    """
    with unpack_builtin(model) as path:
        return load_network(path)


def is_builtin(path: Path) -> bool:
    """Return whether a path is the name of the built-in model: a file or directory of this name takes precedence."""
    return path == Path(NAME) and not os.path.exists(path)  # noqa: PTH110 (False for a path that cannot be inspected)


def find_builtin(fingerprint: bytes) -> BuiltinModel | None:
    """Return the built-in model whose fingerprint begins with these bytes, if there is one."""
    found = (model for model in MODELS if bytes.fromhex(model.fingerprint).startswith(fingerprint))
    return next(found, None)
