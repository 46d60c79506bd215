"""A run in one file: arrays and a description in safetensors, nothing that could run.

The tensors are those of `State`: ``U W V b c``, ``M.U`` … ``M.c`` and ``h``. The file's metadata holds under
``elman`` one JSON text (configuration, alphabet, counters, both generators) and under ``sha256`` a digest
of that text and of all tensors, so that an altered file is noticed.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from elman.engine import State
from elman.errors import ElmanError
from elman.experiment.config import Config
from elman.network.parameters import NAMES, Array, shapes
from elman.text import Alphabet

FORMAT = 1

_COUNTERS = ("position", "update", "epoch", "minimum_at")
_FIGURES = ("smooth_loss", "minimum_smooth_loss", "seconds")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What the file holds: the state, and what it is the state of."""

    config: Config
    alphabet: Alphabet
    corpus_sha256: str
    state: State


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write the file beside itself, then rename it, so that at every instant one whole checkpoint exists."""
    from safetensors.numpy import save

    tensors = _tensors(checkpoint.state)
    description = json.dumps(_description(checkpoint))
    metadata = {"elman": description, "sha256": _digest(description, tensors)}
    replace_file(path, save(tensors, metadata))


def replace_file(path: Path, data: bytes) -> None:
    """Replace `path` by `data` at one stroke: written beside, synced, renamed.

    Raises
    ------
    ElmanError
        If the system refuses; what was there before is untouched.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(0o666 & ~_umask())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ElmanError(
            f"cannot write {str(path)!r} ({error.strerror}): make room or choose another --out; "
            "what was there before is untouched"
        ) from error


def _umask() -> int:
    """The permissions that new files do without; there is no way to read them but to set them."""
    os.umask(mask := os.umask(0))
    return mask


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a file that `save_checkpoint` wrote.

    Raises
    ------
    ElmanError
        If there is none, or it is truncated, altered, or of another format.
    """
    from safetensors import SafetensorError, safe_open

    try:
        path.open("rb").close()  # says better than safetensors why it cannot be read
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise ElmanError(f"there is no checkpoint {str(path)!r}: give a run directory that elman train wrote") from None
    except OSError as error:
        raise ElmanError(
            f"cannot read {str(path)!r} ({error.strerror}): give a run directory that elman train wrote"
        ) from error
    except (SafetensorError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise _damaged(path, "it is no whole safetensors file") from error
    description = metadata.get("elman", "")
    if not description:
        raise _damaged(path, "it does not say that Elman wrote it")
    if metadata.get("sha256") != _digest(description, tensors):
        raise _damaged(path, "its contents do not have the SHA-256 it states")
    try:
        return _restore(json.loads(description), tensors)
    except (ElmanError, KeyError, TypeError, ValueError) as error:
        raise _damaged(path, f"its description does not fit ({error})") from error


def _damaged(path: Path, reason: str) -> ElmanError:
    return ElmanError(f"the checkpoint {str(path)!r} cannot be used, {reason}: restore a copy of it, or train again")


def _tensors(state: State) -> dict[str, Array]:
    sums = {f"M.{name}": array for name, array in state.M.items()}
    return {name: np.ascontiguousarray(a) for name, a in (state.parameters | sums | {"h": state.h}).items()}


def _digest(description: str, tensors: dict[str, Array]) -> str:
    digest = hashlib.sha256(description.encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tensors[name].shape}".encode())
        digest.update(np.ascontiguousarray(tensors[name]).data)
    return digest.hexdigest()


def _description(checkpoint: Checkpoint) -> dict[str, Any]:
    state = checkpoint.state
    initial = dict(state.initial_generator.get_state(legacy=False))
    initial["state"] = initial["state"] | {"key": initial["state"]["key"].tolist()}
    return {
        "format": FORMAT,
        "config": checkpoint.config.as_dict(),
        "alphabet": checkpoint.alphabet.characters,
        "corpus_sha256": checkpoint.corpus_sha256,
        "counters": {name: getattr(state, name) for name in _COUNTERS},
        "figures": {name: _or_none(getattr(state, name)) for name in _FIGURES},
        "initial_generator": initial,
        "sample_generator": state.sample_generator.bit_generator.state,
    }


def _or_none(value: float) -> float | None:
    """JSON has no number for nan."""
    return None if math.isnan(value) else value


def _restore(description: dict[str, Any], tensors: dict[str, Array]) -> Checkpoint:
    if description["format"] != FORMAT:
        raise ElmanError(f"format {description['format']}, and this Elman reads {FORMAT}")
    config, alphabet = Config(**description["config"]), Alphabet(description["alphabet"])
    wanted = shapes(len(alphabet), config.hidden_size)
    wanted |= {f"M.{name}": shape for name, shape in wanted.items()} | {"h": (config.hidden_size,)}
    if {name: array.shape for name, array in tensors.items()} != wanted:
        raise ElmanError("arrays of other shapes than the configuration's")
    for name, array in tensors.items():
        if array.dtype != config.dtype or not np.isfinite(array).all():
            raise ElmanError(f"{name} is not made of finite {config.dtype}")
    initial, sample = np.random.RandomState(), np.random.Generator(np.random.PCG64())
    initial.set_state(description["initial_generator"])
    sample.bit_generator.state = description["sample_generator"]
    numbers: dict[str, Any] = {name: int(description["counters"][name]) for name in _COUNTERS}
    numbers |= {name: _figure(description["figures"][name]) for name in _FIGURES}
    state = State(
        parameters={name: tensors[name] for name in NAMES},
        M={name: tensors[f"M.{name}"] for name in NAMES},
        h=tensors["h"],
        initial_generator=initial,
        sample_generator=sample,
        **numbers,
    )
    return Checkpoint(config, alphabet, description["corpus_sha256"], state)


def _figure(value: float | None) -> float:
    return math.nan if value is None else float(value)
