"""Tensors in a safetensors file, with a digest of description and contents."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.errors import ElmanError
from elman.storage.atomic import replace_file
from elman.storage.untrusted import regular

Array = NDArray[np.floating[Any]]


def save_tensors(path: Path, description: dict[str, Any], tensors: dict[str, Array]) -> None:
    """Write arrays and what they are as safetensors.

    The file's metadata holds under ``elman`` the description, one JSON text, and under ``sha256`` a digest of that
    text and of all arrays, so that an altered file is noticed.

    Raises
    ------
    ElmanError
        If the system refuses; what was there before is untouched.
    """
    replace_file(path, sealed(json.dumps(description), tensors))


def sealed(description: str, tensors: dict[str, Array]) -> bytes:
    """Return the bytes of a file that holds a description and arrays, with the digest of both."""
    from safetensors.numpy import save

    tensors = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    return save(tensors, {"elman": description, "sha256": _digest(description, tensors)})


def read_tensors(path: Path) -> tuple[str, dict[str, Array]]:
    """Return the description, as JSON, and the arrays of a file that `save_tensors` wrote.

    Raises
    ------
    ElmanError
        If there is none, or it is truncated, altered, or another program's.
    """
    from safetensors import SafetensorError, safe_open

    try:
        regular(path).open("rb").close()  # says better than safetensors why it cannot be read
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise ElmanError(f"there is no checkpoint {str(path)!r}: give a run directory that elman train wrote") from None
    except OSError as error:
        raise ElmanError(
            f"cannot read {str(path)!r} ({error.strerror}): give a run directory that elman train wrote"
        ) from error
    except (SafetensorError, ValueError, TypeError, KeyError, AttributeError, ArithmeticError) as error:
        raise damaged(path, "it is no whole safetensors file") from error
    text = metadata.get("elman", "")
    if not text:
        raise damaged(path, "it does not say that Elman wrote it")
    if metadata.get("sha256") != _digest(text, tensors):
        raise damaged(path, "its contents do not have the SHA-256 it states")
    return text, tensors


def damaged(path: Path, reason: str) -> ElmanError:
    """Return the error that says why a file of weights cannot be used."""
    return ElmanError(f"the checkpoint {str(path)!r} cannot be used, {reason}: restore a copy of it, or train again")


def _digest(description: str, tensors: dict[str, Array]) -> str:
    digest = hashlib.sha256(description.encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tensors[name].shape}".encode())
        digest.update(np.ascontiguousarray(tensors[name]).data)
    return digest.hexdigest()
