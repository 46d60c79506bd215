"""Where a model is read from: a run directory, one of its files of weights, or the built-in model; and written to."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from elman.errors import ElmanError, quote
from elman.inference import Model
from elman.inference.network_file import SavedNetwork
from elman.runs.builtin import NAME, is_builtin, read_builtin
from elman.runs.checkpoint import load_network, load_selected
from elman.runs.directory import BEST, CHECKPOINT, RunDirectory
from elman.storage.builtin import MODELS
from elman.storage.tensors import is_named_or_begins_like_tensors

MAX_SHOWN = 3
"""Runs that an error names."""


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
    if path.name in {model.file for model in MODELS}:
        raise ElmanError(f"{quote(path)} is the compressed file of the built-in model: pass {NAME} instead")
    # Unlike the methods of Path, these treat a path that the system refuses to inspect as nonexistent.
    if not os.path.isdir(path):  # noqa: PTH112
        if not is_named_or_begins_like_tensors(path):
            raise _not_a_model_error(path)
        return load_network(path)
    if os.path.exists(path / BEST) and not os.path.exists(path / CHECKPOINT):  # noqa: PTH110
        return load_network(path / BEST)
    if not os.path.exists(path / CHECKPOINT) and (runs := sorted(path.glob(f"*/{CHECKPOINT}"))):  # noqa: PTH110
        raise _several_runs_error(path, [run.parent for run in runs])
    return load_selected(path / CHECKPOINT)


def _not_a_model_error(path: Path) -> ElmanError:
    command = f"elman train {shlex.quote(str(path))} -o {shlex.quote(f'runs/{path.stem}')}"
    return ElmanError(f"{quote(path)} is not a model: pass a run directory; for a text, {command} writes one")


def _several_runs_error(path: Path, runs: list[Path]) -> ElmanError:
    shown = [quote(run) for run in runs[:MAX_SHOWN]]
    more = f" and {len(runs) - MAX_SHOWN} more" if len(runs) > MAX_SHOWN else ""
    return ElmanError(f"there is no checkpoint {quote(path / CHECKPOINT)}: pass a run in it, {', '.join(shown)}{more}")


def save_model(model: Model, out: Path) -> None:
    """Write a model without a run into a directory, from which `elman.runs.run.load` reads it.

    Raises
    ------
    ElmanError
        If the directory contains a run or a model already, or cannot be written.
    """
    directory = RunDirectory(out)
    with directory.lock:
        directory.save_imported(SavedNetwork.of_model(model.alphabet, model.parameters, model.h, model.line_hashes))
