"""Arrays in files that may be untrusted: safetensors with a description and a digest of both, and NumPy's npz."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import struct
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from elman.errors import ElmanError, quote
from elman.storage.files import parse_strict_json, require_int, require_regular_file

Array = NDArray[np.floating[Any]]

SUFFIX = ".safetensors"
_MAX_HEADER = 100_000_000  # maximum bytes of the header of a safetensors file, by its specification
_TYPES = ("U64", "I64", "F64", "F32", "U32", "I32", "F16", "U16", "I16", "I8", "U8")
"""The names of data types in safetensors, in the order in which a file stores their arrays."""


def serialize_tensors(description: str, tensors: dict[str, Array]) -> list[bytes | memoryview]:
    """Return a description and arrays, which may be large, as the pieces of a safetensors file, with a digest of both.

    The metadata contains the JSON description (``elman``) and the digest of this text and of all arrays (``sha256``),
    which detects a corrupted file. The same content gives the same bytes.
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


def read_tensors(path: Path) -> tuple[str, dict[str, Array]]:
    """Return the description, as JSON, and the arrays of a file of `serialize_tensors`."""
    remedy = "pass a run directory written by elman train"
    try:
        with require_regular_file(path).open("rb") as file:  # opened once, because another process may replace it
            header, end = _read_header(file)
            metadata, tensors, start = header.pop("__metadata__", {}), dict[str, Array](), end
            for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
                # Arrays do not overlap, so they use no more memory than the file has bytes.
                if start + entry["data_offsets"][0] != end:
                    raise ValueError("an array does not begin where the one before ends")
                tensors[name] = _read_tensor(file, end, entry)
                end += tensors[name].nbytes
            if end != os.fstat(file.fileno()).st_size:
                raise ValueError("there is no array at its end")
            text, digest = metadata.get("elman", ""), _digest(metadata.get("elman", ""), tensors)
    except FileNotFoundError:
        raise ElmanError(f"there is no checkpoint {quote(path)}: {remedy}") from None
    except OSError as error:
        raise ElmanError(f"cannot read {quote(path)} ({error.strerror}): {remedy}") from error
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        raise _corrupt(path, "it is not a complete safetensors file") from error
    if not text or metadata.get("sha256") != digest:
        raise _corrupt(path, "its contents do not match its SHA-256" if text else "it was not written by Elman")
    return text, tensors


def _corrupt(path: Path, reason: str) -> ElmanError:
    return ElmanError(f"checkpoint {quote(path)} cannot be used: {reason}; restore a backup or train again")


def _read_header(file: IO[bytes]) -> tuple[dict[str, Any], int]:
    """Return the header of a file, and where its arrays begin."""
    size = int.from_bytes(file.read(8), "little")
    if size > _MAX_HEADER:
        raise ValueError("its header is too large")
    return parse_strict_json(file.read(size).decode()), 8 + size


def _read_tensor(file: IO[bytes], start: int, entry: dict[str, Any]) -> NDArray[Any]:
    """Return the array that begins at a position of a file; its entry in the header may be invalid."""
    # The array is copied before the digest is computed: a memory-mapped array would change if the file is overwritten.
    kind, shape = entry["dtype"], tuple(require_int(n, "a length") for n in entry["shape"])
    dtype, count = np.dtype(f"<{kind[0].lower()}{int(kind[1:]) // 8}"), math.prod(shape)
    first, last = entry["data_offsets"]
    size = count * dtype.itemsize
    if kind not in _TYPES or last - first != size or start + size > os.fstat(file.fileno()).st_size:
        raise ValueError("an array is not of its type or shape")
    file.seek(start)
    array = np.fromfile(file, dtype, count).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)


def is_named_or_begins_like_tensors(path: Path) -> bool:
    """Return whether a file is meant to be a safetensors file, by its suffix or its header; it may be damaged."""
    if path.suffix == SUFFIX:
        return True
    try:
        with require_regular_file(path).open("rb") as file:
            start = file.read(9)  # the length of the header, and the first byte of its JSON
    except (OSError, ValueError):  # the reader's error gives the reason
        return True
    return start[8:] == b"{" and int.from_bytes(start[:8], "little") <= _MAX_HEADER


def read_description(path: Path) -> dict[str, Any]:
    """Return the description of a file without reading its arrays; empty if `serialize_tensors` did not write it."""
    try:
        with require_regular_file(path).open("rb") as file:
            return dict(parse_strict_json(_read_header(file)[0]["__metadata__"]["elman"]))
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return {}


def _digest(description: str, tensors: dict[str, Array]) -> str:
    digest = hashlib.sha256(description.encode())
    for name, array in sorted(tensors.items()):
        digest.update(f"{name} {array.dtype.name} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)  # in the byte order of the file
    return digest.hexdigest()


# --- Files of `numpy.savez` ---

_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '(?P<dtype><f4|<f8|<i4|<i8|\|u1)', 'fortran_order': (?P<fortran>False|True), "
    rb"'shape': \((?P<shape>(?:\d{1,18}(?:, \d{1,18})*,?)?)\), \} *\n",
    re.DOTALL,
)
"""Magic string, version, length, and the dtype, order and shape as text."""


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays in an untrusted file. Unlike `numpy.load`, this allocates nothing based on a header alone."""
    import zipfile  # of use only here

    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in entries):
                raise ElmanError("its arrays are compressed or encrypted: write it with numpy.savez")
            if len({entry.filename for entry in entries}) < len(entries):
                raise ElmanError("it contains a duplicate array")
            if sum(entry.file_size for entry in entries) > path.stat().st_size:
                raise ElmanError("its arrays are declared larger than the file")
            contents = {entry.filename: archive.read(entry) for entry in entries}
    except (zipfile.BadZipFile, RuntimeError, EOFError, OSError, struct.error) as error:
        raise ElmanError("it is not a complete file written by numpy.savez") from error
    return {name.removesuffix(".npy"): _parse_array(data) for name, data in contents.items()}


def _parse_array(data: bytes) -> NDArray[Any]:
    """Return the array in an entry of NumPy format 1.0; the header must match `_HEADER`, and nothing is evaluated."""
    start = 10 + int.from_bytes(data[8:10], "little")
    header = _HEADER.fullmatch(data[:start])
    if header is None:
        raise ElmanError("an entry is not a float32 or float64 array as written by numpy.savez")
    shape = tuple(int(n) for n in header["shape"].split(b",") if n.strip())
    order: Literal["F", "C"] = "F" if header["fortran"] == b"True" else "C"
    return np.frombuffer(data[start:], header["dtype"].decode()).reshape(shape, order=order)
