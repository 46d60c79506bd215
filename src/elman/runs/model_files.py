"""Where a model is read from: a run directory, one of its files of weights, or the built-in model."""

from __future__ import annotations

import os
from pathlib import Path

from elman.inference.network_file import SavedNetwork
from elman.runs.builtin import is_builtin, read_builtin
from elman.runs.checkpoint import load_network, load_selected
from elman.runs.directory import BEST, CHECKPOINT


def read_model(path: Path) -> SavedNetwork:
    """Return the model of a path.

    A directory's is read from ``checkpoint.safetensors``, which contains the best and the last network, or from
    ``best.safetensors``, which contains the best, if that is the only file.

    Raises
    ------
    ElmanError
        If there is no checkpoint, or it is truncated or altered.
    """
    if is_builtin(path):
        return read_builtin()
    # Unlike the methods of Path, these treat a path that the system refuses to inspect as nonexistent.
    if not os.path.isdir(path):  # noqa: PTH112
        return load_network(path)
    if os.path.exists(path / BEST) and not os.path.exists(path / CHECKPOINT):  # noqa: PTH110
        return load_network(path / BEST)
    return load_selected(path / CHECKPOINT)
