"""Tensors and a description in a safetensors file, with a digest of both."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.errors import ElmanError, quote
from elman.storage.untrusted import parse_strict_json, require_regular_file, safe_message

Array = NDArray[np.floating[Any]]


SUFFIX = ".safetensors"
_MAX_HEADER = 100_000_000
"""Bytes of the header of a safetensors file at most, by its specification."""
_TYPES = ("U64", "I64", "F64", "F32", "U32", "I32", "F16", "U16", "I16", "I8", "U8")
"""Types of arrays, as safetensors calls them, in the order of the arrays in a file."""
_MAPPED = {"I64": "<i8", "I32": "<i4"}
"""Types of arrays that are mapped, as safetensors and NumPy call them."""


def serialize_with_digest(description: str, tensors: dict[str, Array]) -> bytes:
    """Return the bytes of `serialize_pieces`."""
    return b"".join(serialize_pieces(description, tensors))


def serialize_pieces(description: str, tensors: dict[str, Array]) -> list[bytes | memoryview]:
    """Return a description and arrays, which may be large, as the pieces of a safetensors file, with a digest of both.

    The metadata has the description, which is JSON (``elman``), and the digest of that text and of all arrays
    (``sha256``), so that a corrupted file is detected. The same content gives the same bytes.
    """
    tensors = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    types = {name: f"{array.dtype.kind.upper()}{8 * array.itemsize}" for name, array in tensors.items()}
    header: dict[str, Any] = {"__metadata__": {"elman": description, "sha256": _digest(description, tensors)}}
    pieces, end = list[bytes | memoryview](), 0
    for name in sorted(tensors, key=lambda name: (_TYPES.index(types[name]), name)):
        array = tensors[name]
        offsets = [end, end := end + array.nbytes]
        header[name] = {"dtype": types[name], "shape": array.shape, "data_offsets": offsets}
        pieces.append(array.astype(array.dtype.newbyteorder("<"), copy=False).reshape(-1).data)
    encoded = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    encoded = encoded.ljust(-(-len(encoded) // 8) * 8)  # the arrays are aligned to 8 bytes
    return [len(encoded).to_bytes(8, "little"), encoded, *pieces]


def read_tensors(path: Path, mapped: str = "") -> tuple[str, dict[str, Array]]:
    """Return the description, as JSON, and the arrays of a file of `serialize_pieces`.

    Those whose names begin with `mapped`, if it is not empty, are read-only, and shared by the processes that read it.
    """
    version = _version(path)
    try:
        return _read_tensors(path, mapped)
    except ElmanError:
        if _version(path) == version:
            raise
    return read_tensors(path, mapped)  # the file was replaced between two of the times that it was opened


def _version(path: Path) -> tuple[int, ...] | None:
    """Return what differs between a file and the one that replaces it; None where there is none."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _read_tensors(path: Path, mapped: str) -> tuple[str, dict[str, Array]]:
    from safetensors import SafetensorError, safe_open

    try:
        require_regular_file(path).open("rb").close()  # gives a better reason than safetensors if it cannot be read
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {
                name: _map_tensor(path, name)
                if mapped and name.startswith(mapped) and file.get_slice(name).get_dtype() in _MAPPED
                else file.get_tensor(name)
                for name in file.keys()  # noqa: SIM118
            }
    except FileNotFoundError:
        raise ElmanError(f"there is no checkpoint {quote(path)}: pass a run directory written by elman train") from None
    except OSError as error:
        remedy = "pass a run directory written by elman train"
        raise ElmanError(f"cannot read {quote(path)} ({error.strerror}): {remedy}") from error
    except (SafetensorError, ValueError, TypeError, KeyError, AttributeError, ArithmeticError) as error:
        raise corrupt_checkpoint_error(path, "it is not a complete safetensors file") from error
    text = metadata.get("elman", "")
    if not text:
        raise corrupt_checkpoint_error(path, "it was not written by Elman")
    if metadata.get("sha256") != _digest(text, tensors):
        raise corrupt_checkpoint_error(path, "its contents do not match its SHA-256")
    return text, tensors


def _map_tensor(path: Path, name: str) -> NDArray[Any]:
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        tensor = json.loads(file.read(size))[name]
    start, kind = 8 + size + tensor["data_offsets"][0], _MAPPED[tensor["dtype"]]
    shape = tuple(tensor["shape"])
    if os.name == "nt" or start % int(kind[-1]) or 0 in shape:  # Windows replaces no file that is mapped
        return np.fromfile(path, kind, int(np.prod(shape)), offset=start).reshape(shape)
    return np.asarray(np.memmap(path, kind, "r", start, shape))


def is_named_or_begins_like_tensors(path: Path) -> bool:
    """Return whether a file is meant to be a safetensors file, by its suffix or its header; it may be damaged."""
    if path.suffix == SUFFIX:
        return True
    try:
        with require_regular_file(path).open("rb") as file:
            start = file.read(9)  # the length of the header, and the header in JSON
    except (OSError, ValueError):  # the reader's error gives the reason
        return True
    return start[8:] == b"{" and int.from_bytes(start[:8], "little") <= _MAX_HEADER


def read_description(path: Path) -> dict[str, Any]:
    """Return the description of a file without reading its arrays; empty if it is no file of `serialize_pieces`."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(require_regular_file(path), framework="numpy") as file:
            return dict(parse_strict_json((file.metadata() or {}).get("elman", "{}")))
    except (OSError, ValueError, TypeError, SafetensorError):
        return {}


def corrupt_checkpoint_error(path: Path, reason: str) -> ElmanError:
    """Return the error for a checkpoint that is damaged."""
    return ElmanError(f"checkpoint {quote(path)} cannot be used: {reason}; restore a backup or train again")


def foreign_checkpoint_error(path: Path, error: Exception) -> ElmanError:
    """Return the error for a checkpoint whose SHA-256 matches, and which is not what this version writes."""
    return ElmanError(
        f"checkpoint {quote(path)} is not damaged, but not in the format that this version of Elman reads"
        f" ({safe_message(error)}); use the version that wrote it, or train again"
    )


def _digest(description: str, tensors: dict[str, Array]) -> str:
    digest = hashlib.sha256(description.encode())
    for name, array in sorted(tensors.items()):
        digest.update(f"{name} {array.dtype.name} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)  # as in the file
    return digest.hexdigest()
